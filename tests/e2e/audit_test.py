"""The audit log on the real binary: what is in it, and what an intruder with a database editor cannot do unseen."""
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time
import unittest

import harness

API = "/api/v1"
SECRET = "canary-5b1d2e77aa01"


def records(hub, **query):
    """All that match, oldest first."""
    found, cursor = [], ""
    words = "&".join(f"{k}={v}" for k, v in query.items())
    while cursor is not None:
        page = hub.get(f"{API}/audit?limit=200&{words}" + (f"&cursor={cursor}" if cursor else "")).json
        found += page["items"]
        cursor = page["next_cursor"]
    return found[::-1]


@contextlib.contextmanager
def edited(hub):
    """A database editor."""
    with harness.database(hub.data) as db:
        harness.unguard_audit(db)
        yield db


def records_of(hub, action):
    """Of a hub that is stopped."""
    with harness.database(hub.data) as db:
        return db.execute("SELECT number FROM audit WHERE action = ?", (action,)).fetchall()


def verify(hub, *more, code=1):
    done = harness.run("verify-audit", "--data", hub.data, "--json", *more)
    if done.code != code:
        raise AssertionError(f"{done!r}")
    return done.json


class Records(harness.Case):
    def setUp(self):
        super().setUp()
        self.provider = self.upstream([harness.answer()])
        at = f"localhost:{self.provider.port}"
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": at, "RACCORD_EGRESS_ALLOW_HTTP": at})

    def test_a_change_tells_who_what_and_from_where_without_the_secret(self):
        hub = self.hub1
        made = hub.connection("crm", self.provider.url, credentials={"token": SECRET})
        hub.request("PATCH", API + "/connections/crm", {"name": "Customers"})
        create, update = records(hub, object=made["id"])
        self.assertEqual((create["action"], update["action"]), ("connection.create", "connection.update"))
        self.assertEqual(update["before"], {"name": "crm"})
        self.assertEqual(update["after"], {"name": "Customers"})
        self.assertEqual(update["actor"]["name"], "tests")
        self.assertRegex(update["actor"]["via"], "^tok_")
        self.assertEqual(update["client"], "127.0.0.1")
        self.assertEqual(update["folder"], made["folder"]["id"])
        hashed = hub.post(API + "/audit:hash", {"value": SECRET}).json["hash"]
        self.assertEqual(create["after"]["credentials"], {"token": hashed})
        self.assertNotIn(SECRET, hub.get(API + "/audit:export").text)

    def test_a_change_that_is_refused_changes_nothing_and_is_told(self):
        hub = self.hub1
        made = hub.connection("crm", self.provider.url)
        weak = hub.token("weak", "user")
        self.assertEqual(hub.request("DELETE", API + "/connections/crm", token=weak).status, 403)
        refused = [r for r in records(hub) if r["outcome"] == "refused"]
        self.assertEqual([(r["actor"]["name"], r["action"], r["code"]) for r in refused], [("weak", "connection.delete", "denied")])
        self.assertEqual(hub.get(API + "/connections/crm").json["id"], made["id"])

    def test_a_refused_call_is_told_with_its_caller(self):
        hub = self.hub1
        hub.connection("one", self.provider.url)
        hub.connection("two", self.provider.url)
        narrow = hub.token("narrow", "user", "--connection", "one")
        self.assertGreaterEqual(hub.get("/proxy/two/x", token=narrow).status, 400)
        got = self.eventually(lambda: [r for r in records(hub, actor="narrow") if r["outcome"] == "refused"] or
                    [r for r in records(hub) if r["outcome"] == "refused"], "the refusal was never told")
        self.assertEqual((got[0]["action"], got[0]["object"]["id"]), ("connection.call", "two"))

    def test_a_flood_of_refusals_does_not_fill_the_log(self):
        hub = self.hub1
        hub.get(API + "/users")
        for _ in range(60):
            self.assertEqual(hub.get(API + "/users", token="rcd_nonsense").status, 401)
        for i in range(60):
            self.assertEqual(hub.get(f"{API}/users/usr_{i}", token="rcd_nonsense").status, 401)
        self.assertLessEqual(len([r for r in records(hub) if r["outcome"] == "refused"]), 40)
        self.hub1.stop()
        self.hub1.start()  # what was counted is told at the stop
        self.assertEqual(sum((r["after"] or {}).get("more", 1) for r in records(self.hub1)
                             if r["outcome"] == "refused"), 120)

    def test_a_sign_in_that_fails_is_told_without_what_was_typed(self):
        hub = self.hub1
        typed = "my-password-in-the-wrong-field"
        hub.cli("user", "create", "--data", hub.data, "--email", "o@example.com", "--role", "owner", "--password-file",
                self.file("password", "a quiet river 77 bends\n"))  # without an owner nobody signs in
        self.assertEqual(hub.post(API + "/session", {"email": typed, "password": "x" * 20}, token="").status, 401)
        failed = records(hub, action="session.create")[-1]
        self.assertEqual((failed["outcome"], failed["code"]), ("refused", "bad_credentials"))
        self.assertNotIn(typed, json.dumps(failed))
        self.assertEqual(failed["object"]["name"], hub.post(API + "/audit:hash", {"value": typed}).json["hash"])

    def test_a_persons_sign_ins_are_found_by_their_name(self):
        hub = self.hub1
        hub.cli("user", "create", "--data", hub.data, "--email", "o@example.com", "--role", "owner", "--password-file",
                self.file("password", "a quiet river 77 bends\n"))
        self.assertEqual(hub.post(API + "/session", {"email": "o@example.com", "password": "a quiet river 77 bends"}, token="").status, 200)
        link = hub.post(API + "/users", {"email": "ann@example.com", "invite": True}).json["invitation"]["link"]
        said = hub.post(API + "/invitations:accept", {"code": link.split("#")[1], "password": "nine hills behind us"}, token="")
        self.assertEqual(said.status, 200, said)
        self.assertEqual([r["action"] for r in records(hub, actor="o@example.com")], ["session.create"])
        accepted, = records(hub, actor="ann@example.com")
        self.assertEqual((accepted["action"], accepted["actor"]["id"]), ("invitation.accept", said.json["id"]))

    @harness.embedded
    def test_a_folders_records_are_found_behind_many_others(self):
        """With a filter a page looks at so many records of the log and says where to go on: a folder with few costs no walk over all."""
        hub = self.hub1
        hub.post(API + "/folders", {"path": "shared/quiet"})
        hub.connection("crm", self.provider.url)
        hub.stop()
        with edited(hub) as db:
            before, = db.execute("SELECT max(number) FROM audit").fetchone()
            columns = [r[1] for r in db.execute("PRAGMA table_info(audit)")]
            fresh = {"number": "n", "id": "'aud_' || n", "folder": "''"}
            db.execute(f"WITH RECURSIVE c(n) AS (SELECT {before} + 1 UNION ALL SELECT n + 1 FROM c WHERE n < {before} + 50100)"
                       f" INSERT INTO audit ({', '.join(columns)}) SELECT {', '.join(fresh.get(c, 'a.' + c) for c in columns)}"
                       f" FROM c, audit a WHERE a.number = {before}")
            db.commit()
        hub.start()
        door = API + "/folders/shared%2Fquiet/audit"
        actions = lambda page: [r["action"] for r in page["items"]]
        page = hub.get(door).json
        self.assertEqual((actions(page), page["next_cursor"]), (["folder.create"], None))
        first = hub.get(door + "?action=folder.create").json
        self.assertEqual(first["items"], [])
        second = hub.get(door + "?action=folder.create&cursor=" + first["next_cursor"]).json
        self.assertEqual((actions(second), second["next_cursor"]), (["folder.create"], None))
        self.assertIn("folder.create", hub.cli("audit", "list", "--folder", "shared/quiet").out)

    def test_verbs_on_the_hubs_machine_are_told_too(self):
        self.hub1.admin
        self.hub1.token("robot", "user")
        made = records(self.hub1, action="token.create")[-1]
        self.assertEqual((made["object"]["name"], made["actor"]["via"], made["after"]["role"]), ("robot", "cli", "user"))

    def test_export_and_list_of_the_command_line_agree(self):
        hub = self.hub1
        hub.token("robot", "user")
        lines = [json.loads(line) for line in hub.cli("audit", "export").out.splitlines()]
        self.assertEqual([r["number"] for r in lines[:-1]], list(range(1, len(lines))))
        self.assertEqual([b["previous"] for b in lines[1:-1]], [a["hash"] for a in lines[:-2]])
        self.assertGreaterEqual(len(lines[-1]["heads"]), 1)
        self.assertIn("token.create", hub.cli("audit", "list", "--action", "token.*").out)
        self.assertNotIn("hub.start", hub.cli("audit", "list", "--action", "token.*").out)

    def test_an_auditors_log_is_not_for_users(self):
        weak = self.hub1.token("weak", "user")
        for path in ("/audit", "/audit:verify", "/audit:export"):
            self.assertEqual(self.hub1.get(API + path, token=weak).status, 403)
        self.assertEqual(self.hub1.post(API + "/audit:hash", {"value": "x"}, token=weak).status, 403)


