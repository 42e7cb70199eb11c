"""What was acknowledged, and a grant's answer that had reached the disk, are there after a power cut: SIGKILL, and whatever no sync
covers is gone, or came to the disk in part and in no order (power.py; requirements 10.10, 18.1).
RACCORD_TEST_ROUNDS: so many cuts of each kind; otherwise as many as a short time holds."""
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import durability_test
import harness
import keys_test
import renewal_kill_test
from power import Power

CANARY = durability_test.CANARY
PLAIN = durability_test.PLAIN


def rounds(seconds, least=4):
    wanted, end, n = int(os.environ.get("RACCORD_TEST_ROUNDS", "0")), time.monotonic() + seconds, 0
    while n < wanted if wanted else n < least or time.monotonic() < end:
        yield n
        n += 1


class Tool(harness.Case):
    """A cut takes what it should, and nothing else."""

    def setUp(self):
        super().setUp()
        self.power = Power(self, "data")
        os.mkdir(self.path("data"))

    def script(self, text):
        """A program that has the library in it, in the data directory; it ends without a goodbye."""
        env = {**os.environ, **self.power.environment}
        done = subprocess.run([sys.executable, "-c", "import os, sqlite3\n" + text + "\nos._exit(0)"], env=env, cwd=self.path("data"), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def before(self, **files):
        for name, content in files.items():
            self.file("data/" + name, content)

    def after(self):
        found = {}
        for name in os.listdir(self.path("data")):
            with open(self.path("data/" + name), "rb") as f:
                found[name] = f.read()
        return found

    def test_bytes_that_no_sync_covers_are_gone_and_the_others_are_not(self):
        self.before(a=b"old old old", b=b"old old old", c=b"old", d=b"old", e=b"old", f=b"x" * 200000, g=b"old old old")
        self.script("""
put = lambda name, text, at=0, flags=0: (fd := os.open(name, os.O_RDWR | flags), os.pwrite(fd, text, at))[0]
put("a", b"NEW")
os.fsync(put("b", b"NEW"))
fd = put("c", b"NEW"); os.fdatasync(fd); os.pwrite(fd, b"TWICE", 1)
fd = put("d", b"NEW"); os.ftruncate(fd, 1); os.posix_fallocate(fd, 0, 5000)
put("e", b"NE", 1, os.O_DSYNC)
fd = put("f", b"y" * 150000, 30000); os.ftruncate(fd, 100)
fd = put("g", b"NEW"); os.write(put("g", b"NEW", 4, os.O_DSYNC), b"NEW"); os.write(fd, b"LOST")""")
        self.assertGreater(self.power.cut(), 5)
        self.assertEqual(self.after(), {"a": b"old old old", "b": b"NEW old old", "c": b"NEW", "d": b"old", "e": b"oNE", "f": b"x" * 200000,
                                        "g": b"NEW NEW old"})

    def test_a_name_is_on_the_disk_when_its_directory_was_synced(self):
        self.before(a=b"a", b=b"b", c=b"c", target=b"old")
        self.script("""
here = os.open(".", os.O_RDONLY)
for name in ("stays", "goes"):
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"new"); os.fsync(fd)
    if name == "stays": os.fsync(here)
os.unlink("a")
os.rename("b", "target")
os.mkdir("folder")
os.link("c", "d")""")
        self.power.cut()
        self.assertEqual(self.after(), {"a": b"a", "b": b"b", "c": b"c", "target": b"old", "stays": b"new"})
        self.script("""os.rename("b", "target"); os.unlink("a"); os.fsync(os.open(".", os.O_RDONLY))""")
        self.power.cut()
        self.assertEqual(self.after(), {"c": b"c", "target": b"b", "stays": b"new"})

    def test_what_is_renamed_without_a_sync_of_its_bytes_is_empty(self):
        self.before(target=b"old")
        self.script("""
os.write(os.open("t", os.O_WRONLY | os.O_CREAT), b"new"); os.rename("t", "target"); os.fsync(os.open(".", os.O_RDONLY))""")
        self.power.cut()
        self.assertEqual(self.after(), {"target": b""})

    def test_by_chance_some_pages_come_to_the_disk_and_in_no_order(self):
        self.before(a=b"0" * 4096 * 64)
        self.script("""
fd = os.open("a", os.O_RDWR)
for n in range(64): os.pwrite(fd, b"1" * 4096, 4096 * n)
os.pwrite(fd, b"2" * 4096 * 64, 0)""")
        self.power.cut(random.Random(1))
        pages = self.after()["a"]
        self.assertEqual({pages[n:n + 512] for n in range(0, len(pages), 512)}, {c * 512 for c in (b"0", b"1", b"2")})
        self.assertRegex(pages.decode(), "[12]0")
        self.assertRegex(pages.decode(), "0[12]")

    def test_sqlite_keeps_its_rows_with_the_setting_that_we_use_and_loses_them_with_the_one_below(self):
        for synchronous, rows in (("FULL", 20), ("NORMAL", 0)):
            with self.subTest(synchronous):
                self.script(f"""
db = sqlite3.connect("{synchronous}", isolation_level=None)
for what in ("journal_mode = WAL", "synchronous = FULL"): db.execute("PRAGMA " + what)
db.execute("CREATE TABLE t (n)")
db.execute("PRAGMA synchronous = {synchronous}")
for n in range(20): db.execute("INSERT INTO t VALUES (?)", [n])""")
                self.power.cut()
                with contextlib.closing(sqlite3.connect(self.path("data/" + synchronous))) as db:
                    self.assertEqual(db.execute("SELECT count(*) FROM t").fetchone(), (rows,))
                    self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))


