"""Every door, as every role, on things in the own folder, in a shared one, and in one without any right. What is expected is computed from
docs/access.md, which is made from the program's tables: roles, rights, and the right of each door."""

import re
import threading
import unittest

import harness
from access_test import NEW, PLAIN, Person, problem

ROLES = ("owner", "admin", "editor", "user", "viewer", "auditor", "custodian")
PLACES = ("own", "shared", "none")
TAG = {"If-Match": '"999999"'}  # rights are looked at before revisions: who may gets 412, and nothing is changed

CALL = {"method": "GET", "path": "/"}
# What is sent to a door so that nothing but rights can refuse it. A door that is missing here fails the test.
BODIES = {
    "POST /api/v1/setup": {"code": "x"},
    "POST /api/v1/session": {"email": "a@b", "password": "x"},
    "POST /api/v1/session:step-up": {"password": "x"},
    "POST /api/v1/invitations:accept": {"code": "x", "password": "quiet river under stones"},
    "POST /api/v1/second-factor/confirm": {"code": "000000"},
    "POST /api/v1/tokens": {"name": "n"},
    "PATCH /api/v1/tokens/{id}": {"name": "m"},
    "POST /api/v1/users": {"email": "not-an-address"},
    "PATCH /api/v1/users/{id}": {"language": "fr"},
    "POST /api/v1/users/{id}/departure": {"to": "nobody"},
    "POST /api/v1/service-accounts": {"name": " "},
    "PATCH /api/v1/service-accounts/{id}": {"disabled": False},
    "POST /api/v1/identity-providers": {"key": "x"},
    "PATCH /api/v1/identity-providers/{id}": {"name": "x"},
    "POST /api/v1/oauth-clients": {"key": "Not A Key"},
    "PATCH /api/v1/oauth-clients/{id}": {"name": "x"},
    "POST /api/v1/folders": {"path": "{folder}/Not-A-Slug"},
    "PATCH /api/v1/folders/{id}": {"preset": "inherited"},
    "PUT /api/v1/folders/{id}/members": {"members": []},
    "POST /api/v1/groups": {"name": " "},
    "PATCH /api/v1/groups/{id}": {"name": "x"},
    "POST /api/v1/connections": dict(NEW, folder="{folder}", key="Not A Key"),
    "PATCH /api/v1/connections/{id}": {"notes": "n"},
    "PUT /api/v1/connections/{id}/credentials": {"token": "other"},
    "POST /api/v1/connections/{id}/call": CALL,
    "POST /api/v1/connections:verify": {"ids": ["{connection}"]},
    "POST /api/v1/connections/{id}/shares": {"with": "nobody@example.com"},
    "POST /api/v1/connections/{id}/move": {"folder": "shared/nowhere"},
    "POST /api/v1/connections/{id}/duplicate": {"name": " "},
    "POST /api/v1/certificates": {"issue": "connection", "connection": "{connection}"},
    "POST /api/v1/audit:hash": {"value": "x"},
    "POST /api/v1/policies": {"name": " ", "rules": []},
    "PUT /api/v1/policies/{id}": {"name": "q", "rules": []},
    "POST /api/v1/policies:explain": {"operation": "connection.call"},
    "POST /api/v1/policies:preview": {"policy": {"name": "p", "rules": []}},
}
WITHOUT_BODY = {
    "POST /api/v1/connections/{id}/verify", "POST /api/v1/connections/{id}/renew", "POST /api/v1/connections/{id}/enable", "POST /api/v1/connections/{id}/disable",
    "POST /api/v1/connections/{id}/default", "POST /api/v1/connections/{id}/restore", "POST /api/v1/keys:rotate",
    "POST /api/v1/second-factor", "POST /api/v1/second-factor/recovery-codes", "POST /api/v1/users/{id}/invitation",
    "POST /api/v1/certificates/{id}/activate", "POST /api/v1/oauth-clients/{id}/activate",
}
# A copy stays in its folder unless said otherwise: making it there is editing.
ASKS_MORE = {"POST /api/v1/connections/{id}/duplicate": "edit"}
# Doors about oneself, or about what somebody else has to show first: a person's own session is asked for, or a second look at them.
OF_A_SESSION = re.compile(r"/api/v1/(session|sessions|second-factor)\b")
# Doors of the instance that look at the object too: one's own is there, another's is not.
OF_ONESELF = {"/api/v1/tokens/{id}", "/api/v1/users/{id}"}


