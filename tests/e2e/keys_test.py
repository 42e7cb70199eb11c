"""Keys turn while the hub works: nothing is lost, nothing waits, and the old keys are gone afterwards."""
import base64
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
CANARY = "cAnArY-of-a-credential-41c0"


def rows(data, sql):
    with harness.database(data) as db:
        return db.execute(sql).fetchall()


def finished(hub, key, test):
    """The rotation to `key`, once it is through."""
    deadline = harness.Deadline()
    while True:
        r = hub.get("/api/v1/keys").json["rotation"]
        if r and r["key"] >= key and r["finished_at"]:
            return r
        test.assertTrue(deadline.left(), f"the rotation does not end: {r}\n{hub.log()}")


def echo(s, _):
    """A provider that answers with the credential it was sent."""
    while request := s.read_request():
        said = next((l[15:] for l in request.decode().split("\r\n") if l.lower().startswith("authorization: ")), "")
        s.sendall(harness.answer(json.dumps({"said": said}).encode()))


class Keys(harness.Case):
    def key_file(self, name):
        return self.file(name, base64.b64encode(os.urandom(32)).decode() + "\n")

    def works(self, hub, key="crm"):
        """Through a fresh start or not: the provider gets the credential."""
        self.assertEqual(hub.get(f"/proxy/{key}/").json["said"], f"Bearer {CANARY}-{key}")

    def started(self, **env):
        self.provider = self.upstream(echo)
        hub = self.hub(env={**PLAIN, **env})
        hub.connection("crm", self.provider.url, credentials={"token": CANARY + "-crm"})
        return hub

    def test_a_rotation_through_the_api_ends_with_one_key_that_opens_everything(self):
        hub = self.started()
        first = rows(hub.data, "SELECT sealed FROM wrapping_key")[0][0].encode()
        self.assertEqual(hub.post("/api/v1/keys:rotate", {"dry_run": True}).json["code"], "unknown_field")
        self.assertIsNone(hub.get("/api/v1/keys").json["rotation"])
        self.assertEqual(hub.post("/api/v1/keys:rotate").status, 202)
        self.assertEqual(finished(hub, 2, self)["unusable"], 0)
        report = hub.get("/api/v1/keys").json
        self.assertEqual([(k["id"], k["active"]) for k in report["keys"]], [(2, True)])
        self.works(hub)
        hub.connection("new", self.provider.url, credentials={"token": CANARY + "-new"})
        self.assertEqual(hub.stop(), 0)
        for name in os.listdir(hub.data):
            with open(os.path.join(hub.data, name), "rb") as f:
                self.assertNotIn(first, f.read(), name)
        hub.start()
        self.works(hub)
        self.works(hub, "new")

    def test_who_does_not_administer_neither_sees_nor_turns_keys(self):
        hub = self.started()
        user = hub.token("someone", "user")
        self.assertEqual(hub.get("/api/v1/keys", token=user).status, 403)
        self.assertEqual(hub.post("/api/v1/keys:rotate", token=user).status, 403)

    def test_the_cli_rotates_through_the_api_and_says_how_it_went(self):
        hub = self.started()
        done = hub.cli("keys", "rotate", "--wait")
        self.assertEqual(done.code, 0, done)
        self.assertIn("key 2: active", done.out)
        self.assertNotIn("key 1:", done.out)
        self.assertRegex(done.out, r"rotation: to key 2 \(asked for\), begun \S+, finished \S+")
        status = hub.cli("keys", "status", "--json")
        self.assertEqual(status.json["keys"][0]["id"], 2)
        self.assertEqual(harness.run("keys", "status", "--data", hub.data, "--json").json, status.json)

    def test_another_process_rotates_beside_the_hub_and_the_hub_follows(self):
        hub = self.started()
        self.works(hub)
        done = harness.run("keys", "rotate", "--wait", "--data", hub.data)
        self.assertEqual(done.code, 0, done)
        hub.connection("new", self.provider.url, credentials={"token": CANARY + "-new"})  # the hub's ring is told nothing
        self.works(hub, "new")
        done = harness.run("keys", "rotate", "--wait", "--data", hub.data)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(hub.request("PATCH", "/api/v1/connections/crm", {"notes": "prepared anew"}).status, 200)
        self.works(hub)
        self.works(hub, "new")
        self.assertEqual(rows(hub.data, "SELECT id FROM wrapping_key"), [(3,)])
        self.assertEqual(rows(hub.data, "SELECT count(*) FROM data_key WHERE coalesce(wrapping_key, 0) <> 3"), [(0,)])

    def test_without_wait_a_rotation_goes_on_at_the_next_start(self):
        hub = self.started()
        hub.stop()
        done = harness.run("keys", "rotate", "--data", hub.data)
        self.assertEqual(done.code, 0, done)
        self.assertIn("0 of ", done.out)
        self.assertEqual(rows(hub.data, "SELECT count(*) FROM wrapping_key"), [(2,)])
        hub.start()
        finished(hub, 2, self)
        self.works(hub)

    def test_a_verb_that_is_pointed_at_the_wrong_directory_makes_no_key(self):
        empty = self.path("empty")
        for verb in (("keys", "rotate"), ("keys", "rotate", "--master", "--new-key-file", self.key_file("k"), "--yes")):
            done = harness.run(*verb, "--data", empty)
            self.assertEqual(done.code, 1, done)
            self.assertIn("no hub's database", done.err)
        self.assertFalse(os.path.exists(os.path.join(empty, "master.key")))

    def test_keys_turn_by_themselves_when_they_are_old_or_used_enough(self):
        hub = self.started(RACCORD_KEYS_MAX_USES="5")
        for n in range(6):
            hub.connection(f"c{n}", self.provider.url, credentials={"token": f"{CANARY}-c{n}"})
        self.assertEqual(hub.stop(), 0)
        self.assertGreaterEqual(rows(hub.data, "SELECT sum(uses) FROM wrapping_key")[0][0], 7)  # the count survives the stop
        hub.variables["RACCORD_KEYS_MAX_USES"] = "7"
        hub.start()
        r = finished(hub, 2, self)
        self.assertEqual(r["reason"], "uses")
        hub.stop()
        del hub.variables["RACCORD_KEYS_MAX_USES"]
        with harness.database(hub.data) as db:
            db.execute("UPDATE wrapping_key SET created_ms = created_ms - ?", (91 * 86400000,))
            db.execute("UPDATE data_key SET created_ms = created_ms - ?", (91 * 86400000,))
            before = db.execute("SELECT sealed FROM connection_secret").fetchall()
        hub.start()
        self.assertEqual(finished(hub, r["key"] + 1, self)["reason"], "age")
        deadline = harness.Deadline()
        while set(rows(hub.data, "SELECT sealed FROM connection_secret")) & set(before):  # data keys have their successors, too
            self.assertTrue(deadline.left(), hub.log())
        for n in range(6):
            self.works(hub, f"c{n}")

    def test_one_record_that_does_not_open_stops_its_connection_alone(self):
        hub = self.started()
        hub.connection("bad", self.provider.url, credentials={"token": CANARY + "-bad"})
        hub.stop()
        with harness.database(hub.data) as db:
            sealed, = db.execute("SELECT sealed FROM data_key WHERE owner_id = (SELECT id FROM connection WHERE key = 'bad')").fetchone()
            flipped = bytearray(base64.b64decode(sealed))
            flipped[40] ^= 1
            db.execute("UPDATE data_key SET sealed = ? WHERE sealed = ?", (base64.b64encode(flipped).decode(), sealed))
        hub.start()
        problem = hub.get("/proxy/bad/")
        self.assertEqual((problem.status, problem.json["code"]), (409, "reconnect_required"))
        self.works(hub)
        self.assertEqual(hub.get("/api/v1/connections/bad").json["health"], "reconnect_required")
        told = "SELECT count(*) FROM audit WHERE action = 'connection.unreadable' AND object = (SELECT id FROM connection WHERE key = 'bad')"
        self.assertEqual(rows(hub.data, told), [(1,)])
        self.assertEqual(hub.post("/api/v1/keys:rotate").status, 202)
        self.assertEqual(finished(hub, 2, self)["unusable"], 1)
        self.assertEqual(hub.get("/api/v1/connections/bad").json["health"], "reconnect_required")
        self.works(hub)
        self.assertEqual(hub.request("PUT", "/api/v1/connections/bad/credentials", {"token": CANARY + "-bad"}).status, 200)
        self.works(hub, "bad")

    # --- the master key ---

    def change(self, hub, new, *more):
        return harness.run("keys", "rotate", "--master", "--new-key-file", new, "--data", hub.data, "--yes", *more)

    def test_a_new_master_key_takes_over_beside_a_running_hub(self):
        hub = self.started()
        old = open(f"{hub.data}/master.key").read()
        before = rows(hub.data, "SELECT owner_id, sealed FROM data_key ORDER BY 1")
        new = self.key_file("new.key")
        done = self.change(hub, new)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(open(f"{hub.data}/master.key").read(), open(new).read())
        self.assertEqual(os.stat(f"{hub.data}/master.key").st_mode & 0o777, 0o600)
        self.assertEqual(rows(hub.data, "SELECT owner_id, sealed FROM data_key ORDER BY 1"), before)  # wrapping keys alone
        self.assertEqual(hub.request("PATCH", "/api/v1/connections/crm", {"notes": "prepared anew"}).status, 200)
        self.works(hub)
        self.assertEqual(hub.post("/api/v1/keys:rotate").status, 202)  # it finds the new master key by itself
        finished(hub, 2, self)
        hub.stop()
        hub.start()
        self.works(hub)
        hub.stop()
        self.file("old.key", old)
        refused = harness.run("serve", "--data", hub.data, "--listen", "127.0.0.1:0", "--master-key-file", self.path("old.key"))
        self.assertEqual(refused.code, 1)
        self.assertIn(done.out.split()[2].strip(","), refused.err)  # the key that is needed, by its id

    def test_a_master_key_that_the_program_cannot_replace_waits_for_the_next_start(self):
        old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
        hub = self.started(RACCORD_MASTER_KEY=old)
        done = harness.run("keys", "rotate", "--master", "--new-key-file", self.file("new.key", new), "--data", hub.data, "--yes",
                           env={"RACCORD_MASTER_KEY": old})
        self.assertEqual(done.code, 0, done)
        self.assertIn("restart the hub", done.out)
        self.assertIsNotNone(hub.get("/api/v1/keys").json["next_master_key"])
        problem = hub.post("/api/v1/keys:rotate")
        self.assertEqual((problem.status, problem.json["code"]), (409, "conflict"))
        hub.stop()
        hub.start()  # with the old one still
        self.works(hub)
        hub.stop()
        hub.variables["RACCORD_MASTER_KEY"] = new
        hub.start()
        self.works(hub)
        self.assertIsNone(hub.get("/api/v1/keys").json["next_master_key"])
        hub.stop()
        refused = harness.run("serve", "--data", hub.data, "--listen", "127.0.0.1:0", env={"RACCORD_MASTER_KEY": old})
        self.assertEqual(refused.code, 1)
        self.assertIn("key_wrong", refused.err)

    def test_a_change_of_master_key_is_agreed_to(self):
        hub = self.started()
        new = self.key_file("new.key")
        before = open(f"{hub.data}/master.key").read()
        t = harness.Terminal("keys", "rotate", "--master", "--new-key-file", new, "--data", hub.data)
        t.expect("to change it: ")
        t.type("no")
        self.assertEqual(t.end(), 1)
        self.assertEqual(open(f"{hub.data}/master.key").read(), before)
        silent = harness.run("keys", "rotate", "--master", "--new-key-file", new, "--data", hub.data)
        self.assertEqual(silent.code, 2, silent)
        same = self.change(hub, f"{hub.data}/master.key")
        self.assertEqual(same.code, 2, same)
        os.chmod(new, 0o644)
        self.assertEqual(self.change(hub, new).code, 1)
        self.assertEqual(open(f"{hub.data}/master.key").read(), before)