class Case(harness.Case):
    """A hub whose power is cut."""
    deaf = None

    def setUp(self):
        super().setUp()
        self.power = Power(self, deaf=self.deaf)
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.chance, self.lost = random.Random(self.seed), 0
        self.provider = self.upstream(keys_test.echo)
        self.env = {**PLAIN, **self.power.environment, "RACCORD_THREADS": "2", "RACCORD_AUDIT_HEAD_INTERVAL": "1s"}

    def cut(self, hub, n):
        """Killed already, or to be; every other time some of what was not synced survives."""
        hub.kill()
        self.lost += self.power.cut(self.chance if n % 2 else None)

    def sound(self, hub):
        done = harness.run("verify-audit", "--data", hub.data, env=hub.variables)
        self.assertEqual(done.code, 0, (self.seed, done))
        # Closed at once: as long as a process has it open, it believes the index that it mapped, whose file a cut takes away.
        with harness.database(hub.data) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",), self.seed)
            self.assertEqual(db.execute("PRAGMA foreign_key_check").fetchall(), [], self.seed)


class Writer(durability_test.Writer):
    """Makes tokens, too."""

    def __init__(self, hub, number, base_url):
        super().__init__(hub, number)
        self.base_url, self.tokens = base_url, []

    def more(self, line, n):
        if n % 12 == 1:
            made = self.hub.post("/api/v1/tokens", {"name": f"t{self.number}-{n}", "role": "admin"}, connection=line)
            if made.status != 201:
                raise AssertionError(repr(made))
            self.acknowledged += 1
            self.tokens.append(made.json["secret"])


