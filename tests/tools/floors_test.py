"""tools/floors: an include goes down, or it is refused."""
import place


class Floors(place.InTemporaryTree):
    def setUp(self):
        super().setUp()
        self.write("src/FLOORS", "# a comment\nbase\nstore loop\nweb\n")
        self.write("src/base/str.h", "")
        self.write("src/store/db.c", '#include <stdio.h>\n#include "store/db.h"\n#include "base/str.h"\n')

    def floors(self):
        return self.run_tool(place.tool("floors"), self.root)

    def test_a_house_whose_includes_go_down_stands(self):
        done = self.floors()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_an_include_that_goes_up_is_refused_with_file_and_line(self):
        self.write("src/base/str.c", '#include "base/str.h"\n\n  #  include "web/web.h"\n')
        done = self.floors()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "src/base/str.c:3: includes up: web\n")

    def test_rooms_on_one_floor_are_strangers(self):
        self.write("src/loop/loop.h", '#include "store/db.h"\n')
        done = self.floors()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "src/loop/loop.h:1: includes sideways: store\n")

    def test_a_room_that_is_not_on_the_map_is_refused(self):
        self.write("src/attic/box.c", "")
        self.write("src/web/web.c", '#include "attic/box.h"\n')
        done = self.floors()
        self.assertEqual(done.returncode, 1)
        self.assertIn("src/attic: not in src/FLOORS\n", done.stdout)
        self.assertIn("src/web/web.c:1: no such room: attic\n", done.stdout)

    def test_the_real_house_stands(self):
        done = self.run_tool(place.tool("floors"))
        self.assertEqual((done.returncode, done.stdout), (0, ""))
