"""Who has little and wants more: narrowed tokens that give, tokens that widen their siblings, and what shares, copies and records tell."""
import re
import urllib.parse

import harness
from access_test import Person, problem
from roles_test import BODIES, Case, DOORS, filled


class Narrowed(Case):
    """Nobody gives a right that they do not have: a token that is narrowed neither."""

    def test_a_narrowed_administrators_token_lets_nobody_in_who_would_not_be_narrowed(self):
        self.start()
        self.new_folder("shared/sales")
        self.connection("crm", "shared/sales")
        ann = self.person("ann@example.com", "viewer")
        group = self.hub1.post("/api/v1/groups", {"name": "g"}).json["id"]
        doors = (("POST", "/api/v1/users", {"email": "eve@example.com", "role": "viewer"}),
                 ("PATCH", f"/api/v1/users/{ann.id}", {"role": "admin"}), ("PATCH", f"/api/v1/users/{ann.id}", {"password": harness.PASSWORD}),
                 ("POST", f"/api/v1/users/{ann.id}/invitation", None), ("POST", f"/api/v1/users/{ann.id}/departure", {"to": "first@example.com"}),
                 ("DELETE", f"/api/v1/users/{ann.id}/second-factor", None), ("POST", "/api/v1/service-accounts", {"name": "s", "role": "admin"}),
                 ("PATCH", f"/api/v1/groups/{group}", {"members": [ann.id]}), ("POST", "/api/v1/groups", {"name": "h", "members": [ann.id]}),
                 ("PUT", "/api/v1/folders/shared/members", {"members": [{"principal": ann.id, "role": "admin"}]}))
        for grants in ({"connections": ["crm"]}, {"folders": ["shared/sales"]}, {"paths": ["/a"]}, {"addresses": ["127.0.0.0/8", "::1"]},
                       {"methods": ["GET", "POST", "PUT", "PATCH", "DELETE"]}):
            token = self.hub1.post("/api/v1/tokens", {"name": "n", "role": "admin", "grants": grants}).json["secret"]
            for method, path, body in doors:
                with self.subTest(f"{grants} {method} {path}"):
                    said = self.ask(token, method, path, body)
                    self.assertIn((said.status, said.json["code"]), ((403, "denied"), (404, "not_found")), said)
        self.assertEqual(sorted(u["email"] for u in self.hub1.get("/api/v1/users").json["items"]), ["ann@example.com", "first@example.com"])
        self.assertEqual(ann.ask("GET", "/api/v1/session").json["role"], "viewer")

    def test_a_token_that_is_for_some_things_has_no_say_in_the_instance(self):
        """FLD-12: whatever its role. Else it would lift the policies that hold it, or look into the log of all the others."""
        self.start()
        self.new_folder("shared/x")
        self.connection("crm", "shared")
        policy = self.hub1.post("/api/v1/policies", {"name": "p", "rules": [{"rule": "methods_block", "values": ["DELETE"]}]}).json["id"]
        client = self.hub1.post("/api/v1/oauth-clients", {"key": "c", "client_id": "x", "token_url": "https://localhost:1/t"}).json["id"]
        robot = self.hub1.post("/api/v1/service-accounts", {"name": "robot"}).json["id"]
        group = self.hub1.post("/api/v1/groups", {"name": "All"}).json["id"]
        token = self.hub1.post("/api/v1/tokens", {"name": "another's", "service_account": "robot"}).json["id"]
        doors = (("GET", "/users"), ("GET", "/audit"), ("GET", "/audit:export"), ("GET", "/policies"), ("PUT", f"/policies/{policy}"),
                 ("DELETE", f"/policies/{policy}"), ("POST", "/policies"), ("PATCH", f"/oauth-clients/{client}"), ("DELETE", f"/oauth-clients/{client}"),
                 ("PATCH", f"/service-accounts/{robot}"), ("DELETE", f"/service-accounts/{robot}"), ("POST", "/service-accounts"),
                 ("DELETE", f"/groups/{group}"), ("GET", "/identity-providers"), ("POST", "/keys:rotate"), ("DELETE", f"/users/{self.owner.id}"))
        for grants in ({"connections": ["crm"]}, {"folders": ["shared/x"]}, {"paths": ["/contacts"]}, {"actions": ["crm.*"]}):
            made = self.owner.ask("POST", "/api/v1/tokens", {"name": "narrow", "role": "owner", "grants": grants})
            self.assertEqual(made.status, 201, made)
            for method, path in doors:
                with self.subTest(f"{grants}: {method} {path}"):
                    said = self.ask(made.json["secret"], method, "/api/v1" + path, {} if method in ("POST", "PUT", "PATCH") else None)
                    self.assertEqual((said.status, said.json["code"]), (403, "denied"), said)
            said = self.ask(made.json["secret"], "DELETE", f"/api/v1/tokens/{token}")
            self.assertIn(said.status, (403, 404), said)
            listed = self.ask(made.json["secret"], "GET", "/api/v1/tokens").json["items"]
            self.assertEqual({t["principal"]["id"] for t in listed}, {self.owner.id})
        self.assertEqual(self.hub1.get(f"/api/v1/tokens/{token}").json["revoked_at"], None)

    def test_a_token_narrowed_in_its_calls_shares_nothing(self):
        self.start()
        self.connection("crm", "shared")
        self.person("eve@example.com", "viewer")
        token = self.hub1.post("/api/v1/tokens", {"name": "n", "role": "admin", "grants": {"paths": ["/a"]}}).json["secret"]
        problem(self.ask(token, "POST", "/api/v1/connections/crm/shares", {"with": "eve@example.com"}), "denied")
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/shares", {"with": "eve@example.com"}).status, 201)

    def test_a_token_limited_to_connections_has_no_say_over_folders(self):
        self.start()
        self.new_folder("shared/sales")
        self.connection("crm", "shared")
        token = self.hub1.post("/api/v1/tokens", {"name": "n", "role": "admin", "grants": {"connections": ["crm"]}}).json["secret"]
        for method, path, body in (("POST", "/api/v1/folders", {"path": "shared/new"}), ("DELETE", "/api/v1/folders/shared%2Fsales", None),
                                   ("PATCH", "/api/v1/folders/shared%2Fsales", {"preset": "open_folder"}),
                                   ("PUT", "/api/v1/folders/shared%2Fsales/members", {"members": []}),
                                   ("POST", "/api/v1/connections/crm/move", {"folder": "shared/sales"})):
            problem(self.ask(token, method, path, body), "denied")

    def test_no_token_widens_another_above_itself(self):
        self.start()
        con = self.connection("crm", "shared")
        ann = self.person("ann@example.com", "editor")
        small = ann.ask("POST", "/api/v1/tokens", {"name": "small", "role": "viewer"}).json
        great = ann.ask("POST", "/api/v1/tokens", {"name": "great", "role": "editor", "grants": {"connections": []}}).json
        door = f"/api/v1/tokens/{great['id']}"
        for body in ({"grants": {"connections": None}}, {"grants": {"connections": [con["id"]]}}, {"expires_at": None}):
            problem(self.ask(small["secret"], "PATCH", door, body), "denied")
        self.assertEqual(self.ask(great["secret"], "GET", "/proxy/crm/x").status, 403)
        self.assertEqual(self.ask(small["secret"], "PATCH", door, {"name": "other"}).status, 200)
        self.assertEqual(ann.ask("PATCH", door, {"grants": {"connections": None}}).status, 200)
        self.assertEqual(self.ask(great["secret"], "GET", "/proxy/crm/x").status, 200)
        # An administrator does not widen an owner's.
        owners = self.owner.ask("POST", "/api/v1/tokens", {"name": "o", "role": "owner", "grants": {"connections": []}}).json
        problem(self.hub1.request("PATCH", f"/api/v1/tokens/{owners['id']}", {"grants": {"connections": None}}), "denied")

    def test_a_token_narrowed_to_a_folder_sees_no_runs_of_elsewhere(self):
        self.start()
        self.new_folder("shared/sales")
        self.connection("here", "shared/sales")
        self.connection("there", "shared")
        ann = self.person("ann@example.com", "user")
        runs = [self.run_of(key, ann.token) for key in ("here", "there")]
        token = ann.ask("POST", "/api/v1/tokens", {"name": "n", "role": "user", "grants": {"folders": ["shared/sales"]}}).json["secret"]
        self.assertEqual([r["id"] for r in self.ask(token, "GET", "/api/v1/runs").json["items"]], runs[:1])
        self.assertEqual([self.ask(token, "GET", "/api/v1/runs/" + r).status for r in runs], [200, 404])
        self.assertEqual([self.ask(ann.token, "GET", "/api/v1/runs/" + r).status for r in runs], [200, 200])