class Tampering(harness.Case):
    """A stopped hub, changed by hand, and what verify-audit and the next start say of it."""

    def setUp(self):
        super().setUp()
        self.hub1 = self.hub(env={"RACCORD_AUDIT_HEAD_INTERVAL": "1s"})
        for i in range(5):
            self.hub1.token(f"t{i}", "user")
        self.hub1.stop()
        self.assertTrue(verify(self.hub1, code=0)["ok"])
        self.first = self.number("t0")

    def number(self, name):
        with harness.database(self.hub1.data) as db:
            return db.execute("SELECT number FROM audit WHERE name = ?", (name,)).fetchone()[0]

    def found(self, flaw, number, *more):
        got = verify(self.hub1, *more)
        self.assertEqual((got["flaw"], got["number"]), (flaw, number))

    def alarmed(self, flaw):
        """The start says so: in the log, the metrics, the readiness and the audit log itself."""
        self.hub1.start()
        self.assertIn("the audit log is not what its exported heads say", self.hub1.log())
        self.assertIn("audit_tampered", self.hub1.get("/readyz").text)
        self.assertRegex(self.hub1.get("/metrics").text, r"(?m)^raccord_audit_alarm 1$")
        told = [r["after"]["flaw"] for r in records(self.hub1, action="audit.alarm")]
        self.assertIn(flaw, told[-2:])  # by now the next look may have found that what was exported since goes on from there

    def test_an_edited_record(self):
        with edited(self.hub1) as db:
            db.execute("UPDATE audit SET name = 'innocent' WHERE number = ?", (self.first,))
        self.found("changed", self.first)

    def test_a_removed_record(self):
        with edited(self.hub1) as db:
            db.execute("DELETE FROM audit WHERE number = ?", (self.first,))
        self.found("missing", self.first)

    def test_swapped_records(self):
        a, b = self.first, self.first + 1
        with edited(self.hub1) as db:
            db.execute("UPDATE audit SET number = 0 WHERE number = ?", (a,))
            db.execute("UPDATE audit SET number = ? WHERE number = ?", (a, b))
            db.execute("UPDATE audit SET number = ? WHERE number = 0", (b,))
        self.found("changed", a)

    def test_a_tail_that_was_cut_off_raises_the_alarm(self):
        with edited(self.hub1) as db:
            db.execute("DELETE FROM audit WHERE number > ?", (self.first,))
        self.found("truncated", self.first + 1)
        self.alarmed("truncated")

    @harness.embedded
    def test_an_old_database_that_was_put_back_raises_the_alarm(self):
        self.hub1.start()
        self.hub1.stop()
        database = os.path.join(self.hub1.data, "raccord.db")
        shutil.copy(database, self.path("old.db"))
        self.hub1.start()
        self.hub1.token("the one to hide", "admin")
        self.hub1.stop()
        for name in os.listdir(self.hub1.data):
            if name.startswith("raccord.db"):
                os.unlink(os.path.join(self.hub1.data, name))
        shutil.copy(self.path("old.db"), database)
        self.assertEqual(verify(self.hub1)["flaw"], "truncated")
        self.alarmed("truncated")
        self.hub1.stop()
        self.assertEqual(verify(self.hub1)["flaw"], "rolled_back")

    def test_a_running_hub_notices_within_a_minute(self):
        self.hub1.start()
        with edited(self.hub1) as db:
            db.execute("DELETE FROM audit WHERE number > ?", (self.first,))
        self.eventually(lambda: "audit_tampered" in self.hub1.get("/readyz", token="").text, "the alarm was never raised")

    def test_an_edited_file_of_heads(self):
        path = os.path.join(self.hub1.data, "audit-heads.log")
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        head = json.loads(lines[-1])
        with edited(self.hub1) as db:  # tail and head made to agree, but for the key
            db.execute("DELETE FROM audit WHERE number > ?", (self.first,))
            head["hash"] = db.execute("SELECT hash FROM audit WHERE number = ?", (self.first,)).fetchone()[0]
        head["number"] = self.first
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps(head, separators=(",", ":")) + "\n")
        self.found("heads_changed", 0)

    def test_a_file_of_heads_that_was_taken_away_is_told(self):
        os.unlink(os.path.join(self.hub1.data, "audit-heads.log"))
        self.hub1.start()
        self.assertEqual(len(records(self.hub1, action="audit.heads_begun")), 2)

    def test_heads_kept_elsewhere_are_found_there(self):
        os.rename(os.path.join(self.hub1.data, "audit-heads.log"), self.path("elsewhere.log"))
        with edited(self.hub1) as db:
            db.execute("DELETE FROM audit WHERE number > ?", (self.first,))
        verify(self.hub1, code=0)
        self.found("truncated", self.first + 1, "--heads", self.path("elsewhere.log"))

    def test_a_setting_of_the_log_that_changes_is_told(self):
        self.hub1.variables["RACCORD_AUDIT_HEAD_FILE"] = self.path("heads.log")
        self.hub1.start()
        told = records(self.hub1, action="audit.settings")[-1]
        self.assertEqual(told["after"]["head_file"], self.path("heads.log"))
        self.assertTrue(told["before"]["head_file"].endswith("audit-heads.log"))
        self.assertTrue(os.path.getsize(self.path("heads.log")) > 0)

    def test_what_an_operator_permits_beyond_the_rules_is_told(self):
        """Requirement 1.6: plain http is an exception that health and audit show."""
        self.hub1.start()
        self.assertEqual(self.hub1.get("/readyz").json["exceptions"], [])
        self.hub1.stop()
        self.hub1.variables["RACCORD_EGRESS_ALLOW_HTTP"] = "old.example"
        self.hub1.start()
        told = records(self.hub1, action="audit.settings")[-1]
        self.assertEqual((told["before"]["egress_allow_http"], told["after"]["egress_allow_http"]), ("", "old.example"))
        self.assertEqual(self.hub1.get("/readyz", token="").json["exceptions"], ["egress.allow_http"])
        seen = [c for c in self.hub1.cli("doctor", "--json").json["checks"] if c["check"] == "exception"]
        self.assertEqual([(c["subject"], c["result"]) for c in seen], [("egress.allow_http", "warning")])


