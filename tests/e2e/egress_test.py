"""Nothing goes where it must not: an Internet of the test's own, where every address listens and every wrong visit is seen."""
import itertools
import json
import re
import statistics
import subprocess
import time
import urllib.parse

import harness
import internet
from provider import Provider, parse_raw, problem

NAMES = ",".join("DNS:" + name for name in ("example.com", "*.example.com", "api.github.com", "api.openai.com", "slack.com",
                                            "api.stripe.com", "acme.zendesk.com", "acme.atlassian.net", "acme.service-now.com",
                                            "acme.myshopify.com", "acme.my.salesforce.com", "login.salesforce.com",
                                            "acme.crm4.dynamics.com", "login.microsoftonline.com", "graph.microsoft.com",
                                            "api.mypurecloud.ie", "login.mypurecloud.ie", "bigquery.googleapis.com",
                                            "admin.googleapis.com", "oauth2.googleapis.com", "lambda.eu-west-3.amazonaws.com",
                                            "sts.eu-west-3.amazonaws.com", "*.flip.test"))
SECRET = "s3cr3t-canary"
REFUSED = ("field_invalid", "address_not_allowed", "domain_not_allowed", "scheme_not_allowed", "port_not_allowed", "url_invalid",
           "request_invalid", "domain_invalid")


class Case(internet.Case):
    settings = {}

    def setUp(self):
        super().setUp()
        self.provider = Provider(self, listen=(f"{internet.HOME}:443", f"[{internet.HOME6}]:443"), alternative=NAMES)
        self.ca = {"RACCORD_EGRESS_CA_FILE": self.provider.pki.ca}
        self.hub1 = self.hub(env=dict(self.ca, **self.settings))

    def make(self, key, base_url, hub=None, **more):
        return (hub or self.hub1).connection(key, base_url, "bearer", {"token": SECRET}, **more)

    def nothing_was_caught(self):
        self.assertEqual(self.traps.take(), [])

    def only_home(self, seen, base="/v2", hosts=internet.GOOD):
        for request in seen:
            self.assertIn(request.all("host")[0], hosts)
            self.assertTrue(request.target.startswith(base), request)

    def proxy_raw(self, target, hub=None, headers=()):
        hub = hub or self.hub1
        lines = [f"GET {target} HTTP/1.1", "Host: hub.test", f"Authorization: Bearer {hub.admin}", "Connection: close", *headers,
                 "", ""]
        return parse_raw(hub.raw("\r\n".join(lines).encode("latin-1")))


class TheTrapItself(internet.Case):
    def test_a_visit_to_any_address_is_seen(self):
        """A test that cannot fail is a defect: the traps do catch."""
        import socket
        for address, port in (("8.8.8.8", 443), ("127.0.0.1", 8443), ("169.254.169.254", 80), ("2001:4860::8888", 443),
                              ("::1", 443), ("10.0.0.5", 6379)):
            socket.create_connection((address, port)).close()
            self.assertEqual(self.traps.take(), [(address, port)])
        self.assertEqual(socket.gethostbyname("whatever.test"), internet.ELSEWHERE)
        self.assertEqual(socket.gethostbyname("loop.test"), "127.0.0.1")


