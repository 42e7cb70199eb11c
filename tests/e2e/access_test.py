"""Who may do what: roles at every door, tokens and their limits, people's own workspaces, and the console's cookie."""
import re
import threading
import time

import harness
from provider import problem

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
NEW = {"connector": "http", "auth_type": "bearer", "fields": {"base_url": "https://api.example.com"},
       "credentials": {"token": "t0ken"}}


def say_who(s, number):
    """A provider that answers with the credential it got."""
    while raw := s.read_request():
        s.sendall(harness.answer(re.search(rb"^authorization: (.*)\r$", raw, re.M | re.I).group(1), content_type="text/plain"))


class Person:
    """Signed in as the console is, with a cookie; and holding a token of their own."""

    def __init__(self, hub, email, password=harness.PASSWORD):
        self.hub, self.email = hub, email
        said = hub.post("/api/v1/session", {"email": email, "password": password}, token="")
        if said.status != 200:
            raise AssertionError(f"no session: {said!r}")
        self.set_cookie = said.header("set-cookie")
        self.cookie = self.set_cookie.split(";")[0]
        self.csrf = said.json["csrf_token"]
        self.id = said.json["principal"]["id"]
        self.token = self.ask("POST", "/api/v1/tokens", {"name": email, "role": said.json["role"]}).json["secret"]

    def ask(self, method, path, body=None, csrf=None, **headers):
        sent = {"Cookie": self.cookie}
        if csrf != "":
            sent["X-CSRF-Token"] = csrf or self.csrf
        sent.update(headers)
        return self.hub.request(method, path, body, headers=sent, token="")


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.provider = self.upstream([harness.answer()])
        self.hub1 = self.hub(env=PLAIN)
        self.shared = self.hub1.connection("shared-one", self.provider.url)
        code = self.hub1.line("setup").split("#")[1]
        made = self.hub1.post("/api/v1/setup",
                              {"code": code, "email": "owner@example.com", "password": harness.PASSWORD, "language": "en"},
                              token="")
        self.assertEqual(made.status, 201, made)
        self.owner = Person(self.hub1, "owner@example.com")

    def person(self, email, role="user"):
        made = self.owner.ask("POST", "/api/v1/users", {"email": email, "password": harness.PASSWORD, "role": role})
        self.assertEqual(made.status, 201, made)
        return Person(self.hub1, email)

    def ask(self, token, method, path, body=None, **more):
        return self.hub1.request(method, path, body, token=token, **more)

    def new_token(self, **body):
        made = self.hub1.post("/api/v1/tokens", dict({"name": "t"}, **body))
        self.assertEqual(made.status, 201, made)
        return made.json

    def token_of(self, name, role="user", **more):
        """A token of a service account of its own, with that account's role."""
        self.hub1.post("/api/v1/service-accounts", {"name": name, "role": role})
        return self.new_token(service_account=name, role=role, **more)