class Caller(threading.Thread):
    """Calls through every connection, one after the other. A call may fail when the hub is dead; no other way."""

    def __init__(self, hub, keys):
        super().__init__(daemon=True)
        self.hub, self.keys, self.done, self.wrong, self.over = hub, keys, 0, None, threading.Event()
        self.token = hub.admin

    def run(self):
        line = None
        try:
            line = self.hub.connect()
            while not self.over.is_set():
                for key in self.keys:
                    said = self.hub.get(f"/proxy/{key}/", connection=line, token=self.token)
                    if said.status != 200 or said.json["said"] != f"Bearer {CANARY}-{key}":
                        raise AssertionError(f"{key}: {said!r}")
                    self.done += 1
        except (OSError, http.client.HTTPException):
            pass  # the hub is dead, as it should be
        except Exception as e:
            self.wrong = e
        finally:
            if line:
                line.close()


class KilledWhileKeysTurn(harness.Case):
    ROUNDS, CONNECTIONS = 50, 120

    def test_every_credential_opens_after_fifty_kills_in_the_middle_of_rotations(self):
        chance = random.Random()
        seed = chance.randrange(1 << 32)
        chance.seed(seed)
        provider = self.upstream(echo)
        hub = self.hub(env=dict(PLAIN, RACCORD_THREADS="2", RACCORD_KEYS_RATE="2000"))
        keys = [f"c{n}" for n in range(self.CONNECTIONS)]
        line = hub.connect()
        for key in keys:
            body = {"connector": "http", "auth_type": "bearer", "key": key, "name": key, "folder": "shared",
                    "fields": {"base_url": provider.url}, "credentials": {"token": f"{CANARY}-{key}"}}
            self.assertEqual(hub.post("/api/v1/connections", body, connection=line).status, 201)
        line.close()
        calls, rotations, began = 0, 0, time.monotonic()
        for n in range(self.ROUNDS):
            some = chance.sample(keys, 20)
            callers = [Caller(hub, some[i::2]) for i in range(2)]
            for c in callers:
                c.start()
            status = hub.post("/api/v1/keys:rotate").status
            self.assertIn(status, (202, 409), f"round {n}, seed {seed}")
            other = None
            if n % 5 >= 3:  # another process turns at the same time, or copies, and is killed, too
                verb = ["keys", "rotate", "--wait"] if n % 5 == 4 else ["backup", "--force", "-o", self.path("saved")]
                other = subprocess.Popen([harness.binary(), *verb, "--data", hub.data], env=hub.variables,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            threading.Event().wait(chance.uniform(0.0, 0.25))
            hub.process.send_signal(signal.SIGKILL)
            if other:
                other.kill()
                other.wait()
            hub.kill()
            for c in callers:
                c.join(harness.DEADLINE)
                if c.wrong:
                    raise AssertionError(f"round {n}, seed {seed}") from c.wrong
                calls += c.done
            hub.start()
        newest = max(k["id"] for k in hub.get("/api/v1/keys").json["keys"])
        finished(hub, newest, self)
        line = hub.connect()
        for key in keys:
            self.assertEqual(hub.get(f"/proxy/{key}/", connection=line).json["said"], f"Bearer {CANARY}-{key}", f"seed {seed}")
        line.close()
        report = hub.get("/api/v1/keys").json
        self.assertEqual((len(report["keys"]), report["unusable_data_keys"]), (1, 0))
        rotations = rows(hub.data, "SELECT count(*) FROM key_rotation WHERE finished_ms > 0")[0][0]
        saved = harness.run("backup", "--data", hub.data, "--force", "-o", self.path("saved"))
        self.assertEqual(saved.code, 0, saved)
        seen = harness.run("restore", "--verify", self.path("saved"), "--data", hub.data)  # every page, secret and audit record
        self.assertEqual(seen.code, 0, seen)
        self.assertIn(f"{self.CONNECTIONS} connections with {self.CONNECTIONS} secrets", seen.out)
        self.assertEqual(hub.stop(), 0)
        with harness.database(hub.data) as db:
            if isinstance(db, sqlite3.Connection):
                self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
                self.assertEqual(db.execute("PRAGMA foreign_key_check").fetchall(), [])
        print(f"# {self.ROUNDS} kills in {time.monotonic() - began:.0f} s, {rotations} rotations, {calls} calls, none failed", flush=True)
        self.assertGreater(rotations, 3)
        self.assertGreater(calls, self.ROUNDS)
