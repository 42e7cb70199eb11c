"""tools/check-style: what it refuses, and that it leaves good files alone."""
import place

GOOD = "/* base/str.h - borrowed text. */\n#ifndef BASE_STR_H\n#define BASE_STR_H\n\n#endif\n"


class CheckStyle(place.InTemporaryTree):
    def check(self):
        return self.run_tool(place.tool("check-style"), self.root)

    def refused(self, path, text):
        self.write(path, text)
        done = self.check()
        self.assertEqual(done.returncode, 1)
        return done.stdout

    def test_a_good_header_passes(self):
        self.write("src/base/str.h", GOOD)
        done = self.check()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_132_characters_pass_and_133_do_not_whatever_their_bytes(self):
        self.write("src/base/a.c", "é" * 132 + "\n")
        self.assertEqual(self.check().returncode, 0)
        self.assertEqual(self.refused("src/base/a.c", "é" * 133 + "\n"), "src/base/a.c:1: 133 characters; at most 132\n")

    def test_tabs_and_blanks_at_the_end_are_refused(self):
        self.assertEqual(self.refused("tests/unit/base/a.c", "int a;\n\tint b;\nint c; \n"),
                         "tests/unit/base/a.c:2: a tab\ntests/unit/base/a.c:3: blanks at the end of the line\n")

    def test_a_file_ends_in_one_newline(self):
        self.assertIn("exactly one newline", self.refused("src/base/a.c", "int a;"))
        self.assertIn("exactly one newline", self.refused("src/base/a.c", "int a;\n\n"))

    def test_a_header_that_moved_without_its_first_line_is_refused(self):
        said = self.refused("src/store/str.h", GOOD)
        self.assertIn('src/store/str.h:1: the first line says "/* store/str.h - purpose"', said)
        self.assertIn("src/store/str.h:1: guarded by STORE_STR_H", said)

    def test_a_header_without_a_purpose_is_refused(self):
        self.assertIn("purpose", self.refused("src/base/str.h", GOOD.replace("borrowed text. ", "")))

    def test_bytes_that_are_not_utf8_are_refused(self):
        full = self.write("src/base/a.c", "")
        with open(full, "wb") as f:
            f.write(b"int a;\n/* \xff */\n")
        self.assertEqual(self.check().stdout, "src/base/a.c:2: not UTF-8\n")
