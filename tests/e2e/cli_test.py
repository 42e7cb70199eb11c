"""The command line: what people type, what they see, and what never shows."""
import json
import os
import re
import signal
import subprocess
import termios
import unittest

import harness

DONE, FAILED, USAGE, MISSING, DENIED, PROVIDER = range(6)


class Usage(harness.Case):
    """Without a hub."""

    def verbs(self):
        return re.findall(r"^  ([a-z-]+(?: [a-z]+)?)  +\S", harness.run("help").out, re.M)

    def test_help_names_every_verb_and_every_verb_has_help(self):
        verbs = self.verbs()
        self.assertGreater(len(verbs), 25)
        for verb in verbs:
            asked, flagged = harness.run("help", *verb.split()), harness.run(*verb.split(), "--help")
            self.assertEqual((asked.code, flagged.code), (DONE, DONE), verb)
            self.assertTrue(asked.out.startswith(f"Usage: raccord {verb}"), asked)
            self.assertEqual(asked.out, flagged.out)

    def test_nothing_at_all_shows_help_and_is_wrong_usage(self):
        done = harness.run()
        self.assertEqual((done.code, done.out), (USAGE, ""))
        self.assertIn("Usage: raccord", done.err)

    def test_the_version_is_told_both_ways(self):
        self.assertRegex(harness.run("--version").out, r"^raccord \d+\.\d+\.\d+\n$")
        self.assertEqual(harness.run("--version").out, harness.run("version").out)

    def test_a_mistyped_verb_is_told_the_nearest_one(self):
        for typed, meant in (("conections list", "connections list"), ("connections lsit", "connections list"), ("cal", "call"),
                             ("token craete", "token create"), ("serv", "serve")):
            done = harness.run(*typed.split())
            self.assertEqual(done.code, USAGE)
            self.assertIn(f"Did you mean “raccord {meant}”?", done.err)

    def test_a_verb_that_resembles_nothing_gets_no_suggestion(self):
        done = harness.run("frobnicate")
        self.assertEqual(done.code, USAGE)
        self.assertIn("there is no verb “frobnicate”", done.err)
        self.assertNotIn("mean", done.err)

    def test_half_a_verb_lists_its_other_halves(self):
        done = harness.run("connections")
        self.assertEqual((done.code, done.out), (USAGE, ""))
        self.assertIn("raccord connections verify", done.err)
        self.assertEqual(harness.run("connections", "--help").code, DONE)

    def test_a_mistyped_option_is_told_the_nearest_one(self):
        done = harness.run("connections", "list", "--serach", "x")
        self.assertEqual(done.code, USAGE)
        self.assertIn("Did you mean --search?", done.err)

    def test_an_option_of_another_verb_is_refused(self):
        done = harness.run("connections", "list", "--email", "x")
        self.assertEqual(done.code, USAGE)
        self.assertIn("there is no option --email for connections list", done.err)

    def test_arguments_and_values_are_counted(self):
        for words, said in ((("connections", "get"), "an argument is missing: raccord connections get ID"),
                            (("connections", "get", "a", "b"), "“b” is one argument too many"),
                            (("connections", "list", "--limit"), "--limit needs a value: N"),
                            (("connections", "list", "--limit", "0"), "--limit needs a number of at least 1"),
                            (("connections", "list", "--state", "a", "--state", "b"), "--state stands twice"),
                            (("connections", "list", "--json=yes"), "--json takes no value"),
                            (("call", "a", "GET", "/", "-q", "novalue"), "--query takes NAME=VALUE"),
                            (("call", "a", "GET", "/", "-H", "novalue"), "--header takes 'NAME: VALUE'"),
                            (("connections", "create", "--connector", "http", "--name", "x", "--field", "novalue"), "--field takes NAME=VALUE"),
                            (("connections", "create", "--connector", "http", "--name", "x", "--field", "n:={"), "not valid JSON"),
                            (("runs", "list", "--since", "yesterday"), "--since takes a time")):
            done = harness.run(*words)
            self.assertEqual((done.code, done.out), (USAGE, ""), done)
            self.assertIn(said, done.err)

    def test_every_option_that_help_shows_is_taken(self):
        """Each verb, each of its options with a value: never "there is no option"."""
        for verb in self.verbs():
            if verb in ("serve", "config check", "config list", "help", "version", "completion"):
                continue
            for option, value in re.findall(r"^  (?:-\w, |    )--([a-z-]+)( \S+)?", harness.run("help", *verb.split()).out, re.M):
                done = harness.run(*verb.split(), f"--{option}", *(["x"] if value else []), server="http://127.0.0.1:1",
                                   cwd=self.folder)
                self.assertNotIn("there is no option", done.err, (verb, option))

    def test_the_completion_script_is_valid_and_offers_every_verb(self):
        script = harness.run("completion", "bash").out
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
        ask = (script + '\nCOMP_WORDS=(raccord connections "");COMP_CWORD=2;_raccord;echo "${COMPREPLY[@]}"'
               '\nCOMP_WORDS=(raccord runs list --li);COMP_CWORD=3;_raccord;echo "${COMPREPLY[@]}"'
               '\nCOMP_WORDS=(raccord "");COMP_CWORD=1;_raccord;echo "${COMPREPLY[@]}"')
        second, option, first = subprocess.run(["bash"], input=ask.encode(), stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
        self.assertEqual(second.split(), "list get create connect authorize update credentials verify enable disable default usage grant renewals renew history duplicate delete restore move share shares unshare".split())
        self.assertEqual(option, "--limit")
        self.assertEqual(set(first.split()) - {"--version"}, {v.split()[0] for v in self.verbs()})

    def test_the_manual_page_names_every_verb_and_has_no_stray_request(self):
        page = harness.run("help", "--man").out
        for verb in self.verbs():
            self.assertIn(".B raccord " + verb.replace("-", "\\-"), page)
        for line in page.splitlines():
            self.assertRegex(line, r"^(\.(TH|SH|TP|B|I|IP|nf|fi)\b|\\&|[^.']|$)")

    def test_a_full_disk_is_not_success(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.binary(), "help"], stdout=full, stderr=subprocess.PIPE, env=harness.environment())
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"could not be written", done.stderr)

    def test_settings_are_checked_and_listed(self):
        self.assertEqual(harness.run("config", "check").code, DONE)
        wrong = harness.run("config", "check", env={"RACCORD_LOG_LEVEL": "loud"})
        self.assertEqual(wrong.code, USAGE)
        self.assertIn("log.level", wrong.err)
        self.assertEqual(harness.run("config", "check", "--no-such-setting", "1").code, USAGE)
        self.assertEqual(harness.run("config", "check", "--config", self.path("absent.yaml")).code, FAILED)
        config = self.file("raccord.yaml", "listen: 127.0.0.1:9999\n")
        listed = harness.run("config", "list", "--json", "--config", config, env={"RACCORD_THREADS": "3"}).json["items"]
        rows = {row["name"]: row for row in listed}
        self.assertEqual((rows["listen"]["value"], rows["listen"]["source"]), ("127.0.0.1:9999", "file"))
        self.assertEqual((rows["threads"]["value"], rows["threads"]["source"]), ("3", "environment"))
        self.assertRegex(harness.run("config", "list", "--config", config).out, r"(?m)^listen +127\.0\.0\.1:9999 +file ")

    def test_a_mistyped_setting_in_the_environment_is_warned_of(self):
        self.assertIn("RACCORD_LISTNE", harness.run("config", "check", env={"RACCORD_LISTNE": "x"}).err)

    def test_the_master_key_is_never_listed(self):
        key = "a9" * 32
        self.assertNotIn(key, harness.run("config", "list", env={"RACCORD_MASTER_KEY": key}).out)