class Doors(Case):
    """What roles_test.py leaves out: doors that nobody is signed in for, doors of a person's session, and tokens that are none."""

    #       method, path, body, what everybody gets there, whatever is shown
    OPEN = [
        ("GET", "/", None, 200), ("GET", "/setup", None, 200), ("GET", "/invite", None, 200), ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200), ("GET", "/api/v1/openapi.json", None, 200), ("GET", "/api/v1/session/providers", None, 200),
        ("POST", "/api/v1/setup", {"code": "x"}, 409), ("POST", "/api/v1/invitations:accept", {"code": "x", "password": "y"}, 403),
        ("GET", "/oidc/callback", None, 400),
    ]
    #       method, path, body, what a token gets there: it is no session
    OF_A_SESSION = [
        ("GET", "/session", None, 200), ("POST", "/session:step-up", {"password": "x"}, 403), ("GET", "/sessions", None, 200),
        ("DELETE", "/sessions", None, 204), ("DELETE", "/sessions/{another}", None, 404), ("GET", "/second-factor", None, 403),
        ("POST", "/second-factor", None, 403), ("POST", "/second-factor/confirm", {"code": "x"}, 403),
        ("POST", "/second-factor/recovery-codes", None, 403), ("DELETE", "/second-factor", None, 403), ("DELETE", "/session", None, 204),
    ]

    def test_what_is_open_is_open_to_everybody_alike(self):
        for token in ("", "rcd_" + "a" * 46, self.token_of("plain")["secret"]):
            for method, path, body, status in self.OPEN:
                with self.subTest(f"{token[:8]}: {method} {path}"):
                    self.assertEqual(self.ask(token, method, path, body).status, status)

    def test_a_token_does_not_do_what_a_session_is_asked_for(self):
        another = self.person("other@example.com").ask("GET", "/api/v1/sessions").json["items"][0]["id"]
        token = self.token_of("plain")["secret"]
        for method, path, body, status in self.OF_A_SESSION:
            with self.subTest(f"{method} {path}"):
                said = self.ask(token, method, "/api/v1" + path.replace("{another}", another), body)
                self.assertEqual(said.status, status, said)

    def test_a_token_that_nobody_made_opens_no_door(self):
        with open(harness.ROOT + "/docs/access.md", encoding="utf-8") as f:
            doors = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| `(\w+)` \|", f.read(), re.M)
        self.assertGreater(len(doors), 100)
        for method, path, right in doors:
            if right == "open":
                continue
            with self.subTest(f"{method} {path}"):
                said = self.ask("rcd_" + "a" * 46, method, re.sub(r"\{[^}]*\}", "x", path), {} if method in ("POST", "PUT", "PATCH") else None)
                self.assertEqual(said.status, 401, said)
                problem(said, "token_invalid")

    def test_nobody_lifts_themselves(self):
        user, boss = self.person("u@example.com"), self.person("b@example.com", "admin")
        for body in ({"role": "admin"}, {"role": "owner"}, {"disabled": False, "role": "admin"}):
            self.assertIn(user.ask("PATCH", f"/api/v1/users/{user.id}", body).status, (403,))
        self.assertEqual(boss.ask("PATCH", f"/api/v1/users/{boss.id}", {"role": "owner"}).status, 403)
        self.assertEqual(boss.ask("PATCH", f"/api/v1/users/{self.owner.id}", {"password": "another long password"}).status, 403)
        self.assertEqual(boss.ask("POST", "/api/v1/users", {"email": "o@example.com", "role": "owner"}).status, 403)
        for role in ("admin", "owner"):
            problem(user.ask("POST", "/api/v1/tokens", {"name": "n", "role": role}), "denied")
        problem(boss.ask("POST", "/api/v1/tokens", {"name": "n", "role": "owner"}), "denied")
        problem(user.ask("POST", "/api/v1/tokens", {"name": "n", "service_account": "robot"}), "denied")
        problem(self.ask(user.token, "POST", "/api/v1/tokens", {"name": "n", "service_account": "tests"}), "denied")