def tables():
    """docs/access.md: {title: {right: {roles}}}, and [(method, path, right, where)]."""
    with open(harness.ROOT + "/docs/access.md", encoding="utf-8") as f:
        text = f.read()
    matrices = {}
    for title, body in re.findall(r"^## (In .*)\n((?:(?!^## ).*\n)*)", text, re.M):
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")]
        matrices[title] = {r[0].strip("`"): {role for role, x in zip(rows[0][1:], r[1:]) if x == "x"} for r in rows[2:]}
    doors = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| `(\w+)` \| (on the object|at the door) \|$", text, re.M)
    return matrices, doors


MATRICES, DOORS = tables()
MATRIX_OF = {"own": "In one's own workspace", "shared": "In a shared folder", "none": "In a folder that does not inherit"}


def holds(role, right, place):
    return role in MATRICES[MATRIX_OF[place]][right]


def wide(role, right):
    return right == "open" or (role != "anonymous" and role in MATRICES["In the instance"][right])


def filled(value, places):
    if isinstance(value, str):
        for name, text in places.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {k: filled(v, places) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, places) for v in value]
    return value


class Case(harness.Case):
    def start(self):
        self.provider = self.upstream([harness.answer()])
        self.hub1 = self.hub(env=PLAIN)
        code = self.hub1.line("setup").split("#")[1]
        made = self.hub1.post("/api/v1/setup", {"code": code, "email": "first@example.com", "password": harness.PASSWORD, "language": "en"},
                              token="")
        self.assertEqual(made.status, 201, made)
        self.owner = Person(self.hub1, "first@example.com")

    def ask(self, token, method, path, body=None, **more):
        return self.hub1.request(method, path, body, token=token, **more)

    def person(self, email, role):
        made = self.owner.ask("POST", "/api/v1/users", {"email": email, "password": harness.PASSWORD, "role": role})
        self.assertEqual(made.status, 201, made)
        return Person(self.hub1, email)

    def new_folder(self, path, **more):
        made = self.hub1.post("/api/v1/folders", dict({"path": path}, **more))
        self.assertEqual(made.status, 201, made)
        return made.json

    def members(self, path, *members):
        put = self.hub1.request("PUT", f"/api/v1/folders/{path.replace('/', '%2F')}/members",
                                {"members": [dict(zip(("principal", "role"), m)) for m in members]})
        self.assertEqual(put.status, 200, put)

    def connection(self, key, folder, token=None):
        body = dict(NEW, key=key, folder=folder, fields={"base_url": self.provider.url})
        made = self.ask(token or self.hub1.admin, "POST", "/api/v1/connections", body)
        self.assertEqual(made.status, 201, made)
        return made.json

    def run_of(self, connection, token=None):
        run = self.ask(token or self.hub1.admin, "GET", f"/proxy/{connection}/x").header("raccord-run")
        deadline = harness.Deadline()
        while self.ask(token or self.hub1.admin, "GET", f"/api/v1/runs/{run}").status != 200:
            self.assertTrue(deadline.left(), "a run record never came")
            threading.Event().wait(0.02)
        return run