class Told(Case):
    def test_with_whom_a_connection_is_only_shared_learns_of_nobody_else(self):
        self.start()
        self.new_folder("shared/closed", inherits=False)
        con = self.connection("crm", "shared/closed")
        bob, _ = self.person("bob@example.com", "user"), self.person("eve@example.com", "user")
        for who in ("bob@example.com", "eve@example.com"):
            self.assertEqual(self.hub1.post("/api/v1/connections/crm/shares", {"with": who}).status, 201)
        self.hub1.post("/api/v1/tokens", {"name": "the payroll robot", "role": "user", "connections": ["crm"]})
        door = f"/api/v1/connections/{con['id']}"
        problem(self.ask(bob.token, "GET", door + "/history"), "denied")
        copy = self.ask(bob.token, "POST", door + "/duplicate", {"folder": "personal", "dry_run": True})
        self.assertEqual(copy.status, 200, copy)
        self.assertEqual({(d["id"], d["name"]) for d in copy.json["copied_from"]["dependants"]}, {(None, None)})
        for path in ("", "/usage", "/history"):
            text = self.ask(bob.token, "GET", door + path).text
            for hidden in ("eve@", "payroll", "shared/closed"):
                self.assertNotIn(hidden, text)
        self.assertIn("eve@example.com", self.hub1.get(door + "/history").text)