class Tokens(Case):
    def test_a_limited_token_has_its_connection_and_nothing_else(self):
        other = self.hub1.connection("other-one", self.provider.url)
        made = self.token_of("limited", connections=["shared-one"])
        token = made["secret"]
        self.assertEqual(made["connections"], [self.shared["id"]])
        for name in ("shared-one", self.shared["id"]):
            self.assertEqual(self.ask(token, "GET", f"/proxy/{name}/x").status, 200)
            self.assertEqual(self.ask(token, "GET", f"/api/v1/connections/{name}").status, 200)
            self.assertEqual(self.ask(token, "POST", f"/api/v1/connections/{name}/call", {"method": "GET", "path": "/"}).status,
                             200)
        theirs = self.hub1.get("/proxy/other-one/x").header("raccord-run")
        before = len(self.provider.requests())
        for name in ("other-one", other["id"]):
            told = self.ask(token, "GET", f"/proxy/{name}/x")
            problem(told, ("connection_not_granted", "connection_not_found"))
            told = self.ask(token, "POST", f"/api/v1/connections/{name}/call", {"method": "GET", "path": "/"})
            problem(told, ("connection_not_granted", "connection_not_found"))
            for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None),
                                       ("PUT", "/credentials", {"token": "x"}),
                                       ("POST", "/verify", {}), ("POST", "/disable", {}), ("GET", "/usage", None)):
                told = self.ask(token, method, f"/api/v1/connections/{name}{path}", body)
                self.assertIn(told.status, (403, 404), told)
        self.assertEqual(len(self.provider.requests()), before)
        self.assertEqual([c["id"] for c in self.ask(token, "GET", "/api/v1/connections").json["items"]], [self.shared["id"]])
        runs = self.ask(token, "GET", "/api/v1/runs").json["items"]
        self.assertEqual({r["connection"]["id"] for r in runs} - {self.shared["id"]}, set())
        deadline = harness.Deadline()
        while self.hub1.get(f"/api/v1/runs/{theirs}").status != 200 and deadline.left():
            threading.Event().wait(0.02)
        self.assertEqual(self.ask(token, "GET", f"/api/v1/runs/{theirs}").status, 404)
        self.assertEqual(self.ask(token, "POST", "/api/v1/connections", NEW).status, 403)
        self.assertIn(self.ask(token, "POST", "/api/v1/tokens", {"name": "wider", "connections": ["other-one"]}).status, (403, 404))
        child = self.ask(token, "POST", "/api/v1/tokens", {"name": "child"})
        self.assertEqual(child.json["connections"], [self.shared["id"]])
        problem(self.ask(child.json["secret"], "GET", "/proxy/other-one/x"), ("connection_not_granted", "connection_not_found"))

    def test_a_token_ends_when_it_says_so_on_a_kept_connection_too(self):
        token = self.token_of("short", expires_in="1500ms")["secret"]
        line, api = self.hub1.connect(), self.hub1.connect()
        self.assertEqual(self.ask(token, "GET", "/proxy/shared-one/x", connection=line).status, 200)
        self.assertEqual(self.ask(token, "GET", "/api/v1/session", connection=api).status, 200)
        began, deadline = time.monotonic(), harness.Deadline(10)
        while deadline.left():
            told = self.ask(token, "GET", "/proxy/shared-one/x", connection=line)
            if told.status != 200:
                break
            threading.Event().wait(0.02)
        self.assertLess(time.monotonic() - began, 2.6)
        problem(told, "token_expired")
        self.assertEqual(told.status, 401)
        problem(self.ask(token, "GET", "/api/v1/session", connection=api), "token_expired")
        line.close()
        api.close()

    def stops_within_a_second(self, token, change, codes):
        """Kept connections on every loop, warm; then the change; each must be refused within a second of its acknowledgement."""
        lines = [self.hub1.connect() for _ in range(8)]
        for _ in range(3):
            for line in lines:
                self.assertEqual(self.ask(token, "GET", "/proxy/shared-one/x", connection=line).status, 200)
        acknowledged = change()
        self.assertIn(acknowledged.status, (200, 204), acknowledged)
        began = time.monotonic()
        waiting = list(lines)
        while waiting and time.monotonic() - began < 5:
            waiting = [line for line in waiting if self.ask(token, "GET", "/proxy/shared-one/x", connection=line).status == 200]
        self.assertEqual(waiting, [])
        self.assertLess(time.monotonic() - began, 1.0)
        before = len(self.provider.requests())
        for line in lines:
            problem(self.ask(token, "GET", "/proxy/shared-one/x", connection=line), codes)
            line.close()
        problem(self.ask(token, "GET", "/api/v1/connections"), codes)
        self.assertEqual(len(self.provider.requests()), before)

    def test_a_revoked_token_stops_at_once(self):
        made = self.token_of("revoked")
        self.stops_within_a_second(made["secret"], lambda: self.hub1.request("DELETE", f"/api/v1/tokens/{made['id']}"),
                                   "token_invalid")

    def test_a_disabled_accounts_token_stops_at_once(self):
        made = self.token_of("switched-off")
        where = f"/api/v1/service-accounts/{made['principal']['id']}"
        self.stops_within_a_second(made["secret"], lambda: self.hub1.request("PATCH", where, {"disabled": True}), "token_invalid")

    def test_a_deleted_accounts_token_stops_at_once(self):
        made = self.token_of("deleted")
        where = f"/api/v1/service-accounts/{made['principal']['id']}"
        self.stops_within_a_second(made["secret"], lambda: self.hub1.request("DELETE", where), "token_invalid")

    def test_a_disabled_users_token_and_session_stop_at_once(self):
        user = self.person("leaving@example.com")
        self.stops_within_a_second(user.token, lambda: self.owner.ask("PATCH", f"/api/v1/users/{user.id}", {"disabled": True}),
                                   "token_invalid")
        self.assertEqual(user.ask("GET", "/api/v1/session").status, 401)

    def test_an_end_that_is_moved_is_heeded(self):
        made = self.token_of("shortened")
        line = self.hub1.connect()
        self.assertEqual(self.ask(made["secret"], "GET", "/proxy/shared-one/x", connection=line).status, 200)
        self.assertEqual(self.hub1.request("PATCH", f"/api/v1/tokens/{made['id']}", {"expires_in": "100ms"}).status, 200)
        threading.Event().wait(0.11)
        problem(self.ask(made["secret"], "GET", "/proxy/shared-one/x", connection=line), "token_expired")
        line.close()

    def test_a_role_that_is_taken_narrows_the_token(self):
        made = self.token_of("demoted", "admin")
        self.assertEqual(self.ask(made["secret"], "GET", "/api/v1/users").status, 200)
        self.assertEqual(self.hub1.request("PATCH", f"/api/v1/service-accounts/{made['principal']['id']}", {"role": "user"}).status,
                         200)
        self.assertEqual(self.ask(made["secret"], "GET", "/api/v1/users").status, 403)
        self.assertEqual(self.ask(made["secret"], "PATCH", "/api/v1/connections/shared-one", {"name": "x"}).status, 403)

    def test_a_token_is_shown_once(self):
        made = self.new_token()
        for path in (f"/api/v1/tokens/{made['id']}", "/api/v1/tokens"):
            text = self.hub1.get(path).text
            self.assertNotIn(made["secret"], text)
            self.assertNotIn('"secret"', text)