class Writers(Case):
    WRITERS = 3

    def write(self, hub, name):
        """What was acknowledged until the hub was killed."""
        writers = [Writer(hub, f"{name}-{i}", self.provider.url) for i in range(self.WRITERS)]
        durability_test.write_until_killed(hub, writers, self.chance.uniform(0.02, 0.35))
        return writers

    def check(self, hub, writers):
        line, lost = hub.connect(), []
        for w in writers:
            for key, name in w.sure.items():
                said = hub.get(f"/api/v1/connections/{key}", connection=line)
                if (said.json["name"] if said.status == 200 else None) != name:
                    lost.append((key, name))
                elif name:
                    called = hub.get(f"/proxy/{key}/", connection=line)
                    if called.status != 200 or called.json["said"] != f"Bearer {CANARY}-{name.removesuffix('-renamed')}":
                        lost.append((key, name, called))
            lost += [token[:12] for token in w.tokens if hub.get("/api/v1/connections?limit=1", token=token, connection=line).status != 200]
        line.close()
        return lost

    def rounds(self, seconds):
        hub = self.hub(env=self.env)
        hub.admin
        acknowledged, everything, n = 0, [], 0
        for n in rounds(seconds):
            writers = self.write(hub, f"{n}")
            if n % 3 == 2:  # the process dies first, and then, in the hands of the next one, the machine
                hub.start()
                writers += self.write(hub, f"{n}-again")
            self.cut(hub, n)
            hub.start()
            yield hub, n, self.check(hub, writers)
            everything += writers
            acknowledged += sum(w.acknowledged for w in writers)
        yield hub, n, self.check(hub, everything[-60:])
        print(f"# {n + 1} power cuts took {self.lost} changes that were not synced, {acknowledged} were acknowledged, none lost",
              file=sys.stderr, flush=True)
        self.assertGreater(self.lost, n)
        self.assertGreater(acknowledged, n)


@harness.embedded
class Acknowledged(Writers):
    def test_no_acknowledged_write_is_lost_when_the_power_is_cut(self):
        for hub, n, lost in self.rounds(8):
            self.assertEqual(lost, [], f"round {n}, seed {self.seed}")
            self.sound(hub)


@harness.embedded
class Deceived(Writers):
    deaf = "raccord.db-wal"

    def test_a_disk_that_did_not_sync_is_seen_to_lose_them(self):
        """Otherwise the test above could not fail."""
        for _, _, lost in self.rounds(10):
            if lost:
                return
        self.fail("nothing was lost")


@harness.embedded
class Calls(Case):
    """Strict audit: what a provider has seen is in the file of calls."""

    def provider_(self, s, _):
        while head := s.read_request():
            self.seen.append(head.split(b" ")[1].decode())
            s.sendall(harness.answer())

    def call(self, hub, name):
        try:
            line = hub.connect()
            for n in range(1 << 30):
                if hub.get(f"/proxy/crm/{name}-{n}", connection=line).status != 200:
                    self.wrong.append(f"{name}-{n}")
        except (OSError, http.client.HTTPException):
            pass  # the hub is dead, as it should be

    def test_a_call_that_reached_a_provider_is_in_the_file_after_a_power_cut(self):
        self.seen, self.wrong, count = [], [], 0
        os.mkdir(self.power.data, 0o700)
        sink = os.path.join(self.power.data, "calls.log")
        hub = self.hub(env={**self.env, "RACCORD_AUDIT_STRICT": "true", "RACCORD_AUDIT_FILE": sink})
        hub.connection("crm", self.upstream(self.provider_).url)
        begun = time.monotonic()
        for n in rounds(5):
            self.seen.clear()
            callers = [threading.Thread(target=self.call, args=(hub, f"{n}-{i}")) for i in range(3)]
            for c in callers:
                c.start()
            threading.Event().wait(self.chance.uniform(0.02, 0.3))
            hub.process.send_signal(signal.SIGKILL)
            hub.kill()
            for c in callers:
                c.join(harness.DEADLINE)
            self.cut(hub, n)
            with open(sink, encoding="utf-8", errors="replace") as f:
                kept = {json.loads(text)["path"] for text in f if text.startswith('{"run"') and text.endswith("}\n")}
            self.assertEqual((set(self.seen) - kept, self.wrong), (set(), []), f"round {n}, seed {self.seed}")
            count += len(self.seen)
            hub.start()
            self.assertEqual(hub.get(f"/proxy/crm/alive-{n}").status, 200)
            self.sound(hub)
        print(f"# {n + 1} power cuts in {time.monotonic() - begun:.0f} s took {self.lost} changes; {count} calls had been made", file=sys.stderr,
              flush=True)
        self.assertGreater(self.lost, n)
        self.assertGreater(count, n)