class EveryDoor(Case):
    def arrange(self):
        """People of every role, each with a connection in the own workspace; a shared connection, and one out of everybody's reach."""
        self.start()
        self.new_folder("shared/closed", inherits=False)
        common = {}
        for place, path in (("shared", "shared"), ("none", "shared/closed")):
            con = self.connection(f"con-{place}", path)
            common[place] = {"connection": con["id"], "folder": path, "folder_id": con["folder"]["id"], "run": self.run_of(con["id"]),
                             "trash": self.trash(f"gone-{place}", path), "certificate": self.certified(con)}
        self.common = common
        other = self.person("other@example.com", "user")
        token = next(t["id"] for t in self.hub1.get("/api/v1/tokens?limit=200").json["items"] if t["principal"]["id"] == other.id)
        robot = self.hub1.post("/api/v1/service-accounts", {"name": "robot"}).json["id"]
        group = self.hub1.post("/api/v1/groups", {"name": "All of us"}).json["id"]
        self.others = {"user": other.id, "token": token, "robot": robot, "group": group}
        self.people = {}
        for role in ROLES:
            # One works first and gets the role then: some roles set nothing up, not even in the own workspace.
            who = self.person(f"{role}@example.com", "user")
            con = self.connection(f"own-{role}", "personal", who.token)
            run = self.run_of(con["id"], who.token)
            gone, certificate = self.trash(f"gone-{role}", "personal", who.token), self.certified(con, who.token)
            changed = self.owner.ask("PATCH", f"/api/v1/users/{who.id}", {"role": role})
            self.assertEqual(changed.status, 200, changed)
            who = Person(self.hub1, f"{role}@example.com")
            who.places = {**common, "own": {"connection": con["id"], "folder": "personal", "folder_id": con["folder"]["id"], "run": run,
                                          "trash": gone, "certificate": certificate}}
            self.people[role] = who

    def trash(self, key, folder, token=None):
        con = self.connection(key, folder, token)
        self.assertEqual(self.ask(token or self.hub1.admin, "DELETE", f"/api/v1/connections/{con['id']}").status, 204)
        return con["id"]

    def certified(self, con, token=None):
        """The connection, with a client certificate of its own: the certificate's id."""
        put = self.ask(token or self.hub1.admin, "PUT", f"/api/v1/connections/{con['id']}/credentials",
                       {"credentials": {"client_certificate": {"issue": "connection"}}})
        self.assertEqual(put.status, 200, put)
        return put.json["client_certificate"]["id"]

    def object_of(self, path, at):
        """What stands for {id}; None: any, of nobody's."""
        if path.endswith("/restore"):
            return at["trash"]
        first = path.split("/")[3] if path.startswith("/api/v1/") else ""
        return {"connections": at["connection"], "certificates": at["certificate"], "folders": at["folder_id"], "runs": at["run"], "users": self.others["user"],
                "tokens": self.others["token"], "service-accounts": self.others["robot"], "groups": self.others["group"],
                "connectors": "http"}.get(first, "nothing")

    def send(self, token, method, path, at):
        door = f"{method} {path}"
        body = BODIES.get(door)
        if body is None and method in ("POST", "PUT", "PATCH"):
            self.assertIn(door, WITHOUT_BODY, "a door without an expectation: say in roles_test.py what is sent to it")
            body = {}
        target = re.sub(r"\{id\}", self.object_of(path, at), path)
        target = re.sub(r"\{(with|name|code|provider)\}", "nothing", target)
        return self.ask(token, method, target, filled(body, at), headers=TAG if method != "GET" else None)

    def expect(self, role, method, path, right, place, said):
        what = f"{role}: {method} {path} ({right}, {place}): {said!r}"
        if place is None:
            if role == "anonymous" and right != "open":
                self.assertEqual(said.status, 401, what)
            elif not wide(role, right):
                self.assertEqual(said.status, 403, what)
                self.assertIn(right, said.json["detail"], what)
            elif right != "open" and path not in OF_ONESELF:
                self.assertNotIn(said.json.get("code") if said.status == 403 else "", ("denied",), what)
            return
        right = ASKS_MORE.get(f"{method} {path}", right)
        if role == "anonymous":
            self.assertEqual(said.status, 401, what)
        elif place == "own" and path == "/api/v1/runs/{id}":
            self.assertEqual(said.status, 200, what)  # a call of one's own
        elif not holds(role, "view", place):
            self.assertEqual(said.status, 404, what)
        elif not holds(role, right, place):
            self.assertEqual(said.status, 403, what)
            problem(said, "denied")
            folder = {"own": "personal", "shared": "shared", "none": "shared/closed"}[place]
            self.assertRegex(said.json["detail"], rf"\b{right} in {folder}\W*$", what)
        else:
            self.assertNotIn(said.status, (401, 403), what)

    def is_list(self, method, path):
        return method == "GET" and "{id}" not in path

    def test_each_role_gets_at_each_door_what_the_tables_say(self):
        self.arrange()
        self.assertGreater(len(DOORS), 60)
        for role in ROLES + ("anonymous",):
            who = self.people.get(role)
            token = who.token if who else ""
            for method, path, right, where in DOORS:
                if OF_A_SESSION.search(path) or path == "/oidc/callback":
                    continue
                if where == "at the door" or self.is_list(method, path):
                    with self.subTest(f"{role}: {method} {path}"):
                        said = self.send(token, method, path, self.common["shared"])
                        if where == "at the door":
                            self.expect(role, method, path, right, None, said)
                        else:
                            self.assertEqual(said.status, 200 if who else 401, said)
                    continue
                for place in PLACES:
                    at = who.places[place] if who else self.common["shared"]
                    with self.subTest(f"{role}: {method} {path} {place}"):
                        self.expect(role, method, path, right, place, self.send(token, method, path, at))

    def test_a_certificate_is_seen_by_who_sees_its_connection(self):
        self.arrange()
        for role, who in self.people.items():
            listed = {c["id"] for c in self.ask(who.token, "GET", "/api/v1/certificates?limit=200").json.get("items", [])}
            for place in PLACES:
                certificate = who.places[place]["certificate"]
                sees = wide(role, "catalog_view") and holds(role, "view", place)
                with self.subTest(f"{role} {place}"):
                    said = self.ask(who.token, "GET", f"/api/v1/certificates/{certificate}")
                    self.assertEqual(said.status, 200 if sees else 404 if wide(role, "catalog_view") else 403, said)
                    self.assertEqual(certificate in listed, sees)

    def test_the_proxy_asks_for_use(self):
        self.arrange()
        for role, who in self.people.items():
            for place in PLACES:
                with self.subTest(f"{role} {place}"):
                    said = self.ask(who.token, "GET", f"/proxy/{who.places[place]['connection']}/x")
                    expected = 404 if not holds(role, "view", place) else 403 if not holds(role, "use", place) else 200
                    self.assertEqual(said.status, expected, said)
        self.assertEqual(self.ask("", "GET", f"/proxy/{self.common['shared']['connection']}/x").status, 401)

    def test_the_tables_have_every_door_that_the_hub_describes(self):
        self.start()
        described = set()
        for path, methods in self.hub1.get("/api/v1/openapi.json").json["paths"].items():
            described |= {(m.upper(), re.sub(r"\{[^}]*\}", "{}", path)) for m in methods if m in ("get", "post", "put", "patch", "delete")}
        shown = {(m, re.sub(r"\{[^}]*\}", "{}", p)) for m, p, *_ in DOORS}
        self.assertEqual({d for d in described - shown if not d[1].startswith("/proxy/")}, set())
        self.assertEqual(shown - described, set())


