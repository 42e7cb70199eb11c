"""A hub run from the command line alone: the owner, people, programs, their tokens and sessions."""
import re
import unittest

import harness

DONE, FAILED, USAGE, MISSING, DENIED = range(5)
PASSWORD = "a-long-enough-secret-9"


class Alone(harness.Case):
    """From the setup link on, without a browser and without the hub's own machine."""

    def setUp(self):
        super().setUp()
        self.here = self.hub()
        self.password = self.file("password", PASSWORD)
        link = self.file("link", self.here.line("setup"))
        self.done(harness.run("setup", "--email", "owner@example.com", "--link-file", link, "--password-file", self.password))
        self.owner = self.login("owner@example.com")

    def done(self, program, code=DONE):
        self.assertEqual(program.code, code, program)
        return program

    def cli(self, *words, code=DONE, token=None, **more):
        return self.done(harness.run(*words, server=self.here.url, token=token or self.owner, **more), code)

    def login(self, email, *more):
        return self.cli("login", "--email", email, "--password-file", self.password, *more, token="unused").out.strip()

    def test_the_setup_link_works_once_and_login_gives_ones_own_role(self):
        again = harness.run("setup", "--email", "x@example.com", "--link-file", self.path("link"), "--password-file", self.password)
        self.assertIn("setup_done", self.done(again, FAILED).err)
        self.assertRegex(self.owner, r"^rcd_\w+$")
        self.assertEqual(self.cli("tokens", "list", "--json").json["items"][0]["role"], "owner")
        self.assertEqual(self.cli("sessions", "list", "--json").json["items"], [], "the session of a login ends with it")

    def test_a_wrong_password_is_denied_and_says_what_to_do(self):
        other = self.file("other", "not-the-password-1")
        refused = self.cli("login", "--email", "owner@example.com", "--password-file", other, code=DENIED)
        self.assertEqual(refused.out, "")
        self.assertIn("raccord users reset-password", refused.err)

    def test_an_invited_person_comes_in_and_goes(self):
        link = self.file("invitation", self.cli("users", "invite", "ana@example.com", "--role", "user").out.strip())
        wrong = harness.run("setup", "--email", "ana@example.com", "--link-file", link, "--password-file", self.password)
        self.assertIn("that link is for something else", self.done(wrong, USAGE).err)
        accepted = self.done(harness.run("accept", "--link-file", link, "--password-file", self.password))
        self.assertEqual(accepted.out, "Welcome, ana@example.com.\n")
        self.assertIn("users reset-password",
                      self.done(harness.run("accept", "--link-file", link, "--password-file", self.password), DENIED).err)
        ana = self.login("ana@example.com", "--expires", "12h")
        self.cli("users", "list", token=ana, code=DENIED)
        self.assertEqual(self.cli("users", "get", "ana@example.com", "--json", token=ana).json["role"], "user")
        self.cli("users", "get", "owner@example.com", token=ana, code=MISSING)

        self.cli("users", "update", "ana@example.com", "--role", "editor", "--language", "fr")
        self.cli("users", "disable", "ana@example.com")
        self.cli("folders", "list", token=ana, code=DENIED)
        self.cli("users", "enable", "ana@example.com")
        self.assertTrue(self.cli("users", "reset-password", "ana@example.com").out.startswith(self.here.url + "/invite#"))
        self.cli("users", "uninvite", "ana@example.com")
        self.assertIn("give --yes", self.cli("users", "delete", "ana@example.com", code=USAGE).err)
        self.assertEqual(self.cli("users", "delete", "ana@example.com", "--yes").out, "Deleted: ana@example.com\n")
        self.cli("users", "get", "ana@example.com", code=MISSING)

    def test_a_person_changes_the_own_password(self):
        other = self.file("other", "another hill behind 4 rivers")
        wrong = self.cli("password", "--password-file", other, "--new-password-file", other, code=DENIED)
        self.assertIn("wrong", wrong.err)
        self.assertIn("--new-password-file", self.cli("password", "--password-file", self.password, code=USAGE).err)
        self.here.post("/api/v1/session", {"email": "owner@example.com", "password": PASSWORD}, token="")
        self.assertIn("changed", self.cli("password", "--password-file", self.password, "--new-password-file", other).out)
        self.assertIn("Nobody is signed in", self.cli("sessions", "list").out)
        self.cli("login", "--email", "owner@example.com", "--password-file", self.password, token="unused", code=DENIED)
        asked = self.at_terminal(harness.Terminal("password", server=self.here.url, token=self.owner))
        for question, answer in (("Password now: ", "another hill behind 4 rivers"), ("New password: ", PASSWORD), ("Once more: ", PASSWORD)):
            asked.expect(question)
            asked.type(answer)
        self.assertEqual(asked.end(), DONE, asked.shown)
        self.assertNotIn(PASSWORD, asked.shown)
        self.assertRegex(self.login("owner@example.com"), r"^rcd_\w+$")
        robot = self.cli("tokens", "create", "--name", "n", "--service-account", "robot").out.strip()
        self.assertIn("no password", self.cli("password", "--password-file", other, "--new-password-file", other, token=robot, code=USAGE).err)

    def test_login_leaves_what_a_membership_of_a_folder_gives(self):
        link = self.file("invitation", self.cli("users", "invite", "ana@example.com", "--role", "user").out.strip())
        self.done(harness.run("accept", "--link-file", link, "--password-file", self.password))
        self.cli("folders", "create", "shared/sales")
        self.cli("folders", "add", "shared/sales", "ana@example.com", "--role", "editor")
        ana = self.login("ana@example.com")
        rights = {f["path"]: f["rights"] for f in self.cli("folders", "list", "--json", token=ana).json["items"]}
        self.assertIn("edit", rights["shared/sales"])
        self.assertNotIn("edit", rights["shared"])
        less = self.login("ana@example.com", "--role", "user")
        self.assertNotIn("edit", self.cli("folders", "get", "shared/sales", "--json", token=less).json["rights"])

    def test_an_auditor_of_a_folder_reads_what_was_done_there(self):
        link = self.file("invitation", self.cli("users", "invite", "ana@example.com", "--role", "user").out.strip())
        self.done(harness.run("accept", "--link-file", link, "--password-file", self.password))
        for path in ("shared/sales", "shared/sales/north", "shared/other"):
            self.cli("folders", "create", path)
        self.cli("folders", "add", "shared/sales", "ana@example.com", "--role", "auditor")
        ana = self.login("ana@example.com", "--role", "auditor")
        seen = self.cli("audit", "list", "--folder", "shared/sales", "--json", token=ana).json["items"]
        self.assertEqual({r["object"]["name"] for r in seen}, {"shared/sales", "shared/sales/north"})
        self.assertIn("folder.members", self.cli("audit", "list", "--folder", "shared/sales", "--action", "folder.*", token=ana).out)
        self.assertIn("audit in shared/other", self.cli("audit", "list", "--folder", "shared/other", token=ana, code=DENIED).err)
        self.cli("audit", "list", token=ana, code=DENIED)

    def test_sessions_are_seen_and_ended(self):
        for _ in range(2):
            self.here.post("/api/v1/session", {"email": "owner@example.com", "password": PASSWORD}, token="")
        here = self.cli("sessions", "list", "--json").json["items"]
        self.assertEqual(len(here), 2)
        self.assertIn("password", self.cli("sessions", "list", "--user", "owner@example.com").out)
        self.cli("sessions", "end", code=USAGE)
        self.assertEqual(self.cli("sessions", "end", here[0]["id"]).out, f"Ended: {here[0]['id']}\n")
        self.cli("sessions", "end", "--all")
        self.assertIn("Nobody is signed in", self.cli("sessions", "list").out)

    def test_a_program_gets_a_token_that_is_narrowed(self):
        self.assertIn("raccord service-accounts create", self.cli("service-accounts", "list").out)
        self.cli("service-accounts", "create", "report", "--role", "user")
        token = self.cli("tokens", "create", "--name", "nightly", "--service-account", "report", "--method", "GET", "--path", "/contacts",
                         "--address", "127.0.0.0/8", "--risk", "read", "--folder", "shared", "--expires", "12h").out.strip()
        made = self.cli("tokens", "list", "--caller", self.cli("service-accounts", "get", "report", "--json").json["id"],
                        "--json").json["items"][0]
        self.assertEqual((made["grants"]["methods"], made["grants"]["paths"], made["grants"]["addresses"], made["grants"]["risks"]),
                         (["GET"], ["/contacts"], ["127.0.0.0/8"], ["read"]))
        self.assertEqual(len(made["grants"]["folders"]), 1)
        changed = self.cli("tokens", "update", made["id"], "--method", "GET", "--method", "HEAD", "--json").json
        self.assertEqual((changed["grants"]["methods"], changed["grants"]["paths"]), (["GET", "HEAD"], ["/contacts"]))
        self.cli("connections", "list", token=token)
        self.cli("service-accounts", "disable", "report")
        self.cli("connections", "list", token=token, code=DENIED)
        self.cli("service-accounts", "enable", "report")
        self.cli("tokens", "revoke", made["id"])
        self.cli("connections", "list", token=token, code=DENIED)
        self.cli("service-accounts", "update", "report", "--name", "reports")
        self.cli("service-accounts", "delete", "reports", "--yes")
        longer = self.cli("tokens", "create", "--name", "long", "--expires", "400d", code=USAGE)
        self.assertRegex(longer.err, r"later than the end of your own token, 20\d\d-")

    def test_the_log_is_checked_and_a_hidden_value_is_found_in_it(self):
        self.assertTrue(self.cli("audit", "verify", "--json").json["ok"])
        hidden = self.cli("audit", "hash", stdin="owner@example.com").out.strip()
        self.assertIn(hidden, self.cli("audit", "export").out)

    def test_a_second_factor_is_set_up_asked_for_and_taken_off(self):
        mine = ("--email", "owner@example.com", "--password-file", self.password)
        setting = self.at_terminal(harness.Terminal("second-factor", "enable", *mine, server=self.here.url))
        setting.expect("The code that the app shows now: ")
        uri = re.search(r"otpauth://totp/Raccord:owner%40example.com\S+", setting.shown).group()
        key = re.search(r"[?&]secret=([A-Z2-7]+)", uri).group(1)
        self.assertIn(" ".join(key[i:i + 4] for i in range(0, len(key), 4)), setting.shown)
        setting.type("12")
        setting.expect("That is not its code")
        setting.type(harness.totp(uri, -1))
        self.assertEqual(setting.end(), DONE, setting.shown)
        codes = re.findall(r"^[a-z2-7]{4}(?:-[a-z2-7]{4}){3}$", setting.shown, re.M)
        self.assertEqual(len(codes), 10, setting.shown)
        self.assertEqual(self.cli("sessions", "list", "--json").json["items"], [], "nothing stays signed in")
        without = self.cli("login", *mine, code=DENIED)
        self.assertIn("--code CODE", without.err)
        asked = self.at_terminal(harness.Terminal("login", *mine, server=self.here.url))
        asked.expect("Code of the second factor: ")
        asked.type(harness.totp(uri))
        self.assertEqual(asked.end(), DONE, asked.shown)
        self.assertRegex(asked.shown, r"rcd_\w+")
        status = self.cli("second-factor", "status", *mine, "--code", codes[0], "--json").json
        self.assertEqual((status["enabled"], status["recovery_codes_left"]), (True, 9))
        fresh = self.cli("second-factor", "recovery-codes", *mine, "--code", codes[1]).out.split()
        self.assertEqual(len(fresh), 10)
        self.cli("login", *mine, "--code", codes[2], code=DENIED)
        self.cli("second-factor", "disable", *mine, "--code", fresh[0], code=USAGE)
        self.cli("second-factor", "disable", *mine, "--code", fresh[0], "--yes")
        self.assertRegex(self.cli("login", *mine).out, r"^rcd_\w+$")

    def test_a_code_that_is_never_right_sets_nothing_up(self):
        mine = ("--email", "owner@example.com", "--password-file", self.password)
        refused = self.cli("second-factor", "enable", *mine, stdin="000000\n111111\n222222\n", code=DENIED)
        self.assertTrue(refused.out.startswith("otpauth://"), refused)
        self.assertEqual(self.cli("sessions", "list", "--json").json["items"], [])
        self.assertRegex(self.cli("login", *mine).out, r"^rcd_\w+$")
        self.assertIn("--email is missing", self.cli("second-factor", "enable", code=USAGE).err)


if __name__ == "__main__":
    unittest.main()