@harness.embedded
class FirstStart(Case):
    """Cut off at each step with which a hub makes its data directory."""
    CALLS = "mkdir fsync fdatasync ftruncate link rename unlink"

    def fresh(self, hub):
        hub.kill()
        shutil.rmtree(self.power.data, ignore_errors=True)
        self.power.settle()

    def steps(self, hub):
        self.fresh(hub)
        self.power.arm("record", calls=self.CALLS)
        hub.start()
        self.power.disarm()
        hub.kill()
        return self.power.steps()

    def die(self, hub, at):
        self.power.arm("kill_before", at, calls=self.CALLS)
        try:
            hub.start()
        except AssertionError:  # it died before it listened
            pass
        self.power.disarm()
        hub.kill()

    def test_a_hub_whose_first_start_was_cut_off_starts_and_keeps_what_it_is_given(self):
        hub = self.hub(env=self.env)
        steps = self.steps(hub)
        for part in ("mkdir data1", "link master.key", "fsync raccord.db", "fdatasync answers.0"):
            self.assertIn(part, steps)
        # Who finds what the file says of itself takes it that its name is on the disk, whoever wrote it.
        self.assertEqual(steps[steps.index("fdatasync answers.0") - 1], "fsync data1")
        wanted, begun = int(os.environ.get("RACCORD_TEST_ROUNDS", "0")), time.monotonic()
        made = steps.index("mkdir data1") + 2  # dead here, the directory is there, and no sync covers its name
        for n in rounds(6):
            at = n % len(steps) + 1 if wanted else self.chance.randint(1, len(steps)) if n else made
            again = n // len(steps) % 2 if wanted else n % 2
            with self.subTest(at=at, step=steps[at - 1], n=n, seed=self.seed):
                self.fresh(hub)
                self.die(hub, at)
                if again:  # otherwise the power stays until the next hub has been given something
                    self.cut(hub, n // 2)
                hub._admin = None
                hub.start()
                hub.connection("crm", self.provider.url, credentials={"token": CANARY})
                self.cut(hub, n if again else 0)
                hub.start()
                called = hub.get("/proxy/crm/")
                self.assertEqual((called.status, called.json.get("said")), (200, "Bearer " + CANARY), (called, steps[at - 1], at, n))
                self.sound(hub)
        print(f"# {n + 1} first starts cut off at {len(steps)} steps in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


@harness.embedded
class KeysTurn(Case):
    CONNECTIONS = 40

    def key_file(self):
        return self.file("new.key", keys_test.base64.b64encode(os.urandom(32)).decode() + "\n")

    def beside(self, hub, n):
        """Another process that turns keys, too."""
        if n % 3 == 0:
            return None
        verb = ["keys", "rotate", "--wait"] if n % 3 == 2 else ["keys", "rotate", "--master", "--new-key-file", self.key_file(), "--yes"]
        return subprocess.Popen([harness.binary(), *verb, "--data", hub.data], env=hub.variables, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def opens(self, hub, keys):
        line = hub.connect()
        for key in keys:
            said = hub.get(f"/proxy/{key}/", connection=line)
            self.assertEqual((said.status, said.json.get("said")), (200, f"Bearer {CANARY}-{key}"), self.seed)
        line.close()

    def test_every_credential_opens_after_cuts_in_the_middle_of_rotations(self):
        hub = self.hub(env={**self.env, "RACCORD_KEYS_RATE": "2000"})
        keys = [f"c{n}" for n in range(self.CONNECTIONS)]
        for key in keys:
            hub.connection(key, self.provider.url, credentials={"token": f"{CANARY}-{key}"})
        begun, masters = time.monotonic(), {open(f"{hub.data}/master.key").read()}
        for n in rounds(8):
            self.assertIn(hub.post("/api/v1/keys:rotate").status, (202, 409), self.seed)
            other = self.beside(hub, n)
            if other and n % 2:
                other.wait(harness.DEADLINE)
            threading.Event().wait(self.chance.uniform(0.0, 0.2))
            hub.process.send_signal(signal.SIGKILL)
            if other:
                other.kill()
                other.wait()
            self.cut(hub, n // 3)
            masters.add(open(f"{hub.data}/master.key").read())
            hub.start()
            self.opens(hub, keys)
            self.sound(hub)
        newest = max(k["id"] for k in hub.get("/api/v1/keys").json["keys"])
        keys_test.finished(hub, newest, self)
        self.opens(hub, keys)
        report = hub.get("/api/v1/keys").json
        self.assertEqual((len(report["keys"]), report["unusable_data_keys"]), (1, 0), self.seed)
        rotations = keys_test.rows(hub.data, "SELECT count(*) FROM key_rotation WHERE finished_ms > 0")[0][0]
        print(f"# {n + 1} power cuts in {time.monotonic() - begun:.0f} s took {self.lost} changes, {rotations} rotations, "
              f"{len(masters)} master keys, everything opens", file=sys.stderr, flush=True)
        self.assertGreater(self.lost, n)
        self.assertGreater(rotations, 0)


@harness.embedded
class Renewals(renewal_kill_test.Struck):
    """A grant of a server that rotates: what had been synced is the grant, what had not is said to be lost."""
    kind_of_faults = Power
    TOO_EARLY = ("pwrite answers.0", "fdatasync answers.0")

    def setUp(self):
        super().setUp()
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.chance, self.mode, self.lost = random.Random(self.seed), None, 0

    def strike(self, action, at=1, **calls):
        whole, broken = super().strike(action, at, **calls)
        if whole is not None:
            self.lost += self.faults.cut(self.mode)
        return whole, broken

    def kept(self, whole, generation):
        if "fdatasync answers.0" in whole:
            return True
        if self.mode and "pwrite answers.0" in whole:  # perhaps it came to the disk unasked
            return self.grant()["generation"] > generation
        return False

    def test_an_answer_that_was_synced_is_the_grant_and_another_is_asked_for_once(self):
        steps, plan = self.plan()
        synced = steps.index("fdatasync answers.0") + 1
        behind = [("kill_after", at) for at in range(synced, len(steps) + 1)]
        wanted, told, begun = int(os.environ.get("RACCORD_TEST_ROUNDS", "0")), {}, time.monotonic()
        everything = [(what, mode) for what in behind + plan for mode in (None, self.chance)]
        for n in rounds(10):
            what, self.mode = everything[n * len(everything) // wanted % len(everything)] if wanted else \
                (self.chance.choice((behind, plan)[n % 2]), (None, self.chance)[n // 2 % 2])
            with self.subTest(action=what[0], at=what[1], step=steps[what[1] - 1], chance=bool(self.mode), seed=self.seed):
                came = self.round(*what)
                told[came] = told.get(came, 0) + 1
        print(f"# {n + 1} power cuts in {time.monotonic() - begun:.0f} s took {self.lost} changes that were not synced: {told}", file=sys.stderr,
              flush=True)
        self.assertGreater(told.get("kept", 0), 0)
        self.assertGreater(self.lost, 0)

    def test_a_disk_that_did_not_sync_an_answer_is_seen_to_lose_the_grant(self):
        """Otherwise the test above could not fail."""
        self.hub1.stop()
        self.hub1.variables["TEST_POWER_DEAF"] = "answers.0"
        self.hub1.start()
        before = self.grant()["generation"]
        self.strike("kill_after", calls="fdatasync", file="answers.")
        self.hub1.start()
        self.assertEqual(self.grant()["generation"], before)