class Departure(Case):
    def test_who_left_finds_every_door_closed(self):
        self.start()
        ann, bob = self.person("ann@example.com", "user"), self.person("bob@example.com", "user")
        uri = ann.ask("POST", "/api/v1/second-factor").json["otpauth_uri"]
        self.assertEqual(ann.ask("POST", "/api/v1/second-factor/confirm", {"code": harness.totp(uri)}).status, 200)
        self.members("shared", (ann.id, "viewer"))
        self.hub1.post("/api/v1/groups", {"name": "g", "members": [ann.id]})
        link = self.owner.ask("POST", f"/api/v1/users/{ann.id}/invitation").json["link"]
        with harness.database(self.hub1.data) as db:
            db.execute("INSERT INTO identity_provider (id, key, name, issuer, keys_url, disabled, revision, created_ms, updated_ms)"
                       " VALUES ('idp_1', 'k', 'k', 'https://i.example', '', 1, 1, 1, 1)")
            db.execute("INSERT INTO identity_link (provider_id, subject, user_id, created_ms, seen_ms) VALUES ('idp_1', 's', ?, 1, 1)", (ann.id,))
            db.execute("UPDATE session SET proved_ms = proved_ms - 600000")
        door = f"/api/v1/users/{ann.id}/departure"
        self.assertEqual(self.owner.ask("POST", door, {"to": bob.id, "preview": True}).status, 200)
        problem(self.owner.ask("POST", door, {"to": bob.id}), "step_up_required")  # it is no less than a deletion
        self.assertEqual(Person(self.hub1, "first@example.com").ask("POST", door, {"to": bob.id}).status, 200)
        with harness.database(self.hub1.data) as db:
            for table, column in (("session", "user_id"), ("second_factor", "user_id"), ("invitation", "user_id"), ("identity_link", "user_id"),
                                  ("folder_member", "principal_id"), ("group_member", "member_id"), ("recovery_code", "user_id")):
                self.assertEqual(db.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (ann.id,)).fetchone(), (0,), table)
            self.assertEqual(db.execute("SELECT count(*) FROM token WHERE principal_id = ? AND revoked_ms = 0", (ann.id,)).fetchone(), (0,))
            self.assertEqual(db.execute("SELECT count(*) FROM sealed_value WHERE owner_id = ?", (ann.id,)).fetchone(), (0,))
        problem(self.ask("", "POST", "/api/v1/invitations:accept", {"code": link.split("#")[1], "password": harness.PASSWORD}), "invitation_invalid")
        self.assertEqual(self.ask(ann.token, "GET", "/api/v1/session").status, 401)
        problem(self.ask("", "POST", "/api/v1/session", {"email": "ann@example.com", "password": harness.PASSWORD}), "bad_credentials")


