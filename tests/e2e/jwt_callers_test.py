"""Callers that present a token of an issuer whom the administrator named, in place of one of the hub's own."""
import http.client
import re
import threading
import time
import urllib.parse

import harness
import tokens
from provider import problem

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
RULE = {"claim": "azp", "equals": "ci", "principal": "robots"}


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.key = tokens.Key(self.folder, "k1")
        self.issuer = tokens.Issuer(self, [self.key])
        self.hub1 = self.hub(env=PLAIN)
        self.robots = self.hub1.post("/api/v1/service-accounts", {"name": "robots", "role": "admin"}).json
        self.provider = self.trust()

    def trust(self, **callers):
        body = {"audience": "raccord", "rules": [RULE]}
        body.update(callers)
        made = self.hub1.post("/api/v1/identity-providers", {"key": f"issuer-{len(callers)}", "issuer": self.issuer.url, "jwt_callers": body})
        self.assertEqual(made.status, 201, made)
        return made.json

    def token(self, key=None, header=None, sign=None, **claims):
        return tokens.token(key or self.key, self.issuer.claims(**{"azp": "ci", **claims}), header, sign)

    def who(self, token):
        return self.hub1.get("/api/v1/session", token=token)

    def refused(self, token, reason, code="token_invalid"):
        said = self.who(token)
        self.assertEqual((said.status, said.json["code"]), (401, code), said)
        self.assertIn(reason, said.json["detail"])
        self.assertNotIn("eyJ", said.json["detail"])


class Callers(Case):
    def test_a_token_of_the_issuer_acts_as_the_account_that_its_claim_names(self):
        said = self.who(self.token())
        self.assertEqual(said.status, 200, said)
        self.assertEqual(said.json["principal"], {"id": self.robots["id"], "name": "robots", "kind": "service_account"})

    def test_the_proxy_takes_it_and_the_record_names_the_account_and_never_the_token(self):
        seen = self.upstream([harness.answer(b"hello")])
        self.hub1.connection("crm", seen.url)
        token = self.token()
        for _ in range(3):
            last = self.hub1.get("/proxy/crm/x", token=token)
            self.assertEqual(last.text, "hello")
        self.assertNotIn(token, "".join(seen.requests()))
        self.assertEqual(self.issuer.fetched.count("/keys"), 1)
        deadline = harness.Deadline()
        while (record := self.hub1.get("/api/v1/runs/" + last.header("raccord-run"))).status == 404 and deadline.left():
            pass
        self.assertEqual(record.json["caller"], self.robots["id"], record)
        self.assertNotIn(token, record.text)

    def test_a_rule_narrows_the_role_of_its_account(self):
        changed = self.hub1.request("PATCH", "/api/v1/identity-providers/" + self.provider["id"],
                                    {"jwt_callers": {"audience": "raccord", "rules": [{**RULE, "role": "user"}]}})
        self.assertEqual(changed.status, 200, changed)
        self.assertEqual(self.who(self.token()).json["role"], "user")
        self.assertEqual(self.hub1.get("/api/v1/users", token=self.token()).status, 403)

    def test_what_is_not_for_us_is_refused_with_its_class_of_reasons(self):
        now = int(time.time())
        other = tokens.Key(self.folder, "k1")
        for reason, made in {
            "another audience": self.token(aud="someone-else"),
            "another issuer": self.token(iss="https://elsewhere.example"),
            "not valid yet": self.token(nbf=now + 600),
            "required claim": self.token(exp=None),
            "nobody here": self.token(azp="someone"),
            "signature": self.token(key=other),
            "algorithm": self.token(header={"alg": "none"}),
            "extensions": self.token(header={"crit": ["exp"]}),
            "unknown key": self.token(header={"kid": "k9"}),
        }.items():
            with self.subTest(reason):
                self.refused(made, reason)
        self.refused(self.token(exp=now - 61), "", code="token_expired")
        head, claims, _ = self.token().split(".")
        self.refused(f"{head}.{claims}.", "")

    def test_a_public_key_is_no_secret_to_sign_with(self):
        rsa = tokens.Key(self.folder, "r1", "RSA")
        self.issuer.keys.append(rsa)
        self.assertEqual(self.who(self.token(key=rsa)).status, 200)
        for secret in (rsa.public_pem, rsa.public_pem.strip(), rsa.jwk["n"].encode()):
            self.refused(self.token(key=rsa, header={"alg": "HS256"}, sign=tokens.hmac_with(secret)), "algorithm")
        self.refused(self.token(key=rsa, header={"alg": "PS256"}), "unknown key")  # its JWK says RS256
        self.refused(self.token(key=rsa, header={"alg": "ES256"}), "unknown key")

    def test_a_token_that_lives_too_long_or_lacks_a_claim_is_refused(self):
        self.hub1.request("PATCH", "/api/v1/identity-providers/" + self.provider["id"],
                          {"jwt_callers": {"audience": "raccord", "rules": [RULE], "max_lifetime": "10m",
                                           "required_claims": [{"claim": "/realm/name", "equals": "prod"}]}})
        self.refused(self.token(exp=int(time.time()) + 3600), "longer")
        self.refused(self.token(), "required claim")
        self.refused(self.token(realm={"name": "test"}), "required claim")
        self.assertEqual(self.who(self.token(realm={"name": "prod"})).status, 200)