class Restored(harness.Case):
    """A backup that was put back on purpose (requirement 19.8): the alarm is right, and an administrator may accept it."""

    def setUp(self):
        super().setUp()
        self.sink = self.path("calls.log")
        self.provider = self.upstream([harness.answer()])
        at = f"localhost:{self.provider.port}"
        self.hub1 = hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": at, "RACCORD_EGRESS_ALLOW_HTTP": at, "RACCORD_AUDIT_STRICT": "true",
                                        "RACCORD_AUDIT_FILE": self.sink})
        hub.connection("crm", self.provider.url)
        hub.token("before", "user")
        self.assertEqual(hub.get("/proxy/crm/before").status, 200)
        key, backup = hub.data + "/master.key", self.path("backup")
        made = harness.run("backup", "--data", hub.data, "-o", backup)
        self.assertEqual(made.code, 0, made)
        hub.token("lost", "user")
        self.assertEqual(hub.get("/proxy/crm/lost").status, 200)
        hub.stop()
        done = harness.run("restore", backup, "--data", hub.data, "--master-key-file", key, "--force")
        self.assertEqual(done.code, 0, done)
        self.heads = os.path.join(hub.data, "audit-heads.log")

    def check(self, code, *more):
        return verify(self.hub1, "--audit-file", self.sink, *more, code=code)

    def accept(self):
        os.rename(self.heads, self.path("heads-before-the-restore.log"))

    def quiet(self):
        """Nothing is wrong any more: not in the metrics, not in the readiness, not for those who verify."""
        hub = self.hub1
        self.assertRegex(hub.get("/metrics").text, r"(?m)^raccord_audit_alarm 0$")
        self.assertNotIn("audit_tampered", hub.get("/readyz").text)
        self.assertTrue(hub.get(API + "/audit:verify").json["ok"])
        self.assertEqual(hub.get("/proxy/crm/after").status, 200)
        hub.stop()
        self.assertTrue(self.check(0)["ok"])
        hub.start()  # and stays so
        self.assertRegex(hub.get("/metrics").text, r"(?m)^raccord_audit_alarm 0$")

    def test_the_heads_moved_away_before_the_start_let_it_go_on_and_tell_of_it(self):
        self.assertEqual(self.check(1)["flaw"], "truncated")
        self.accept()
        self.hub1.start()
        self.assertEqual(records(self.hub1, action="audit.alarm"), [])
        self.assertEqual(len(records(self.hub1, action="audit.heads_begun")), 2)  # who silences the log leaves a trace in it
        self.quiet()

    def test_an_alarm_that_was_raised_ends_when_the_heads_are_moved_away_and_stays_in_the_log(self):
        self.hub1.start()
        self.assertIn("audit_tampered", self.hub1.get("/readyz").text)
        self.assertEqual(records(self.hub1, action="audit.alarm")[-1]["after"]["flaw"], "truncated")
        self.hub1.stop()
        self.assertEqual(self.check(1)["flaw"], "rolled_back")  # it went on from the old state
        self.accept()
        self.assertTrue(self.check(0)["ok"])
        self.hub1.start()
        self.quiet()
        accepted = records(self.hub1, action="audit.heads_begun")[-1]["number"]
        told = [r["number"] for r in records(self.hub1, action="audit.alarm")]
        self.assertTrue(told)
        self.assertLess(max(told), accepted)

    def test_the_heads_that_were_moved_away_still_tell_what_the_restore_took_away(self):
        self.accept()
        self.hub1.start()
        self.hub1.stop()
        got = self.check(1, "--heads", self.path("heads-before-the-restore.log"))
        self.assertEqual(got["flaw"], "rolled_back")
        with open(self.sink, encoding="utf-8") as f:
            self.assertIn('"path":"/lost"', f.read())  # so does the file of calls, which no restore touches