class Local(harness.Case):
    """token create and user create: on the database, beside a running hub too."""

    def test_a_token_is_all_that_stands_on_stdout(self):
        done = harness.run("token", "create", "--data", self.path("data"), "--name", "ci", "--role", "user")
        self.assertEqual((done.code, done.err), (DONE, ""))
        self.assertRegex(done.out, r"^rcd_[a-z2-7]{46}\n$")

    def test_a_token_made_before_the_first_start_works_after_it(self):
        token = harness.run("token", "create", "--data", self.path("data"), "--name", "ci", "--role", "admin").out.strip()
        hub = self.hub(data=self.path("data"))
        self.assertEqual(hub.get("/api/v1/connections", token=token).status, 200)
        self.assertEqual(hub.get("/api/v1/connections", token=token[:-1] + ("a" if token[-1] != "a" else "b")).status, 401)

    def test_a_token_made_beside_a_running_hub_works_at_once(self):
        hub = self.hub()
        self.assertEqual(hub.get("/api/v1/connections", token=hub.token("later", "user")).status, 200)

    def test_a_token_limited_to_a_connection_uses_only_that_one(self):
        hub = self.hub("--demo")
        hub.line("token")
        other = hub.connection("other", "https://api.example.com")
        token = hub.token("narrow", "user", "--connection", "demo")
        self.assertEqual(hub.cli("call", "demo", "GET", "/me", token=token).code, DONE)
        self.assertEqual(hub.cli("call", "other", "GET", "/", token=token).code, MISSING)
        self.assertEqual(hub.cli("call", other["id"], "GET", "/", token=token).code, MISSING)

    def test_a_token_for_a_connection_that_is_not_there_is_not_made(self):
        done = harness.run("token", "create", "--data", self.path("data"), "--name", "x", "--role", "user", "--connection", "absent")
        self.assertEqual((done.code, done.out), (MISSING, ""))
        self.assertIn("“absent”", done.err)

    def test_what_is_missing_or_wrong_is_named(self):
        base = ["token", "create", "--data", self.path("data"), "--name", "x", "--role", "user"]
        for words, said in ((base[:4] + base[6:], "--name is missing"), (base[:6], "--role is missing"), (base[:2] + base[4:], "--data is missing"),
                            (base + ["--expires", "soon"], "--expires takes"), (base[:7] + ["king"], "there is no role “king”")):
            done = harness.run(*words)
            self.assertEqual((done.code, done.out), (USAGE, ""), words)
            self.assertIn(said, done.err)

    def test_a_token_does_not_claim_more_than_its_account_may(self):
        create = ["token", "create", "--data", self.path("data"), "--name", "ci", "--role"]
        self.assertEqual(harness.run(*create, "user").code, DONE)
        done = harness.run(*create, "admin")
        self.assertEqual((done.code, done.out), (USAGE, ""))
        self.assertIn("“ci” has the role user", done.err)
        self.assertEqual(harness.run(*create, "user").code, DONE)

    @harness.embedded
    def test_the_database_is_for_its_owner_only(self):
        harness.run("token", "create", "--data", self.path("data"), "--name", "x", "--role", "user")
        self.assertEqual(os.stat(self.path("data")).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.path("data/raccord.db")).st_mode & 0o777, 0o600)

    @harness.embedded
    def test_a_database_that_is_none_is_refused(self):
        os.mkdir(self.path("data"))
        self.file("data/raccord.db", "this is no database, " * 100)
        done = harness.run("token", "create", "--data", self.path("data"), "--name", "x", "--role", "user")
        self.assertEqual((done.code, done.out), (FAILED, ""))

    def sign_in(self, hub, email, password):
        return hub.post("/api/v1/session", {"email": email, "password": password}, token="").status

    def test_a_user_made_from_standard_input_a_file_or_a_terminal_signs_in(self):
        hub = self.hub()
        create = ["user", "create", "--data", hub.data, "--role", "admin", "--email"]
        self.assertRegex(harness.run(*create, "a@example.com", stdin=harness.PASSWORD + "\n").out, r"^usr_\w{26}\n$")
        password = self.file("password", harness.PASSWORD + "\r\n")
        self.assertEqual(harness.run(*create, "b@example.com", "--password-file", password).code, DONE)
        t = self.at_terminal(harness.Terminal(*create, "c@example.com"))
        t.expect("Password: ")
        t.type(harness.PASSWORD)
        t.expect("Once more: ")
        t.type(harness.PASSWORD)
        self.assertEqual(t.end(), DONE)
        self.assertNotIn(harness.PASSWORD, t.shown)
        for who in "abc":
            self.assertIn(self.sign_in(hub, f"{who}@example.com", harness.PASSWORD), (200, 201))
        self.assertEqual(self.sign_in(hub, "a@example.com", harness.PASSWORD + "x"), 401)

    def test_two_passwords_that_differ_make_no_user(self):
        t = self.at_terminal(harness.Terminal("user", "create", "--data", self.path("data"), "--role", "user", "--email", "a@example.com"))
        t.expect("Password: ")
        t.type(harness.PASSWORD)
        t.expect("Once more: ")
        t.type(harness.PASSWORD + "x")
        self.assertEqual(t.end(), USAGE)
        self.assertIn("the two passwords differ", t.shown)

    def test_a_weak_password_or_a_second_user_of_that_address_is_refused(self):
        create = ["user", "create", "--data", self.path("data"), "--role", "user", "--email", "a@example.com"]
        self.assertEqual(harness.run(*create, stdin="short\n").code, USAGE)
        self.assertEqual(harness.run(*create, stdin="").code, USAGE)
        self.assertEqual(harness.run(*create, stdin=harness.PASSWORD).code, DONE)
        self.assertEqual(harness.run(*create, stdin=harness.PASSWORD).code, FAILED)

    def test_ctrl_c_at_a_prompt_gives_the_echo_back(self):
        t = self.at_terminal(harness.Terminal("user", "create", "--data", self.path("data"), "--role", "user", "--email", "a@example.com"))
        t.expect("Password: ")
        self.assertFalse(termios.tcgetattr(t.fd)[3] & termios.ECHO)
        t.process.send_signal(signal.SIGINT)
        self.assertEqual(t.process.wait(harness.DEADLINE), 128 + signal.SIGINT)
        self.assertTrue(termios.tcgetattr(t.fd)[3] & termios.ECHO)