class States(Case):
    def test_a_disabled_connection_refuses_at_once_on_kept_connections_too(self):
        lines = [self.hub1.connect() for _ in range(6)]
        for how in (lambda: self.hub1.post("/api/v1/connections/shared-one/disable", {}),
                    lambda: self.hub1.request("PATCH", "/api/v1/connections/shared-one", {"state": "disabled"})):
            for line in lines:
                self.assertEqual(self.hub1.get("/proxy/shared-one/x", connection=line).status, 200)
            self.assertEqual(how().json["state"], "disabled")
            before = len(self.provider.requests())
            for line in lines:
                told = self.hub1.get("/proxy/shared-one/x", connection=line)
                problem(told, "connection_disabled")
                self.assertEqual(told.status, 409)
            problem(self.hub1.post("/api/v1/connections/shared-one/call", {"method": "GET", "path": "/"}), "connection_disabled")
            problem(self.hub1.post("/api/v1/connections/shared-one/verify", {}), "connection_disabled")
            self.assertEqual(len(self.provider.requests()), before)
            self.assertEqual(self.hub1.request("PUT", "/api/v1/connections/shared-one/credentials", {"token": "n3w"}).json["state"],
                             "disabled")
            self.assertEqual(self.hub1.post("/api/v1/connections/shared-one/enable", {}).json["state"], "active")
        for line in lines:
            line.close()

    def test_new_credentials_are_used_from_the_next_call_on(self):
        echo = self.upstream(say_who)
        self.hub1.connection("echo", echo.url)
        lines = [self.hub1.connect() for _ in range(4)]
        for n in range(5):
            self.assertEqual(self.hub1.request("PUT", "/api/v1/connections/echo/credentials", {"token": f"generation-{n}"}).status,
                             200)
            for line in lines:
                self.assertEqual(self.hub1.get("/proxy/echo/x", connection=line).text, f"Bearer generation-{n}")
        for line in lines:
            line.close()

    def test_a_deleted_connection_is_gone_at_once(self):
        line = self.hub1.connect()
        self.assertEqual(self.hub1.get("/proxy/shared-one/x", connection=line).status, 200)
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/connections/shared-one").status, 204)
        problem(self.hub1.get("/proxy/shared-one/x", connection=line), "connection_not_found")
        problem(self.hub1.get(f"/proxy/{self.shared['id']}/x", connection=line), "connection_not_found")
        line.close()

    def test_without_credentials_nothing_is_sent(self):
        body = {k: v for k, v in NEW.items() if k != "credentials"}
        made = self.hub1.post("/api/v1/connections",
                              dict(body, key="empty", folder="shared", fields={"base_url": self.provider.url}))
        self.assertEqual((made.status, made.json["state"]), (201, "needs_auth"))
        problem(self.hub1.get("/proxy/empty/x"), "needs_auth")
        self.assertEqual(self.provider.requests(), [])