class ForeignThings(Case):
    def test_what_one_may_not_see_is_missing_in_every_word(self):
        """Requirement 16.2: the answer about another's object is that about no object, but for the name that was asked."""
        self.start()
        self.new_folder("shared/closed", inherits=False)
        hidden = self.connection("hidden", "shared/closed")
        ann = self.person("ann@example.com", "editor")
        nothing = hidden["id"][:-4] + "zzzz"
        for method, path, right, where in DOORS:
            if where != "on the object" or not path.startswith("/api/v1/connections/{id}"):
                continue
            body = filled(BODIES.get(f"{method} {path}"), {"folder": "shared"}) or ({} if method in ("POST", "PUT", "PATCH") else None)
            said = [self.ask(ann.token, method, path.replace("{id}", i).replace("{with}", "x"), body) for i in (hidden["id"], nothing)]
            with self.subTest(f"{method} {path}"):
                self.assertEqual(said[0].status, 404)
                self.assertEqual(said[0].text.replace(hidden["id"], "X"), said[1].text.replace(nothing, "X"))
        for i in (hidden["id"], nothing, "hidden"):
            problem(self.ask(ann.token, "GET", f"/proxy/{i}/x"), "connection_not_found")
        self.assertEqual(self.provider.requests(), [])
        self.assertNotIn(hidden["id"], self.ask(ann.token, "GET", "/api/v1/connections").text)
        self.assertNotIn("closed", self.ask(ann.token, "GET", "/api/v1/folders").text)

    def test_who_may_use_learns_and_bends_nothing(self):
        """Requirement 16.3."""
        self.start()
        con = self.connection("crm", "shared")
        bob = self.person("bob@example.com", "user")
        door = f"/api/v1/connections/{con['id']}"
        shown = self.ask(bob.token, "GET", door)
        self.assertEqual(shown.json["credentials"]["token"].keys(), {"set", "updated_at"})
        self.assertNotIn("t0ken", shown.text)
        for body in ({"allowed_domain": "evil.example"}, {"fields": {"base_url": "https://evil.example"}}):
            self.assertEqual(self.ask(bob.token, "PATCH", door, body).status, 403)
        for name in ("Authorization", "AUTHORIZATION"):
            problem(self.ask(bob.token, "POST", door + "/call", {**CALL, "headers": {name: "Bearer mine"}}), "header_refused")
        self.assertEqual(self.ask(bob.token, "POST", door + "/call", {"method": "GET", "path": "https://evil.example/"}).status, 403)
        self.assertEqual(self.provider.requests(), [])


