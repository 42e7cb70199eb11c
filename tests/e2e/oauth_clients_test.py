"""OAuth clients: kept without showing a secret, found by their issuer, changed without sending a secret to another place, and used by
connections that ask for scopes of their own."""

import json

import harness
import provider
from access_test import PLAIN

API = "/api/v1/oauth-clients"
SECRET = "s3cr:et/+ %-canary"
URLS = {"authorization_url": "https://login.example.com/authorize", "token_url": "https://login.example.com/token"}


def script(documents):
    """An authorization server as far as its documents go: {path: object}."""
    def serve(s, _):
        while raw := s.read_request():
            path = raw.split(b" ")[1].decode()
            found = documents.get(path)
            s.sendall(harness.answer(json.dumps(found).encode()) if found is not None else harness.answer(status="404 Not Found"))
    return serve


class Case(harness.Case):
    def start(self, **env):
        self.hub1 = self.hub(env=dict(PLAIN, **env))

    def refused(self, answer, status, code):
        self.assertEqual(answer.status, status, answer)
        return provider.problem(answer, code)

    def make(self, status=201, **body):
        body = {"key": "crm", "client_id": "id-1", "client_secret": SECRET, **body}
        made = self.hub1.post(API, body)
        self.assertEqual(made.status, status, made)
        self.assertNotIn(SECRET, made.text)
        return made.json

    def change(self, status=200, key="crm", **body):
        got = self.hub1.request("PATCH", f"{API}/{key}", body)
        self.assertEqual(got.status, status, got)
        self.assertNotIn(SECRET, got.text)
        return got.json