class WithoutHub(harness.Case):
    def test_a_hub_that_is_not_there_is_named(self):
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{harness.free_port()}")
        self.assertEqual((done.code, done.out), (FAILED, ""))
        self.assertRegex(done.err, r"No hub answers at http://127\.0\.0\.1:\d+")

    def test_it_speaks_french_where_the_environment_does(self):
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{harness.free_port()}", env={"LC_ALL": "fr_FR.UTF-8"})
        self.assertIn("Aucun hub ne répond", done.err)

    def test_something_else_that_answers_is_not_taken_for_a_hub(self):
        page = self.upstream([harness.answer(b"<html>", content_type="text/html")])
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{page.port}")
        self.assertEqual((done.code, done.out), (FAILED, ""))
        self.assertIn("no hub", done.err)
        broken = self.upstream([harness.answer(b"<html>", status="502 Bad Gateway", content_type="text/html")])
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{broken.port}")
        self.assertEqual(done.code, PROVIDER)
        self.assertIn("status 502", done.err)

    def test_a_code_that_this_version_does_not_know_exits_by_its_status(self):
        for status, code in (("404 Not Found", MISSING), ("403 Forbidden", DENIED), ("400 Bad Request", USAGE), ("409 Conflict", FAILED),
                             ("504 Gateway Timeout", PROVIDER)):
            body = b'{"title":"t","detail":"from the future","code":"never_heard_of","run_id":"run_1"}'
            hub = self.upstream([harness.answer(body, status=status, content_type="application/problem+json")])
            done = harness.run("connections", "get", "x", server=f"http://127.0.0.1:{hub.port}")
            self.assertEqual(done.code, code, status)
            self.assertIn("from the future (never_heard_of)", done.err)
            self.assertIn("run: run_1", done.err)

    def test_what_a_hub_says_cannot_steer_the_terminal(self):
        body = json.dumps({"items": [{"key": "a\x1b[31mb", "name": "c\u202ed"}], "next_cursor": None}).encode()
        hub = self.upstream([harness.answer(body)])
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{hub.port}")
        self.assertNotIn("\x1b", done.out)
        self.assertNotIn("\u202e", done.out)

    def test_a_list_whose_pages_never_end_is_not_followed_for_ever(self):
        hub = self.upstream([harness.answer(b'{"items":[],"next_cursor":"again"}')])
        done = harness.run("connections", "list", server=f"http://127.0.0.1:{hub.port}", seconds=20)
        self.assertEqual(done.code, DONE)
        self.assertEqual(len(hub.requests()), 1)

    def test_what_is_sent_says_who_asks_in_which_language_and_with_which_token(self):
        hub = self.upstream([harness.answer(b'{"items":[],"next_cursor":null}')])
        harness.run("connections", "list", "--search", "a b&c", server=f"http://127.0.0.1:{hub.port}/", token="rcd_x", env={"LC_ALL": "fr_CA"})
        head = hub.requests()[0]
        self.assertTrue(head.startswith("GET /api/v1/connections?search=a%20b%26c&limit=200 HTTP/1.1\r\n"), head)
        self.assertIn("Authorization: Bearer rcd_x\r\n", head)
        self.assertIn("Accept-Language: fr\r\n", head)

    def test_a_token_in_the_open_is_warned_of(self):
        hub = self.upstream([harness.answer(b'{"items":[],"next_cursor":null}')], host="127.0.0.2")
        url = f"http://127.0.0.2:{hub.port}"
        self.assertIn("travels unencrypted", harness.run("connections", "list", server=url, token="rcd_x").err)
        self.assertNotIn("travels unencrypted", harness.run("connections", "list", server=url).err)

    def test_a_token_on_the_command_line_is_warned_of_and_one_in_a_file_is_not(self):
        hub = self.upstream([harness.answer(b'{"items":[],"next_cursor":null}')])
        url = f"http://127.0.0.1:{hub.port}"
        self.assertIn("other users can see", harness.run("connections", "list", "--token", "rcd_1", server=url).err)
        done = harness.run("connections", "list", "--token-file", self.file("token", "rcd_2\n"), server=url, token="rcd_3")
        self.assertEqual(done.err, "")
        self.assertIn("Bearer rcd_1\r\n", hub.requests()[0])
        self.assertIn("Bearer rcd_2\r\n", hub.requests()[1])
        self.assertEqual(harness.run("connections", "list", "--token", "a", "--token-file", "b", server=url).code, USAGE)

    def test_tls_is_verified_and_ca_file_adds_a_root(self):
        pki = self.pki()
        hub = self.upstream([harness.answer(b'{"items":[],"next_cursor":null}')], pki=pki)
        refused = harness.run("connections", "list", server=hub.url, token="rcd_x")
        self.assertEqual(refused.code, FAILED)
        self.assertIn("TLS", refused.err)
        self.assertEqual(hub.requests(), [])
        self.assertEqual(harness.run("connections", "list", "--ca-file", pki.ca, server=hub.url, token="rcd_x").code, DONE)

    def test_neither_token_stays_readable_in_the_process(self):
        pages = self.upstream([harness.answer(b'{"id":"con_1"}', status="201 Created")])
        for more, token in (([], "rcd_inenvironment"), (["--token", "rcd_inarguments"], None)):
            t = self.at_terminal(harness.Terminal("connections", "create", "--connector", "http", "--name", "x", "--credential", "token", *more,
                                                  server=f"http://127.0.0.1:{pages.port}", token=token))
            t.expect("token: ")
            for name in ("environ", "cmdline"):
                with open(f"/proc/{t.process.pid}/{name}", "rb") as f:
                    self.assertNotIn(b"rcd_in", f.read(), name)
            t.type("s3cret")
            self.assertEqual(t.end(), DONE)
            self.assertNotIn("s3cret", t.shown)
        for bytes_ in pages.received:
            self.assertIn(b"Bearer rcd_in", bytes_)
            self.assertIn(b'"credentials":{"token":"s3cret"}', bytes_)


