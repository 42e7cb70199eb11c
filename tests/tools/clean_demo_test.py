"""tools/clean-demo: removes the demonstration's data, never under a running hub."""
import os
import subprocess
import sys

import place


class CleanDemo(place.InTemporaryTree):
    def setUp(self):
        super().setUp()
        self.file = self.write(".demo/raccord.db", "x")
        self.demo = os.path.dirname(self.file)

    def clean(self, name=None):
        return self.run_tool("/bin/sh", place.tool("clean-demo"), name or self.demo, cwd=self.root)

    def running(self, code, *arguments):
        """A process that has said it is ready and ends when its input does."""
        code = "import sys\n" + code + "\nprint('ready', flush=True)\nsys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_it_removes_the_folder_and_a_second_time_is_fine(self):
        self.assertEqual(self.clean().returncode, 0)
        self.assertFalse(os.path.exists(self.demo))
        self.assertEqual(self.clean().returncode, 0)

    def test_a_process_with_the_database_open_is_respected(self):
        process = self.running(f"f = open({self.file!r})")
        done = self.clean()
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(process.pid), done.stderr)
        self.assertTrue(os.path.exists(self.file))

    def test_a_hub_is_known_by_its_command_line_too(self):
        process = self.running("", "build/raccord", "serve", "--demo", "--data", self.demo)
        done = self.clean()
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(process.pid), done.stderr)
        self.assertTrue(os.path.exists(self.file))