class PersonalWorkspaces(Case):
    def test_what_is_in_one_persons_workspace_is_not_there_for_others(self):
        alice, bob = self.person("alice@example.com"), self.person("bob@example.com")
        boss = self.person("boss@example.com", "admin")
        made = alice.ask("POST", "/api/v1/connections", dict(NEW, key="mine", fields={"base_url": self.provider.url}))
        self.assertEqual((made.status, made.json["folder"]["path"]), (201, "personal"))
        id_, folder = made.json["id"], made.json["folder"]["id"]
        self.assertEqual(self.ask(alice.token, "GET", f"/proxy/{id_}/x").status, 200)
        self.assertEqual(self.ask(alice.token, "GET", "/proxy/mine/x").status, 200)
        run = self.ask(alice.token, "GET", "/proxy/mine/x").header("raccord-run")
        deadline = harness.Deadline()
        while self.ask(alice.token, "GET", f"/api/v1/runs/{run}").status != 200 and deadline.left():
            threading.Event().wait(0.02)
        before = len(self.provider.requests())
        for who in (bob, boss, self.owner):
            for name in (id_, "mine"):
                with self.subTest(f"{who.email} {name}"):
                    for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}),
                                               ("PUT", "/credentials", {"token": "x"}), ("POST", "/verify", {}),
                                               ("POST", "/disable", {}), ("POST", "/enable", {}), ("POST", "/default", {}),
                                               ("GET", "/usage", None),
                                               ("POST", "/call", {"method": "GET", "path": "/"}), ("DELETE", "", None)):
                        told = who.ask(method, f"/api/v1/connections/{name}{path}", body)
                        self.assertEqual(told.status, 404, told)
                        missing = who.ask(method, f"/api/v1/connections/{name[:-1]}0{path}"
                                          if name == id_ else f"/api/v1/connections/none{path}", body)
                        same = {k: v for k, v in problem(told).items() if k not in ("detail",)}
                        self.assertEqual(same, {k: v for k, v in problem(missing).items()
                                                if k not in ("detail",)})  # as if it did not exist
                    told = self.ask(who.token, "GET", f"/proxy/{name}/x")
                    self.assertEqual((told.status, problem(told)["code"]), (404, "connection_not_found"))
                    self.assertEqual(who.ask("POST", "/api/v1/tokens", {"name": "n", "connections": [name]}).status, 404)
            self.assertNotIn(id_, who.ask("GET", "/api/v1/connections?limit=200").text)
            self.assertNotIn(id_, who.ask("GET", "/api/v1/connections?search=mine").text)
            self.assertNotIn(run, who.ask("GET", "/api/v1/runs?limit=200").text)
            self.assertEqual(who.ask("GET", f"/api/v1/runs/{run}").status, 404)
            self.assertEqual(who.ask("GET", f"/api/v1/folders/{folder}").status, 404)
            self.assertNotIn(folder, who.ask("GET", "/api/v1/folders").text)
            self.assertNotIn(id_, who.ask("GET", f"/api/v1/connections?folder={folder}").text)
            self.assertIn(who.ask("POST", "/api/v1/connections", dict(NEW, folder=folder)).status, (403, 404))
        self.assertEqual(len(self.provider.requests()), before)
        self.assertEqual(alice.ask("GET", f"/api/v1/connections/{id_}").json["name"], "mine")

    def test_a_users_own_workspace_is_theirs_to_fill_and_the_shared_one_is_not(self):
        alice = self.person("alice@example.com")
        self.assertEqual(alice.ask("POST", "/api/v1/connections", dict(NEW, key="a")).status, 201)
        self.assertEqual(alice.ask("PATCH", "/api/v1/connections/a", {"name": "b"}).status, 200)
        self.assertEqual(alice.ask("DELETE", "/api/v1/connections/a").status, 204)
        self.assertEqual(alice.ask("POST", "/api/v1/connections", dict(NEW, folder="shared")).status, 403)
        self.assertEqual(alice.ask("DELETE", "/api/v1/connections/shared-one").status, 403)

    def test_one_key_in_two_workspaces_leads_everyone_to_their_own(self):
        people = [self.person("alice@example.com"), self.person("bob@example.com")]
        echo = self.upstream(say_who)
        for who in people:
            body = dict(NEW, key="same", fields={"base_url": echo.url}, credentials={"token": "of-" + who.email})
            self.assertEqual(who.ask("POST", "/api/v1/connections", body).status, 201)
        line = self.hub1.connect()
        for _ in range(3):
            for who in people:
                self.assertEqual(self.ask(who.token, "GET", "/proxy/same/x", connection=line).text, f"Bearer of-{who.email}")
        line.close()