def drip(s, number):
    """An answer that goes on until the caller leaves."""
    s.read_request()
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        s.sendall(b"1\r\nx\r\n")
        threading.Event().wait(0.02)


class Withdrawn(Case):
    """Requirement 16.4: what is taken away is gone within a second, for answers under way as well."""

    def arrange(self):
        self.start()
        self.slow = self.upstream(drip)
        self.new_folder("shared/team", inherits=False)
        made = self.hub1.post("/api/v1/connections", dict(NEW, key="slow", folder="shared/team", fields={"base_url": self.slow.url}))
        self.con = made.json["id"]
        self.ann = self.person("ann@example.com", "user")
        self.members("shared/team", ("ann@example.com", "user"))

    def stream(self, token):
        """A running answer; says when it ends."""
        line = self.hub1.connect()
        line.request("GET", f"/proxy/{self.con}/x", headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.read(1), b"x")
        ended = threading.Event()

        def read():
            try:
                while answer.read(64):
                    pass
            except Exception:  # cut short, as it must be
                pass
            ended.set()
        threading.Thread(target=read, daemon=True).start()
        return ended

    def check(self, token, take_away, status):
        ended = self.stream(token)
        self.assertFalse(ended.wait(0.5), "the answer ended by itself")
        said = take_away()
        self.assertIn(said.status, (200, 204), said)
        self.assertTrue(ended.wait(1), "the answer goes on after the right was taken away")
        self.assertEqual(self.ask(token, "GET", f"/proxy/{self.con}/x").status, status)

    def test_a_revoked_token_ends_what_it_began(self):
        self.arrange()
        mine = self.ask(self.ann.token, "GET", "/api/v1/tokens").json["items"][0]["id"]
        self.check(self.ann.token, lambda: self.ask(self.ann.token, "DELETE", f"/api/v1/tokens/{mine}"), 401)

    def test_a_lost_membership_ends_what_it_allowed(self):
        self.arrange()
        door = "/api/v1/folders/shared%2Fteam/members"
        self.check(self.ann.token, lambda: self.hub1.request("PUT", door, {"members": []}), 404)

    def test_a_lesser_role_ends_what_the_greater_one_allowed(self):
        self.arrange()
        bob = self.person("bob@example.com", "admin")
        self.check(bob.token, lambda: self.owner.ask("PATCH", f"/api/v1/users/{bob.id}", {"role": "auditor"}), 403)

    def test_a_share_that_is_taken_back_ends_what_it_allowed(self):
        self.arrange()
        bob = self.person("bob@example.com", "user")
        shares = f"/api/v1/connections/{self.con}/shares"
        self.assertEqual(self.hub1.post(shares, {"with": "bob@example.com"}).status, 201)
        self.check(bob.token, lambda: self.hub1.request("DELETE", f"{shares}/{bob.id}"), 404)

    def test_a_share_ends_on_its_day_by_itself(self):
        self.arrange()
        bob = self.person("bob@example.com", "user")
        shared = self.hub1.post(f"/api/v1/connections/{self.con}/shares", {"with": "bob@example.com", "expires_in": "1500ms"})
        self.assertEqual(shared.status, 201, shared)
        ended = self.stream(bob.token)
        self.assertTrue(ended.wait(3), "the answer goes on after the share has ended")
        self.assertEqual(self.ask(bob.token, "GET", f"/proxy/{self.con}/x").status, 404)

    def test_another_change_leaves_running_answers_alone(self):
        self.arrange()
        ended = self.stream(self.ann.token)
        self.members("shared/team", ("ann@example.com", "editor"))
        self.assertFalse(ended.wait(1.2), "a change that left the right in place ended the answer")


if __name__ == "__main__":
    unittest.main()