class Narrowed(Case):
    """Rules narrow as the grants of the hub's own tokens do, in the same places."""

    def setUp(self):
        super().setUp()
        self.seen = self.upstream([harness.answer(b"hello")])
        self.crm = self.hub1.connection("crm", self.seen.url + "/v2")
        self.hub1.connection("other", self.seen.url)

    def rule(self, **more):
        said = self.hub1.request("PATCH", "/api/v1/identity-providers/" + self.provider["id"],
                                 {"jwt_callers": {"audience": "raccord", "rules": [{**RULE, **more}, {**RULE, "role": "admin"}]}})
        self.assertEqual(said.status, 200, said)
        return said.json["jwt_callers"]["rules"][0]

    def proxied(self, method="GET", path="/a", key="crm", token=None):
        said = self.hub1.request(method, f"/proxy/{key}{path}", b"" if method == "POST" else None, token=token or self.token())
        return said.header("raccord-error") or "ok"

    def test_each_kind_of_grant_refuses_and_lets_through(self):
        for grants, allowed, refused, code in (
            ({"connections": ["crm"]}, {}, {"key": "other"}, "connection_not_granted"),
            ({"folders": ["shared"]}, {}, None, ""),
            ({"methods": ["get"]}, {}, {"method": "POST"}, "token_not_granted"),
            ({"risks": ["read", "write"]}, {"method": "POST"}, {"method": "DELETE"}, "token_not_granted"),
            ({"paths": ["/a"]}, {"path": "/a/1"}, {"path": "/b"}, "token_not_granted"),
            ({"addresses": ["127.0.0.0/8", "::1"]}, {}, None, ""),
            ({"addresses": ["192.0.2.0/24"]}, None, {}, "token_not_granted"),
        ):
            with self.subTest(grants):
                kept = self.rule(grants=grants)["grants"]
                self.assertEqual([k for k in kept if kept[k] is not None], list(grants))
                if allowed is not None:
                    self.assertEqual(self.proxied(**allowed), "ok")
                if refused is not None:
                    before = len(self.seen.requests())
                    self.assertEqual(self.proxied(**refused), code)
                    self.assertEqual(len(self.seen.requests()), before)

    def test_a_narrowed_rule_holds_at_the_hubs_own_doors_and_in_the_tokens_that_are_made_there(self):
        self.rule(role="user", grants={"connections": ["crm"], "methods": ["GET", "POST"]})
        token = self.token()
        listed = self.hub1.get("/api/v1/connections", token=token)
        self.assertEqual([c["key"] for c in listed.json["items"]], ["crm"])
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/connections/crm", token=token).json["code"], "token_not_granted")
        made = self.hub1.post("/api/v1/tokens", {"name": "child"}, token=token)
        self.assertEqual((made.json["grants"]["connections"], made.json["grants"]["methods"]), ([self.crm["id"]], ["GET", "POST"]))
        self.assertIsNotNone(made.json["expires_at"])
        wider = self.hub1.post("/api/v1/tokens", {"name": "child", "grants": {"methods": ["DELETE"]}}, token=token)
        self.assertEqual(wider.json["code"], "denied")

    def test_a_changed_rule_holds_at_once_for_a_token_that_is_remembered(self):
        self.rule()
        token = self.token()
        self.assertEqual(self.proxied(token=token), "ok")
        self.rule(grants={"methods": ["POST"]})
        self.assertEqual(self.proxied(token=token), "token_not_granted")

    def test_a_rule_takes_tokens_of_its_own_lifetime_only_and_until_its_own_end(self):
        self.rule(max_lifetime="5m")
        self.refused(self.token(exp=int(time.time()) + 3600), "longer")
        self.assertEqual(self.who(self.token(exp=int(time.time()) + 60, iat=int(time.time()))).status, 200)
        self.rule(expires_at="2020-01-01T00:00:00Z")
        self.refused(self.token(), "rule that names its bearer has ended")
        kept = self.rule(expires_at="2099-01-01T00:00:00Z")
        self.assertEqual((self.who(self.token()).status, kept["expires_at"]), (200, "2099-01-01T00:00:00.000Z"))

    def test_a_move_says_beforehand_which_rules_gain_and_lose_the_connection(self):
        for path in ("shared/a", "shared/b"):
            self.assertEqual(self.hub1.post("/api/v1/folders", {"path": path, "inherits": False}).status, 201)
        self.hub1.post("/api/v1/connections/crm/move", {"folder": "shared/a"})
        self.hub1.post("/api/v1/service-accounts", {"name": "others", "role": "user"})
        members = lambda path, who: self.hub1.request("PUT", f"/api/v1/folders/{path.replace('/', '%2F')}/members", {"members": [{"principal": who, "role": "user"}]})
        self.assertEqual([members("shared/a", "others").status, members("shared/b", "others").status], [200, 200])
        rules = [{**RULE, "grants": grants, "principal": who, "equals": f"n{n}"} for n, (who, grants) in enumerate((
            ("others", {"connections": ["crm"]}),                             # 0: reaches it in both
            ("others", {"folders": ["shared/a"]}),                            # 1: loses it
            ("others", {"folders": ["shared/b"]}),                            # 2: gains it
            ("others", {"connections": ["other"], "folders": ["shared/b"]}),  # 3: has nothing to do with it
            ("others", {"methods": ["GET"]})))]                               # 4: likewise
        at = "/api/v1/identity-providers/" + self.provider["id"]
        body = {"audience": "raccord", "rules": rules, "users": True, "users_limits": {"grants": {"folders": ["shared/a"]}}}
        said = self.hub1.request("PATCH", at, {"jwt_callers": body})
        self.assertEqual(said.status, 200, said)
        preview = lambda: self.hub1.post("/api/v1/connections/crm/move", {"folder": "shared/b", "preview": True}).json["callers"]
        seen = lambda side: [(c["key"], c["rule"], c["name"]) for c in preview()[side]]
        key = self.provider["key"]
        self.assertEqual((seen("gains"), seen("loses")), ([(key, 2, "others")], [(key, None, None), (key, 1, "others")]))
        self.assertEqual(members("shared/b", "robots").status, 200)  # and the one that names it, where its account is left behind
        self.assertEqual(seen("loses"), [(key, None, None), (key, 0, "others"), (key, 1, "others")])
        # It is as it was said: before and after, each rule's token at the door.
        calls = lambda: [self.proxied(token=self.token(azp=f"n{n}")) == "ok" for n in range(3)]
        self.assertEqual(calls(), [True, True, False])
        self.assertEqual(members("shared/b", "others").status, 200)
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/move", {"folder": "shared/b"}).status, 200)
        self.assertEqual(calls(), [True, False, True])

    def link(self, **body):
        made = self.hub1.post("/api/v1/connect-sessions", body, token=self.token())
        self.assertEqual(made.status, 201, made)
        return made.json

    def opened(self, made):
        """The code of what the page behind a link answers to a browser, "ok" when it lets in."""
        said = self.hub1.request("GET", urllib.parse.urlsplit(made["url"]).path, token="", headers={"Accept": "text/html"})
        return said.header("raccord-error") or "ok"

    def test_a_link_is_narrowed_by_the_rule_that_took_its_makers_token_and_ends_with_it(self):
        self.rule(grants={"connections": ["crm"]})
        refused = self.hub1.post("/api/v1/connect-sessions", {"connection": "other"}, token=self.token())
        self.assertEqual(refused.status, 404, refused)
        made = self.link(connection="crm")
        self.assertEqual(self.opened(made), "ok")
        for changed in ({"grants": {"connections": ["other"]}}, {"role": "viewer"}, {"expires_at": "2020-01-01T00:00:00Z"}):
            with self.subTest(changed):
                self.rule(**changed)
                self.assertEqual(self.opened(made), "connect_link_invalid")
                self.rule(grants={"connections": ["crm"], "methods": ["GET", "POST"]})
                self.assertEqual(self.opened(made), "ok")
        at = "/api/v1/identity-providers/" + self.provider["id"]
        for changed in ({"disabled": True}, {"jwt_callers": {"audience": "raccord", "rules": [{**RULE, "equals": "another"}]}}):
            self.assertEqual(self.hub1.request("PATCH", at, changed).status, 200)
            self.assertEqual(self.opened(made), "connect_link_invalid")
            self.assertEqual(self.hub1.request("PATCH", at, {"disabled": False}).status, 200)
            self.rule()
            self.assertEqual(self.opened(made), "ok")
        self.assertEqual(self.hub1.request("PATCH", "/api/v1/service-accounts/" + self.robots["id"], {"role": "viewer"}).status, 200)
        self.assertEqual(self.opened(made), "connect_link_invalid")

    def test_an_authorization_goes_on_narrowed_by_the_rule_that_took_its_beginners_token(self):
        made = self.hub1.post("/api/v1/oauth-clients", {"key": "c", "client_id": "x", "authorization_url": self.seen.url + "/authorize",
                                                        "token_url": self.seen.url + "/token"})
        self.assertEqual(made.status, 201, made)
        made = self.hub1.post("/api/v1/connections", {"connector": "http", "auth_type": "oauth2_authorization_code", "key": "person", "folder": "shared",
                                                      "fields": {"base_url": self.seen.url}, "oauth_client": "c"})
        self.assertEqual(made.status, 201, made)
        self.rule(grants={"connections": ["person"]})
        said = self.hub1.post("/api/v1/connections/person/authorize", {}, token=self.token())
        self.assertEqual(said.status, 201, said)
        start = urllib.parse.urlsplit(said.json["authorization_url"]).path
        begin = lambda: self.hub1.request("GET", start, token="", headers={"Accept": "text/html"})
        self.rule(grants={"connections": ["crm"]})
        self.assertNotEqual(begin().status, 302)
        self.rule(grants={"connections": ["person"]})
        self.assertIn(begin().status, (302, 303))

    def test_explain_says_what_the_doors_answer_to_a_token_with_these_claims(self):
        self.rule(role="user", grants={"connections": ["crm"], "methods": ["GET"]})
        ask = lambda **more: self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "connection": "crm",
                                                                         "identity_provider": self.provider["key"], **more})
        said = ask(claims={"azp": "ci"}).json
        self.assertEqual((said["decision"], self.proxied()), ("allow", "ok"), said)
        self.assertEqual((said["trace"][0]["rule"], said["trace"][0]["says"]), ("jwt_callers", "rule 0 of the provider, as robots"))
        said = ask(claims={"azp": "ci"}, method="DELETE").json
        self.assertEqual((said["code"], self.proxied("DELETE")), ("token_not_granted", "token_not_granted"), said)
        self.assertEqual(ask(claims={"azp": "someone"}).json["code"], "token_invalid")
        self.assertEqual(ask().json["errors"][0]["pointer"], "/claims")
        self.assertEqual(ask(claims={}, principal="robots").json["errors"][0]["pointer"], "/principal")
        user = self.hub1.token("u", "user")
        refused = self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "identity_provider": self.provider["key"],
                                                              "claims": {"azp": "ci"}}, token=user)
        self.assertEqual(refused.status, 403, refused)
        told = self.hub1.cli("policies", "explain", "connection.call", "--connection", "crm", "--method", "DELETE", "--identity-provider",
                             self.provider["key"], "--claim", "azp=ci")
        self.assertIn("token_not_granted", told.out)

    def test_mistakes_in_a_rule_are_pointed_at(self):
        at = "/api/v1/identity-providers/" + self.provider["id"]
        for more, pointer in (({"grants": {"methods": ["BREW"]}}, "/grants/methods/0"), ({"grants": {"verbs": []}}, "/grants/verbs"),
                              ({"grants": {"connections": ["nothing"]}}, "/grants/connections/0"), ({"max_lifetime": "1s"}, "/max_lifetime"),
                              ({"grants": {"folders": ["shared/nothing"]}}, "/grants/folders/0"), ({"expires_at": "soon"}, "/expires_at")):
            with self.subTest(pointer):
                said = self.hub1.request("PATCH", at, {"jwt_callers": {"audience": "x", "rules": [{**RULE, **more}]}})
                self.assertIn(said.status, (400, 404), said)
                self.assertEqual(said.json["errors"][0]["pointer"], "/jwt_callers/rules/0" + pointer, said)