class TheBuiltInConnectors(Case):
    """Each with its own host name, its own base path and its real header, through nginx."""

    def test_each_puts_its_credential_where_its_service_wants_it(self):
        import base64
        zendesk = "Basic " + base64.b64encode(b"jane@example.com/token:zd-t0ken").decode()
        jane = "Basic " + base64.b64encode(b"jane@example.com:t0ken").decode()
        for connector, body, path, host, target, wanted in (
                ("github", {"auth_type": "pat", "credentials": {"token": "gh-t0ken"}}, "/user", "api.github.com", "/user",
                 {"authorization": "Bearer gh-t0ken"}),
                ("openai", {"auth_type": "bearer", "credentials": {"token": "sk-t0ken"}, "fields": {"organization": "org-1"}},
                 "/models", "api.openai.com",
                 "/v1/models", {"authorization": "Bearer sk-t0ken", "openai-organization": "org-1"}),
                ("slack", {"auth_type": "bearer", "credentials": {"token": "xoxb-t0ken"}}, "/auth.test", "slack.com",
                 "/api/auth.test",
                 {"authorization": "Bearer xoxb-t0ken"}),
                ("stripe", {"auth_type": "api_key", "credentials": {"value": "rk_t0ken"}, "fields": {"api_version": "2024-06-20"}},
                 "/v1/balance",
                 "api.stripe.com", "/v1/balance", {"authorization": "Bearer rk_t0ken", "stripe-version": "2024-06-20"}),
                ("zendesk", {"auth_type": "basic", "credentials": {"username": "jane@example.com", "password": "zd-t0ken"},
                             "fields": {"subdomain": "acme"}},
                 "/api/v2/users/me.json", "acme.zendesk.com", "/api/v2/users/me.json", {"authorization": zendesk}),
                ("jira", {"auth_type": "basic", "credentials": {"email": "jane@example.com", "api_token": "t0ken"},
                          "fields": {"site": "acme"}},
                 "/rest/api/3/myself", "acme.atlassian.net", "/rest/api/3/myself", {"authorization": jane}),
                ("servicenow", {"auth_type": "basic", "credentials": {"username": "jane@example.com", "password": "t0ken"},
                                "fields": {"base_url": "https://acme.service-now.com"}},
                 "/api/now/table/incident", "acme.service-now.com", "/api/now/table/incident", {"authorization": jane}),
                ("shopify", {"auth_type": "api_key", "credentials": {"access_token": "shpat_t0ken"}, "fields": {"shop": "acme"}},
                 "/shop.json", "acme.myshopify.com", "/admin/api/2025-07/shop.json", {"x-shopify-access-token": "shpat_t0ken"})):
            with self.subTest(connector):
                made = self.hub1.post("/api/v1/connections",
                                      dict({"connector": connector, "key": connector, "folder": "shared"}, **body))
                self.assertEqual(made.status, 201, made)
                self.assertEqual(made.json["allowed_domain"], host)
                for spelling in ("authorization", "AUTHORIZATION"):
                    said = self.hub1.request("GET", f"/proxy/{connector}{path}", token="",
                                             headers={spelling: f"Bearer {self.hub1.admin}"})
                    self.assertEqual(said.status, 200, said)
                    seen = self.provider.one()
                    self.assertEqual((seen.target, seen.all("host")), (target, [host]))
                    for name, value in wanted.items():
                        self.assertEqual(seen.all(name), [value])
                    self.assertNotIn(b"rcd_", seen.raw)
                told = self.hub1.post(f"/api/v1/connections/{connector}/verify", {})
                self.assertIn(told.status, (200, 502))  # the answer is no real account; where the question went is what counts
                self.assertEqual(self.provider.one().all("host"), [host])
        self.nothing_was_caught()

    def test_each_that_fetches_its_own_tokens_asks_its_own_server_and_no_other(self):
        """Client credentials, password and key, through the hub's own renewals; the server's answer is what calls carry."""
        own = {"client_id": "id-1", "client_secret": "s3cr3t-client"}
        key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for connector, auth, fields, credentials, server, target, body, path, host, header in (
                ("genesys-cloud", "oauth2_client_credentials", {"region": "mypurecloud.ie"}, own, "login.mypurecloud.ie", "/oauth/token",
                 "grant_type=client_credentials", "/api/v2/users", "api.mypurecloud.ie", "authorization"),
                ("zendesk", "oauth2_client_credentials", {"subdomain": "acme"}, own, "acme.zendesk.com", "/oauth/tokens",
                 '"scope":"read"', "/api/v2/users/me.json", "acme.zendesk.com", "authorization"),
                ("servicenow", "oauth2_password", {"instance": "acme"}, dict(own, username="jane", password="p"),
                 "acme.service-now.com", "/oauth_token.do", "username=jane&password=p&", "/x", "acme.service-now.com", "authorization"),
                ("shopify", "oauth2_client_credentials", {"shop": "acme"}, own, "acme.myshopify.com", "/admin/oauth/access_token",
                 "client_secret=s3cr3t-client", "/shop.json", "acme.myshopify.com", "x-shopify-access-token"),
                ("salesforce", "oauth2_password", {"domain": "https://acme.my.salesforce.com/"},
                 dict(own, username="jane", password="pass", security_token="WORD"), "login.salesforce.com", "/services/oauth2/token",
                 "&password=passWORD&", "/services/data", "acme.my.salesforce.com", "authorization"),
                ("microsoft-dynamics-365", "oauth2_client_credentials", {"organization": "acme.crm4.dynamics.com", "tenant": "t1"}, own,
                 "login.microsoftonline.com", "/t1/oauth2/v2.0/token", "scope=https%3A%2F%2Facme.crm4.dynamics.com%2F.default",
                 "/api/data/v9.2/WhoAmI", "acme.crm4.dynamics.com", "authorization"),
                ("microsoft-graph", "oauth2_client_credentials", {"tenant": "t1"}, own, "login.microsoftonline.com",
                 "/t1/oauth2/v2.0/token", "scope=https%3A%2F%2Fgraph.microsoft.com%2F.default", "/v1.0/users", "graph.microsoft.com",
                 "authorization"),
                ("google-cloud", "google_service_account", {"service": "bigquery"},
                 {"private_key": key, "client_email": "robot@p.iam.gserviceaccount.com"}, "oauth2.googleapis.com", "/token",
                 "jwt-bearer&assertion=ey", "/bigquery/v2/projects", "bigquery.googleapis.com", "authorization"),
                ("google-workspace", "google_service_account", {"impersonate": "ann@example.com"},
                 {"key_json": json.dumps({"private_key": key, "client_email": "robot@p.iam.gserviceaccount.com"})},
                 "oauth2.googleapis.com", "/token", "jwt-bearer&assertion=ey", "/admin/directory/v1/users", "admin.googleapis.com",
                 "authorization"),
                ("github", "github_app", {"app_id": "7", "installation_id": "12"}, {"private_key": key}, "api.github.com",
                 "/app/installations/12/access_tokens", "", "/installation/repositories", "api.github.com", "authorization")):
            with self.subTest(connector):
                def answer(request):
                    if request.target != target or request.all("host") != [server]:
                        return harness.answer(b'{"ok":true}')
                    return harness.answer(json.dumps({"access_token": "t0ken-" + connector, "token": "t0ken-" + connector,
                                                      "token_type": "bearer", "expires_in": 3600}).encode())
                self.provider.answer = answer
                made = self.hub1.post("/api/v1/connections", {"connector": connector, "key": connector, "folder": "shared",
                                                              "auth_type": auth, "fields": fields, "credentials": credentials})
                self.assertEqual(made.status, 201, made)
                self.assertEqual(made.json["allowed_domain"], host)
                self.assertNotIn("{{", "".join(made.json["scopes"]["requested"]))
                self.assertEqual(self.hub1.request("GET", f"/proxy/{connector}{path}").status, 200)
                asked = [r for r in self.provider.take() if r.all("host") == [server] and r.target == target]
                self.assertEqual(len(asked), 1, asked)
                self.assertIn(body.encode(), asked[0].raw)
                self.assertEqual(self.hub1.request("GET", f"/proxy/{connector}{path}").status, 200)
                called = self.provider.one()
                token = "t0ken-" + connector
                self.assertEqual(called.all("host"), [host])
                self.assertEqual(called.all(header), [token if header.startswith("x-") else "Bearer " + token])
                self.assertNotIn(b"s3cr3t-client", called.raw)
                self.assertEqual(self.hub1.get(f"/api/v1/connections/{connector}").json["scopes"]["missing"], [])
        self.nothing_was_caught()

    def test_a_role_of_aws_is_asked_for_in_its_region_and_its_session_signs_for_lambda(self):
        def answer(request):
            if request.all("host") != ["sts.eu-west-3.amazonaws.com"]:
                return harness.answer(b'{"Functions":[]}')
            session = {"AccessKeyId": "ASIASESSION1", "SecretAccessKey": "s3ss1on", "SessionToken": "t0ken", "Expiration": time.time() + 3600}
            return harness.answer(json.dumps({"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": session}}}).encode())
        self.provider.answer = answer
        key = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "s3cr3t-key"}
        for auth, fields, signed_by in (
                ("aws_sigv4", {"region": "eu-west-3"}, "AKIDEXAMPLE"),
                ("aws_assume_role", {"region": "eu-west-3", "role_arn": "arn:aws:iam::123456789012:role/raccord"}, "ASIASESSION1")):
            with self.subTest(auth):
                made = self.hub1.post("/api/v1/connections", {"connector": "aws-lambda", "key": auth.replace("_", "-"), "folder": "shared",
                                                              "auth_type": auth, "fields": fields, "credentials": key})
                self.assertEqual((made.status, made.json["allowed_domain"]), (201, "lambda.eu-west-3.amazonaws.com"), made)
                said = self.hub1.request("GET", f"/proxy/{auth.replace('_', '-')}/2015-03-31/functions/")
                self.assertEqual(said.status, 200, said)
                *asked, called = self.provider.take()
                self.assertEqual([r.all("host") for r in asked], [["sts.eu-west-3.amazonaws.com"]] * (auth == "aws_assume_role"))
                for request in asked:
                    self.assertIn(made.json["fields"]["external_id"].encode(), request.raw)
                self.assertEqual(called.all("host"), ["lambda.eu-west-3.amazonaws.com"])
                self.assertRegex(called.all("authorization")[0],
                                 f"^AWS4-HMAC-SHA256 Credential={signed_by}/[0-9]{{8}}/eu-west-3/lambda/aws4_request, ")
                self.assertEqual(called.all("x-amz-security-token"), ["t0ken"] if auth == "aws_assume_role" else [])
        self.nothing_was_caught()

    def test_what_would_lead_a_token_elsewhere_is_refused(self):
        for connector, auth, fields, at in (
                ("salesforce", "oauth2_client_credentials", {"domain": "acme.my.salesforce.com.evil.test"}, "/fields/domain"),
                ("salesforce", "oauth2_password", {"domain": "acme.my.salesforce.com", "login_host": "evil.test"}, "/fields/login_host"),
                ("microsoft-dynamics-365", "oauth2_client_credentials", {"organization": "https://evil.test", "tenant": "t"},
                 "/fields/organization"),
                ("genesys-cloud", "oauth2_client_credentials", {"region": "evil.test"}, "/fields/region"),
                ("shopify", "oauth2_client_credentials", {"shop": "evil.test/"}, "/fields/shop"),
                ("google-cloud", "google_service_account", {"service": "evil.test#"}, "/fields/service"),
                ("aws-lambda", "aws_sigv4", {"region": "evil.test/"}, "/fields/region")):
            with self.subTest(connector):
                said = self.hub1.post("/api/v1/connections", {"connector": connector, "key": connector, "folder": "shared",
                                                              "auth_type": auth, "fields": fields})
                self.assertEqual((said.status, said.json["code"]), (400, "field_invalid"), said)
                self.assertEqual([e["pointer"] for e in said.json["errors"]], [at])
        self.nothing_was_caught()

    def test_the_catalog_has_no_connector_that_is_not_shown_here(self):
        ids = {c["id"] for c in self.hub1.get("/api/v1/connectors?limit=200").json["items"]}
        self.assertEqual(ids, {"github", "openai", "slack", "stripe", "zendesk", "http", "jira", "servicenow", "shopify", "genesys-cloud",
                               "aws-lambda", "salesforce", "microsoft-dynamics-365", "microsoft-graph", "google-cloud", "google-workspace"})