class Calls(harness.Case):
    """Run records: what was done with credentials, and that it cannot be edited unseen."""

    def setUp(self):
        super().setUp()
        self.provider = self.upstream([harness.answer()])
        at = f"localhost:{self.provider.port}"
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": at, "RACCORD_EGRESS_ALLOW_HTTP": at})
        self.hub1.connection("crm", self.provider.url)
        for i in range(5):
            self.assertEqual(self.hub1.get(f"/proxy/crm/item/{i}").status, 200)
        self.assertTrue(self.hub1.get(API + "/audit:verify").json["ok"])
        self.hub1.stop()
        self.assertTrue(verify(self.hub1, code=0)["ok"])

    def blocks(self, change, *words):
        with edited(self.hub1) as db:
            self.assertGreater(db.execute(change, words).rowcount, 0)

    def test_a_run_record_that_was_edited_is_found(self):
        self.blocks("UPDATE run_block SET records = replace(records, '/item/2', '/item/9') WHERE records LIKE '%/item/2%'")
        self.assertEqual(verify(self.hub1)["flaw"], "calls_changed")

    def test_run_records_that_were_removed_are_found(self):
        self.blocks("DELETE FROM run_block WHERE id = (SELECT max(id) FROM run_block)")
        self.assertEqual(verify(self.hub1)["flaw"], "calls_changed")

    def test_neither_does_it_help_to_set_the_hour_back(self):
        self.blocks("DELETE FROM run_block")
        self.blocks("UPDATE run_seal SET count = 0, stated = 0")
        self.assertEqual(verify(self.hub1)["flaw"], "calls_changed")

    def test_records_that_came_after_a_kill_are_sound(self):
        self.hub1.start()
        for i in range(5):
            self.assertEqual(self.hub1.get(f"/proxy/crm/more/{i}").status, 200)
        self.eventually(lambda: self.hub1.get(API + "/runs?limit=200").text.count("/more/") == 5, "the calls were never recorded")
        self.hub1.kill()
        self.assertTrue(verify(self.hub1, code=0)["ok"])