class Connections(harness.SharedHub):
    def cli(self, *arguments, **more):
        return self.shared.cli(*arguments, **more)

    def create(self, key, *more, **options):
        return self.cli("connections", "create", "--connector", "http", "--auth-type", "bearer", "--key", key, "--name", key.upper(),
                        "--folder", "shared", "--field", "base_url=https://api.example.com/v2", *more, **options)

    def test_an_empty_list_says_what_to_do(self):
        hub = self.hub()
        done = hub.cli("connections", "list")
        self.assertEqual(done.code, DONE)
        self.assertIn("No connections yet. Create one: raccord connections create", done.out)
        self.assertEqual(hub.cli("connections", "list", "--search", "x").out, "No connection matches.\n")
        self.assertEqual(hub.cli("connections", "list", "--json").json, {"items": [], "next_cursor": None})
        self.assertIn("No runs yet", hub.cli("runs", "list").out)

    def test_a_credential_comes_from_a_file_or_standard_input_and_shows_nowhere(self):
        canary = "canary-7f3a9c51"
        from_file = self.create("file", "--credential", "token=@" + self.file("secret", canary + "\n"))
        from_input = self.create("input", "--credential", "token=-", stdin=canary + "\n")
        for done in (from_file, from_input):
            self.assertEqual(done.code, DONE, done)
            self.assertRegex(done.out, r"(?m)^state +active$")
            self.assertRegex(done.out, r"(?m)^credentials\.token\.set +yes$")
        everything = "".join(p.out + p.err for p in (from_file, from_input, self.cli("connections", "get", "file", "--json"),
                                                      self.cli("connections", "list", "--json"), self.cli("runs", "list", "--json")))
        self.assertNotIn(canary, everything + self.shared.log())

    def test_a_credential_on_the_command_line_is_refused_before_anything_is_sent(self):
        done = self.create("argv", "--credential", "token=oops-secret")
        self.assertEqual((done.code, done.out), (USAGE, ""))
        self.assertNotIn("oops-secret", done.err)
        self.assertIn("--credential token=@FILE", done.err)
        self.assertEqual(self.cli("connections", "get", "argv").code, MISSING)

    def test_a_credential_is_asked_for_at_a_terminal_only(self):
        self.assertEqual(self.create("nobody", "--credential", "token").code, USAGE)
        t = self.at_terminal(self.shared.terminal("connections", "create", "--connector", "http", "--auth-type", "bearer", "--key", "asked",
                                                  "--name", "Asked", "--folder", "shared", "--field", "base_url=https://api.example.com",
                                                  "--credential", "token"))
        t.expect("token: ")
        t.type("typed-unseen")
        self.assertEqual(t.end(), DONE, t.shown)
        self.assertNotIn("typed-unseen", t.shown)

    def test_the_whole_body_may_come_from_a_file(self):
        body = {"connector": "http", "auth_type": "bearer", "key": "whole", "name": "Whole", "folder": "shared",
                "fields": {"base_url": "https://api.example.com"}, "credentials": {"token": "in-the-body"}}
        done = self.cli("connections", "create", "--body", "@" + self.file("body.json", json.dumps(body)), "--json")
        self.assertEqual(done.code, DONE, done)
        self.assertEqual(done.json["key"], "whole")
        self.assertEqual(self.cli("connections", "create", "--body", "@x", "--name", "y").code, USAGE)
        self.assertEqual(self.cli("connections", "create", "--body", json.dumps(body)).code, USAGE)

    def test_what_the_hub_refuses_is_shown_with_its_place(self):
        done = self.create("bad", "--field", "no_such_field=1")
        self.assertEqual(done.code, USAGE)
        self.assertIn("no_such_field", done.err)
        self.assertEqual(self.create("UPPER CASE").code, USAGE)
        self.assertEqual(self.cli("connections", "create", "--connector", "absent", "--name", "x").code, MISSING)

    def test_a_key_that_is_taken_is_a_failure(self):
        self.assertEqual(self.create("twice").code, DONE)
        self.assertEqual(self.create("twice").code, FAILED)

    def test_get_list_update_and_states(self):
        self.assertEqual(self.create("life", "--notes", "first", "--credential", "token=-", stdin="x" * 20).code, DONE)
        self.assertRegex(self.cli("connections", "list").out, r"(?m)^life +LIFE +http +bearer +api\.example\.com +active +unknown +- +shared +con_")
        self.assertEqual(self.cli("connections", "get", "life", "--json").json["notes"], "first")
        changed = self.cli("connections", "update", "life", "--name", "Nouvelle vie", "--notes", "second", "--json")
        self.assertEqual((changed.json["name"], changed.json["notes"]), ("Nouvelle vie", "second"))
        self.assertEqual(self.cli("connections", "update", "life").code, USAGE)
        self.assertEqual(self.cli("connections", "disable", "life", "--json").json["state"], "disabled")
        self.assertEqual(self.cli("call", "life", "GET", "/").code, FAILED)
        self.assertIn("Nouvelle vie", self.cli("connections", "list", "--state", "disabled").out)
        self.assertEqual(self.cli("connections", "enable", "life", "--json").json["state"], "active")
        by_id = self.cli("connections", "get", changed.json["id"], "--json").json
        self.assertEqual(by_id["key"], "life")

    def test_new_credentials_replace_the_old_ones(self):
        created = self.create("renew", "--credential", "token=-", stdin="old-credential")
        self.assertEqual(created.code, DONE)
        done = self.cli("connections", "credentials", "renew", "--credential", "token=-", "--json", stdin="new-credential")
        self.assertEqual(done.code, DONE, done)
        self.assertEqual(self.cli("connections", "credentials", "renew").code, USAGE)
        self.assertEqual(self.cli("connections", "credentials", "absent", "--credential", "token=-", stdin="x").code, MISSING)

    def test_deleting_asks_first(self):
        self.assertEqual(self.create("doomed").code, DONE)
        self.assertEqual(self.cli("connections", "delete", "doomed").code, USAGE)
        wrong = self.at_terminal(self.shared.terminal("connections", "delete", "doomed"))
        wrong.expect("Type its key to confirm: ")
        wrong.type("domed")
        self.assertEqual(wrong.end(), FAILED)
        self.assertIn("nothing was deleted", wrong.shown)
        self.assertEqual(self.cli("connections", "get", "doomed").code, DONE)
        right = self.at_terminal(self.shared.terminal("connections", "delete", "doomed"))
        right.expect("Type its key to confirm: ")
        right.type("doomed")
        self.assertEqual(right.end(), DONE)
        self.assertEqual(self.cli("connections", "get", "doomed").code, MISSING)
        self.assertEqual(self.create("doomed").code, DONE)
        self.assertEqual(self.cli("connections", "delete", "doomed", "--yes").out, "Deleted: doomed\n")
        self.assertEqual(self.cli("connections", "delete", "doomed", "--yes").code, MISSING)

    def test_deleting_a_default_names_its_heir(self):
        self.assertEqual(self.cli("folders", "create", "shared/heirs").code, DONE)
        for key in ("first", "second", "third"):
            self.shared.connection(key, "https://api.example.com", folder="shared/heirs")
        default = lambda: [c["key"] for c in json.loads(self.cli("connections", "list", "--folder", "shared/heirs", "--json").out)["items"] if c["default"]]
        self.assertEqual(default(), ["first"])
        self.assertEqual(self.cli("connections", "delete", "first", "--yes").code, FAILED)
        self.assertEqual(self.cli("connections", "delete", "first", "--yes", "--heir", "third").code, DONE)
        self.assertEqual(default(), ["third"])
        asked = self.at_terminal(self.shared.terminal("connections", "delete", "third"))
        asked.expect("Type its key to confirm: ")
        asked.type("third")
        asked.expect("Its key (nothing: none): ")
        self.assertIn("second", asked.shown)
        asked.type("second")
        self.assertEqual(asked.end(), DONE)
        self.assertEqual(default(), ["second"])

    def test_what_others_depend_on_is_shown_before_it_is_harmed(self):
        self.assertEqual(self.create("relied-on").code, DONE)
        made = json.loads(self.cli("connections", "get", "relied-on", "--json").out)
        self.shared.post("/api/v1/tokens", {"name": "night-robot", "connections": [made["id"]]})
        self.assertEqual(self.cli("connections", "disable", "relied-on").code, USAGE)
        asked = self.at_terminal(self.shared.terminal("connections", "disable", "relied-on"))
        asked.expect("Go on? [y/N] ")
        self.assertIn("token night-robot depends on it", asked.shown)
        asked.type("n")
        self.assertEqual(asked.end(), FAILED)
        self.assertEqual(json.loads(self.cli("connections", "get", "relied-on", "--json").out)["state"], made["state"])
        self.assertEqual(self.cli("connections", "disable", "relied-on", "--yes").code, DONE)
        refused = self.cli("connections", "delete", "relied-on", "--yes")
        self.assertEqual(refused.code, FAILED)
        self.assertIn("in_use", refused.err + refused.out)
        self.assertEqual(self.cli("connections", "delete", "relied-on", "--yes", "--force").code, DONE)
        self.assertIn("relied-on", self.cli("connections", "list", "--state", "deleted").out)
        self.assertEqual(self.cli("connections", "restore", made["id"], "--key", "back").code, DONE)
        self.assertIn("connection.restore", self.cli("connections", "history", "back").out)
        self.assertEqual(self.cli("connections", "duplicate", "back", "--key", "back-2", "--auth-type", "basic").code, DONE)
        self.assertEqual(self.cli("connections", "update", "back-2", "--tag", "eu", "--tag", "crm").code, DONE)
        self.assertIn("back-2", self.cli("connections", "list", "--tag", "eu").out)
        self.assertEqual(self.cli("connections", "default", "back-2").code, DONE)
        self.assertIn("back-2", self.cli("connections", "list", "--default").out)

    def test_a_wrong_token_is_denied_and_none_too(self):
        self.assertEqual(self.cli("connections", "list", token="rcd_" + "a" * 46).code, DENIED)
        without = harness.run("connections", "list", server=self.shared.url)
        self.assertEqual(without.code, DENIED)
        self.assertIn("RACCORD_TOKEN", without.err)
        self.assertEqual(self.cli("connections", "list", token="two\nlines").code, USAGE)

    def test_a_user_may_not_administer(self):
        token = self.shared.token("humble", "user")
        self.assertEqual(self.cli("users", "list", token=token).code, DENIED)
        self.assertEqual(self.cli("connections", "list", token=token).code, DONE)

    def test_a_table_fits_its_terminal_and_is_whole_in_a_pipe(self):
        name = "A very long name indeed, which would not fit a narrow terminal at all"
        self.assertEqual(self.create("wide", "--notes", "x").code, DONE)
        self.assertEqual(self.cli("connections", "update", "wide", "--name", name).code, DONE)
        self.assertIn(name, self.cli("connections", "list").out)
        t = self.at_terminal(self.shared.terminal("connections", "list", columns=100))
        self.assertEqual(t.end(), DONE)
        self.assertNotIn(name, t.shown)
        self.assertIn("…", t.shown)
        self.assertLessEqual(max(len(line) for line in t.shown.splitlines()), 100)