class Sessions(Case):
    def test_a_change_by_cookie_needs_the_pages_own_token(self):
        alice, bob = self.person("alice@example.com"), self.person("bob@example.com")
        writes = [("POST", "/api/v1/connections", dict(NEW, key="a")), ("POST", "/api/v1/tokens", {"name": "n"}),
                  ("DELETE", "/api/v1/session", None),
                  ("PATCH", f"/api/v1/users/{alice.id}", {"language": "fr"}),
                  ("PUT", "/api/v1/connections/shared-one/credentials", {"token": "x"}),
                  ("POST", "/api/v1/connections/shared-one/call", {"method": "GET", "path": "/"}),
                  ("POST", "/api/v1/connections/shared-one/verify", {})]
        for method, path, body in writes:
            for csrf in ("", "x", bob.csrf, alice.csrf[:-1], alice.csrf + "x", alice.csrf.swapcase()):
                with self.subTest(f"{method} {path} {csrf!r}"):
                    problem(alice.ask(method, path, body, csrf=csrf), "csrf_token_invalid")
        self.assertEqual(alice.ask("GET", "/api/v1/connections", csrf="").json["items"][0]["id"], self.shared["id"])
        self.assertEqual(len(alice.ask("GET", "/api/v1/connections", csrf="").json["items"]), 1)
        self.assertEqual(self.provider.requests(), [])
        self.assertEqual(alice.ask("POST", "/api/v1/connections", dict(NEW, key="a")).status, 201)

    def test_a_form_of_another_site_changes_nothing(self):
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""):
            told = self.owner.ask("POST", "/api/v1/tokens", b'{"name":"n"}', **({"Content-Type": kind} if kind else {}))
            self.assertEqual(told.status, 415, told)

    def test_a_get_changes_nothing(self):
        for path in ("/connections/shared-one/disable", "/connections/shared-one/enable", "/connections/shared-one/verify",
                     "/connections/shared-one/call",
                     "/connections/shared-one/default", "/connections/shared-one/credentials"):
            self.assertIn(self.owner.ask("GET", "/api/v1" + path).status, (404, 405))
        self.assertEqual(self.hub1.get("/api/v1/connections/shared-one").json["state"], "active")

    def test_the_cookie_is_for_the_console_only(self):
        self.assertRegex(self.owner.set_cookie, r"^raccord=[^;]+; Path=/; HttpOnly; SameSite=Strict$")
        problem(self.owner.ask("GET", "/proxy/shared-one/x"), "unauthenticated")
        self.assertEqual(self.provider.requests(), [])
        secure = self.hub("--public-url", "https://hub.example.com", data=self.path("secure"))
        code = secure.line("setup").split("#")[1]
        secure.post("/api/v1/setup", {"code": code, "email": "o@example.com", "password": harness.PASSWORD, "language": "en"},
                    token="")
        said = secure.post("/api/v1/session", {"email": "o@example.com", "password": harness.PASSWORD}, token="")
        self.assertRegex(said.header("set-cookie"), r"^__Host-raccord=[^;]+; Path=/; HttpOnly; SameSite=Strict; Secure$")

    def test_signing_out_ends_the_session(self):
        alice = self.person("alice@example.com")
        again = Person(self.hub1, "alice@example.com")
        self.assertEqual(alice.ask("DELETE", "/api/v1/session").status, 204)
        self.assertEqual(alice.ask("GET", "/api/v1/session").status, 401)
        self.assertEqual(again.ask("GET", "/api/v1/session").status, 200)
        self.assertEqual(again.ask("PATCH", f"/api/v1/users/{again.id}",
                                   {"password": "a new and longer password", "current_password": harness.PASSWORD}).status, 200)
        other = Person(self.hub1, "alice@example.com", "a new and longer password")
        self.assertEqual(other.ask("GET", "/api/v1/session").status, 200)
        self.assertEqual(again.ask("GET", "/api/v1/session").status, 401)  # a new password ends what was open

    def test_setting_up_works_once(self):
        problem(self.hub1.post("/api/v1/setup",
                               {"code": self.hub1.line("setup").split("#")[1], "email": "x@example.com",
                                "password": harness.PASSWORD,
                                                  "language": "en"}, token=""), "setup_done")