class Clients(Case):
    def test_a_client_is_kept_and_never_shows_its_secret(self):
        self.start()
        made = self.make(name="CRM", scopes="read, write", **URLS)
        self.assertRegex(made["id"], "^cli_")
        self.assertTrue(made["client_secret"]["set"] and made["client_secret"]["updated_at"])
        self.assertFalse(made["private_key"]["set"])
        self.assertEqual((made["scopes"], made["secret_hosts"], made["used_by"]), (["read", "write"], ["login.example.com"], 0))
        self.assertTrue(made["redirect_uri"].endswith("/oauth/callback"), made)
        for path in (API, f"{API}/crm", f"{API}/{made['id']}", f"{API}?search=CR", "/api/v1/audit"):
            got = self.hub1.get(path)
            self.assertEqual(got.status, 200, got)
            self.assertNotIn("canary", got.text)
        self.assertEqual(self.hub1.get(f"{API}?connector=slack").json["items"], [])
        for search, found in (("CR", 1), ("c%25m", 0), ("c_m", 0), ("%5Ccrm", 0), ("m+CRM", 1)):
            self.assertEqual(len(self.hub1.get(f"{API}?search={search}").json["items"]), found, search)
        self.assertNotIn("canary", self.hub1.log())

    def test_what_never_changes_is_refused_and_the_name_changes(self):
        self.start()
        self.make(**URLS)
        self.assertEqual(self.change(name="Other")["name"], "Other")
        self.assertEqual(self.change(tokenurl="x", status=400)["code"], "unknown_field")
        got = self.hub1.request("PATCH", f"{API}/crm", {"key": "other"})
        self.refused(got, 409, "field_immutable")
        self.refused(self.hub1.post(API, {"key": "crm", "client_id": "x", **URLS}), 409, "conflict")
        self.refused(self.hub1.post(API, {"key": "nothing", "client_id": "x"}), 400, "field_required")
        self.refused(self.hub1.post(API, {"key": "plain", "client_id": "x", "token_url": "http://login.example.com/t"}), 403,
                "scheme_not_allowed")

    def test_a_stored_secret_is_not_sent_to_another_host(self):
        self.start()
        self.make(**URLS)
        refused = self.change(status=400, token_url="https://evil.example.net/token")
        self.assertEqual((refused["code"], refused["errors"][0]["pointer"]), ("field_required", "/client_secret"))
        self.assertEqual(self.change(token_url="https://login.example.com/v2/token")["token_url"], "https://login.example.com/v2/token")
        moved = self.change(token_url="https://login.example.net/token", client_secret="another " + SECRET)
        self.assertEqual(moved["secret_hosts"], ["login.example.net"])

    def test_two_secrets_during_rotation(self):
        self.start()
        self.make(**URLS)
        self.assertTrue(self.change(next_client_secret="next " + SECRET)["next_client_secret"]["set"])
        got = self.hub1.post(f"{API}/crm/activate")
        self.assertEqual(got.status, 200, got)
        self.assertTrue(got.json["client_secret"]["set"])
        self.assertFalse(got.json["next_client_secret"]["set"])
        self.refused(self.hub1.post(f"{API}/crm/activate"), 404, "not_found")

    def test_if_match_holds_against_a_lost_update(self):
        self.start()
        self.make(**URLS)
        tag = self.hub1.get(f"{API}/crm").header("etag")
        self.change(name="Other")
        got = self.hub1.request("PATCH", f"{API}/crm", {"name": "Third"}, headers={"If-Match": tag})
        self.refused(got, 412, "precondition_failed")

    def test_a_client_that_nobody_uses_is_deleted(self):
        self.start()
        self.make(**URLS)
        self.assertEqual(self.hub1.request("DELETE", f"{API}/crm").status, 204)
        self.refused(self.hub1.get(f"{API}/crm"), 404, "not_found")

    def test_googles_client_file_is_taken_as_it_is(self):
        self.start()
        file = {"web": {"client_id": "7-x.apps.googleusercontent.com", "project_id": "p", "client_secret": SECRET,
                        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
                        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs", "redirect_uris": []}}
        got = self.hub1.post(API, {"key": "google", "google_client": file})
        self.assertEqual(got.status, 201, got)
        self.assertEqual((got.json["client_id"], got.json["token_url"]), (file["web"]["client_id"], file["web"]["token_uri"]))
        self.assertEqual(got.json["authorize_parameters"], {"access_type": "offline", "prompt": "consent"})
        self.assertTrue(got.json["client_secret"]["set"])
        self.assertNotIn("canary", got.text)
        self.refused(self.hub1.post(API, {"key": "other", "google_client": {"x": 1}}), 400, "field_invalid")

    def test_the_command_line_keeps_clients(self):
        self.start()
        body = self.file("client.json", json.dumps({"key": "crm", "client_id": "id-1", "client_secret": SECRET, **URLS}))
        made = self.hub1.cli("oauth-clients", "create", "--body", "@" + body, "--json")
        self.assertEqual(made.code, 0, made)
        self.assertEqual(made.json["key"], "crm")
        for words in (("list",), ("get", "crm")):
            got = self.hub1.cli("oauth-clients", *words)
            self.assertEqual(got.code, 0, got)
            self.assertIn("login.example.com", got.out)
            self.assertNotIn("canary", got.out + got.err)
        more = self.file("more.json", json.dumps({"next_client_secret": "n" + SECRET}))
        self.assertEqual(self.hub1.cli("oauth-clients", "update", "crm", "--body", "@" + more).code, 0)
        self.assertEqual(self.hub1.cli("oauth-clients", "activate", "crm").code, 0)
        self.assertEqual(self.hub1.cli("oauth-clients", "delete", "crm", "--yes").code, 0)
        self.assertEqual(self.hub1.cli("oauth-clients", "get", "crm").code, 3)


class Discovery(Case):
    def server(self, **documents):
        self.documents = {}
        self.issuer = self.upstream(script(self.documents)).url.rstrip("/")

    def document(self, **more):
        base = self.issuer
        return {"issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token",
                "revocation_endpoint": base + "/revoke", "authorization_response_iss_parameter_supported": True, **more}

    def test_an_issuer_says_what_is_not_written(self):
        self.start()
        self.server()
        self.documents["/.well-known/oauth-authorization-server"] = self.document()
        made = self.make(issuer=self.issuer)
        self.assertEqual((made["token_url"], made["revocation_url"]), (self.issuer + "/token", self.issuer + "/revoke"))
        self.assertTrue(made["iss_parameter"])
        self.assertTrue(made["discovered_at"])

    def test_openid_connects_document_does_too(self):
        self.start()
        self.server()
        self.documents["/.well-known/openid-configuration"] = self.document()
        self.assertEqual(self.make(issuer=self.issuer)["token_url"], self.issuer + "/token")

    def test_a_document_of_another_issuer_is_refused(self):
        self.start()
        self.server()
        self.documents["/.well-known/oauth-authorization-server"] = self.document(issuer=self.issuer + "/")
        self.documents["/.well-known/openid-configuration"] = self.document()  # not even looked at
        refused = self.hub1.post(API, {"key": "x", "client_id": "x", "issuer": self.issuer})
        self.refused(refused, 502, "authorization_server_failed")

    def test_endpoints_in_clear_are_refused(self):
        self.start()
        self.server()
        self.documents["/.well-known/oauth-authorization-server"] = self.document(token_endpoint="http://token.example.com/t")
        refused = self.hub1.post(API, {"key": "x", "client_id": "x", "issuer": self.issuer})
        self.refused(refused, 403, "scheme_not_allowed")
        self.assertEqual(refused.json["errors"][0]["pointer"], "/token_url")


def tokens(s, _):
    """A token endpoint of few words, and an API that says which token it got."""
    while raw := s.read_request():
        head, _, body = raw.partition(b"\r\n\r\n")
        if head.startswith(b"POST /token"):
            s.sendall(harness.answer(json.dumps({"access_token": "granted-token", "token_type": "Bearer", "expires_in": 3600}).encode()))
        else:
            said = [line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")]
            s.sendall(harness.answer(b"".join(said), content_type="text/plain"))


class Connections(Case):
    def begin(self, **client):
        self.start()
        self.provider = self.upstream(tokens)
        self.base = self.provider.url.rstrip("/")
        self.make(token_url=self.base + "/token", authorization_url=self.base + "/authorize", scopes=["a", "b"], **client)

    def connect(self, status=201, auth_type="oauth2_client_credentials", **body):
        body = {"connector": "http", "key": "c", "folder": "shared", "auth_type": auth_type, "fields": {"base_url": self.base}, **body}
        made = self.hub1.post("/api/v1/connections", body)
        self.assertEqual(made.status, status, made)
        self.assertNotIn("canary", made.text)
        return made.json

    def patch(self, status=200, key="c", **body):
        got = self.hub1.request("PATCH", f"/api/v1/connections/{key}", body)
        self.assertEqual(got.status, status, got)
        return got.json

    def test_a_client_that_needs_nobody_makes_an_active_connection(self):
        self.begin()
        made = self.connect(oauth_client="crm")
        self.assertEqual((made["state"], made["oauth_client"]["key"]), ("active", "crm"))
        self.assertEqual(made["scopes"]["requested"], ["a", "b"])
        said = self.hub1.get("/proxy/c/x")
        self.assertEqual((said.status, said.text.split(": ")[1]), (200, "Bearer granted-token"), said)
        form = b"".join(self.provider.received)
        self.assertIn(b"grant_type=client_credentials", form)
        self.assertIn(b"scope=a%20b", form.replace(b"+", b"%20"))

    def test_a_connection_asks_for_scopes_of_its_own(self):
        self.begin()
        self.connect(oauth_client="crm", scopes="c, d")
        self.assertEqual(self.patch(scopes=["d", "e"])["scopes"]["requested"], ["d", "e"])
        self.assertEqual(self.patch(scopes=None)["scopes"]["requested"], ["a", "b"])
        self.assertEqual(self.patch(400, scopes=["x y"])["code"], "field_invalid")

    def test_where_a_person_says_yes_the_connection_waits_for_them(self):
        self.begin()
        made = self.connect(auth_type="oauth2_authorization_code", oauth_client="crm")
        self.assertEqual((made["state"], made["scopes"]["missing"]), ("needs_auth", []))
        self.assertEqual(self.hub1.post("/api/v1/connections/c/enable").json["state"], "needs_auth")

    def test_a_client_in_use_stays(self):
        self.begin()
        self.connect(oauth_client="crm")
        self.assertEqual(self.hub1.get(f"{API}/crm").json["used_by"], 1)
        self.refused(self.hub1.request("DELETE", f"{API}/crm"), 409, "oauth_client_in_use")

    def test_a_client_is_used_for_what_it_is_for(self):
        self.begin(grant_types=["client_credentials"], allowed_domains=["*.example.com"])
        for auth_type in ("oauth2_client_credentials", "oauth2_authorization_code"):
            refused = self.connect(400, auth_type=auth_type, oauth_client="crm")
            self.assertEqual((refused["code"], refused["errors"][0]["pointer"]), ("field_invalid", "/oauth_client"))
        self.make(key="other", connector="slack", token_url=self.base + "/token")
        self.assertEqual(self.connect(400, oauth_client="other")["code"], "field_invalid")
        self.assertEqual(self.connect(404, oauth_client="nothing")["code"], "not_found")
        self.assertEqual(self.connect(400, auth_type="none", oauth_client="crm")["code"], "field_invalid")

    def test_a_client_of_ones_own_with_urls_of_its_own(self):
        self.begin()
        own = {"client_id": "mine", "client_secret": SECRET}
        fields = {"base_url": self.base, "token_url": self.base + "/token"}
        made = self.connect(credentials=own, fields=fields)
        self.assertEqual((made["state"], made["oauth_client"]), ("active", None))
        self.assertTrue(made["credentials"]["client_secret"]["set"])
        self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)
        both = self.connect(400, key="d", credentials=own, fields=fields, oauth_client="crm")
        self.assertEqual(both["errors"][0]["pointer"], "/oauth_client")
        refused = self.patch(409, fields={"token_url": f"http://localhost:{harness.free_port()}/token"})
        self.assertEqual(refused["code"], "field_immutable")

    def test_a_shared_secret_does_not_follow_a_connections_own_url(self):
        self.begin()
        self.make(key="bare", connector="http", client_id="x")
        refused = self.connect(403, oauth_client="bare", fields={"base_url": self.base, "token_url": self.base + "/token"})
        self.assertEqual(refused["code"], "token_host_not_allowed")

    def test_without_a_client_a_connection_waits_for_one(self):
        self.begin()
        self.assertEqual(self.connect()["state"], "needs_auth")
        changed = self.patch(oauth_client="crm")
        self.assertEqual((changed["state"], changed["oauth_client"]["key"]), ("active", "crm"))
        self.assertEqual(self.patch(400, oauth_client=None)["code"], "oauth_client_missing")

    def test_a_policy_gives_the_client_and_nobody_sees_its_secret(self):
        self.begin()
        rule = {"rule": "preset", "connectors": ["http"], "part": "oauth_client", "mode": "enforced"}
        rules = [{**rule, "name": "oauth_client", "value": "crm"}]
        self.assertEqual(self.hub1.post("/api/v1/policies", {"name": "ours", "rules": rules}).status, 201)
        self.assertEqual(self.connect()["oauth_client"]["key"], "crm")
        self.make(key="other", token_url=self.base + "/token")
        self.assertEqual(self.connect(403, key="d", oauth_client="other")["code"], "preset_enforced")
        own = {"client_id": "mine", "client_secret": "x"}
        self.assertEqual(self.connect(403, key="d", credentials=own)["code"], "preset_enforced")

    def test_where_clients_are_managed_ones_own_is_refused(self):
        self.begin()
        self.assertEqual(self.hub1.post("/api/v1/policies", {"name": "ours", "rules": [{"rule": "managed_only"}]}).status, 201)
        fields = {"base_url": self.base, "token_url": self.base + "/token"}
        refused = self.connect(403, credentials={"client_id": "mine", "client_secret": "x"}, fields=fields)
        self.assertEqual(refused["code"], "managed_only")
        self.assertEqual(self.connect(oauth_client="crm")["state"], "active")

    def test_a_client_of_ones_own_from_before_the_policy_stops_at_once_and_is_told_beforehand(self):
        self.begin()
        made = self.connect(credentials={"client_id": "mine", "client_secret": SECRET}, fields={"base_url": self.base, "token_url": self.base + "/token"})
        self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)
        for rule, code in (({"rule": "managed_only"}, "managed_only"),
                           ({"rule": "preset", "connectors": ["http"], "part": "oauth_client", "name": "oauth_client", "value": "crm", "mode": "hidden"},
                            "preset_enforced")):
            with self.subTest(code):
                policy = {"name": "ours", "rules": [rule]}
                preview = self.hub1.post("/api/v1/policies:preview", {"policy": policy}).json
                self.assertEqual([(c["id"], c["code"]) for c in preview["connections"]["items"]], [(made["id"], code)])
                saved = self.hub1.post("/api/v1/policies", policy)
                self.assertEqual(saved.status, 201, saved)
                explained = self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "connection": "c"}).json
                doors = [self.hub1.get("/proxy/c/x"), self.hub1.post("/api/v1/connections/c/call", {"method": "GET", "path": "/x"}),
                         self.hub1.post("/api/v1/connections/c/renew")]
                self.assertEqual([d.json["code"] for d in doors] + [explained["code"]], [code] * 4)
                self.assertEqual(self.hub1.request("DELETE", "/api/v1/policies/" + saved.json["id"]).status, 204)
                self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)

    def policy(self, name, *rules, status=201, **more):
        made = self.hub1.post("/api/v1/policies", {"name": name, "rules": rules, **more})
        self.assertEqual(made.status, status, made)
        return made.json

    def test_a_policy_presets_the_scopes_that_are_asked_for(self):
        self.begin()
        old = self.connect(key="old", oauth_client="crm")
        rule = {"rule": "preset", "connectors": ["http"], "part": "scopes", "value": "read, write"}
        for value in ("", " , ", "\t\n", "re\x01ad", "r" * 513, 5, ["read"]):
            self.assertEqual(self.policy("none", {**rule, "value": value}, status=400)["errors"][0]["pointer"], "/rules/0/value")
        made = self.policy("scopes", rule)
        self.assertEqual(self.connect(oauth_client="crm")["scopes"]["requested"], ["read", "write"])
        self.assertEqual(self.connect(key="d", oauth_client="crm", scopes="other")["scopes"]["requested"], ["other"])

        enforced = {"name": "scopes", "rules": [{**rule, "mode": "enforced"}]}
        preview = self.hub1.post("/api/v1/policies:preview", {"policy": enforced, "id": made["id"]}).json["connections"]["items"]
        self.assertEqual({(c["key"], c["code"]) for c in preview}, {("old", "preset_enforced"), ("d", "preset_enforced")})
        self.assertEqual(self.hub1.request("PUT", "/api/v1/policies/" + made["id"], enforced).status, 200)
        refused = self.connect(403, key="e", oauth_client="crm", scopes="read")
        self.assertEqual((refused["code"], refused["errors"][0]["pointer"]), ("preset_enforced", "/scopes"))
        self.assertIn("scopes (policy “scopes”)", refused["detail"])
        self.connect(key="e", oauth_client="crm", scopes=["write", "read"])
        self.assertEqual(self.patch(403, scopes="read write more")["code"], "preset_enforced")
        self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)
        self.assertEqual(self.hub1.get("/proxy/old/x").json["code"], "preset_enforced")
        self.assertEqual(self.patch(key="old", scopes=None)["scopes"]["requested"], ["read", "write"])
        self.assertEqual(self.hub1.get("/proxy/old/x").status, 200)
        self.assertEqual(self.hub1.get("/api/v1/connections/old").json["id"], old["id"])

    GIVEN = {"rule": "preset", "connectors": ["http"], "part": "oauth_client", "name": "oauth_client", "value": "crm", "mode": "enforced"}

    def test_another_client_of_the_administrators_is_no_way_around_the_one_that_a_policy_enforces(self):
        self.begin()
        self.make(key="other", token_url=self.base + "/token", authorization_url=self.base + "/authorize")
        made = self.connect(oauth_client="other")
        self.connect(key="p", auth_type="oauth2_authorization_code", oauth_client="other")
        self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)
        self.assertEqual(self.hub1.post("/api/v1/folders", {"path": "shared/elsewhere"}).status, 201)
        broken = self.hub1.post("/api/v1/policies:preview", {"policy": {"name": "ours", "rules": [self.GIVEN]}}).json["connections"]["items"]
        self.assertEqual(sorted((c["key"], c["code"]) for c in broken), [("c", "preset_enforced"), ("p", "preset_enforced")])
        self.policy("ours", self.GIVEN)

        explained = self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "connection": "c"}).json
        self.assertEqual(explained["code"], "preset_enforced", explained)
        doors = {
            "call": lambda: self.hub1.get("/proxy/c/x"),
            "buffered call": lambda: self.hub1.post("/api/v1/connections/c/call", {"method": "GET", "path": "/x"}),
            "renew": lambda: self.hub1.post("/api/v1/connections/c/renew"),
            "authorize": lambda: self.hub1.post("/api/v1/connections/p/authorize", {}),
            "enable": lambda: self.hub1.post("/api/v1/connections/c/enable"),
            "state": lambda: self.hub1.request("PATCH", "/api/v1/connections/c", {"state": "active"}),
            "scopes": lambda: self.hub1.request("PATCH", "/api/v1/connections/c", {"scopes": ["z"]}),
            "move": lambda: self.hub1.post("/api/v1/connections/c/move", {"folder": "shared/elsewhere"}),
            "duplicate": lambda: self.hub1.post("/api/v1/connections/c/duplicate", {"key": "copy"}),
            "restore": lambda: self.hub1.post(f"/api/v1/connections/{made['id']}/restore", {}),
        }
        for door, knock in doors.items():
            with self.subTest(door):
                if door in ("enable", "state"):
                    self.assertEqual(self.hub1.post("/api/v1/connections/c/disable").status, 200)
                if door == "restore":
                    gone = self.hub1.request("DELETE", "/api/v1/connections/c?force=true")
                    self.assertEqual(gone.status, 200, gone)
                got = knock()
                self.assertEqual((got.status, got.json.get("code")), (403, "preset_enforced"), got)
                self.assertIn("ours", got.json["detail"])
        # The way out: the client that is meant.
        self.assertEqual(self.patch(key="p", oauth_client="crm")["oauth_client"]["key"], "crm")
        self.assertEqual(self.hub1.post("/api/v1/connections/p/authorize", {}).status, 201)

    def test_of_two_policies_that_give_a_client_each_is_asked(self):
        self.begin()
        self.make(key="other", token_url=self.base + "/token")
        self.policy("a hint", {**self.GIVEN, "value": "other", "mode": "optional"})
        self.policy("a rule", self.GIVEN)
        for key, client in (("d", "other"), ("e", None)):
            refused = self.connect(403, key=key, **({"oauth_client": client} if client else {}))
            self.assertEqual(refused["code"], "preset_enforced")
            self.assertIn("a rule", refused["detail"])
        own = {"client_id": "mine", "client_secret": "x"}
        fields = {"base_url": self.base, "token_url": self.base + "/token"}
        self.assertEqual(self.connect(403, key="f", credentials=own, fields=fields)["code"], "preset_enforced")
        self.assertEqual(self.connect(key="c", oauth_client="crm")["state"], "active")
        self.assertEqual(self.hub1.get("/proxy/c/x").status, 200)

    def test_a_policy_names_a_client_that_there_is_and_keeps_it_when_it_is_saved_again(self):
        self.begin()
        wrong = self.policy("ours", {**self.GIVEN, "value": "nothing"}, status=404)
        self.assertEqual(wrong["errors"][0]["pointer"], "/rules/0/value")
        made = self.policy("ours", self.GIVEN)
        other = self.make(key="other", token_url=self.base + "/token")
        self.assertTrue(made["rules"][0]["value"]["set"])
        path = "/api/v1/policies/" + made["id"]
        kept = self.hub1.request("PUT", path, {"name": "ours", "rules": made["rules"]})
        self.assertEqual((kept.status, kept.json["rules"]), (200, made["rules"]))
        for value in ({"set": True}, {"set": True, "client": other["id"]}):
            refused = self.hub1.request("PUT", path, {"name": "ours", "rules": [{**self.GIVEN, "value": value}]})
            self.assertEqual((refused.status, refused.json["errors"][0]["pointer"]), (400, "/rules/0/value"), refused)
        self.assertEqual(self.connect(403, oauth_client="other")["code"], "preset_enforced")

    def test_the_command_line_names_the_client_and_the_scopes(self):
        self.begin()
        made = self.hub1.cli("connections", "create", "--connector", "http", "--auth-type", "oauth2_client_credentials", "--key", "c", "--folder",
                             "shared", "--field", f"base_url={self.base}", "--oauth-client", "crm", "--scopes", "x, y", "--json")
        self.assertEqual(made.code, 0, made)
        self.assertEqual((made.json["oauth_client"]["key"], made.json["scopes"]["requested"]), ("crm", ["x", "y"]))
        changed = self.hub1.cli("connections", "update", "c", "--scopes", "z", "--json")
        self.assertEqual(changed.json["scopes"]["requested"], ["z"])

    def test_a_copy_has_the_same_client(self):
        self.begin()
        self.connect(oauth_client="crm", scopes="z")
        got = self.hub1.post("/api/v1/connections/c/duplicate", {"key": "copy"})
        self.assertEqual(got.status, 201, got)
        copy = self.hub1.get("/api/v1/connections/copy").json
        self.assertEqual((copy["oauth_client"]["key"], copy["scopes"]["requested"]), ("crm", ["z"]))