class Crash(harness.Case):
    def test_the_chain_is_whole_after_a_kill_under_changes(self):
        hub = self.hub(env={"RACCORD_AUDIT_HEAD_INTERVAL": "1s"})
        admin = hub.admin
        acknowledged = []

        def change(worker):
            for i in range(1000):
                try:
                    answer = hub.post(API + "/service-accounts", {"name": f"w{worker}-{i}"}, token=admin)
                except (OSError, harness.http.client.HTTPException):
                    return
                if answer.status == 201:
                    acknowledged.append(answer.json["id"])

        for _ in range(2):
            threads = [threading.Thread(target=change, args=(f"{_}{n}",)) for n in range(3)]
            enough = len(acknowledged) + 20
            for t in threads:
                t.start()
            self.eventually(lambda: len(acknowledged) >= enough, "no changes went through")
            hub.kill()
            for t in threads:
                t.join()
            self.assertTrue(verify(hub, code=0)["ok"])
            hub.start()
        told = {r["object"]["id"] for r in records(hub, action="service_account.create")}
        self.assertEqual(set(acknowledged) - told, set())
        with harness.database(hub.data) as db:
            accounts = {row[0] for row in db.execute("SELECT id FROM principal WHERE kind = 'service_account' AND name LIKE 'w%'")}
        self.assertEqual(accounts, told)  # neither is there without the other


class Frozen:
    """A thread of a process that hangs in its next fdatasync(), as on a dead network disk; the others run. Of one thread of ours."""

    SEIZE, INTERRUPT, DETACH, SYSCALL, INFO = 0x4206, 0x4207, 17, 24, 0x420E
    ALL, ENTRY = 0x40000000, 1
    FDATASYNC = {"x86_64": 75, "aarch64": 83}.get(os.uname().machine)

    def __init__(self, pid, name):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
                if f.read().strip() == name:
                    self.task = int(task)

    def ask(self, request, size=None, room=None):
        if self.libc.ptrace(request, self.task, size, room) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def in_sync(self):
        info = (ctypes.c_uint64 * 16)()
        self.ask(self.INFO, ctypes.sizeof(info), ctypes.addressof(info))
        return info[0] & 0xff == self.ENTRY and info[3] == self.FDATASYNC

    def __enter__(self):
        self.ask(self.SEIZE, None, 1)  # PTRACE_O_TRACESYSGOOD
        self.ask(self.INTERRUPT)
        os.waitpid(self.task, self.ALL)
        return self

    def hang(self):
        while not self.in_sync():
            self.ask(self.SYSCALL)
            os.waitpid(self.task, self.ALL)

    def __exit__(self, *_):
        self.ask(self.DETACH)