class Changes(Case):
    def test_disabling_the_provider_or_the_account_stops_its_tokens_at_once(self):
        seen = self.upstream([harness.answer(b"hello")])
        self.hub1.connection("crm", seen.url)
        token = self.token()
        for path, body in (("/api/v1/identity-providers/" + self.provider["id"], {"disabled": True}),
                           ("/api/v1/service-accounts/" + self.robots["id"], {"disabled": True})):
            with self.subTest(path):
                self.assertEqual(self.hub1.get("/proxy/crm/x", token=token).status, 200)
                self.assertEqual(self.hub1.request("PATCH", path, body).status, 200)
                self.assertEqual(problem(self.hub1.get("/proxy/crm/x", token=token))["code"], "token_invalid")
                self.assertEqual(self.who(token).status, 401)
                self.hub1.request("PATCH", path, {"disabled": False})

    def test_a_new_key_is_found_when_it_is_first_used_and_an_old_one_is_forgotten(self):
        self.assertEqual(self.who(self.token()).status, 200)
        second = tokens.Key(self.folder, "k2")
        self.issuer.keys = [second]
        self.assertEqual(self.who(self.token(key=second)).status, 200)
        self.refused(self.token(jti="not remembered"), "unknown key")

    def test_unknown_keys_have_the_issuer_asked_once_a_minute_and_no_more(self):
        self.assertEqual(self.who(self.token()).status, 200)
        for n in range(5):
            self.refused(self.token(key=tokens.Key(self.folder, f"x{n}")), "unknown key")
        self.assertEqual(self.issuer.fetched.count("/keys"), 2)

    def test_while_the_issuer_is_away_its_keys_go_on_serving(self):
        self.assertEqual(self.who(self.token()).status, 200)
        self.issuer.away = True
        self.assertEqual(self.who(self.token(jti="another")).status, 200)

    def test_an_issuer_that_was_never_reached_is_an_error_of_the_provider(self):
        self.issuer.away = True
        said = self.who(self.token())
        self.assertEqual((said.status, said.json["code"]), (502, "identity_provider_failed"), said)