class Lists(harness.SharedHub):
    COUNT = 230

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        c = cls.shared.connect()
        for i in range(cls.COUNT):
            made = cls.shared.post("/api/v1/tokens", {"name": f"many-{i:03}", "role": "user"}, connection=c)
            assert made.status == 201, made
        c.close()

    def test_all_pages_are_followed(self):
        rows = self.shared.cli("tokens", "list", "--json").json
        names = {row["name"] for row in rows["items"]}
        self.assertLessEqual({f"many-{i:03}" for i in range(self.COUNT)}, names)
        self.assertEqual(len(rows["items"]), len({row["id"] for row in rows["items"]}))
        self.assertIsNone(rows["next_cursor"])
        table = self.shared.cli("tokens", "list")
        self.assertEqual(len(table.out.splitlines()), len(rows["items"]) + 1)
        self.assertEqual(table.err, "")

    def test_a_limit_is_kept_across_pages_and_says_that_there_are_more(self):
        for limit in (1, 3, 200, 210):
            self.assertEqual(len(self.shared.cli("tokens", "list", "--limit", str(limit), "--json").json["items"]), limit)
        table = self.shared.cli("tokens", "list", "--limit", "3")
        self.assertEqual(len(table.out.splitlines()), 4)
        self.assertIn("There are more", table.err)

    def test_progress_shows_on_a_terminal_and_is_wiped(self):
        t = self.at_terminal(self.shared.terminal("tokens", "list"))
        self.assertEqual(t.end(), DONE)
        self.assertIn("\r200 ...", t.shown)
        self.assertIn("\r\x1b[K", t.shown)