class Strict(harness.Case):
    """No audit, no secret (requirement 14.3), with the sinks failing as a full disk makes them."""

    def start(self, file=True, script=None, head_interval=None):
        self.sink = self.path("calls.log")
        if file:  # a limit on the size of files then hits this one, and not the database
            with open(self.sink, "wb") as f:
                f.truncate(1 << 30)
        self.seen = []

        def provider(s, _):
            while head := s.read_request():
                with both:
                    self.seen.append(head)
                    self.recorded.append(self.tail())
                s.sendall(harness.answer())

        self.recorded, both = [], threading.Lock()
        self.provider = self.upstream(script or provider)
        at = f"localhost:{self.provider.port}"
        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": at, "RACCORD_EGRESS_ALLOW_HTTP": at, "RACCORD_AUDIT_STRICT": "true",
                            "RACCORD_AUDIT_FILE": self.sink if file else None, "RACCORD_AUDIT_HEAD_INTERVAL": head_interval})
        hub.connection("crm", self.provider.url)
        return hub

    def tail(self):
        if not os.path.exists(self.sink):
            return ""
        with open(self.sink, "rb") as f:
            f.seek(1 << 30)
            return f.read().decode()

    def calls(self):
        return [line for line in self.tail().strip().splitlines() if line.startswith('{"run"')]

    def limit(self, hub, bytes_):
        hard = resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (hard if bytes_ is None else bytes_, hard))

    def test_a_call_is_on_the_disk_before_its_credential_is_used(self):
        hub = self.start()
        for i in range(3):
            self.assertEqual(hub.get(f"/proxy/crm/item/{i}").status, 200)
            self.assertIn(f'"path":"/item/{i}"', self.recorded[i])
            self.assertEqual([json.loads(line) for line in self.calls()][i]["method"], "GET")
        self.assertNotIn("t0k-crm", self.tail())
        self.assertEqual(hub.post(API + "/connections/crm/call", {"method": "GET", "path": "/buffered"}).status, 200)
        self.assertIn('"path":"/buffered"', self.recorded[3])

    def crowd(self, hub, file, end):
        """Callers on both loops until `end(hub)` has stopped it. What the provider saw was written before, every time."""
        token, halt = hub.admin, threading.Event()

        def call(worker):
            i = 0
            while not halt.is_set():
                try:
                    hub.get(f"/proxy/crm/w{worker}-{i}", token=token)
                except (OSError, harness.http.client.HTTPException):
                    return
                i += 1

        workers = [threading.Thread(target=call, args=(n,)) for n in range(8)]
        for w in workers:
            w.start()
        self.eventually(lambda: len(self.seen) > 200, "the calls do not go through")
        end(hub)
        halt.set()
        for w in workers:
            w.join()
        seen = [head.split()[1].decode() for head in self.seen]
        if file:
            late = [path for path, tail in zip(seen, self.recorded) if f'"path":"{path}"' not in tail]
            self.assertEqual(late, [])
            got = self.verify_file(hub, 0)
            self.assertGreaterEqual(got["calls"]["sealed"], len(seen))
        else:
            hub.start()
            begun = {call["path"] for r in records(hub, action="calls.begun") for call in r["after"]}
            self.assertEqual(set(seen) - begun, set())

    def test_in_a_crowd_every_call_is_written_before_it_is_made(self):
        for name, end in ("stop", lambda hub: hub.stop()), ("kill", lambda hub: hub.kill()):
            with self.subTest(name):
                self.crowd(self.start(), True, end)

    def test_in_a_crowd_every_call_is_in_the_chain_before_it_is_made(self):
        self.crowd(self.start(file=False), False, lambda hub: hub.kill())

    def test_without_a_file_the_chain_holds_what_was_begun(self):
        hub = self.start(file=False)
        answer = hub.get("/proxy/crm/x")
        self.assertEqual(answer.status, 200)
        begun = [call for r in records(hub, action="calls.begun") for call in r["after"]]
        self.assertEqual([(c["run"], c["path"]) for c in begun], [(answer.header("raccord-run"), "/x")])
        self.assertTrue(hub.get(API + "/audit:verify").json["ok"])

    def test_when_the_file_is_full_the_chain_takes_over_and_the_alarm_is_raised(self):
        hub = self.start()
        self.limit(hub, 1 << 29)
        self.assertEqual(hub.get("/proxy/crm/after").status, 200)
        self.assertIn("/after", json.dumps([r["after"] for r in records(hub, action="calls.begun")]))
        self.eventually(lambda: records(hub, action="audit.sinks"), "the loss was never told")
        self.assertEqual(records(hub, action="audit.sinks")[-1]["after"], {"file_lost": True, "database_lost": False, "stuck": False})
        ready = hub.get("/readyz")
        self.assertEqual(ready.status, 200)
        self.assertIn("audit_unavailable", ready.text)
        self.assertRegex(hub.get("/metrics").text, r"(?m)^raccord_audit_sinks_lost 1$")
        self.limit(hub, None)
        self.assertEqual(hub.get("/proxy/crm/again").status, 200)
        self.assertIn("/again", self.tail())

    @harness.embedded
    def test_a_database_that_is_lost_raises_the_alarm_though_the_file_takes_every_call(self):
        """Requirement 14.4: no call tries the second sink before the first one goes, and then it is too late to hear of it."""
        hub = self.start()
        sinks = lambda: re.search(r"(?m)^raccord_audit_sinks_lost (\d)$", hub.get("/metrics").text).group(1)
        self.assertEqual(hub.get("/proxy/crm/before").status, 200)
        self.assertEqual(sinks(), "0")
        broken = ["pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate"]
        with subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-P", hub.data + "/raccord.db", "-P", hub.data + "/raccord.db-wal", "-e",
                               "trace=" + ",".join(broken), "-e", f"inject={','.join(broken)}:error=EIO", "-p", str(hub.process.pid)],
                              stderr=subprocess.PIPE, text=True) as tracer:
            try:
                self.assertIn("attached", tracer.stderr.readline())
                self.eventually(lambda: sinks() == "1", "the loss of the database was never told")
                self.assertIn("file fine, database lost", hub.log())
                self.assertIn("audit_unavailable", hub.get("/readyz", token="").text)
                self.assertEqual(hub.get("/proxy/crm/during").status, 200)
                self.assertIn("/during", self.tail())
            finally:
                tracer.terminate()
        self.eventually(lambda: sinks() == "0", "the alarm never ended")
        self.assertEqual(hub.get("/readyz", token="").status, 200)

    @harness.embedded
    def test_when_no_sink_can_write_no_credential_is_used(self):
        hub = self.start()
        admin = hub.admin
        self.assertEqual(hub.get("/proxy/crm/before").status, 200)
        before = len(self.seen)
        self.limit(hub, 1)
        for i in range(20):
            answer = hub.get(f"/proxy/crm/{i}", token=admin)
            self.assertEqual((answer.status, answer.json["code"]), (503, "audit_unavailable"))
        self.assertEqual(hub.request("PATCH", API + "/connections/crm", {"name": "x"}, token=admin).status, 503)
        self.assertEqual(hub.get("/readyz", token="").status, 503)
        self.assertEqual(len(self.seen), before)
        self.limit(hub, None)
        self.assertEqual(hub.get("/proxy/crm/after").status, 200)
        self.assertEqual(hub.get(API + "/connections/crm").json["name"], "crm")

    def test_a_file_that_hangs_costs_a_second_and_no_call(self):
        hub = self.start()
        self.assertEqual(hub.get("/proxy/crm/before").status, 200)
        if not Frozen.FDATASYNC:
            self.skipTest("the number of fdatasync() on this machine is not known")
        admin, answers = hub.admin, []
        with Frozen(hub.process.pid, "intents-file") as thread:
            call = threading.Thread(target=lambda: answers.append(hub.get("/proxy/crm/during", token=admin).status))
            began = time.monotonic()
            call.start()
            thread.hang()
            call.join()
            self.assertEqual(answers, [200])
            self.assertLess(time.monotonic() - began, 2)
            for i in range(3):  # and from then on not even that
                self.assertEqual(hub.get(f"/proxy/crm/then/{i}").status, 200)
            self.assertLess(time.monotonic() - began, 3)
            self.assertIn("/during", json.dumps([r["after"] for r in records(hub, action="calls.begun")]))
            self.eventually(lambda: records(hub, action="audit.sinks"), "the hanging file was never told")
            self.assertTrue(records(hub, action="audit.sinks")[-1]["after"]["stuck"])
            ready = hub.get("/readyz")
            self.assertEqual(ready.status, 200)
            self.assertIn("audit_unavailable", ready.text)
            self.assertIn("a write hangs", hub.log())
            self.assertRegex(hub.get("/metrics").text, r"(?m)^raccord_audit_sinks_lost [12]$")
        self.eventually(lambda: "audit_unavailable" not in hub.get("/readyz").text, "the file was never taken back")
        self.assertEqual(hub.get("/proxy/crm/after").status, 200)
        self.assertIn("/after", self.tail())
        hub.stop()
        self.assertTrue(self.verify_file(hub, 0)["ok"])

    def test_heads_that_hang_hold_up_no_alarm_and_no_request(self):
        if not Frozen.FDATASYNC:
            self.skipTest("the number of fdatasync() on this machine is not known")
        hub = self.start(head_interval="1s")
        admin = hub.admin
        with Frozen(hub.process.pid, "audit-heads") as thread:
            self.assertEqual(hub.post(API + "/service-accounts", {"name": "new"}).status, 201)  # there is a head to export
            thread.hang()
            self.eventually(lambda: records(hub, action="audit.heads_failed"), "the hanging file of heads was never told")
            self.assertIn("audit-heads.log does not answer: its device hangs", hub.log())
            self.assertIn("audit_unavailable", hub.get("/readyz").text)
            self.assertRegex(hub.get("/metrics").text, r"(?m)^raccord_audit_heads_failed 1$")
            began = time.monotonic()
            for path in ("/audit:verify", "/audit:export"):
                self.assertEqual(hub.get(API + path).json["code"], "file_failed")
            self.limit(hub, 1 << 29)  # and now the calls' file goes, too
            self.assertEqual(hub.get("/proxy/crm/during", token=admin).status, 200)
            self.eventually(lambda: records(hub, action="audit.sinks"), "the loss of the sink was never told")
            self.assertLess(time.monotonic() - began, 20)
        self.limit(hub, None)
        self.eventually(lambda: "the head of the audit log is exported again" in hub.log(), "heads were never exported again")
        self.assertEqual(hub.get("/proxy/crm/after").status, 200)
        self.eventually(lambda: "audit_unavailable" not in hub.get("/readyz").text, "the alarm never ended")
        hub.stop()
        self.assertTrue(self.verify_file(hub, 0)["ok"])

    def verify_file(self, hub, code, *more):
        return verify(hub, "--audit-file", self.sink, *more, code=code)

    def sealed(self):
        """A stopped hub whose file, a plain one, holds some groups; its lines."""
        self.sink = self.path("plain.log")
        self.seen, self.recorded = [], []
        self.provider = self.upstream([harness.answer()])
        at = f"localhost:{self.provider.port}"
        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": at, "RACCORD_EGRESS_ALLOW_HTTP": at, "RACCORD_AUDIT_STRICT": "true",
                            "RACCORD_AUDIT_FILE": self.sink})
        hub.connection("crm", self.provider.url)
        for i in range(4):
            self.assertEqual(hub.get(f"/proxy/crm/item/{i}").status, 200)
        hub.stop()
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (4, 0))
        with open(self.sink, encoding="utf-8") as f:
            return hub, f.read().splitlines(keepends=True)

    def put(self, lines):
        with open(self.sink, "w", encoding="utf-8") as f:
            f.write("".join(lines))

    def test_a_changed_removed_or_moved_line_of_the_file_is_found(self):
        hub, lines = self.sealed()
        for what, changed in {"edited": [x.replace("/item/1", "/item/9") for x in lines],
                              "removed": [x for x in lines if "/item/2" not in x],
                              "moved": lines[2:4] + lines[:2] + lines[4:],
                              "the first group taken out": lines[2:],
                              "the last group cut off": lines[:-2],
                              "emptied": []}.items():
            self.put(changed)
            got = self.verify_file(hub, 1)
            self.assertEqual((what, got["flaw"]), (what, "file_changed"))
        self.put(lines + ['{"run":"run_never","path":"/invented"}\n'])
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (4, 1))

    def test_a_file_whose_end_was_cut_off_raises_the_alarm_at_the_start(self):
        hub, lines = self.sealed()
        self.put(lines[:-2])
        hub.start()
        self.eventually(lambda: records(hub, action="audit.alarm"), "the cut was never told")
        self.assertEqual(records(hub, action="audit.alarm")[-1]["after"]["flaw"], "file_changed")

    def test_a_file_that_was_moved_away_is_begun_anew_and_both_are_sound(self):
        hub, _ = self.sealed()
        os.rename(self.sink, self.path("january.log"))
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/next").status, 200)
        hub.stop()
        self.assertEqual(self.verify_file(hub, 0)["calls"]["sealed"], 1)
        self.assertEqual(self.verify_file(hub, 0, "--calls", self.path("january.log"))["calls"]["sealed"], 4)

    def test_half_a_line_that_a_crash_left_is_passed_over(self):
        hub, lines = self.sealed()
        self.put([*lines, '{"run":"run_half'])
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/next").status, 200)
        hub.stop()
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (5, 1))

    def content(self):
        with open(self.sink, "rb") as f:
            return f.read()

    def test_what_was_laid_out_ahead_goes_at_a_stop_and_means_nothing_after_a_kill(self):
        hub, _ = self.sealed()
        whole = self.content()
        self.assertNotIn(b"\n\n", whole)
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/more/1").status, 200)
        self.assertTrue(self.content().endswith(b"\n\n"))
        hub.kill()
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (5, 0))
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/more/2").status, 200)
        hub.stop()
        self.assertTrue(self.content().startswith(whole))
        self.assertNotIn(b"\n\n", self.content())
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (6, 0))

    def test_a_seal_that_a_power_cut_left_without_its_group_is_passed_over(self):
        hub, _ = self.sealed()
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/first").status, 200)
        self.eventually(lambda: records(hub, action="calls.filed"), "the seal was never stated")
        self.assertEqual(hub.get("/proxy/crm/cut").status, 200)
        hub.kill()
        text = self.content()
        line = next(x for x in text.splitlines(keepends=True) if b'"/cut"' in x)
        with open(self.sink, "wb") as f:  # its page was not written yet, the next one was
            f.write(text.replace(line, b"\n" * len(line)))
        self.assertEqual(self.verify_file(hub, 1)["flaw"], "file_changed")
        hub.start()
        self.assertEqual(hub.get("/proxy/crm/next").status, 200)
        hub.stop()
        got = self.verify_file(hub, 0)
        self.assertEqual((got["calls"]["sealed"], got["calls"]["loose"]), (6, 1))
        self.assertEqual(records_of(hub, "audit.alarm"), [])
        with open(self.sink, "r+b") as f:  # but nobody else may make such a place
            f.write(self.content().replace(b'"/next"', b'"/best"'))
        self.assertEqual(self.verify_file(hub, 1)["flaw"], "file_changed")

    def test_a_file_that_may_only_grow_is_appended_to(self):
        hub, _ = self.sealed()
        if subprocess.run(["chattr", "+a", self.sink], capture_output=True).returncode:
            self.skipTest("no append-only files here")
        try:
            hub.start()
            self.assertEqual(hub.get("/proxy/crm/more").status, 200)
            self.assertNotIn(b"\n\n", self.content())
            hub.stop()
        finally:
            subprocess.run(["chattr", "-a", self.sink], check=True)
        self.assertEqual(self.verify_file(hub, 0)["calls"]["sealed"], 5)

    def test_two_hubs_do_not_write_into_one_file(self):
        hub = self.start()
        made = harness.run("serve", "--listen", "127.0.0.1:0", "--data", self.path("other"), env={"RACCORD_AUDIT_STRICT": "true",
                           "RACCORD_AUDIT_FILE": self.sink})
        self.assertNotEqual(made.code, 0)
        self.assertIn(self.sink, made.err)
        self.assertEqual(hub.get("/proxy/crm/x").status, 200)

    def test_a_sink_that_cannot_be_opened_stops_the_start(self):
        made = harness.run("serve", "--listen", "127.0.0.1:0", "--data", self.path("data"), env={"RACCORD_AUDIT_STRICT": "true",
                           "RACCORD_AUDIT_FILE": self.folder})
        self.assertNotEqual(made.code, 0)
        self.assertIn(self.folder, made.err)


if __name__ == "__main__":
    unittest.main()
