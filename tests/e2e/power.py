"""A power cut: SIGKILL, and then everything is taken back that no sync had put on the disk. See faults/power.c, which is preloaded into
every process that writes the data directory while a cut may come.

    power = Power(case)                  # before the hub is started on case.path("data1"), with env=power.environment
    power.settle()                       # the hub is stopped: all that there is is on the disk
    hub.kill()
    power.cut()                          # nothing of what was not synced is there
    power.cut(random.Random(seed))       # some of it is: pages, sectors, sizes and names, each as it was at some moment

Two things are believed of a disk: a sector of 512 bytes is as it was at one moment, and changes of names in one directory come in
their order, as from any journal of a file system.
"""
import os
import shutil
import struct

from faults import Faults

END = struct.Struct("=q")
ENTRY = struct.Struct("=IIQqqqQ")
CHANGED, SYNCED, MADE, RENAMED, REMOVED = range(1, 6)


class Change:
    def __init__(self, at, length, size, old):
        self.at, self.length, self.size, self.old = at, length, size, old

    def piece(self, start, end):
        """(where, what was there) of the part between start and end."""
        start, end = max(start, self.at), min(end, self.at + self.length)
        return start, self.old[start - self.at:end - self.at].ljust(end - start, b"\0") if start < end else b""

    def without(self, start, end):
        """What is left of it, when a write between start and end went to the disk at once."""
        size = max(self.size, end)
        sides = ((self.at, min(self.at + self.length, start)), (max(self.at, end), self.at + self.length))
        parts = [Change(a, b - a, size, self.old[a - self.at:b - self.at]) for a, b in sides if a < b]
        return parts or [Change(self.at, 0, size, b"")]

    def units(self, unit):
        return range(self.at // unit, (self.at + self.length - 1) // unit + 1) if self.length else ()


class Power(Faults):
    def __init__(self, case, data="data1", deaf=None):
        """`deaf`: a disk that says that it synced files of such a name, and did not."""
        super().__init__(case)
        self.folder, self.data = case.path("power"), os.path.realpath(case.path(data))
        os.mkdir(self.folder)
        self.settle()
        self.environment.update(TEST_POWER=self.folder, TEST_POWER_DATA=self.data)
        if deaf:
            self.environment["TEST_POWER_DEAF"] = deaf

    def settle(self):
        """No process of the data directory runs: what it holds is on the disk."""
        with open(os.path.join(self.folder, "log"), "wb") as f:
            f.write(END.pack(END.size))
        shutil.rmtree(os.path.join(self.folder, "graves"), ignore_errors=True)
        os.mkdir(os.path.join(self.folder, "graves"))

    def cut(self, chance=None):
        """Every process is dead. `chance`: of what was not synced, some is there. How many changes no sync covered."""
        changes, names = self._unsynced()
        files = self._files()
        for inode, some in changes.items():
            if inode in files:
                self._take_back(files[inode], some, chance)
        self._take_names_back(names, chance)
        for folder, _, inside in os.walk(self.data):
            for name in inside:
                if name.endswith("-shm"):
                    os.unlink(os.path.join(folder, name))
        self.settle()
        return sum(len(c) for c in changes.values()) + len(names)

    def _log(self):
        """(place, kind, inode, at, length, size, names, bytes)."""
        with open(os.path.join(self.folder, "log"), "rb") as f:
            whole = f.read()
        place, (end,) = END.size, END.unpack_from(whole)
        while place < end:
            kind, n, inode, at, length, size, m = ENTRY.unpack_from(whole, place)
            start = place + ENTRY.size
            yield place, kind, inode, at, length, size, whole[start:start + n].decode().split("\0")[:-1], whole[start + n:start + n + m]
            place = start + n + m

    def _unsynced(self):
        """Changes of bytes by inode, changes of names by directory in one list; each in its order."""
        log, synced = list(self._log()), {}
        for _, kind, inode, at, length, *_ in log:
            if kind == SYNCED and length < 0:
                synced[inode] = max(at, synced.get(inode, 0))
        changes, names = {}, []
        for place, kind, inode, at, length, size, said, old in log:
            if kind == SYNCED and length >= 0:
                changes[inode] = [part for c in changes.get(inode, []) for part in c.without(at, at + length)]
            elif kind == SYNCED or place < synced.get(inode, 0):
                continue
            elif kind == CHANGED:
                changes.setdefault(inode, []).append(Change(at, length, size, old))
            else:
                names.append((kind, inode, said))
        return changes, names

    def _files(self):
        found = {}
        for top in (os.path.join(self.folder, "graves"), self.data):
            for folder, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(folder, name)
                    found[os.lstat(path).st_ino] = path
        return found

    @staticmethod
    def _take_back(path, changes, chance):
        mode = os.stat(path).st_mode & 0o7777
        os.chmod(path, mode | 0o600)
        with open(path, "r+b") as f:
            if not chance:
                for c in reversed(changes):
                    f.seek(c.at)
                    f.write(c.old)
                    f.truncate(c.size)
            else:
                unit, sizes = chance.choice((512, 4096)), [c.size for c in changes] + [os.fstat(f.fileno()).st_size]
                touched = {}
                for c in changes:
                    for at in c.units(unit):
                        touched.setdefault(at, []).append(c)
                for at, some in touched.items():  # as it was before one of its changes, or after the last
                    kept = chance.choice((0, len(some), chance.randint(0, len(some))))
                    for c in reversed(some[kept:]):
                        where, old = c.piece(at * unit, (at + 1) * unit)
                        f.seek(where)
                        f.write(old)
                f.truncate(chance.choice((sizes[0], sizes[-1], chance.choice(sizes))))
        os.chmod(path, mode)

    @staticmethod
    def _take_names_back(names, chance):
        kept = {}
        if chance:
            for inode in {inode for _, inode, _ in names}:
                n = sum(i == inode for _, i, _ in names)
                kept[inode] = chance.choice((0, n, chance.randint(0, n)))
        left = []
        for kind, inode, said in names:
            kept[inode] = kept.get(inode, 0) - 1
            if kept[inode] < 0:
                left.append((kind, said))
        for kind, said in reversed(left):
            if kind == MADE and os.path.isdir(said[0]):
                shutil.rmtree(said[0])
            elif kind == MADE and os.path.lexists(said[0]):
                os.unlink(said[0])
            elif kind == RENAMED:
                if os.path.lexists(said[1]):
                    os.rename(said[1], said[0])
                if said[2]:
                    os.link(said[2], said[1])
            elif kind == REMOVED and not os.path.lexists(said[0]):
                os.link(said[1], said[0])