class TokensAndUsers(harness.SharedHub):
    def test_a_revoked_token_is_refused(self):
        token = self.shared.token("brief", "user")
        rows = self.shared.cli("tokens", "list", "--json").json["items"]
        row = next(r for r in rows if r["name"] == "brief")
        self.assertNotIn(token, self.shared.cli("tokens", "get", row["id"]).out)
        self.assertEqual(self.shared.cli("connections", "list", token=token).code, DONE)
        self.assertEqual(self.shared.cli("tokens", "revoke", row["id"]).out, f"Revoked: {row['id']}\n")
        self.assertEqual(self.shared.cli("connections", "list", token=token).code, DENIED)
        self.assertEqual(self.shared.cli("tokens", "get", "tok_00000000000000000000000000").code, MISSING)

    def test_a_user_is_created_listed_and_read(self):
        done = self.shared.cli("users", "create", "--email", "zoe@example.com", "--role", "user", "--language", "fr", "--json",
                               stdin=harness.PASSWORD)
        self.assertEqual(done.code, DONE, done)
        self.assertNotIn(harness.PASSWORD, done.out)
        self.assertEqual((done.json["email"], done.json["role"], done.json["language"]), ("zoe@example.com", "user", "fr"))
        self.assertRegex(self.shared.cli("users", "list").out, r"(?m)^zoe@example\.com +user +fr +no +no .* usr_\w+$")
        self.assertRegex(self.shared.cli("users", "get", done.json["id"]).out, r"(?m)^email +zoe@example\.com$")
        self.assertEqual(self.shared.cli("users", "create", "--role", "user", stdin="x").code, USAGE)
        self.assertEqual(self.shared.cli("users", "create", "--email", "x@example.com", "--role", "user", stdin="short").code, USAGE)

    def test_connectors_are_listed_and_read(self):
        self.assertRegex(self.shared.cli("connectors", "list").out, r"(?m)^http +")
        self.assertEqual(self.shared.cli("connectors", "list", "--search", "no such thing").out, "No connector matches.\n")
        self.assertEqual(self.shared.cli("connectors", "get", "http", "--json").json["id"], "http")
        self.assertEqual(self.shared.cli("connectors", "get", "absent").code, MISSING)