class Streams(Case):
    def test_an_answer_under_way_ends_when_its_caller_is_believed_no_longer(self):
        """Requirement 16.4."""
        def drip(s, number):
            s.read_request()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                s.sendall(b"1\r\nx\r\n")
                threading.Event().wait(0.02)

        self.hub1.connection("slow", self.upstream(drip).url)
        at = "/api/v1/identity-providers/" + self.provider["id"]
        narrowed = {"audience": "raccord", "rules": [{**RULE, "grants": {"connections": []}}]}
        for change, back in (({"jwt_callers": narrowed}, {"jwt_callers": {"audience": "raccord", "rules": [RULE]}}), ({"disabled": True}, {"disabled": False})):
            with self.subTest(change):
                line = self.hub1.connect()
                self.addCleanup(line.close)
                line.request("GET", "/proxy/slow/x", headers={"Authorization": f"Bearer {self.token()}"})
                answer = line.getresponse()
                self.assertEqual((answer.status, answer.read(1)), (200, b"x"))
                began = time.monotonic()
                self.assertEqual(self.hub1.request("PATCH", at, change).status, 200)
                try:
                    while answer.read(64):
                        self.assertLess(time.monotonic() - began, 5)
                except (http.client.HTTPException, ConnectionError):  # cut short, as it must be
                    pass
                self.assertLess(time.monotonic() - began, 2)
                self.assertEqual(self.hub1.request("PATCH", at, back).status, 200)


