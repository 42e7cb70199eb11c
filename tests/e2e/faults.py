"""Faults at the system calls of the real hub: see faults/faults.c, which is preloaded into it.

    faults = Faults(case)                          # before the hub is started, with env=faults.environment
    faults.arm("kill_before", at=7, thread="renewal")
    faults.fail(errno.ENOSPC, at=1, calls="pwrite fdatasync", thread="renewal")
    faults.steps()                                 # the calls that were counted, by name and file
"""
import mmap
import os
import shutil
import struct
import subprocess
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
STEPS, STEP = 1024, 48
HEAD = struct.Struct("=iiiiiii16s128s64s64si")
WALL = (HEAD.size + 7) // 8 * 8
TABLE = WALL + 8
ACTIONS = {"record": 0, "kill_before": 1, "kill_after": 2, "tear": 3, "fail": 4}
ARMED, COUNT, STRUCK = 0, 4, 8

class Faults:
    def __init__(self, case):
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if not compiler:
            raise unittest.SkipTest("left out: no compiler for tests/e2e/faults/faults.c is here")
        library, path = case.path("faults.so"), case.path("faults")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wno-format-truncation", "-o", library,
                        *(os.path.join(FOLDER, "faults", name) for name in ("faults.c", "power.c"))], check=True)
        with open(path, "wb") as f:
            f.truncate(TABLE + STEPS * STEP)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        case.addCleanup(self.map.close)
        # The sanitizer's runtime would come first; nothing here needs it.
        asan = os.environ.get("ASAN_OPTIONS", "halt_on_error=1:detect_stack_use_after_return=1")
        self.environment = {"LD_PRELOAD": library, "TEST_FAULTS": path, "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}

    def _put(self, armed, action, at, error=0, stays=False, thread="", calls="", file="", begins=""):
        self._word(ARMED, 0)
        calls = f" {calls} " if calls else ""
        HEAD.pack_into(self.map, 0, 0, 0, 0, ACTIONS[action], at, error, int(stays), thread.encode(), calls.encode(), file.encode(),
                       begins.encode(), 0)
        self.map[TABLE:TABLE + STEPS * STEP] = bytes(STEPS * STEP)
        self._word(ARMED, int(armed))

    def _word(self, at, value=None):
        if value is not None:
            struct.pack_into("=i", self.map, at, value)
        return struct.unpack_from("=i", self.map, at)[0]

    def arm(self, action, at=0, **more):
        """`thread`, `calls`, `file`: what counts. `begins`: counting starts with the first call about a file of such a name."""
        self._put(True, action, at, **more)

    def fail(self, error, at=1, stays=True, **more):
        self._put(True, "fail", at, error=error, stays=stays, **more)

    def disarm(self):
        self._word(ARMED, 0)

    @property
    def count(self):
        return self._word(COUNT)

    @property
    def struck(self):
        return self._word(STRUCK)

    def steps(self):
        whole = (self.map[TABLE + i * STEP:TABLE + (i + 1) * STEP] for i in range(min(self.count, STEPS)))
        return [step.split(b"\0")[0].decode() for step in whole]

    def shift_clock(self, seconds):
        """The hub's wall clock from now on, against the true one."""
        struct.pack_into("=q", self.map, WALL, int(seconds * 1000))
