"""docs/ and tools/docs: pages follow the source, links lead somewhere, and rooms' pages name files that are there."""
import glob
import os
import re

import place

ROWS = """/* base/err.def - rows */

/* What is there */
E(NOT_FOUND, "not_found", 404, CALLER, false, 3, "Not found", "Introuvable",
  "There is no {} here | there.", "Pas de {} ici.")
E(LIMIT, "limit_reached", 409, POLICY, true, 1, "Limit reached", "Limite", "{}", "{}")
"""


class Generated(place.InTemporaryTree):
    def docs(self, *arguments):
        return self.run_tool(place.tool("docs"), *arguments, self.root)

    def page(self):
        with open(os.path.join(self.root, "docs/errors.md"), encoding="utf-8") as f:
            return f.read()

    def test_each_error_becomes_a_row_under_its_heading(self):
        self.write("src/base/err.def", ROWS)
        self.assertEqual(self.docs().returncode, 0)
        self.assertIn("## What is there\n", self.page())
        self.assertIn("| `not_found` | 404 | caller | no | 3 | There is no {} here \\| there. |\n", self.page())
        self.assertIn("| `limit_reached` | 409 | policy | yes | 1 | Limit reached |\n", self.page())

    def test_a_page_that_fell_behind_the_source_is_noticed_and_not_written(self):
        self.write("src/base/err.def", ROWS)
        self.docs()
        self.assertEqual(self.docs("--check").returncode, 0)
        before = self.page()
        self.write("src/base/err.def", ROWS.replace("404", "410"))
        done = self.docs("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("docs/errors.md", done.stdout)
        self.assertEqual(self.page(), before)

    def test_a_row_that_cannot_be_read_is_an_error_and_not_left_out(self):
        self.write("src/base/err.def", ROWS + 'E(ODD, "odd", nothing)\n')
        self.assertNotEqual(self.docs().returncode, 0)


class Pages(place.InTemporaryTree):
    def pages(self):
        found = glob.glob(place.ROOT + "/*.md") + glob.glob(place.ROOT + "/docs/**/*.md", recursive=True)
        self.assertGreater(len(found), 10)
        for path in found:
            with open(path, encoding="utf-8") as f:
                yield path, f.read()

    def test_links_between_pages_lead_to_files_and_headings_that_are_there(self):
        lost = []
        for path, text in self.pages():
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, heading = target.partition("#")
                full = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
                if not os.path.exists(full):
                    lost.append((os.path.relpath(path, place.ROOT), target))
                elif heading:
                    with open(full, encoding="utf-8") as f:
                        names = [re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", f.read(), re.M)]
                    if heading not in names:
                        lost.append((os.path.relpath(path, place.ROOT), target))
        self.assertEqual(lost, [])

    def test_files_that_a_room_s_page_lists_are_in_the_room(self):
        lost = []
        for path in glob.glob(place.ROOT + "/docs/internals/*.md"):
            room = os.path.basename(path)[:-len(".md")]
            if not os.path.isdir(place.ROOT + "/src/" + room):
                continue
            with open(path, encoding="utf-8") as f:
                rows = re.findall(r"^\| (`.*?) \|", f.read(), re.M)
            for name in re.findall(r"`([\w.]+\.(?:c|h|def))`", "\n".join(rows)):
                if not os.path.exists(f"{place.ROOT}/src/{room}/{name}"):
                    lost.append(f"{room}/{name}")
        self.assertEqual(lost, [])

    def test_every_room_with_code_has_its_page(self):
        rooms = {os.path.basename(os.path.dirname(p)) for p in glob.glob(place.ROOT + "/src/*/*.c")}
        self.assertEqual([r for r in sorted(rooms) if not os.path.exists(f"{place.ROOT}/docs/internals/{r}.md")], [])
