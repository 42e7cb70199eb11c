"""The REST API over real sockets: every operation's real answer is held against the OpenAPI document that the binary serves."""
import base64
import json
import re
import unittest

import harness

try:
    from jsonschema import Draft202012Validator
except ImportError:  # Debian: python3-jsonschema
    Draft202012Validator = None

API = "/api/v1"
PASSWORD = "four plain words here"
CANARY = "canary-7f3a9c51e0b2"


class Contract:
    """Requests that are checked against the document on their way out and back."""

    def __init__(self, test, hub):
        self.test, self.hub, self.seen = test, hub, set()
        self.document = hub.get(API + "/openapi.json").json
        self.templates = [(re.compile("^" + re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(p)) + "$"), p) for p in self.document["paths"]]
        self.templates.sort(key=lambda t: t[1].count("{"))

    def valid(self, schema, value, what):
        rooted = {**schema, "components": self.document["components"]}
        errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in Draft202012Validator(rooted).iter_errors(value)]
        self.test.assertEqual(errors, [], what)

    def operation(self, method, path):
        bare = path.split("?")[0]
        for pattern, template in self.templates:
            operation = self.document["paths"][template].get(method.lower())
            if pattern.match(bare) and operation:
                self.seen.add((method, template))
                return operation
        raise AssertionError(f"{method} {bare} is not described")

    def ask(self, method, path, body=None, status=200, **more):
        operation = self.operation(method, path)
        what = f"{method} {path}"
        if body is not None and status < 300 and "requestBody" in operation:
            self.valid(operation["requestBody"]["content"]["application/json"]["schema"], body, what + " (request)")
        changes = method not in ("GET", "HEAD") and status < 300 and not path.split("?")[0].endswith(("/call", ":explain", ":preview"))
        before = self.newest_record() if changes else None
        answer = self.hub.request(method, path, body, **more)
        self.test.assertEqual(answer.status, status, f"{what}: {answer!r}")
        if changes:  # requirement 14.2: every one of them
            self.test.assertGreater(self.newest_record(), before, f"{what} left no record in the audit log")
        described = operation["responses"].get(str(status)) or operation["responses"]["default"]
        if "$ref" in described:
            described = self.document["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
        self.check_body(described.get("content", {}), answer, what)
        self.test.assertNotIn(CANARY, answer.text, what)
        return answer

    def newest_record(self):
        return max((r["number"] for r in self.hub.get(API + "/audit?limit=1").json["items"]), default=0)

    def check_body(self, content, answer, what):
        if not content:
            self.test.assertEqual(answer.body, b"", what)
            return
        kind = answer.header("content-type").split(";")[0]
        schema = content.get(kind) or content.get("*/*")
        self.test.assertIsNotNone(schema, f"{what}: {kind} is not among {list(content)}")
        if kind.endswith("json") and kind != "application/x-ndjson":
            self.valid(schema["schema"], json.loads(answer.body), what)
        if kind == "application/problem+json":
            self.test.assertEqual(answer.json["code"], answer.header("raccord-error"), what)
            self.test.assertEqual(answer.json["status"], answer.status, what)

    def unseen(self):
        every = {(m.upper(), p) for p, item in self.document["paths"].items() for m in item}
        return sorted(every - self.seen)


@unittest.skipIf(Draft202012Validator is None, "python3-jsonschema is not here")
class Api(harness.Case):
    def start(self, script=None, setup=False, **env):
        """A hub that may reach `self.provider` and a port where nobody listens, a connection to each, and the contract."""
        self.provider = self.upstream(script or [harness.answer()])
        nobody = harness.free_port()
        allowed = f"localhost:{self.provider.port},localhost:{nobody}"
        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": allowed, "RACCORD_EGRESS_ALLOW_HTTP": allowed, **env})
        self.api = Contract(self, hub)
        if not setup:
            hub.connection("crm", self.provider.url, credentials={"token": CANARY}, fields={"verify_path": "/me"})
            hub.connection("nobody", f"http://localhost:{nobody}", fields={"verify_path": "/me"})
        return hub

    def call(self, body, status=200, key="crm"):
        return self.api.ask("POST", f"{API}/connections/{key}/call", body, status)

    # --- all of it ---

    def test_every_operation_answers_as_it_is_described(self):
        hub = self.start(script=[harness.answer(b'{"n":19.99}')], setup=True)
        self.pages(hub)
        owner = self.sign_in(hub)
        self.access(owner)
        self.identity()
        self.oauth_clients()
        self.catalog()
        self.connections()
        self.authorizations(hub)
        self.certificates()
        self.folders(owner)
        self.calls()
        self.audit()
        self.assertEqual(self.api.unseen(), [])

    def pages(self, hub):
        ask = self.api.ask
        for path in ("/", "/setup", "/assets/setup.js", "/problems/not_found", "/healthz", "/readyz"):
            ask("GET", path, token="")
        self.assertIn(hub.url, ask("GET", API + "/openapi.json").text)
        ask("GET", API + "/openapi.json", token="")
        self.assertIn("raccord_build_info", ask("GET", "/metrics").text)
        ask("GET", "/metrics", token="", status=401)

    def sign_in(self, hub):
        ask = self.api.ask
        setup = hub.line("setup")
        ask("POST", API + "/setup", {"code": "wrong", "email": "o@example.com", "password": PASSWORD}, 403, token="")
        code = setup.split("#")[1]
        owner = ask("POST", API + "/setup", {"code": code, "email": "o@example.com", "password": PASSWORD, "language": "fr"}, 201, token="").json
        ask("POST", API + "/setup", {"code": code, "email": "p@example.com", "password": PASSWORD}, 409, token="")
        ask("POST", API + "/session", {"email": "o@example.com", "password": "wrong"}, 401, token="")
        signed = ask("POST", API + "/session", {"email": "o@example.com", "password": PASSWORD}, token="")
        cookie = {"Cookie": signed.header("set-cookie").split(";")[0]}
        csrf = {**cookie, "X-CSRF-Token": signed.json["csrf_token"]}
        self.assertEqual(ask("GET", API + "/session", headers=cookie, token="").json["principal"]["id"], owner["id"])
        self.assertEqual(ask("POST", API + "/tokens", {"name": "x"}, 403, headers=cookie, token="").json["code"], "csrf_token_invalid")
        token = ask("POST", API + "/tokens", {"name": "first", "role": "owner", "expires_in": "30d"}, 201, headers=csrf, token="").json["secret"]
        ask("GET", "/invite", token="")
        self.second_factor(cookie, csrf)
        signed = ask("POST", API + "/session", {"email": "o@example.com", "password": PASSWORD}, token="")
        cookie = {"Cookie": signed.header("set-cookie").split(";")[0]}
        csrf = {**cookie, "X-CSRF-Token": signed.json["csrf_token"]}
        ask("DELETE", API + "/session", status=403, headers=cookie, token="")
        ask("DELETE", API + "/session", status=204, headers=csrf, token="")
        ask("GET", API + "/session", status=401, headers=cookie, token="")
        return token

    def second_factor(self, cookie, csrf):
        ask = self.api.ask

        def renewed(answer, session):
            got = {"Cookie": answer.header("set-cookie").split(";")[0]}
            return got, {**got, "X-CSRF-Token": session["csrf_token"]}
        ask("GET", API + "/second-factor", headers=cookie, token="")
        uri = ask("POST", API + "/second-factor", status=201, headers=csrf, token="").json["otpauth_uri"]
        ask("POST", API + "/second-factor/confirm", {"code": "000000"}, 401, headers=csrf, token="")
        on = ask("POST", API + "/second-factor/confirm", {"code": harness.totp(uri)}, headers=csrf, token="")
        ask("GET", API + "/session", status=401, headers=cookie, token="")
        cookie, csrf = renewed(on, on.json["session"])
        ask("POST", API + "/session", {"email": "o@example.com", "password": PASSWORD}, 401, token="")
        codes = ask("POST", API + "/second-factor/recovery-codes", status=201, headers=csrf, token="").json["recovery_codes"]
        self.assertFalse(set(codes) & set(on.json["recovery_codes"]))
        ask("POST", API + "/session", {"email": "o@example.com", "password": PASSWORD, "code": codes[0]}, token="")
        self.assertEqual(len(ask("GET", API + "/sessions", headers=cookie, token="").json["items"]), 2)
        ask("DELETE", API + "/sessions", status=204, headers=csrf, token="")
        again = ask("POST", API + "/session:step-up", {"password": PASSWORD}, headers=csrf, token="")
        cookie, csrf = renewed(again, again.json)
        ask("DELETE", API + "/second-factor", status=204, headers=csrf, token="")
        mine = ask("GET", API + "/sessions", headers=cookie, token="").json["items"][0]["id"]
        ask("DELETE", f"{API}/sessions/{mine}", status=204, headers=csrf, token="")

    def access(self, owner):
        ask = self.api.ask
        made = ask("POST", API + "/users", {"email": "ann@example.com", "role": "user"}, 201, token=owner)
        user = API + "/users/" + made.json["id"]
        ask("GET", API + "/users?limit=1", token=owner)
        tag = ask("GET", user, token=owner).header("etag")
        ask("PATCH", user, {"language": "fr", "password": PASSWORD}, headers={"If-Match": tag}, token=owner)
        ask("PATCH", user, {"language": "en"}, 412, headers={"If-Match": tag}, token=owner)
        ask("PATCH", user, {"locked": False}, token=owner)
        link = ask("POST", user + "/invitation", status=201, token=owner).json["link"]
        accepted = {"code": link.split("#")[1], "password": "quiet river under stones", "language": "en"}
        ask("POST", API + "/invitations:accept", accepted, token="")
        ask("POST", API + "/invitations:accept", accepted, 403, token="")
        ask("DELETE", user + "/invitation", status=204, token=owner)
        ask("DELETE", user + "/second-factor", status=204, token=owner)
        ask("POST", API + "/users", {"email": "eve@example.com", "invite": True}, 201, token=owner)
        ask("DELETE", user, status=204, token=owner)
        ask("GET", user, status=404, token=owner)
        ask("POST", API + "/service-accounts", {"name": "sync"}, 201)
        ask("GET", API + "/service-accounts")
        ask("GET", API + "/service-accounts/sync")
        ask("PATCH", API + "/service-accounts/sync", {"role": "admin"})
        made = ask("POST", API + "/tokens", {"name": "t", "service_account": "sync", "expires_in": "1h"}, 201).json
        token = API + "/tokens/" + made["id"]
        ask("GET", API + "/session", token=made["secret"])
        ask("GET", API + "/tokens")
        ask("GET", token)
        ask("PATCH", token, {"name": "u"})
        ask("DELETE", token, status=204)
        self.assertEqual(ask("GET", API + "/session", status=401, token=made["secret"]).json["code"], "token_invalid")
        ask("DELETE", API + "/service-accounts/sync", status=204)

    def identity(self):
        ask, doors = self.api.ask, API + "/identity-providers"
        made = ask("POST", doors, {"key": "sso", "issuer": "https://sso.example", "client_secret": CANARY, "sign_in": {"client_id": "hub"},
                                   "jwt_callers": {"audience": "hub", "users": True}}, 201).json
        ask("GET", doors + "?limit=1")
        tag = ask("GET", doors + "/sso").header("etag")
        ask("PATCH", doors + "/sso", {"name": "Single sign-on", "sign_in": made["sign_in"]}, headers={"If-Match": tag})
        ask("PATCH", doors + "/sso", {"name": "x"}, 412, headers={"If-Match": tag})
        self.assertEqual([p["name"] for p in ask("GET", API + "/session/providers", token="").json["items"]], ["Single sign-on"])
        ask("GET", API + "/session/oidc/none", status=404, token="")
        ask("GET", "/oidc/callback?state=x&code=y", status=400, token="")
        ask("DELETE", doors + "/sso", status=204)
        ask("GET", doors + "/sso", status=404)

    def oauth_clients(self):
        ask, doors = self.api.ask, API + "/oauth-clients"
        made = ask("POST", doors, {"key": "crm", "client_id": "x", "client_secret": CANARY, "next_client_secret": CANARY,
                                   "token_url": "https://login.example.com/token", "scopes": ["a"], "grant_types": ["client_credentials"],
                                   "authorize_parameters": {"a": "b"}, "expired": {"status": [403]}, "lifetime": "1h"}, 201)
        ask("POST", doors, {"key": "crm"}, 400)
        ask("GET", doors + "?limit=1&search=c&connector=http")
        tag = ask("GET", doors + "/crm").header("etag")
        ask("PATCH", doors + "/crm", {"name": "n", "lifetime": None, "scopes": "a b"}, headers={"If-Match": tag})
        ask("PATCH", doors + "/crm", {"name": "x"}, 412, headers={"If-Match": tag})
        ask("POST", doors + "/crm/activate")
        ask("POST", doors + "/crm/activate", status=404)
        ask("DELETE", doors + "/" + made.json["id"], status=204)
        ask("GET", doors + "/crm", status=404)

    def authorizations(self, hub):
        ask, sessions = self.api.ask, API + "/connect-sessions"
        ask("POST", API + "/oauth-clients", {"key": "web", "client_id": "x", "client_secret": CANARY,
                                             "authorization_url": "https://login.example.com/authorize",
                                             "token_url": "https://login.example.com/token"}, 201)
        con = ask("POST", API + "/connections", {"connector": "http", "auth_type": "oauth2_authorization_code", "key": "web", "folder": "shared",
                                                 "oauth_client": "web", "fields": {"base_url": self.provider.url}}, 201).json
        ask("GET", API + "/doctor")
        ask("GET", API + "/grants?from_backup=true")
        ask("GET", API + "/grants?state=none")
        begun = ask("POST", API + "/connections/web/authorize", {"return": "/"}, 201).json
        self.assertEqual(ask("GET", f"{API}/authorizations/{begun['id']}").json["state"], "pending")
        ask("POST", API + "/connections/crm/authorize", {}, 409)
        ask("GET", begun["authorization_url"][len(hub.url):], status=303, token="")
        ask("GET", "/oauth/start/nothing", status=400, token="")
        ask("GET", "/oauth/jwks/" + ask("GET", API + "/oauth-clients/web").json["id"], token="")
        for path in ("/oauth/callback", "/provisioning_/callback"):
            ask("GET", path + "?state=x&code=y", status=400, token="")
        made = ask("POST", sessions, {"connection": "web", "expires_in": "1h"}, 201).json
        link = made.pop("url")[len(hub.url):]
        self.assertEqual(ask("GET", f"{sessions}/{made['id']}").json, made)
        ask("GET", link, token="")
        ask("POST", link, "csrf=x", 403, token="", headers={"Content-Type": "application/x-www-form-urlencoded"})
        ask("DELETE", f"{sessions}/{made['id']}", status=204)
        ask("DELETE", f"{sessions}/{made['id']}", status=403)
        ask("DELETE", f"{API}/connections/{con['id']}?force=true")

    def catalog(self):
        ask = self.api.ask
        for item in ask("GET", API + "/connectors?limit=200").json["items"]:
            for language in ("en", "fr"):
                ask("GET", f"{API}/connectors/{item['id']}?language={language}")
        ask("GET", API + "/connectors/none", status=404)
        ask("GET", API + "/domains")
        for item in ask("GET", API + "/folders").json["items"]:
            ask("GET", API + "/folders/" + item["id"])
        ask("GET", API + "/limits")
        self.policies()
        self.keys()

    def policies(self):
        ask, doors = self.api.ask, API + "/policies"
        rules = [{"rule": "quota", "connectors": ["zendesk"], "value": 10}, {"rule": "methods_block", "values": ["DELETE"]},
                 {"rule": "preset", "connectors": ["slack"], "part": "credential", "name": "token", "value": CANARY}]
        ask("POST", doors + ":preview", {"policy": {"name": "p", "rules": rules}})
        made = ask("POST", doors, {"name": "p", "rules": rules}, 201).json
        ask("GET", doors + "?limit=1")
        tag = ask("GET", doors + "/" + made["id"]).header("etag")
        ask("PUT", doors + "/" + made["id"], {"name": "q", "rules": made["rules"]}, headers={"If-Match": tag})
        ask("PUT", doors + "/" + made["id"], {"name": "r", "rules": []}, 412, headers={"If-Match": tag})
        ask("POST", doors + ":explain", {"operation": "connection.create", "connector": "zendesk"})
        ask("GET", API + "/limits")
        ask("DELETE", doors + "/" + made["id"], status=204)
        ask("GET", doors + "/" + made["id"], status=404)

    def keys(self):
        ask = self.api.ask
        self.assertIsNone(ask("GET", API + "/keys").json["rotation"])
        self.assertEqual(ask("POST", API + "/keys:rotate", status=202).json["reason"], "asked")
        self.assertEqual(ask("GET", API + "/keys").json["rotation"]["key"], 2)

    def connections(self):
        ask = self.api.ask
        ask("POST", API + "/connections", {"connector": "http", "auth_typ": "x"}, 400)
        made = ask("POST", API + "/connections", {
            "connector": "http", "auth_type": "bearer", "key": "crm", "name": "CRM", "folder": "shared", "fields": {"base_url": self.provider.url,
            "verify_path": "/me"}, "credentials": {"token": CANARY}}, 201)
        self.assertTrue(made.header("location").endswith(f"{API}/connections/{made.json['id']}"))
        self.assertEqual(ask("GET", API + "/connections?search=CRM&state=active&folder=shared&connector=http").json["items"], [made.json])
        self.assertEqual(ask("GET", API + "/connections/crm?folder=shared").json, made.json)
        ask("PATCH", API + "/connections/crm", {"allowed_domain": "example.com"}, 409)
        ask("PATCH", API + "/connections/crm", {"notes": "n"}, headers={"If-Match": made.header("etag")})
        ask("PUT", API + "/connections/crm/credentials", {"token": CANARY + "2"})
        for verb in ("disable", "enable", "default"):
            ask("POST", f"{API}/connections/crm/{verb}")
        ask("GET", API + "/connections/crm/usage")
        twin = ask("POST", API + "/connections", {"connector": "http", "auth_type": "none", "name": "CRM", "folder": "shared",
                                                  "fields": {"base_url": self.provider.url}}, 201).json
        self.assertEqual(len(twin["warnings"]), 1)
        ask("DELETE", API + "/connections/" + twin["id"], status=204)
        ask("DELETE", API + "/connections/" + twin["id"], status=404)
        self.assertEqual(ask("GET", API + "/connections?deleted=true").json["items"][0]["state"], "deleted")
        ask("POST", f"{API}/connections/{twin['id']}/restore", {"key": "twin"})
        for path in ("grant", "grant/events"):
            ask("GET", API + "/connections/twin/" + path, status=404 if path == "grant" else 200)
        ask("POST", API + "/connections/twin/renew", status=404)
        self.assertEqual(ask("GET", API + "/connections/twin/history").json["items"][0]["action"], "connection.restore")
        ask("POST", API + "/connections/crm/duplicate", {"dry_run": True})
        copy = ask("POST", API + "/connections/crm/duplicate", {"auth_type": "basic", "credentials": {"username": "u", "password": CANARY}}, 201).json
        ask("PATCH", f"{API}/connections/{copy['id']}", {"tags": ["eu", "crm"]})
        self.assertEqual([c["id"] for c in ask("GET", API + "/connections?tag=eu&default=false").json["items"]], [copy["id"]])
        ask("DELETE", f"{API}/connections/crm", status=409)
        ask("DELETE", f"{API}/connections/{copy['id']}?force=true")
        ask("DELETE", f"{API}/connections/{twin['id']}?purge=true", status=204)

    def certificates(self):
        ask = self.api.ask
        ask("GET", API + "/certificates/ca.pem", status=404)
        ask("POST", API + "/connections", {"connector": "http", "auth_type": "none", "key": "mtls", "folder": "shared",
                                           "fields": {"base_url": self.provider.url},
                                           "credentials": {"client_certificate": {"issue": "connection", "days": 30}}}, 201)
        ask("GET", API + "/connections/mtls")
        made = ask("POST", API + "/certificates", {"issue": "connection", "connection": "mtls"}, 201)
        ask("GET", made.header("location").split(self.api.hub.url)[1])
        ask("POST", f"{API}/certificates/{made.json['id']}/activate", headers={"If-Match": made.header("etag")})
        ask("POST", f"{API}/certificates/{made.json['id']}/activate", headers={"If-Match": made.header("etag")}, status=412)
        self.assertEqual(len(ask("GET", API + "/certificates?connection=mtls&state=retired").json["items"]), 1)
        first = ask("GET", API + "/certificates?limit=1").json
        self.assertEqual(len(first["items"]), 1)
        self.assertEqual(len(ask("GET", API + "/certificates?cursor=" + first["next_cursor"]).json["items"]), 2)
        ask("GET", API + "/certificates/crt_nowhere", status=404)
        ask("POST", API + "/certificates", {"issue": "connection"}, 400)
        self.assertIn("BEGIN CERTIFICATE", ask("GET", API + "/certificates/ca.pem").text)
        ask("PUT", API + "/connections/mtls/credentials", {"credentials": {"client_certificate": None}})
        ask("PATCH", API + "/connections/mtls", {"tls_ca": None})
        ask("DELETE", API + "/connections/mtls", status=204)

    def folders(self, owner):
        ask, door = self.api.ask, API + "/folders"
        made = ask("POST", door, {"path": "shared/sales", "preset": "open_folder"}, 201)
        self.assertEqual(made.json["path"], "shared/sales")
        sales = door + "/" + made.json["id"]
        for body, status in (({"path": "shared/sales"}, 409), ({"path": "shared/none/x"}, 404), ({"path": "personal/x"}, 404),
                             ({"path": "shared/Sales"}, 400), ({"path": "x"}, 400)):
            ask("POST", door, body, status)
        ann = ask("POST", API + "/users", {"email": "amy@example.com", "role": "viewer", "password": PASSWORD}, 201, token=owner).json
        group = ask("POST", API + "/groups", {"name": "Sellers", "members": ["amy@example.com"]}, 201).json
        ask("GET", API + "/groups")
        tag = ask("GET", API + "/groups/Sellers").header("etag")
        ask("PATCH", API + "/groups/Sellers", {"name": "Sales people", "members": [ann["id"]]}, headers={"If-Match": tag})
        ask("PATCH", API + "/groups/" + group["id"], {"members": [group["id"]]}, 400)
        members = {"members": [{"principal": group["id"], "role": "editor", "expires_in": "30d"}]}
        seen = ask("PUT", sales + "/members?preview=true", members).json
        self.assertIn(("amy@example.com", "edit"), [(g["principal"]["name"], r) for g in seen["gains"] for r in g["rights"]])
        self.assertEqual(ask("GET", sales + "/members").json["members"], [])
        put = ask("PUT", sales + "/members", members).json
        self.assertEqual(ask("PUT", sales + "/members", put).json, put)
        ask("PATCH", sales + "?preview=true", {"inherits": False})
        tag = ask("GET", sales).header("etag")
        ask("PATCH", sales, {"name": "vente", "preset": "inherited"}, headers={"If-Match": tag})
        ask("PATCH", sales, {"name": "x"}, 412, headers={"If-Match": tag})
        ask("POST", API + "/connections/crm/shares", {"with": "amy@example.com", "expires_in": "1d"}, 201)
        ask("GET", API + "/connections/crm/shares")
        ask("DELETE", f"{API}/connections/crm/shares/{ann['id']}", status=204)
        ask("DELETE", f"{API}/connections/crm/shares/{ann['id']}", status=404)
        ask("POST", API + "/connections/crm/move", {"folder": "shared/vente", "preview": True})
        ask("POST", API + "/connections/crm/move", {"folder": "shared/vente"})
        self.assertIn("1", ask("DELETE", sales, status=409).json["detail"])
        ask("POST", API + "/connections/crm/move", {"folder": "shared"})
        ask("DELETE", sales, status=204)
        ask("POST", f"{API}/users/{ann['id']}/departure", {"to": "o@example.com", "preview": True})
        ask("POST", f"{API}/users/{ann['id']}/departure", {"to": "o@example.com"})
        ask("DELETE", API + "/groups/" + group["id"], status=204)

    def calls(self):
        ask = self.api.ask
        verdict = ask("POST", API + "/connections/crm/verify").json
        order = ask("POST", API + "/connections:verify", {"ids": ["crm"]}, 202).json
        ask("GET", API + "/connections:verify/" + order["id"])
        self.assertTrue(verdict["ok"])
        self.assertEqual(ask("GET", API + "/connections/crm").json["health"], "ok")
        run = ask("POST", API + "/connections/crm/call", {"method": "GET", "path": "/x"}).json["run_id"]
        self.until_recorded(run)
        ask("GET", API + "/runs?connection=crm&outcome=success")
        self.assertEqual(ask("GET", API + "/runs/" + run).json["via"], "call")

    def audit(self):
        ask = self.api.ask
        ask("GET", API + "/audit?limit=200")
        self.assertTrue(ask("GET", API + "/folders/shared/audit?limit=1").json["items"])
        ask("GET", API + "/audit:export?limit=10000")
        value = ask("POST", API + "/audit:hash", {"value": CANARY}).json["hash"]
        self.assertIn(value, ask("GET", API + "/audit?action=connection.create").text)
        self.assertTrue(ask("GET", API + "/audit:verify").json["ok"])

    def until_recorded(self, run):
        """Records leave in batches; nothing tells when one is written."""
        self.eventually(lambda: self.api.hub.get(API + "/runs/" + run).status == 200, "the run was never recorded")

    # --- calls ---

    def test_numbers_go_out_and_come_back_as_they_were_written(self):
        self.start([harness.answer(b'{"price": 19.99, "big":9007199254740993,"huge":123456789012345678901234567890,"e":1E400}')])
        raw = '{"method":"POST","path":"/p","body": {"b":19.990, "a":[9007199254740993,123456789012345678901234567890 ]}}'
        answer = self.api.hub.request("POST", API + "/connections/crm/call", raw, headers={"Content-Type": "application/json"})
        self.assertEqual(answer.status, 200, answer)
        self.assertIn('"body":{"price": 19.99, "big":9007199254740993,"huge":123456789012345678901234567890,"e":1E400}', answer.text)
        self.assertTrue(self.provider.wait(lambda r: b'{"b":19.990, "a":[9007199254740993,123456789012345678901234567890 ]}' in b"".join(r)))
        self.assertRegex(self.provider.requests()[0].lower(), r"content-type: application/json")

    def test_the_credential_is_added_and_the_query_encoded(self):
        self.start()
        self.call({"method": "GET", "path": "/s", "query": {"q": "a b&c=é", "n": 1.50, "on": True, "l": ["x", 2]}, "headers": {"X-One": "1"}})
        head = self.provider.requests()[0]
        self.assertIn("GET /s?q=a%20b%26c%3D%C3%A9&n=1.5&on=true&l=x&l=2 HTTP/1.1\r\n", head)
        self.assertIn(f"Bearer {CANARY}", head)
        self.assertRegex(head, r"(?i)x-one: 1")

    def test_a_caller_does_not_replace_the_credential(self):
        self.start()
        for name in ("Authorization", "authorization", "AUTHORIZATION"):
            problem = self.call({"method": "GET", "path": "/", "headers": {name: "Bearer mine"}}, 400).json
            self.assertEqual(problem["code"], "header_refused")
        self.assertEqual(self.provider.requests(), [])

    def test_text_stays_text_and_bytes_come_in_base64(self):
        answers = [
            (harness.answer("né".encode(), content_type="text/plain; charset=utf-8"), {"body": "né"}),
            (harness.answer(b"{broken", content_type="application/json"), {"body": "{broken"}),
            (harness.answer(b"\xff\x00", content_type="image/png"), {"body_base64": base64.b64encode(b"\xff\x00").decode()}),
            (harness.answer(b'{"a":1}', content_type="application/vnd.x+json"), {"body": {"a": 1}}),
            (harness.answer(b"", content_type="application/json"), {"body": None}),
        ]
        def provider(s, _):
            while request := s.read_request():
                s.sendall(answers[int(request.split(b" ")[1][1:])][0])

        self.start(provider)
        for number, (_, expected) in enumerate(answers):
            got = self.call({"method": "GET", "path": f"/{number}"}).json
            self.assertEqual({k: got[k] for k in got if k.startswith("body")}, expected)

    def test_repeated_headers_come_as_a_list(self):
        self.start([harness.answer(headers=["X-Many: 1", "x-many: 2", "X-One: 3"])])
        headers = self.call({"method": "GET", "path": "/"}).json["headers"]
        self.assertEqual(headers["x-many"], ["1", "2"])
        self.assertEqual(headers["x-one"], "3")

    def test_a_providers_error_is_an_answer_and_its_silence_a_problem(self):
        self.start([harness.answer(b'{"error":"x"}', status="503 Service Unavailable")])
        self.assertEqual(self.call({"method": "GET", "path": "/"}).json["status"], 503)
        problem = self.call({"method": "GET", "path": "/"}, 502, key="nobody")
        self.assertEqual((problem.json["code"], problem.json["fault"]), ("upstream_connect", "provider"))
        self.assertEqual(problem.json["run_id"], problem.header("raccord-run"))

    def test_text_bodies_leave_as_text(self):
        self.start()
        self.call({"method": "POST", "path": "/", "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": "a=1&b=2"})
        self.call({"method": "POST", "path": "/", "body_base64": base64.b64encode(b"\x00\xff").decode()})
        self.assertTrue(self.provider.wait(lambda r: b"\r\n\r\na=1&b=2" in b"".join(r) and b"\r\n\r\n\x00\xff" in b"".join(r)))
        self.assertRegex(self.provider.requests()[1], r"(?i)content-type: application/octet-stream")

    # --- verify ---

    def test_a_refused_credential_is_said_so_in_the_callers_language(self):
        self.start([harness.answer(status="401 Unauthorized")])
        for language, word in (("en", "refused"), ("fr", "refusé")):
            verdict = self.api.ask("POST", API + "/connections/crm/verify", headers={"Accept-Language": language}).json
            self.assertFalse(verdict["ok"])
            self.assertEqual((verdict["status"], verdict["health"]), (401, "failing"))
            self.assertIn(word, verdict["reason"])
        self.assertEqual(self.api.ask("GET", API + "/connections/crm").json["health"], "failing")

    def test_an_unreachable_provider_makes_the_connection_failing(self):
        self.start()
        problem = self.api.ask("POST", API + "/connections/nobody/verify", status=502).json
        self.assertEqual(problem["code"], "upstream_connect")
        self.assertEqual(self.api.ask("GET", API + "/connections/nobody").json["health"], "failing")

    # --- errors ---

    def test_problems_speak_the_callers_language(self):
        self.start()
        for language, title in (("en", "No such connection"), ("fr", "Connexion inconnue"), ("de, fr;q=0.5, en;q=0.1", "Connexion inconnue")):
            problem = self.api.ask("GET", API + "/connections/none", status=404, headers={"Accept-Language": language}).json
            self.assertEqual((problem["code"], problem["title"]), ("connection_not_found", title))

    def test_a_french_reader_meets_no_english_inside_a_french_sentence(self):
        self.start()
        ask = self.api.ask
        french = {"Accept-Language": "fr-CA, en;q=0.5"}
        new = {"connector": "http", "name": "x", "auth_type": "bearer", "allowed_domain": "*.github.io",
               "fields": {"base_url": "https://api.example.com"}, "credentials": {"token": CANARY}}
        for method, path, body, status, detail in (
                ("POST", "/connections", new, 400,
                 "Le domaine autorisé n'est pas valide : ici, un joker couvrirait les domaines d'autrui (il porte sur un suffixe public) ; "
                 "ajoutez votre propre nom, comme dans *.example.com"),
                ("POST", "/connections", {**new, "fields": {"base_url": "https://api.example.com/?a=1"}}, 400,
                 "L'URL ou le chemin n'est pas valide : une URL de base n'a ni partie « query » ni fragment ; retirez-les"),
                ("GET", "/users/usr_none", None, 404, "Il n'y a pas d'utilisateur ici, ou vous n'y avez pas accès."),
                ("GET", "/runs?limit=0", None, 400, "Le champ n'est pas valide : limit : de 1 à 200"),
                ("POST", "/tokens", {"name": 7}, 400, "Le champ n'est pas valide : name : un texte est attendu"),
                ("POST", "/tokens", b"{", 400,
                 "Le corps n'est pas du JSON valide : ligne 1, colonne 2 : le nom d'un membre entre guillemets doubles est attendu"),
                ("POST", "/tokens", b"x" * 70000, 413, "Le corps dépasse 65536 octets.")):
            headers = {**french, "Content-Type": "application/json"} if isinstance(body, bytes) else french
            self.assertEqual(ask(method, API + path, body, status, headers=headers).json["detail"], detail)

    def test_a_caller_without_a_wish_reads_problems_in_their_own_language(self):
        self.start()
        ask = self.api.ask
        for language, title in (("fr", "Connexion inconnue"), ("en", "No such connection")):
            user = ask("POST", API + "/users", {"email": f"{language}@example.com", "password": PASSWORD, "role": "user", "language": language}, 201).json
            signed = ask("POST", API + "/session", {"email": user["email"], "password": PASSWORD}, 200, token="")
            cookie = {"Cookie": signed.header("set-cookie").split(";")[0]}
            self.assertEqual(ask("GET", API + "/connections/none", status=404, token="", headers=cookie).json["title"], title)
            asked = ask("GET", API + "/connections/none", status=404, token="", headers={**cookie, "Accept-Language": "en"}).json
            self.assertEqual(asked["title"], "No such connection")

    def test_a_head_past_a_limit_names_the_limit(self):
        hub = self.start()
        for head, said in ((b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"The request target is longer than 8192 bytes."),
                           (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", b"The request head is larger than 100 headers.")):
            self.assertIn(said, hub.raw(head))

    def test_a_body_that_is_not_json_is_refused_before_anything_happens(self):
        hub = self.start()
        for body, kind, status in ((b"{", "application/json", 400), (b"[]", "application/json", 400), (b"a=1", "application/x-www-form-urlencoded", 415),
                                   (b'{"name":"a","name":"b"}', "application/json", 400), (b"x" * 70000, "application/json", 413)):
            answer = hub.request("POST", API + "/tokens", body, headers={"Content-Type": kind})
            self.assertEqual(answer.status, status, body[:40])
            self.assertEqual(answer.header("content-type"), "application/problem+json")

    def test_a_wrong_method_names_the_right_ones(self):
        hub = self.start()
        answer = hub.request("PUT", API + "/connections/crm", {})
        self.assertEqual(answer.status, 405)
        self.assertEqual({m.strip() for m in (answer.header("allow") or "").split(",")}, {"GET", "HEAD", "PATCH", "DELETE"})

    def test_head_has_the_head_of_get_and_no_body(self):
        hub = self.start()
        answer = hub.request("HEAD", "/healthz")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_a_prefix_of_the_public_url_works_whether_or_not_a_gateway_takes_it_off(self):
        hub = self.start()
        prefixed = self.hub("--public-url", "https://hub.example/raccord/")
        for prefix in ("", "/raccord"):
            self.assertEqual(prefixed.get(prefix + "/healthz", token="").status, 200)
            missing = prefixed.get(prefix + "/proxy/none/x")
            self.assertEqual((missing.status, missing.header("raccord-error")), (404, "connection_not_found"))
            self.assertTrue(missing.json["type"].startswith("https://hub.example/raccord/problems/"))
        self.assertEqual(prefixed.get("/raccordx/healthz", token="").status, 404)
        self.assertEqual(hub.get("/raccord/healthz", token="").status, 404)


if __name__ == "__main__":
    unittest.main()