class Enumeration(Case):
    """Requirement 16.2: about another's thing one hears what one hears about nothing, wherever it may be named."""

    def pairs(self):
        """What is there and hidden, with a name of nothing that looks alike."""
        self.start()
        self.new_folder("shared/closed", inherits=False)
        bob = self.person("bob@example.com", "admin")
        hidden = self.connection("hidden", "shared/closed")
        run = self.run_of("hidden", bob.token)
        token = bob.ask("POST", "/api/v1/tokens", {"name": "secret robot", "role": "user"}).json["id"]
        session = bob.ask("GET", "/api/v1/session").json["session"]
        account = self.hub1.post("/api/v1/service-accounts", {"name": "robots"}).json["id"]
        group = self.hub1.post("/api/v1/groups", {"name": "g"}).json["id"]
        policy = self.hub1.post("/api/v1/policies", {"name": "p", "rules": []}).json["id"]
        order = bob.ask("POST", "/api/v1/connections:verify", {"ids": [hidden["id"]]}).json["id"]
        ids = (hidden["id"], hidden["folder"]["id"], run, token, session, account, group, policy, order, bob.id)
        other = lambda i: i[:-4] + ("zzzz" if not i.endswith("zzzz") else "yyyy")
        return bob, hidden, [(i, other(i)) for i in ids] + [("hidden", "nothin"), ("shared/closed", "shared/nothin"),
                                                            ("personal/" + bob.id, "personal/" + other(bob.id))]

    PLACES = (("GET", "/api/v1/connections?folder={}", None), ("GET", "/api/v1/runs?connection={}", None), ("GET", "/api/v1/runs?caller={}", None),
              ("GET", "/api/v1/runs?folder={}", None), ("GET", "/api/v1/certificates?connection={}", None), ("GET", "/api/v1/tokens?principal={}", None),
              ("GET", "/api/v1/sessions?user={}", None), ("GET", "/api/v1/connections/mine?folder={}", None),
              ("GET", "/api/v1/audit?object={}", None), ("GET", "/proxy/{}/x", None), ("GET", "/api/v1/connections:verify/{}", None),
              ("POST", "/api/v1/connections:verify", {"ids": ["{}"]}), ("POST", "/api/v1/connections:verify", {"filter": {"folder": "{}"}}),
              ("POST", "/api/v1/connections", {"connector": "http", "folder": "{}", "fields": {"base_url": "https://a.example"}}),
              ("POST", "/api/v1/connections/mine/duplicate", {"folder": "{}", "dry_run": True}), ("POST", "/api/v1/connections/mine/move", {"folder": "{}"}),
              ("POST", "/api/v1/connections/mine/move", {"folder": "{}", "preview": True}),
              ("POST", "/api/v1/connections/mine/shares", {"with": "shared/{}"}), ("DELETE", "/api/v1/connections/mine/shares/{}", None),
              ("DELETE", "/api/v1/connections/mine?default={}", None), ("POST", "/api/v1/certificates", {"issue": "connection", "connection": "{}"}),
              ("POST", "/api/v1/tokens", {"name": "n", "grants": {"connections": ["{}"]}}), ("POST", "/api/v1/tokens", {"name": "n", "grants": {"folders": ["{}"]}}),
              ("POST", "/api/v1/tokens", {"name": "n", "service_account": "{}"}), ("POST", "/api/v1/folders", {"path": "{}/below"}),
              ("PATCH", "/api/v1/folders/shared", {"parent": "{}"}),
              ("POST", "/api/v1/policies:explain", {"operation": "connection.call", "connection": "{}"}),
              ("POST", "/api/v1/policies:explain", {"operation": "connection.create", "folder": "{}"}),
              ("POST", "/api/v1/policies:explain", {"operation": "connection.create", "connection": "{}", "folder": "{}"}),
              ("POST", "/api/v1/policies:explain", {"operation": "connection.call", "principal": "{}"}),
              ("POST", "/api/v1/policies:explain", {"operation": "connection.call", "token": "{}"}))

    def test_nothing_tells_another_thing_from_no_thing(self):
        _, hidden, pairs = self.pairs()
        doors = [(m, p.replace("{id}", "{}").replace("{with}", "x"), filled(BODIES.get(f"{m} {p}"), {"folder": "shared"}))
                 for m, p, _, _ in DOORS if "{id}" in p]
        for role in ("editor", "custodian"):
            ann = self.person(f"{role}@example.com", role)
            if role != "custodian":
                self.connection("mine", "personal", ann.token)
            for method, path, body in list(self.PLACES) + doors:
                for pair in pairs:
                    said = []
                    for name in pair:
                        sent = filled(body, {"": name}) if body else {} if method in ("POST", "PUT", "PATCH") else None
                        said.append(self.ask(ann.token, method, path.replace("{}", urllib.parse.quote(name, safe="")), sent))
                    plain = lambda s, name: s.text.replace(name, "X").replace(urllib.parse.quote(name, safe=""), "X")
                    told = [re.sub(r"\brun_\w+", "", plain(s, name)) for s, name in zip(said, pair)]
                    with self.subTest(f"{role} {method} {path} {body} {pair[0]}"):
                        self.assertEqual((said[0].status, told[0]), (said[1].status, told[1]))
                        changes = method != "GET" and "explain" not in path and not (body or {}).get("dry_run")
                        self.assertGreaterEqual(said[0].status, 400 if changes else 200, said[0])
        self.assertEqual(self.hub1.get("/api/v1/connections/hidden").json["id"], hidden["id"])


if __name__ == "__main__":
    harness.unittest.main()
