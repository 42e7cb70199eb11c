"""What was acknowledged is there after kill -9; what must not start does not; and stopping is orderly."""
import base64
import hashlib
import http.client
import os
import random
import shutil
import signal
import socket
import sqlite3
import threading
import time

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
CANARY = "cAnArY-0f-durability-7d1e"


class Writer(threading.Thread):
    """Creates, renames and deletes connections until the hub is gone. `sure` holds what was acknowledged: id -> name, or None for
    deleted; what was in flight at the end is taken out of it."""
    base_url = "https://api.example.com"

    def __init__(self, hub, number):
        super().__init__(daemon=True)
        self.hub, self.number, self.enough = hub, number, threading.Event()
        self.sure, self.acknowledged, self.wrong = {}, 0, None

    def ask(self, line, method, path, body=None, expected=200):
        said = self.hub.request(method, "/api/v1/connections" + path, body, connection=line)
        if said.status != expected:
            raise AssertionError(f"{method} {path}: {said!r}")
        self.acknowledged += 1
        return said

    def run(self):
        line = self.hub.connect()
        try:
            self.work(line)
        except (OSError, http.client.HTTPException):
            pass  # the hub is dead, as it should be
        except Exception as e:
            self.wrong = e
        finally:
            line.close()

    def work(self, line):
        mine = []
        for n in range(1 << 30):
            if self.enough.is_set():
                return
            name = f"w{self.number}-{n}"
            body = {"connector": "http", "auth_type": "bearer", "name": name, "folder": "shared",
                    "fields": {"base_url": self.base_url},
                    "credentials": {"token": f"{CANARY}-{name}"}}
            made = self.ask(line, "POST", "", body, 201).json["id"]
            self.sure[made] = name
            mine.append(made)
            if n % 3 == 2:
                at = self.sure.pop(mine[-2], None)
                if at:
                    self.ask(line, "PATCH", f"/{mine[-2]}", {"name": at + "-renamed"})
                    self.sure[mine[-2]] = at + "-renamed"
            if n % 5 == 4:
                self.sure.pop(mine[-4], None)
                self.ask(line, "DELETE", f"/{mine[-4]}", None, 204)
                self.sure[mine[-4]] = None
            self.more(line, n)

    def more(self, line, n):
        """Whatever else is to be written."""


def write_until_killed(hub, writers, seconds, begun=lambda: None):
    """Starts the writers, and kills the hub so many seconds after they have `begun`."""
    for w in writers:
        w.start()
    begun()
    threading.Event().wait(seconds)
    hub.process.send_signal(signal.SIGKILL)
    hub.kill()
    for w in writers:
        w.enough.set()
    for w in writers:
        w.join(harness.DEADLINE)
        if w.wrong:
            raise w.wrong


class KilledInTheMiddle(harness.Case):
    ROUNDS, WRITERS = 50, 3

    def test_no_acknowledged_write_is_lost_in_fifty_kills(self):
        chance = random.Random()
        seed = chance.randrange(1 << 32)
        chance.seed(seed)
        upstream = self.upstream([harness.answer()])
        hub = self.hub(env=dict(PLAIN, RACCORD_THREADS="2"))
        hub.admin
        everything, acknowledged, began, n = {}, 0, time.monotonic(), 0
        for n in range(self.ROUNDS):
            writers = [Writer(hub, f"{n}-{i}") for i in range(self.WRITERS)]

            def begun(now=writers):
                if harness.on_postgres():  # a start alone takes longer than the blink below: connections to a server are dear
                    self.eventually(lambda: any(w.acknowledged for w in now))
            write_until_killed(hub, writers, chance.uniform(0.02, 0.35), begun)
            for w in writers:
                everything.update(w.sure)
                acknowledged += w.acknowledged
            hub.start()
            self.check(hub, {k: v for w in writers for k, v in w.sure.items()}, f"round {n}, seed {seed}")
        took = time.monotonic() - began
        self.check(hub, everything, f"at the end, seed {seed}")
        hub.connection("works", upstream.url)
        self.assertEqual(hub.get("/proxy/works/").status, 200)
        self.assertEqual(hub.stop(), 0)
        with harness.database(hub.data) as db:
            if isinstance(db, sqlite3.Connection):
                self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
                self.assertEqual(db.execute("PRAGMA foreign_key_check").fetchall(), [])
        print(f"# {self.ROUNDS} kills in {took:.0f} s, {acknowledged} acknowledged writes, none lost", flush=True)
        self.assertGreater(acknowledged, self.ROUNDS * self.WRITERS)

    def check(self, hub, wanted, when):
        line, cursor, there = hub.connect(), "", {}
        if len(wanted) > 200:
            while cursor is not None:
                page = hub.get(f"/api/v1/connections?limit=200{cursor and '&cursor=' + cursor}", connection=line).json
                there.update((c["id"], c["name"]) for c in page["items"])
                cursor = page["next_cursor"]
        else:
            for key in wanted:
                said = hub.get(f"/api/v1/connections/{key}", connection=line)
                if said.status == 200:
                    there[key] = said.json["name"]
        line.close()
        lost = {key: (name, there.get(key)) for key, name in wanted.items() if there.get(key) != name}
        self.assertEqual(lost, {}, f"acknowledged, then lost ({when})")


