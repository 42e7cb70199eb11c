"""Backups: one state, sealed, verified by the program itself; and nothing in them for who has no key."""
import base64
import os
import random
import shutil
import threading
import unittest

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
CANARY = "cAnArY-0f-a-backup-93ee"


def echo(s, _):
    while request := s.read_request():
        said = next((l[15:] for l in request.decode().split("\r\n") if l.lower().startswith("authorization: ")), "")
        s.sendall(harness.answer(f'{{"said":"{said}"}}'.encode()))


class Backup(harness.Case):
    def started(self, connections=3):
        self.provider = self.upstream(echo)
        hub = self.hub(env=PLAIN)
        for n in range(connections):
            hub.connection(f"c{n}", self.provider.url, credentials={"token": f"{CANARY}-c{n}"})
        return hub

    def backup(self, hub, name="saved", *more):
        path = self.path(name)
        done = harness.run("backup", "--data", hub.data, "-o", path, *more)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual([n for n in os.listdir(os.path.dirname(path)) if n.startswith(name + ".")], [])
        return path

    def key(self, hub):
        return shutil.copy(f"{hub.data}/master.key", self.path("kept.key"))

    def restore(self, path, data, key, *more):
        return harness.run("restore", path, "--data", data, "--master-key-file", key, *more)

    def works(self, hub, key="c0"):
        self.assertEqual(hub.get(f"/proxy/{key}/").json["said"], f"Bearer {CANARY}-{key}")

    def test_a_backup_made_beside_a_running_hub_is_restored_on_another_machine(self):
        hub = self.started()
        signed = hub.post("/api/v1/setup", {"code": hub.line("setup").split("#")[1], "email": "o@example.com",
                                            "password": harness.PASSWORD}, token="")
        self.assertEqual(signed.status, 201, signed)
        session = hub.post("/api/v1/session", {"email": "o@example.com", "password": harness.PASSWORD}, token="")
        cookie = session.header("set-cookie").split(";")[0]
        self.assertEqual(hub.get("/api/v1/session", headers={"Cookie": cookie}, token="").status, 200)
        token, key = hub.admin, self.key(hub)
        path = self.backup(hub)
        hub.connection("later", self.provider.url)
        hub.kill()

        seen = harness.run("restore", "--verify", path, "--master-key-file", key)
        self.assertEqual(seen.code, 0, seen)
        self.assertIn("3 connections with 3 secrets", seen.out)
        data = self.path("elsewhere")
        done = self.restore(path, data, key)
        self.assertEqual(done.code, 0, done)
        if not harness.on_postgres():
            self.assertEqual(sorted(os.listdir(data)), ["raccord.db", "serve.lock"])
        other = self.hub(data=data, env={**PLAIN, "RACCORD_MASTER_KEY_FILE": key})
        other._admin = token
        for n in range(3):
            self.works(other, f"c{n}")
        self.assertEqual(other.get("/api/v1/connections/later").status, 404)
        self.assertEqual(other.get("/api/v1/session", headers={"Cookie": cookie}, token="").status, 401)  # sessions ended
        with harness.database(data) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM connection WHERE restored_ms = 0").fetchone(), (0,))
            self.assertEqual(db.execute("SELECT count(*) FROM audit WHERE action = 'backup.restore'").fetchone(), (1,))
        again = other.request("PUT", "/api/v1/connections/c0/credentials", {"token": CANARY + "-c0"})
        self.assertEqual(again.status, 200)
        with harness.database(data) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM connection WHERE restored_ms = 0").fetchone(), (1,))

    def test_a_stolen_backup_says_nothing(self):
        hub = self.started()
        path = self.backup(hub)
        with open(path, "rb") as f:
            stolen = f.read()
        with open(f"{hub.data}/master.key") as f:
            key = base64.b64decode(f.read())
        for word in (CANARY, "c0", "connection", "shared", "SQLite format", self.provider.url):
            words = [word.encode(), base64.b64encode(word.encode())[:-3], word.encode().hex().encode()]
            for spelling in words if len(word) > 4 else []:
                self.assertNotIn(spelling, stolen.split(b"\n", 1)[1], word)
        for spelling in (key, base64.b64encode(key), key.hex().encode()):
            self.assertNotIn(spelling, stolen)

    def test_a_backup_with_one_byte_changed_is_refused_wherever_it_is(self):
        hub = self.started()
        path, key = self.backup(hub), self.key(hub)
        with open(path, "rb") as f:
            whole = f.read()
        line = whole.index(b"\n") + 1
        chance = random.Random(4711)
        places = [0, 20, 40, line - 20, line - 1, line, line + 23, line + 24, len(whole) - 1]
        places += [chance.randrange(line, len(whole)) for _ in range(12)]
        for at in places:
            bad = bytearray(whole)
            bad[at] ^= 1 << chance.randrange(8)
            self.refused(bytes(bad), key, f"byte {at}")
        for cut in (0, 10, line, line + 24, line + 24 + 65553, len(whole) - 1, len(whole) - 17):
            self.refused(whole[:cut], key, f"cut at {cut}")
        self.refused(whole + b"\0", key, "a byte more")
        piece = 65536 + 17
        first = line + 24
        self.assertGreater(len(whole), first + 3 * piece)
        self.refused(whole[:first] + whole[first + piece:], key, "a piece left out")
        self.refused(whole[:first + piece] + whole[first + 2 * piece:first + 3 * piece] + whole[first + piece:first + 2 * piece]
                     + whole[first + 3 * piece:], key, "two pieces swapped")

    def refused(self, content, key, what):
        path = self.path("bad")
        with open(path, "wb") as f:
            f.write(content)
        data = self.path("nowhere")
        done = self.restore(path, data, key)
        self.assertEqual(done.code, 1, f"{what}: {done}")
        self.assertEqual(os.listdir(data) if os.path.isdir(data) else [], [], what)

    def test_the_key_that_is_needed_is_named(self):
        hub = self.started()
        path = self.backup(hub)
        needed = harness.run("keys", "status", "--data", hub.data, "--json").json["master_key"]
        wrong = self.file("wrong.key", base64.b64encode(os.urandom(32)).decode())
        for arguments in ((path, "--verify"), (path, "--data", self.path("new"))):
            done = harness.run("restore", *arguments, "--master-key-file", wrong)
            self.assertEqual(done.code, 1, done)
            self.assertIn(needed, done.err)
        self.assertFalse(os.path.exists(self.path("new") + "/raccord.db"))

    def test_a_restore_overwrites_nothing_by_accident(self):
        hub = self.started()
        path, key = self.backup(hub), self.key(hub)
        again = harness.run("backup", "--data", hub.data, "-o", path)
        self.assertEqual(again.code, 1, again)
        self.backup(hub, "saved", "--force")
        hub.connection("later", self.provider.url)
        for more in ((), ("--force",)):  # a hub runs there
            done = self.restore(path, hub.data, key, *more)
            self.assertEqual(done.code, 1, done)
        hub.kill()  # its log stays behind: it must not become the restored database's
        self.assertEqual(self.restore(path, hub.data, key).code, 1)
        done = self.restore(path, hub.data, key, "--force")
        self.assertEqual(done.code, 0, done)
        hub.start()
        self.works(hub)
        self.assertEqual(hub.get("/api/v1/connections/later").status, 404)
        self.assertEqual(os.path.exists(hub.data + "/raccord.db.replaced"), not harness.on_postgres())

    @unittest.skipIf(harness.on_postgres(), "left out: the database is no file here")
    def test_no_restore_loses_what_another_set_aside(self):
        hub = self.started()
        path, key = self.backup(hub), self.key(hub)
        hub.connection("later", self.provider.url)
        hub.kill()
        for _ in range(3):
            done = self.restore(path, hub.data, key, "--force")
            self.assertEqual(done.code, 0, done)
        for name in ("", "-wal"):
            os.replace(f"{hub.data}/raccord.db.replaced{name}", f"{hub.data}/raccord.db{name}")  # the first one
        hub.start()
        self.assertEqual(hub.get("/api/v1/connections/later").status, 200)
        self.assertTrue(os.path.exists(hub.data + "/raccord.db.replaced.2"))
        self.assertTrue(os.path.exists(hub.data + "/raccord.db.replaced.3"))

    @unittest.skipIf(harness.on_postgres(), "left out: the database is no file here")
    def test_where_a_restore_was_cut_off_no_empty_hub_starts(self):
        hub = self.started()
        path, key = self.backup(hub), self.key(hub)
        hub.kill()
        self.assertTrue(os.path.exists(hub.data + "/raccord.db-wal"))
        os.rename(hub.data + "/raccord.db", hub.data + "/raccord.db.replaced")  # the cut came here
        done = harness.run("user", "create", "--email", "eve@example.com", "--role", "owner", "--data", hub.data)
        self.assertEqual((done.code, "a restore was cut off here: run it again" in done.err), (1, True), done)
        self.assertFalse(os.path.exists(hub.data + "/raccord.db"))
        done = self.restore(path, hub.data, key)
        self.assertEqual(done.code, 0, done)
        self.assertTrue(os.path.exists(hub.data + "/raccord.db.replaced-wal"))
        hub.start()
        self.works(hub)

    def test_a_backup_is_one_state_while_others_write(self):
        hub = self.started(connections=1)
        over, made = threading.Event(), []

        def write():
            line = hub.connect()
            while not over.is_set():
                body = {"connector": "http", "auth_type": "bearer", "name": f"n{len(made)}", "folder": "shared",
                        "fields": {"base_url": "https://api.example.com"}, "credentials": {"token": CANARY}}
                made.append(hub.post("/api/v1/connections", body, connection=line).json["id"])
            line.close()

        hub.admin
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        key = self.key(hub)
        try:
            paths = []
            for n in range(4):
                before = len(made)
                paths.append((self.backup(hub, f"b{n}"), before, len(made)))
        finally:
            over.set()
            writer.join(harness.DEADLINE)
        for path, least, most in paths:
            seen = harness.run("restore", "--verify", path, "--master-key-file", key)
            self.assertEqual(seen.code, 0, seen)
            count = int(seen.out.split()[0])
            self.assertTrue(1 + least <= count <= 2 + most, (least, count, most))
            self.assertEqual(count, int(seen.out.split()[3]))  # each has its one secret
        self.assertGreater(len(made), 5)

    def test_a_deleted_connection_is_in_no_file_and_an_old_backup_opens_with_the_old_master_key_only(self):
        hub = self.started()
        old_key, path = self.key(hub), self.backup(hub)
        with harness.database(hub.data) as db:
            kept = [v.encode() for row in db.execute(
                "SELECT d.sealed, s.sealed FROM connection c JOIN data_key d ON d.owner_id = c.id JOIN connection_secret s"
                " ON s.connection_id = c.id WHERE c.key = 'c0'") for v in row]
        self.assertEqual(len(kept), 2)
        self.assertEqual(hub.request("DELETE", "/api/v1/connections/c0?force=true").status // 100, 2)
        self.assertEqual(hub.cli("keys", "rotate", "--wait").code, 0)
        new = self.file("new.key", base64.b64encode(os.urandom(32)).decode())
        self.assertEqual(harness.run("keys", "rotate", "--master", "--new-key-file", new, "--data", hub.data, "--yes").code, 0)
        hub.stop()
        if not self.soft_deletes(hub):
            for value in kept:
                self.assertNotIn(value, harness.stored_bytes(hub.data))
            for name in os.listdir(hub.data):
                with open(os.path.join(hub.data, name), "rb") as f:
                    content = f.read()
                for value in kept:
                    self.assertNotIn(value, content, name)
        refused = self.restore(path, self.path("back"), f"{hub.data}/master.key")
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.err, "the master key [0-9a-f]{16} is needed")
        self.assertEqual(self.restore(path, self.path("back"), old_key).code, 0)  # which is why it is to be destroyed

    def soft_deletes(self, hub):
        """With a time of grace the row is still there, and so is its key."""
        with harness.database(hub.data) as db:
            return db.execute("SELECT count(*) FROM connection WHERE key = 'c0'").fetchone()[0] > 0

    def test_a_damaged_database_makes_a_backup_that_says_so(self):
        hub = self.started()
        key = self.key(hub)
        hub.stop()
        with harness.database(hub.data) as db:
            db.execute("UPDATE connection_secret SET sealed = 'gone' WHERE connection_id = (SELECT id FROM connection WHERE key = 'c1')")
        path = self.backup(hub)
        seen = harness.run("restore", "--verify", path, "--master-key-file", key)
        self.assertEqual(seen.code, 1, seen)
        self.assertIn("1 sealed values do not open", seen.err)
        with harness.database(hub.data) as db:
            db.execute("UPDATE connection SET health = 'reconnect_required' WHERE key = 'c1'")
        seen = harness.run("restore", "--verify", self.backup(hub, "known"), "--master-key-file", key)
        self.assertEqual(seen.code, 0, seen)
        self.assertIn("1 connections needed new credentials", seen.out)
        with harness.database(hub.data) as db:
            harness.unguard_audit(db)
            db.execute("UPDATE audit SET actor_name = 'nobody' WHERE number = 2")
        seen = harness.run("restore", "--verify", self.backup(hub, "chain"), "--master-key-file", key)
        self.assertEqual(seen.code, 1, seen)
        self.assertIn("audit record 2", seen.err)