class Doors(Case):
    def test_only_administrators_see_and_change_identity_providers(self):
        user = self.hub1.token("u", "user")
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x")):
            said = self.hub1.request(method, "/api/v1/identity-providers" + path, {} if method in ("POST", "PATCH") else None, token=user)
            self.assertEqual(said.status, 403, said)

    def test_the_issuer_never_changes_and_mistakes_are_pointed_at(self):
        at = "/api/v1/identity-providers/" + self.provider["id"]
        self.assertEqual(self.hub1.request("PATCH", at, {"issuer": "https://other.example"}).json["code"], "field_immutable")
        for body, pointer in (({"jwt_callers": {"audience": "x", "rules": [{**RULE, "principal": "nobody"}]}}, "/jwt_callers/rules/0/principal"),
                              ({"jwt_callers": {"audience": "x", "rules": [{**RULE, "role": "owner"}]}}, "/jwt_callers/rules/0/role"),
                              ({"jwt_callers": {"audience": "x"}}, "/jwt_callers/rules"),
                              ({"sign_in": {"client_id": "x", "scopes": ["email"]}}, "/sign_in/scopes"),
                              ({"jwt_callers": None}, "/sign_in")):
            with self.subTest(pointer):
                said = self.hub1.request("PATCH", at, body)
                self.assertEqual((said.status, said.json["errors"][0]["pointer"]), (400, pointer), said)

    def test_a_client_secret_is_never_shown_and_is_sealed_on_disk(self):
        canary = "canary-client-secret-93f1"
        made = self.hub1.post("/api/v1/identity-providers", {"key": "sso", "issuer": "https://sso.example", "client_secret": canary,
                                                             "sign_in": {"client_id": "hub"}})
        self.assertEqual(made.status, 201, made)
        self.assertTrue(made.json["client_secret"]["set"])
        self.assertNotIn(canary, made.text + self.hub1.get("/api/v1/identity-providers").text)
        self.hub1.stop()
        self.assertNotIn(canary.encode(), harness.stored_bytes(self.hub1.data))
        self.assertIsNone(re.search(canary, self.hub1.log()))

    def test_a_deleted_provider_ends_its_tokens(self):
        token = self.token()
        self.assertEqual(self.who(token).status, 200)
        self.assertEqual(self.hub1.request("DELETE", "/api/v1/identity-providers/" + self.provider["id"]).status, 204)
        self.refused(token, "another issuer")

    def test_the_command_line_makes_shows_and_removes_a_provider_without_its_secret(self):
        canary = "canary-in-a-file-5b1e"
        body = self.file("sso.json", '{"key": "sso", "issuer": "https://sso.example", "client_secret": "%s", "sign_in": {"client_id": "hub"}}' % canary)
        made = self.hub1.cli("identity-providers", "create", "--body", "@" + body)
        self.assertEqual(made.code, 0, made)
        self.assertIn("/oidc/callback", made.out)
        self.assertIn("https://sso.example", self.hub1.cli("identity-providers", "list").out)
        shown = self.hub1.cli("identity-providers", "get", "sso", "--json")
        self.assertEqual(shown.json["client_secret"]["set"], True)
        self.assertNotIn(canary, made.out + shown.out)
        refused = self.hub1.cli("identity-providers", "create", "--body", '{"client_secret": "%s"}' % canary)
        self.assertEqual(refused.code, 2)
        self.assertNotIn(canary, refused.out + refused.err)
        self.file("name.json", '{"name": "Single sign-on"}')
        self.assertEqual(self.hub1.cli("identity-providers", "update", "sso", "--body", "@" + self.path("name.json")).code, 0)
        self.assertEqual(self.hub1.cli("identity-providers", "delete", "sso", "--yes").code, 0)
        self.assertEqual(self.hub1.cli("identity-providers", "get", "sso").code, 3)