class Calls(harness.SharedHub):
    """raccord call, against the demonstration provider."""

    hub_arguments = ("--demo",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared._admin = cls.shared.line("token")

    def call(self, *arguments, **more):
        return self.shared.cli("call", "demo", *arguments, **more)

    def test_the_printed_lines_work_as_they_are(self):
        for pattern in (r"^(?:curl: )?(curl .*)$", r"^(?:cli: )?(RACCORD_SERVER=.* call .*)$"):
            found = self.shared.out.wait(pattern)
            self.assertIsNotNone(found, self.shared.out.text())
            line = found.group(1).replace(" raccord ", f" {harness.binary()} ")
            done = subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.environment())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(json.loads(done.stdout)["data"]), 3)

    def test_the_providers_token_shows_nowhere(self):
        with open(os.path.join(self.shared.data, "demo", "ca.pem"), encoding="ascii") as f:
            self.assertIn("BEGIN CERTIFICATE", f.read())
        seen = self.call("GET", "/me", "-i").out + self.shared.cli("connections", "get", "demo").out + self.shared.log() + self.shared.out.text()
        self.assertNotIn("demo_", seen)

    def test_numbers_pass_unchanged(self):
        done = self.call("GET", "/deals/9007199254740993")
        self.assertEqual(done.code, DONE, done)
        self.assertIn('"id":9007199254740993', done.out)
        self.assertIn('"amount":19.99', done.out)
        sent = '{"last_name":"N","email":"n@example.com","balance":12345678901234567890.10}'
        self.assertIn('"balance":12345678901234567890.10', self.call("POST", "/contacts", "-d", sent).out)

    def test_parameters_are_encoded_and_may_repeat(self):
        done = self.call("GET", "/contacts", "-q", "search=Le Goff", "-q", "limit=2")
        self.assertEqual(done.code, DONE)
        self.assertTrue(all(row["last_name"] == "Le Goff" for row in json.loads(done.out)["data"]))

    def test_a_body_comes_from_text_a_file_or_standard_input(self):
        body = '{"last_name": "Éloïse", "email": "e@example.com"}'
        for argument, stdin in ((body, ""), ("@" + self.file("body", body), ""), ("-", body), ("@-", body)):
            done = self.call("POST", "/contacts", "-d", argument, stdin=stdin)
            self.assertEqual(done.code, DONE, done)
            self.assertEqual(json.loads(done.out)["last_name"], "Éloïse")

    def test_status_and_headers_come_first_when_asked_for(self):
        done = self.call("GET", "/contacts/1001", "-i")
        self.assertTrue(done.out.startswith("HTTP 200\n"), done)
        head, body = done.out.split("\n\n", 1)
        self.assertRegex(head, r'(?mi)^etag: "c1001-1"$')
        self.assertEqual(json.loads(body)["id"], 1001)

    def test_a_header_of_ones_own_is_sent(self):
        self.assertTrue(self.call("GET", "/contacts/1001", "-H", 'If-None-Match: "c1001-1"', "-i").out.startswith("HTTP 304\n"))

    def test_a_header_that_the_credential_sets_is_not_ones_own(self):
        done = self.call("GET", "/me", "-H", "authorization: Bearer mine")
        self.assertEqual((done.code, done.out), (USAGE, ""), done)
        self.assertIn("(header_refused)", done.err)

    def test_what_is_not_text_comes_out_byte_for_byte(self):
        done = self.call("GET", "/download", "-q", "bytes=50000", text=False)
        self.assertEqual(done.code, DONE)
        self.assertEqual(done.out, bytes(ord("a") + i % 23 for i in range(50000)))

    def test_a_providers_failure_exits_5_and_shows_its_answer(self):
        for status in (400, 404, 429, 500, 503):
            done = self.call("GET", "/fail", "-q", f"status={status}")
            self.assertEqual(done.code, PROVIDER)
            self.assertEqual(json.loads(done.out)["error"]["code"], "as_asked")
            self.assertIn(f"status {status}", done.err)

    def test_json_gives_the_whole_envelope(self):
        envelope = self.call("GET", "/me", "--json").json
        self.assertEqual((envelope["status"], envelope["body"]["id"]), (200, "acc_demo"))
        self.assertRegex(envelope["run_id"], r"^run_")
        failed = self.call("GET", "/fail", "--json")
        self.assertEqual((failed.code, failed.json["status"]), (PROVIDER, 500))

    def test_each_call_leaves_a_run(self):
        run_id = self.call("GET", "/me", "--json").json["run_id"]
        shown = None
        for _ in range(200):  # records leave in batches
            shown = self.shared.cli("runs", "get", run_id)
            if shown.code == DONE:
                break
        self.assertEqual(shown.code, DONE, shown)
        self.assertRegex(shown.out, r"(?m)^connection\.key +demo$")
        self.assertRegex(self.shared.cli("runs", "list", "--connection", "demo", "--since", "1h").out, rf"(?m)^.* GET .*{run_id}$")
        self.assertEqual(self.shared.cli("runs", "get", "run_00000000000000000000000000").code, MISSING)

    def test_a_connection_that_is_not_there_is_not_found(self):
        self.assertEqual(self.shared.cli("call", "absent", "GET", "/").code, MISSING)
        self.assertEqual(self.call("FETCH", "/").code, USAGE)

    def test_an_answer_that_does_not_come_is_the_providers_failure(self):
        hub = self.hub("--egress-allow-private", "localhost")
        hub.connection("dead", f"https://localhost:{harness.free_port()}", allowed_domain="localhost")
        done = hub.cli("call", "dead", "GET", "/")
        self.assertEqual((done.code, done.out), (PROVIDER, ""), done)
        self.assertIn("(upstream_connect)", done.err)

    def test_verify_says_whether_the_credentials_work(self):
        good = self.shared.cli("connections", "verify", "demo")
        self.assertEqual(good.code, DONE, good)
        self.assertRegex(good.out, r"(?m)^ok +yes$")
        base = self.shared.cli("connections", "get", "demo", "--json").json["fields"]["base_url"]
        self.shared.connection("refused", base, allowed_domain="localhost", fields={"verify_path": "/me"})
        bad = self.shared.cli("connections", "verify", "refused")
        self.assertEqual(bad.code, PROVIDER, bad)
        self.assertRegex(bad.out, r"(?m)^ok +no$")


if __name__ == "__main__":
    unittest.main()