class Redirects(Case):
    TARGETS = ("https://evil.test/x", "https://api.example.com:8443/v2/x", "http://api.example.com/v2/x",
               "http://169.254.169.254/latest/meta-data/",
               "https://169.254.169.254/", "file:///etc/passwd", "//evil.test/x", "///evil.test/x",
               "https://api.example.com@evil.test/x",
               "https://api.example.com.evil.test/", "https://loop.test/", "https://[::1]/", "https://2130706433/",
               "gopher://evil.test/",
               "https://evil.test\\@api.example.com/", "https:evil.test", "\\\\evil.test\\x", "https://sub.example.com/v2/x")
    CODES = {301: "Moved Permanently", 302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect"}

    def setUp(self):
        super().setUp()
        self.make("plain", "https://api.example.com/v2")
        self.make("follows", "https://api.example.com/v2", fields={"follow_redirects": True})
        self.location, self.code = "", 302
        self.provider.answer = self.redirect

    def redirect(self, request):
        if request.target.startswith("/v2/go"):
            return harness.answer(b"moved", f"{self.code} {self.CODES[self.code]}", headers=["Location: " + self.location])
        return harness.answer(b"arrived")

    def test_no_redirect_takes_a_credential_elsewhere(self):
        for key, (code, target) in itertools.product(("plain", "follows"), itertools.product(self.CODES, self.TARGETS)):
            self.code, self.location = code, target
            for method in ("GET", "POST"):
                said = self.hub1.request(method, f"/proxy/{key}/go", b"x=1" if method == "POST" else None)
                self.assertEqual((said.status, said.header("location")), (code, target))
                self.assertEqual([r.target for r in self.provider.take()], ["/v2/go"])
            said = self.hub1.post(f"/api/v1/connections/{key}/call", {"method": "POST", "path": "/go", "body": {"a": 1}}).json
            self.assertEqual((said["status"], said["headers"]["location"]), (code, target))
            self.assertEqual([r.target for r in self.provider.take()], ["/v2/go"])
        self.nothing_was_caught()

    def test_by_default_not_even_the_own_host_is_followed(self):
        for self.code in self.CODES:
            self.location = "/v2/there"
            said = self.hub1.get("/proxy/plain/go")
            self.assertEqual((said.status, said.header("location")), (self.code, "/v2/there"))
            self.assertEqual(len(self.provider.take()), 1)

    def test_inside_the_own_host_it_is_followed_when_asked_for(self):
        for self.code in self.CODES:
            for self.location in ("/v2/there", "there", "https://api.example.com/v2/there", "//api.example.com/v2/there",
                                  "https://API.example.com:443/v2/there"):
                said = self.hub1.get("/proxy/follows/go")
                self.assertEqual((said.status, said.body), (200, b"arrived"))
                seen = self.provider.take()
                self.assertEqual([(r.target, r.all("authorization")) for r in seen],
                                 [("/v2/go", ["Bearer " + SECRET]), ("/v2/there", ["Bearer " + SECRET])])
        self.nothing_was_caught()

    def test_a_post_becomes_a_get_or_is_sent_again_whole(self):
        self.location = "/v2/there"
        for self.code in self.CODES:
            said = self.hub1.post("/api/v1/connections/follows/call", {"method": "POST", "path": "/go", "body": {"a": 19.99}}).json
            self.assertEqual(said["status"], 200)
            first, second = self.provider.take()
            self.assertEqual((first.method, first.body), ("POST", b'{"a": 19.99}'))
            self.assertEqual((second.method, second.body), ("POST", first.body) if self.code in (307, 308) else ("GET", b""))

    def test_a_loop_ends_and_the_caller_is_told(self):
        for self.location in ("/v2/go", "/v2/go?again", "https://api.example.com/v2/go"):
            said = self.hub1.get("/proxy/follows/go")
            self.assertTrue(said.status == 302 or problem(said, "too_many_redirects"))
            self.assertEqual(len(self.provider.take()), 6)  # the call and five hops

    def test_a_hop_to_a_name_that_leads_inside_is_refused(self):
        """Within the allowed domain, but its address is not public."""
        self.make("wide", "https://api.example.com/v2", allowed_domain="*.example.com", fields={"follow_redirects": True})
        self.location = "https://alias.example.com/"
        problem(self.hub1.get("/proxy/wide/go"), "address_not_allowed")
        self.location = "https://sub.example.com/v2/there"
        self.assertEqual(self.hub1.get("/proxy/wide/go").body, b"arrived")
        self.nothing_was_caught()


class TargetsThatLookLikeOthers(Case):
    PATHS = ["//evil.test/", "//evil.test", "///evil.test/", "/%2f%2fevil.test/", "/%2Fevil.test", "/%5cevil.test", "/\\evil.test",
             "/\\\\evil.test", "/..", "/../",
             "/../admin", "/%2e%2e/admin", "/%2E%2e%2fadmin", "/.%2e/admin", "/a/../../admin", "/a/%2e%2e/%2e%2e/admin",
             "/..%2fadmin", "/..%5cadmin",
             "/%252e%252e/admin", "/..;/admin", "/a/..;x=1/../admin", "/@evil.test/", "@evil.test/", ":443@evil.test/",
             ".evil.test/", "/https://evil.test/",
             "https://evil.test/", "/http://169.254.169.254/", "/%00", "/a%00b", "/%0d%0aHost:%20evil.test", "/;@evil.test",
             "/?@evil.test", "/#@evil.test",
             "/a?b#c", "/%", "/%zz", "/a b", "/\tb", "/é", "/.", "/./", "/a/./b", "/a//b", "/a%2fb", "/~", "/'",
             "/%ef%bc%8f%ef%bc%8fevil.test", "/*"]
    URLS = ["https://evil.test/", "HTTPS://EVIL.TEST/", "https://api.example.com@evil.test/",
            "https://api.example.com:x@evil.test/",
            "https://evil.test@api.example.com/", "https://api.example.com.evil.test/", "https://api.example.com:8443/v2/",
            "http://api.example.com/v2/",
            "https://evil.test\\@api.example.com/", "https://api.example.com\\@evil.test/", "https://evil.test#@api.example.com/",
            "https://evil.test?@api.example.com/", "https://evil.test/@api.example.com/", "https:evil.test", "https:/evil.test",
            "https:///evil.test/",
            "https:\\\\evil.test/", "//evil.test/", "\\\\evil.test\\", "https://api.example.com%2eevil.test/",
            "https://api.example.com%00.evil.test/",
            "https://api.example.com%40evil.test/", "https://[api.example.com]/", "https://api.example.com:443@evil.test/",
            "https://evil.test:443#.example.com/",
            "https://2130706433/", "https://0x7f.1/", "https://017700000001/", "https://127.1/", "https://[::ffff:127.0.0.1]/",
            "https://[::1]/",
            "https://169.254.169.254/", "https://loop.test/", "https://ａｐｉ.example.com/v2/x", "https://api。example。com/v2/x",
            "https://api.example.com./v2/x",
            "https://api.example.com\t.evil.test/", "https://api.example.com\r\n.evil.test/", "https://api.exa\tmple.com/v2/x",
            "file:///etc/passwd",
            "gopher://evil.test/", "https://api.example.com:0443/v2/x", "https://api.example.com:65536/",
            "https://api.example.com:0/", "https://api.example.com:/v2/x",
            "ftp://api.example.com/v2/", "https://sub.example.com/v2/x", "https://xapi.example.com/", "https://example.com/"]

    def test_a_path_is_refused_or_stays_below_the_base(self):
        self.make("crm", "https://api.example.com/v2")
        outcomes = {}
        for path in self.PATHS:
            wire = path.encode().decode("latin-1")
            status, told, _ = self.proxy_raw("/proxy/crm" + wire)
            outcomes[path] = self.judged(status, told, path)
            said = self.hub1.post("/api/v1/connections/crm/call", {"method": "GET", "path": path})
            inner = said.json if said.status == 200 else {"status": said.status, "headers": said.headers}
            self.judged(inner["status"], inner["headers"], path)
        self.nothing_was_caught()
        self.assertEqual(outcomes["/a//b"], "/v2/a//b")  # as it was sent
        self.assertEqual(outcomes["/a%2fb"], "/v2/a%2fb")
        for path in ("//evil.test/", "/../admin", "/%2e%2e/admin", "/..%2fadmin", "/%252e%252e/admin", "/..;/admin"):
            self.assertIsNone(outcomes[path], path)

    def judged(self, status, told, path):
        """The target that the provider saw, or None when the hub refused."""
        seen = self.provider.take()
        if status == 200:
            self.only_home(seen, hosts=("api.example.com",))
            self.assertEqual(len(seen), 1, path)
            flat = urllib.parse.unquote(urllib.parse.unquote(seen[0].target)).split("?")[0].replace("\\", "/")
            self.assertNotIn("..", [piece.split(";")[0] for piece in flat.split("/")], path)
            return seen[0].target
        self.assertEqual(seen, [], path)
        if "raccord-error" not in told:  # nginx refuses some of these itself
            self.assertRegex(told.get("server", ""), "^nginx", f"{path}: {status}")
        return None

    def test_an_absolute_url_is_refused_or_means_the_own_host(self):
        self.make("crm", "https://api.example.com/v2")
        for url in self.URLS:
            with self.subTest(url):
                said = self.hub1.post("/api/v1/connections/crm/call", {"method": "GET", "path": url})
                seen = self.provider.take()
                if said.status == 200:
                    self.assertEqual([r.all("host") for r in seen], [["api.example.com"]])
                    self.assertNotIn("evil", seen[0].all("host")[0])
                else:
                    problem(said, REFUSED)
                    self.assertEqual(seen, [])
        for url in ("https://evil.test/", "https://sub.example.com/v2/x", "https://api.example.com:8443/v2/",
                    "http://api.example.com/v2/", "https://example.com/"):
            problem(self.hub1.post("/api/v1/connections/crm/call", {"method": "GET", "path": url}), REFUSED)
        self.nothing_was_caught()

    def test_an_absolute_url_is_no_path_of_the_proxy(self):
        self.make("crm", "https://api.example.com/v2")
        for url in self.URLS:
            with self.subTest(url):
                status, told, _ = self.proxy_raw("/proxy/crm/" + urllib.parse.quote(url, safe=":/@?#[]%\\"))
                self.judged(status, told, url)
        self.nothing_was_caught()


class AddressesThatAreNotPublic(Case):
    SPELLINGS = ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0",
                 "0.0.0.0", "[::1]", "[::]",
                 "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]",
                 "[fe80::1%25lo]", "[fe80::1]",
                 "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe", "2852039166",
                 "[::ffff:a9fe:a9fe]",
                 "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "①②⑦.⓪.⓪.①", "127。0。0。1", "localhost", "localhost.",
                 "a.localhost", "%31%32%37.0.0.1"]

    def test_however_an_inner_address_is_spelled_no_connection_is_made(self):
        for n, spelling in enumerate(self.SPELLINGS):
            with self.subTest(spelling):
                for domain in (None, "*.example.com"):
                    body = {"connector": "http", "auth_type": "bearer", "key": f"a{n}", "folder": "shared",
                            "credentials": {"token": SECRET},
                            "fields": {"base_url": f"https://{spelling}/"}}
                    if domain:
                        body["allowed_domain"] = domain
                    problem(self.hub1.post("/api/v1/connections", body), REFUSED)
        self.nothing_was_caught()

    def test_a_public_address_alone_is_no_host_name_either(self):
        problem(self.hub1.post("/api/v1/connections", {"connector": "http", "auth_type": "none", "key": "ip", "folder": "shared",
                                                        "fields": {"base_url": f"https://{internet.HOME}/"}}), "domain_invalid")

    def test_a_name_that_leads_to_an_inner_address_is_refused_without_a_word_about_it(self):
        bodies = set()
        for n, name in enumerate(internet.CLOSED_TO_ALL + ["alias.test", "alias.example.com"]):
            with self.subTest(name):
                for port in (443, 8443, 9):  # a trap listens on the first two, nobody on the third
                    self.make(f"n{n}p{port}", f"https://{name}:{port}/")
                    told = self.hub1.get(f"/proxy/n{n}p{port}/x")
                    said = problem(told, "address_not_allowed")
                    self.assertEqual(told.status, 403)
                    text = told.text.replace(name, "NAME").replace(said["run_id"], "RUN")
                    bodies.add(text)
        self.assertEqual(len(bodies), 1, bodies)
        self.nothing_was_caught()
        self.assertEqual(self.provider.take(), [])
        for run in self.hub1.get("/api/v1/runs?limit=200").json["items"]:
            self.assertEqual((run["error"], run["status"], run["outcome"]), ("address_not_allowed", None, "refused"))

    def test_the_same_answer_is_found_in_the_same_time_for_open_and_closed_ports(self):
        times = {}
        for port in (443, 9):
            self.make(f"t{port}", f"https://private.test:{port}/")
        line = self.hub1.connect()
        for _ in range(40):
            for port in (443, 9):
                began = time.perf_counter()
                problem(self.hub1.get(f"/proxy/t{port}/x", connection=line), "address_not_allowed")
                times.setdefault(port, []).append(time.perf_counter() - began)
        line.close()
        middle = {port: statistics.median(t) for port, t in times.items()}
        self.assertLess(abs(middle[443] - middle[9]), 0.020)
        self.nothing_was_caught()

    def test_the_two_families_reach_the_provider(self):
        for name in internet.GOOD:
            self.make(name.replace(".", "-"), f"https://{name}/v2")
            self.assertEqual(self.hub1.get(f"/proxy/{name.replace('.', '-')}/x").status, 200)
        self.only_home(self.provider.take())
        self.nothing_was_caught()

    def test_proxy_variables_of_the_environment_change_nothing(self):
        proxies = {name: f"http://{internet.ELSEWHERE}:3128"
                   for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")}
        hub = self.hub(env=dict(self.ca, NO_PROXY="", **proxies))
        self.make("crm", "https://api.example.com/v2", hub=hub)
        self.assertEqual(hub.get("/proxy/crm/x").status, 200)
        self.nothing_was_caught()


class NamesThatChange(Case):
    NAMES = 150

    def test_the_address_that_was_judged_is_the_address_that_is_dialled(self):
        """Each look-up of a name gets another answer; a second one between judging and dialling would be caught."""
        self.make("flip", "https://start.flip.test/v2", allowed_domain="*.flip.test")
        inner = ["127.0.0.1", "10.0.0.5", "169.254.169.254", "192.168.1.1", internet.ELSEWHERE]

        def flip(name, kind, count):
            number = int(name[1:].split(".")[0]) if name[0] == "n" else 0
            if kind != "A":
                return []
            return [internet.HOME] if (number + count) % 2 else [inner[number % 4]]

        self.flips.answer = flip
        line = self.hub1.connect()
        outcomes = []
        for n in range(self.NAMES):
            said = self.hub1.post("/api/v1/connections/flip/call", {"method": "GET", "path": f"https://n{n}.flip.test/v2/x"},
                                  connection=line)
            outcomes.append(said.status)
            if said.status != 200:
                problem(said, "address_not_allowed")
        line.close()
        self.assertEqual(outcomes, [403 if (n + 1) % 2 == 0 else 200 for n in range(self.NAMES)])
        self.nothing_was_caught()
        self.assertEqual({self.flips.asked[f"n{n}.flip.test", "A"] for n in range(self.NAMES)}, {1})
        self.assertEqual(len(self.provider.take()), self.NAMES // 2)

    def test_an_answer_that_turns_bad_later_is_refused_when_it_is_asked_for_again(self):
        """The provider closes each connection, so every call dials; the name is asked for anew when the kept answer is over."""
        self.provider.answer = lambda r: harness.answer(headers=["Connection: close"])
        self.make("flip", "https://turn.flip.test/v2", allowed_domain="*.flip.test")
        self.flips.answer = lambda name, kind, count: [] if kind != "A" else [internet.HOME] if count == 1 else ["127.0.0.1"]
        deadline = harness.Deadline(30)
        line = self.hub1.connect()
        good = 0
        while deadline.left():
            said = self.hub1.get("/proxy/flip/x", connection=line)
            if said.status != 200:
                problem(said, "address_not_allowed")
                break
            good += 1
        line.close()
        self.assertGreater(good, 0)
        self.assertGreaterEqual(self.flips.asked["turn.flip.test", "A"], 2)
        self.nothing_was_caught()

    def test_a_name_without_a_proper_answer_is_refused_in_time(self):
        many = [f"93.184.{n}.1" for n in range(65)]
        answers = {"nx": None, "empty": [], "many": many, "manyinner": many[:63] + ["127.0.0.1"], "silent": ...}
        self.flips.answer = lambda name, kind, count: answers[name.split(".")[0]] if kind == "A" or "silent" in name else []
        for name in answers:
            with self.subTest(name):
                self.make(name, f"https://{name}.flip.test/v2")
                began = time.monotonic()
                told = self.hub1.get(f"/proxy/{name}/x")
                problem(told, "address_not_allowed" if name == "manyinner" else ("upstream_timeout", "upstream_dns"))
                self.assertLess(time.monotonic() - began, 6.0)
        self.nothing_was_caught()


class WhatTheAdministratorOpens(Case):
    settings = {"RACCORD_EGRESS_ALLOW_PRIVATE": "10.0.0.5:443,private172.test,127.0.0.0/8,169.254.0.0/16,100.100.100.200,fd00::/8,"
                                                "64:ff9b::/96"}

    def reach(self, key, base_url):
        self.make(key, base_url)
        return self.hub1.get(f"/proxy/{key}/x")

    def test_a_listed_range_is_opened_and_nothing_beside_it(self):
        for key, url in (("listed", "https://private.test/"), ("host", "https://private172.test:8443/"),
                         ("range", "https://loop2.test/")):
            problem(self.reach(key, url), ("upstream_tls", "upstream_closed"))  # a trap answers there, without TLS
            self.assertEqual(len(self.traps.take()), 1, key)
        for key, url in (("port", "https://private.test:8443/"), ("other", "https://private192.test/"),
                         ("loop6", "https://loop6.test/")):
            problem(self.reach(key, url), "address_not_allowed")
        self.nothing_was_caught()

    def test_metadata_addresses_stay_shut(self):
        for n, name in enumerate(("meta.test", "meta6.test", "meta-other.test", "mixedmeta.test")):
            for port in (443, 80, 8443):
                problem(self.reach(f"m{n}p{port}", f"https://{name}:{port}/"), "address_not_allowed")
        self.nothing_was_caught()

    def test_the_hub_does_not_call_itself(self):
        for n, name in enumerate(("loop.test", "mapped.test", "nat64.test", "zero.test")):
            before = self.accepted()
            problem(self.reach(f"self{n}", f"https://{name}:{self.hub1.port}/"), "address_not_allowed")
            self.assertEqual(self.accepted() - before, 3, name)  # ours: create, call, metrics

    def accepted(self):
        return int(re.search(r"^raccord_clients_accepted_total (\d+)$", self.hub1.get("/metrics").text, re.M).group(1))

    def test_only_listed_ports_are_reached_when_ports_are_listed(self):
        hub = self.hub(env=dict(self.ca, RACCORD_EGRESS_PORTS="443"))
        self.make("good", "https://api.example.com/v2", hub=hub)
        self.assertEqual(hub.get("/proxy/good/x").status, 200)
        told = hub.post("/api/v1/connections", {"connector": "http", "auth_type": "none", "key": "bad", "folder": "shared",
                                                "fields": {"base_url": "https://api.example.com:8443/"}})
        problem(told, "port_not_allowed")
        problem(hub.post("/api/v1/connections/good/call", {"method": "GET", "path": "https://api.example.com:8443/v2/x"}),
                "port_not_allowed")
        self.nothing_was_caught()