class StartConditions(harness.Case):
    def with_data(self):
        """A data directory with a connection in it, its hub stopped."""
        hub = self.hub(env=PLAIN)
        hub.connection("crm", "http://localhost:9", credentials={"token": CANARY})
        self.assertEqual(hub.stop(), 0)
        return hub

    def refuse(self, data, code, *more, env=None):
        """serve that must end by itself; answers what it said."""
        ended = harness.run("serve", "--data", data, "--listen", "127.0.0.1:0", *more, env=dict(PLAIN, **(env or {})), seconds=30)
        self.assertNotEqual(ended.code, 0, ended)
        self.assertNotIn("listening:", ended.out)
        self.assertIn(code, ended.err)
        return ended

    def state(self, data):
        """Every file with its content, the lock aside."""
        found = {}
        for folder, _, names in os.walk(data):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    found[os.path.relpath(path, data)] = hashlib.sha256(f.read()).hexdigest()
        found.pop("serve.lock", None)
        return found

    def nothing_in_clear(self, data):
        for folder, _, names in os.walk(data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertNotIn(CANARY.encode(), f.read(), name)

    def test_without_its_key_an_existing_database_stays_shut(self):
        hub = self.with_data()
        key = os.path.join(hub.data, "master.key")
        shutil.move(key, self.path("kept"))
        before = self.state(hub.data)
        self.refuse(hub.data, "master key")
        self.assertFalse(os.path.exists(key))  # no new one is made: it would open nothing
        self.assertEqual(self.state(hub.data), before)
        self.refuse(hub.data, "master key", env={"RACCORD_MASTER_KEY_FILE": self.path("nowhere")})
        self.nothing_in_clear(hub.data)
        shutil.move(self.path("kept"), key)
        hub.start()
        self.assertEqual(hub.get("/api/v1/connections/crm").json["credentials"]["token"]["set"], True)

    def test_a_wrong_key_is_told_before_anything_is_written(self):
        hub = self.with_data()
        other = base64.b64encode(b"k" * 32).decode()
        wrong = self.file("wrong.key", other + "\n")
        before = self.state(hub.data)
        for env in ({"RACCORD_MASTER_KEY_FILE": wrong}, {"RACCORD_MASTER_KEY": other}, {"RACCORD_MASTER_KEY": (b"q" * 32).hex()}):
            ended = self.refuse(hub.data, "key_wrong", env=env)
            self.assertNotIn(other, ended.err + ended.out)
            self.assertEqual(self.state(hub.data), before)
        for bad in ("", "short", "z" * 44, base64.b64encode(b"k" * 31).decode()):
            if bad:
                self.refuse(hub.data, "", env={"RACCORD_MASTER_KEY": bad})
            self.refuse(hub.data, "master key", env={"RACCORD_MASTER_KEY_FILE": self.file("bad.key", bad)})
            self.assertEqual(self.state(hub.data), before)
        self.nothing_in_clear(hub.data)

    def test_a_key_file_that_others_may_read_is_refused(self):
        hub = self.with_data()
        key = os.path.join(hub.data, "master.key")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        before = self.state(hub.data)
        for mode in (0o644, 0o640, 0o604, 0o660, 0o777):
            os.chmod(key, mode)
            self.refuse(hub.data, "chmod 600")
        os.chmod(key, 0o600)
        self.assertEqual(self.state(hub.data), before)
        hub.start()

    def test_clear_text_beyond_loopback_needs_the_administrators_word(self):
        data = self.path("data")
        for listen in ("0.0.0.0:0", "[::]:0"):
            ended = harness.run("serve", "--data", data, "--listen", listen, seconds=30)
            self.assertNotEqual(ended.code, 0)
            self.assertIn("insecure_listen", ended.err)
            self.assertFalse(os.path.exists(os.path.join(data, "raccord.db")))
        hub = self.hub(listen="0.0.0.0:0", env={"RACCORD_INSECURE_LISTEN": "true"})
        hub.host = "127.0.0.1"
        self.assertEqual(hub.get("/healthz").status, 200)
        pki = self.pki()
        certificate, key = pki.issue()
        secure = self.hub(listen="0.0.0.0:0", env={"RACCORD_TLS_CERTIFICATE": certificate, "RACCORD_TLS_KEY": key})
        self.assertEqual(secure.scheme, "https")
        secure.host = "127.0.0.1"
        self.assertEqual(secure.get("/healthz").status, 200)

    def test_one_data_directory_has_one_hub(self):
        hub = self.hub()
        self.refuse(hub.data, "another raccord serve")
        self.assertEqual(hub.get("/healthz").status, 200)
        link = self.path("link")
        os.symlink(hub.data, link)
        self.refuse(link, "another raccord serve")
        hub.kill()
        hub.start()  # a lock that a dead hub left is none
        self.assertEqual(hub.get("/healthz").status, 200)


class Stopping(harness.Case):
    def started(self, s, number):
        s.read_request()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        self.halfway.set()
        self.finish.wait(harness.DEADLINE)
        s.sendall(b"world")
        s.read_request()

    def waiting(self, s, number):
        s.read_request()
        self.halfway.set()
        self.finish.wait(harness.DEADLINE)
        s.sendall(harness.answer(b'"late"'))
        s.read_request()

    def drain(self, script, call):
        self.halfway, self.finish = threading.Event(), threading.Event()
        upstream = self.upstream(script)
        hub = self.hub(env=PLAIN)
        hub.connection("slow", upstream.url)
        said = []
        caller = threading.Thread(target=lambda: said.append(call(hub)), daemon=True)
        caller.start()
        self.assertTrue(self.halfway.wait(harness.DEADLINE))
        process = hub.process
        process.send_signal(signal.SIGTERM)
        deadline = harness.Deadline()
        while "stopping" not in hub.log() and deadline.left():
            threading.Event().wait(0.02)
        deadline = harness.Deadline(5)
        while deadline.left():  # new callers are not taken any more
            try:
                socket.create_connection((hub.host, hub.port), timeout=1).close()
            except OSError:
                break
            threading.Event().wait(0.02)
        else:
            self.fail("a hub that stops still takes callers")
        self.assertIsNone(process.poll())
        self.finish.set()
        caller.join(harness.DEADLINE)
        self.assertEqual(process.wait(harness.DEADLINE), 0)
        self.assertEqual(hub.stop(), 0)
        return said[0]

    def test_an_answer_that_is_on_its_way_arrives(self):
        said = self.drain(self.started, lambda hub: hub.get("/proxy/slow/x"))
        self.assertEqual((said.status, said.body), (200, b"helloworld"))

    def test_an_answer_that_has_not_begun_arrives(self):
        said = self.drain(self.waiting, lambda hub: hub.get("/proxy/slow/x"))
        self.assertEqual((said.status, said.body), (200, b'"late"'))

    def test_a_buffered_call_arrives_too(self):
        said = self.drain(self.waiting, lambda hub: hub.post("/api/v1/connections/slow/call", {"method": "GET", "path": "/"}))
        self.assertEqual((said.status, said.json["body"]), (200, "late"))

    def test_idle_callers_do_not_hold_it_up(self):
        upstream = self.upstream([harness.answer()])
        hub = self.hub(env=PLAIN)
        hub.connection("crm", upstream.url)
        lines = [hub.connect() for _ in range(4)]
        for at, line in enumerate(lines):
            self.assertEqual(hub.get("/proxy/crm/" if at % 2 else "/healthz", connection=line).status, 200)
        silent = socket.create_connection((hub.host, hub.port))  # has not asked anything yet
        began = time.monotonic()
        self.assertEqual(hub.stop(), 0)
        self.assertLess(time.monotonic() - began, 5.0)  # the time for draining is 30 s; a sanitizer looks for leaks meanwhile
        for line in lines:
            line.close()
        silent.close()

    def test_one_who_never_finishes_does_not_hold_it_for_ever(self):
        self.halfway, self.finish = threading.Event(), threading.Event()
        upstream = self.upstream(self.started)
        hub = self.hub(env=dict(PLAIN, RACCORD_TIMEOUTS_DRAIN="1s"))
        hub.connection("slow", upstream.url)
        said = []

        def call():
            try:
                said.append(hub.get("/proxy/slow/x"))
            except (OSError, http.client.HTTPException) as e:
                said.append(e)

        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        self.assertTrue(self.halfway.wait(harness.DEADLINE))
        began = time.monotonic()
        self.assertEqual(hub.stop(), 0)
        self.assertLess(time.monotonic() - began, 8.0)
        caller.join(harness.DEADLINE)
        self.finish.set()
        self.assertIsInstance(said[0], Exception)  # half an answer does not look whole

    def test_a_second_signal_hurries(self):
        self.halfway, self.finish = threading.Event(), threading.Event()
        hub = self.hub(env=PLAIN)
        hub.connection("slow", self.upstream(self.waiting).url)
        line = hub.connect()
        line.request("GET", "/proxy/slow/x", headers={"Authorization": f"Bearer {hub.admin}"})
        self.assertTrue(self.halfway.wait(harness.DEADLINE))
        hub.process.send_signal(signal.SIGTERM)
        deadline = harness.Deadline()
        while "stopping" not in hub.log() and deadline.left():
            threading.Event().wait(0.02)
        began = time.monotonic()
        self.assertEqual(hub.stop(signal.SIGINT), 0)
        self.assertLess(time.monotonic() - began, 8.0)
        self.finish.set()
        line.close()

    def test_the_runs_of_the_last_moment_are_kept(self):
        hub = self.hub(env=PLAIN)
        hub.connection("crm", self.upstream([harness.answer()]).url)
        hub.admin
        runs = {hub.get("/proxy/crm/x").header("raccord-run") for _ in range(20)}
        self.assertEqual(hub.stop(), 0)
        hub.start()
        self.assertEqual({r["id"] for r in hub.get("/api/v1/runs?limit=200").json["items"]}, runs)
