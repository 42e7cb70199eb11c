"""Where a credential goes, and in what form: through a TLS upstream that is not of our making (nginx)."""
import base64
import json
import os
import subprocess
import urllib.parse

import harness
from provider import Provider, parse_raw, problem

PATH = "/items?first=1&second=a%20b"

# name, auth type, fields beside base_url, credentials, {header: value} as the provider must see it
IN_A_HEADER = [
    ("key", "api_key", {"header": "X-Api-Key"}, {"value": "K3y+/=value"}, {"X-Api-Key": "K3y+/=value"}),
    ("key-prefix", "api_key", {"header": "X-Api-Key", "prefix": "Token "}, {"value": "abc"}, {"X-Api-Key": "Token abc"}),
    ("key-authorization", "api_key", {"header": "Authorization", "prefix": "GenieKey "}, {"value": "abc"},
     {"Authorization": "GenieKey abc"}),
    ("key-underscore", "api_key", {"header": "api_key"}, {"value": "abc"}, {"api_key": "abc"}),
    ("basic", "basic", {}, {"username": "zoë", "password": "pa:ss wörd"},
     {"Authorization": "Basic " + base64.b64encode("zoë:pa:ss wörd".encode()).decode()}),
    ("basic-empty", "basic", {}, {"username": "sk_live_1", "password": ""},
     {"Authorization": "Basic " + base64.b64encode(b"sk_live_1:").decode()}),
    ("bearer", "bearer", {}, {"token": "b-token"}, {"Authorization": "Bearer b-token"}),
    ("bearer-word", "bearer", {"prefix": "ApiKey"}, {"token": "b-token"}, {"Authorization": "ApiKey b-token"}),
    ("pat", "pat", {}, {"token": "p-token"}, {"Authorization": "Bearer p-token"}),
    ("custom", "custom_fields", {"headers": {"X-Tenant": "t={{credentials.tenant}}; v=one",
                                             "Authorization": "Magic {{credentials.key}}"}},
     {"tenant": "acme", "key": "k3y"}, {"X-Tenant": "t=acme; v=one", "Authorization": "Magic k3y"}),
]


class ACredentialOnItsWay(harness.Case):
    def setUp(self):
        super().setUp()
        self.provider = Provider(self)
        self.hub1 = self.hub(env=self.provider.environment)

    def make(self, key, auth_type, fields, credentials, **more):
        return self.hub1.connection(key, self.provider.url + "/v2", auth_type, credentials, fields=fields, **more)

    def raw_headers(self, key, headers):
        """A request whose headers are sent letter by letter as they stand here."""
        lines = [f"GET /proxy/{key}{PATH} HTTP/1.1", "Host: hub.test", *headers, "Connection: close", "", ""]
        return parse_raw(self.hub1.raw("\r\n".join(lines).encode()))

    def test_each_auth_type_puts_its_header_and_nothing_of_the_callers_in_its_place(self):
        for name, auth_type, fields, credentials, wanted in IN_A_HEADER:
            with self.subTest(name):
                self.make(name, auth_type, fields, credentials)
                for spelling in ("Authorization", "authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"):
                    mine = [f"{spelling}: Bearer {self.hub1.admin}"]
                    mine += [f"{s}: mine" for header in wanted for s in (header.upper(), header.replace("-", "_").lower())
                             if header.lower() != "authorization" and s.lower() != "authorization"]
                    status, _, body = self.raw_headers(name, mine)
                    self.assertEqual((status, body), (200, b'{"ok":true}'))
                    seen = self.provider.one()
                    self.assertEqual(seen.target, "/v2" + PATH)
                    self.assertEqual(seen.all("host"), [f"localhost:{self.provider.port}"])
                    for header, value in wanted.items():
                        self.assertEqual([v.encode("latin-1") for v in seen.all(header)], [value.encode()])
                    if "Authorization" not in wanted:
                        self.assertEqual(seen.all("authorization"), [])
                    self.assertNotIn(self.hub1.admin.encode(), seen.raw)
                    self.assertNotIn(b"mine", seen.raw)

    def test_without_a_credential_of_its_own_the_callers_still_stays(self):
        self.make("open", "none", {}, {})
        status, _, _ = self.raw_headers("open", [f"AUTHORIZATION: Bearer {self.hub1.admin}", "Cookie: session=mine", "X-Kept: yes"])
        self.assertEqual(status, 200)
        seen = self.provider.one()
        self.assertEqual((seen.all("authorization"), seen.all("cookie"), seen.all("x-kept")), ([], [], ["yes"]))
        self.assertNotIn(b"rcd_", seen.raw)

    def test_two_authorization_headers_are_refused_in_any_letter_case(self):
        self.make("twice", "bearer", {}, {"token": "b-token"})
        for other in ("Authorization: Bearer other", "AUTHORIZATION: Basic eDp5", "authorization:"):
            for headers in ([f"Authorization: Bearer {self.hub1.admin}", other],
                            [other, f"Authorization: Bearer {self.hub1.admin}"]):
                status, told, _ = self.raw_headers("twice", headers)
                self.assertIn((status, told.get("raccord-error")), [(400, "request_invalid")])
        self.assertEqual(self.provider.take(), [])

    def test_a_buffered_call_that_would_override_the_credential_is_refused(self):
        self.make("bearer", "bearer", {}, {"token": "b-token"})
        self.make("key", "api_key", {"header": "X-Api-Key"}, {"value": "abc"})
        for key, name in (("bearer", "Authorization"), ("bearer", "aUTHORIZATION"), ("key", "X-Api-Key"), ("key", "x_api_KEY"),
                          ("key", "authorization")):
            with self.subTest(name):
                told = self.hub1.post(f"/api/v1/connections/{key}/call", {"method": "GET", "path": "/", "headers": {name: "mine"}})
                problem(told, "header_refused")
                self.assertEqual(told.status, 400)
        self.assertEqual(self.provider.take(), [])
        said = self.hub1.post("/api/v1/connections/key/call", {"method": "GET", "path": "/x", "headers": {"X-Other": "1"}})
        self.assertEqual((said.status, said.json["status"]), (200, 200))
        self.assertEqual(self.provider.one().all("x-api-key"), ["abc"])

    def test_a_key_in_the_query_replaces_the_callers(self):
        self.make("q", "api_key", {"query": "api_key"}, {"value": "a/b+c d&e=f%"})
        for query in ("", "?api_key=mine", "?x=1&api_key=mine&y=2", "?%61pi_key=mine&x=1", "?api%5Fkey=mine", "?api_key",
                      "?x=1&&api_key=&y"):
            with self.subTest(query):
                self.assertEqual(self.hub1.get("/proxy/q/items" + query).status, 200)
                seen = self.provider.one()
                got = urllib.parse.parse_qs(urllib.parse.urlsplit(seen.target).query, keep_blank_values=True)
                self.assertEqual(got["api_key"], ["a/b+c d&e=f%"])
                self.assertNotIn("mine", seen.target)
                self.assertEqual("x" in got, "x=1" in query)
                self.assertEqual(seen.all("authorization"), [])

    def test_custom_fields_reach_header_query_and_body(self):
        fields = {"headers": {"X-Tenant": "{{credentials.tenant}}"}, "query": {"sig": "s-{{credentials.sig}}"},
                  "body": {"client": "{{credentials.client}}"}}
        self.make("c", "custom_fields", fields, {"tenant": "acme", "sig": "1+1 é", "client": 'quo"te\\'})
        sent = b'{"amount": 19.99, "big": 9007199254740993, "client": "mine", "more": [1,2]}'
        said = self.hub1.post("/proxy/c/orders?sig=mine&a=1", sent,
                              headers={"Content-Type": "application/json", "x-tenant": "mine"})
        self.assertEqual(said.status, 200)
        seen = self.provider.one()
        self.assertEqual(seen.all("x-tenant"), ["acme"])
        self.assertEqual(urllib.parse.parse_qs(urllib.parse.urlsplit(seen.target).query), {"a": ["1"], "sig": ["s-1+1 é"]})
        body = json.loads(seen.body, parse_float=str, parse_int=str)
        self.assertEqual(body, {"amount": "19.99", "big": "9007199254740993", "more": ["1", "2"], "client": 'quo"te\\'})
        self.assertEqual(seen.all("content-length"), [str(len(seen.body))])

        form = self.hub1.post("/proxy/c/orders", b"a=1&client=mine&b=%20",
                              headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(form.status, 200)
        self.assertEqual(urllib.parse.parse_qs(self.provider.one().body.decode()), {"a": ["1"], "b": [" "], "client": ['quo"te\\']})

    def test_host_and_hop_by_hop_headers_are_the_hubs_own(self):
        self.make("h", "bearer", {}, {"token": "b-token"})
        status, _, _ = self.raw_headers("h", [
            f"Authorization: Bearer {self.hub1.admin}", "X-Forwarded-Host: evil.test", "X-Forwarded-For: 10.1.1.1",
            "Forwarded: host=evil.test",
            "Keep-Alive: 5", "X-Named: dropped", "Proxy-Authorization: Basic eDp5", "X_Forwarded_Host: evil.test",
            "x_real_ip: evil.test", "TE: trailers",
            "Connection: X-Named"])
        self.assertEqual(status, 200)
        seen = self.provider.one()
        self.assertEqual(seen.all("host"), [f"localhost:{self.provider.port}"])
        for name in ("forwarded", "keep-alive", "x-named", "proxy-authorization", "te", "x-forwarded-for"):
            self.assertEqual(seen.all(name), [], name)
        self.assertNotIn(b"evil.test", seen.raw)

    def test_a_host_header_moves_nothing(self):
        self.make("h", "bearer", {}, {"token": "b-token"})
        for line, host in (("GET /proxy/h/x HTTP/1.1", "evil.test"), ("GET /proxy/h/x HTTP/1.1", "evil.test:443"),
                           ("GET http://evil.test/proxy/h/x HTTP/1.1", "evil.test"),
                           ("GET http://hub.test/proxy/h/x HTTP/1.1", "evil.test"),
                           ("GET /proxy/h/x HTTP/1.1", "a@evil.test"), ("GET /proxy/h/x HTTP/1.1", "hub.test\r\nHost: evil.test")):
            with self.subTest(f"{line} {host!r}"):
                head = f"{line}\r\nHost: {host}\r\nAuthorization: Bearer {self.hub1.admin}\r\nConnection: close\r\n\r\n"
                status, told, _ = parse_raw(self.hub1.raw(head.encode()))
                seen = self.provider.take()
                if status == 200:
                    self.assertEqual([r.all("host") for r in seen], [[f"localhost:{self.provider.port}"]])
                else:
                    self.assertIn("raccord-error", told)
                    self.assertEqual(seen, [])

    def test_headers_of_the_answer_that_are_not_for_the_caller_stay(self):
        self.make("r", "bearer", {}, {"token": "b-t0ken-reflected"})
        self.provider.answer = lambda r: harness.answer(b"{}", headers=[
            "Set-Cookie: session=theirs", "X-Echo: " + r.all("authorization")[0], "X-Kept: yes", "Raccord-Error: denied",
            "Raccord-Run: run_forged",
            "Strict-Transport-Security: max-age=1"])
        said = self.hub1.get("/proxy/r/x")
        self.assertEqual((said.status, said.header("x-kept")), (200, "yes"))
        for name in ("set-cookie", "x-echo", "raccord-error", "strict-transport-security"):
            self.assertIsNone(said.header(name), name)
        self.assertRegex(said.header("raccord-run"), r"^run_[0-9a-z]{26}$")

    def test_what_cannot_be_a_header_value_never_becomes_one(self):
        for token in ("a\r\nX-Split: 1", "a\nb", "a\0b", "a\x7fb", "\x01"):
            body = {"connector": "http", "auth_type": "bearer", "key": "split", "folder": "shared",
                    "fields": {"base_url": self.provider.url},
                    "credentials": {"token": token}}
            problem(self.hub1.post("/api/v1/connections", body), ("field_invalid", "field_required"))
        self.make("ok", "bearer", {}, {"token": "b-token"})
        for headers in ({"X-A": "1\r\nX-Split: 1"}, {"X-A": "1\nX"}, {"X-A\r\nX-Split": "1"}, {"X A": "1"}, {"": "1"},
                        {"X-A": "\0"}):
            problem(self.hub1.post("/api/v1/connections/ok/call", {"method": "GET", "path": "/", "headers": headers}),
                    "field_invalid")
        self.assertEqual(self.provider.take(), [])


class NginxAsTheJudge(harness.Case):
    """nginx itself decides whether the credential is right."""

    def test_nginx_takes_the_credential_and_refuses_without(self):
        crypted = subprocess.run(["openssl", "passwd", "-apr1", "pa:ss word"], check=True, stdout=subprocess.PIPE,
                                 text=True).stdout.strip()
        os.chmod(self.folder, 0o755)  # nginx's workers are somebody else
        passwords = self.file("htpasswd", f"alice:{crypted}\n", mode=0o644)
        provider = Provider(self, extra=f"""
        location /basic/ {{ auth_basic "closed"; auth_basic_user_file {passwords}; return 200 "basic ok"; }}
        location /basic/file {{ auth_basic "closed"; auth_basic_user_file {passwords}; {{place}} }}
        location /bearer/ {{ if ($http_authorization != "Bearer right") {{ return 403; }} return 200 "bearer ok"; }}
        location /key/ {{ if ($http_x_api_key != "Token right") {{ return 403; }} return 200 "key ok"; }}
        location /query/ {{ if ($arg_api_key != "right") {{ return 403; }} return 200 "query ok"; }}
""")
        hub = self.hub(env=provider.environment)
        for key, path, auth_type, fields, right, wrong in (
                ("basic", "/basic/file", "basic", {}, {"username": "alice", "password": "pa:ss word"},
                 {"username": "alice", "password": "other"}),
                ("bearer", "/bearer/", "bearer", {}, {"token": "right"}, {"token": "wrong"}),
                ("pat", "/bearer/", "pat", {}, {"token": "right"}, {"token": "wrong"}),
                ("key", "/key/", "api_key", {"header": "X-Api-Key", "prefix": "Token "}, {"value": "right"}, {"value": "wrong"}),
                ("query", "/query/", "api_key", {"query": "api_key"}, {"value": "right"}, {"value": "wrong"})):
            with self.subTest(key):
                hub.connection(key, provider.url, auth_type, right, fields=fields)
                self.assertEqual(hub.get(f"/proxy/{key}{path}").status, 200)
                changed = hub.request("PUT", f"/api/v1/connections/{key}/credentials", wrong)
                self.assertEqual(changed.status, 200)
                refused = hub.get(f"/proxy/{key}{path}")
                self.assertIn(refused.status, (401, 403))
                self.assertIsNone(refused.header("raccord-error"))  # it is the provider who says so


SEED_NAMES = """accept accept-charset accept-encoding accept-language cache-control connection content-md5 cookie date expect from host
if-match if-modified-since if-none-match if-range if-unmodified-since max-forwards pragma proxy-authenticate proxy-authorization range
server referer te trailer transfer-encoding upgrade user-agent via warning www-authenticate""".split()
OWN_NAMES = """content-length content-type keep-alive proxy-connection http2-settings forwarded set-cookie sec-x proxy-x
raccord-run""".split()
SEED_PREFIXES = "x-amz- x-amzn- x-forwarded- x-zis-".split()


class WhatIsFixedWhenAConnectionIsMade(harness.Case):
    """No call is made here: what the API takes, refuses, and never changes."""

    def setUp(self):
        super().setUp()
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "intranet,10.0.0.7:8443"})
        self.line = self.hub1.connect()
        self.addCleanup(self.line.close)
        self.count = 0

    def ask(self, method, path, body=None):
        return self.hub1.request(method, path, body, connection=self.line)

    def create(self, **body):
        self.count += 1
        whole = {"connector": "http", "auth_type": "bearer", "key": f"c{self.count}", "folder": "shared",
                 "credentials": {"token": "t"}}
        whole.update(body)
        return self.ask("POST", "/api/v1/connections", whole)

    def with_domain(self, domain, host="api.example.com"):
        return self.create(allowed_domain=domain, fields={"base_url": f"https://{host}/"})

    def with_header(self, name):
        return self.create(auth_type="api_key", fields={"base_url": "https://api.example.com", "header": name},
                           credentials={"value": "v"})

    def test_what_never_changes_cannot_be_patched(self):
        made = self.create(key="crm", name="CRM", allowed_domain="*.example.com",
                           fields={"base_url": "https://api.example.com/v2"}).json
        where = f"/api/v1/connections/{made['id']}"
        before = self.ask("GET", where).json
        attempts = [("key", "other"), ("key", ""), ("key", None), ("auth_type", "basic"), ("auth_type", "none"),
                    ("auth_type", None), ("allowed_domain", "evil.test"),
                    ("allowed_domain", "*.com"), ("allowed_domain", "api.example.com"), ("allowed_domain", ""),
                    ("allowed_domain", None),
                    ("connector", "github"), ("connector", None), ("connector", {"id": "github"}), ("folder", "personal"),
                    ("key", "CRM"), ("allowed_domain", "*.EXAMPLE.com"), ("allowed_domain", ["*.example.com"])]
        for name, value in attempts:
            with self.subTest(f"{name}={value!r}"):
                for body in ({name: value}, {"name": "renamed", name: value}):
                    told = self.ask("PATCH", where, body)
                    problem(told, "field_immutable")
                    self.assertEqual(told.status, 409)
                    self.assertEqual(self.ask("GET", where).json, before)
        for name, value in attempts:
            with self.subTest(f"PUT {name}={value!r}"):
                told = self.ask("PUT", where, {name: value})
                self.assertEqual(told.status, 405)
                problem(told, "method_not_allowed")
                told = self.ask("PUT", where + "/credentials", {"credentials": {"token": "u"}, name: value})
                self.assertGreaterEqual(told.status, 400)
                problem(told)
                self.assertEqual(self.ask("GET", where).json, before)
        for base in ("https://evil.test/", "https://badexample.com", "https://example.com.evil.test",
                     "https://api.example.com@evil.test/",
                     "https://evil.test/api.example.com", "http://api.example.com/"):
            with self.subTest(base):
                problem(self.ask("PATCH", where, {"fields": {"base_url": base}}),
                        ("domain_not_allowed", "url_invalid", "scheme_not_allowed"))
                self.assertEqual(self.ask("GET", where).json, before)
        same = {k: before[k] for k in ("key", "auth_type", "allowed_domain", "connector", "folder")}
        renamed = self.ask("PATCH", where, dict(same, name="Renamed"))
        self.assertEqual((renamed.status, renamed.json["name"], renamed.json["key"]), (200, "Renamed", "crm"))
        moved = self.ask("PATCH", where, {"fields": {"base_url": "https://a.b.example.com/v3"}})
        self.assertEqual((moved.status, moved.json["allowed_domain"]), (200, "*.example.com"))

    def test_a_wildcard_takes_its_own_name_and_everything_below(self):
        for host in ("example.com", "api.example.com", "a.b.example.com", "EXAMPLE.com", "a.b.c.d.example.com"):
            self.assertEqual(self.with_domain("*.example.com", host).status, 201, host)
        for host in ("badexample.com", "example.com.evil.test", "example.org", "xample.com", "example.comx", "com"):
            problem(self.with_domain("*.example.com", host), ("domain_not_allowed", "domain_invalid", "url_invalid"))

    def test_a_plain_domain_takes_only_itself(self):
        for host in ("api.example.com", "API.Example.COM", "api.example.com."):
            self.assertEqual(self.with_domain("api.example.com", host).status, 201, host)
        for host in ("example.com", "a.api.example.com", "xapi.example.com", "api.example.com.evil.test", "api-example.com"):
            problem(self.with_domain("api.example.com", host), "domain_not_allowed")

    def test_domains_that_cover_other_peoples_names_or_are_none_are_refused(self):
        refused = ["*.com", "*.com.au", "*.myshopify.com", "exam*.com", "my-*.example.com", "*", "*.*.com", "*.*.example.com",
                   "api.*.com", "**.example.com",
                   "*example.com", "*.github.io", "*.co.uk", "*.xn--p1ai", "*.рф", "*.unlistedtld", "https://api.example.com",
                   "api.example.com/",
                   "api.example.com:443", "user@api.example.com", "api.example.com.", ".example.com", "api..example.com",
                   "10.0.0.1", "[::1]",
                   "2130706433", "0x7f.1", "localhost", "com", "api%2eexample.com", "api_example.com", "-a.example.com",
                   "a-.example.com", "a b.com",
                   "api.example.com\\", "api.example.com?x", "api.example.com#x", "*.10.0.0.1", "printer.local",
                   "a" * 64 + ".example.com",
                   ".".join(["a" * 40] * 3) + ".com" + "a" * 10]
        for domain in refused:
            with self.subTest(domain):
                told = self.with_domain(domain)
                problem(told, "domain_invalid")
                self.assertEqual((told.status, told.json["errors"][0]["pointer"]), (400, "/allowed_domain"))

    def test_the_lengths_of_a_domain_are_exact(self):
        label = "a" * 63
        long_label = f"{label}.example.com"
        self.assertEqual(self.with_domain(long_label, long_label).status, 201)
        fill = 128 - len(".example.com") - 64
        exact = "b" * (fill) + "." + "c" * 63 + ".example.com"
        self.assertEqual(len(exact), 128)
        self.assertEqual(self.with_domain(exact, exact).status, 201)
        problem(self.with_domain("b" + exact, "b" + exact), "domain_invalid")

    def test_a_domain_is_kept_in_its_canonical_spelling(self):
        for typed, kept in (("API.Example.COM", "api.example.com"), ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
                            ("ⓔxample。com", "example.com")):
            host = kept.replace("*.", "")
            made = self.with_domain(typed, host)
            self.assertEqual((made.status, made.json["allowed_domain"]), (201, kept))

    def test_private_names_need_the_administrators_list(self):
        self.assertEqual(self.with_domain("intranet", "intranet").status, 201)
        self.assertEqual(self.with_domain("10.0.0.7", "10.0.0.7:8443").status, 201)
        for host in ("10.0.0.7", "10.0.0.8:8443", "other", "printer.local"):
            problem(self.create(fields={"base_url": f"https://{host}/"}), "domain_invalid")

    def test_only_https_is_taken(self):
        for scheme in ("http", "HTTP", "ftp", "file", "gopher", "ldap", "dict", "jar", "javascript", "unix", "ws", "data"):
            problem(self.create(fields={"base_url": f"{scheme}://api.example.com/"}), ("scheme_not_allowed", "url_invalid"))
        for base in ("https:api.example.com", "//api.example.com", "api.example.com", "https:///api.example.com/x", "https://",
                     "https:\\\\api.example.com"):
            told = self.create(fields={"base_url": base})
            if told.status == 201:  # read as browsers do: then it must be the host that is meant
                self.assertEqual(told.json["allowed_domain"], "api.example.com", base)
            else:
                problem(told)

    def test_header_names_that_cannot_carry_a_key_are_refused(self):
        for name in SEED_NAMES + OWN_NAMES:
            for spelling in (name, name.upper(), name.title(), name.replace("-", "_")):
                told = self.with_header(spelling)
                problem(told, "header_name_invalid")
                self.assertEqual(told.json["errors"][0]["pointer"], "/fields/header")
        for prefix in SEED_PREFIXES:
            for spelling in (prefix, prefix + "key", prefix.upper() + "KEY", prefix.title() + "Any-Key"):
                problem(self.with_header(spelling), "header_name_invalid")
        for name in ("Authorization", "AUTHORIZATION", "X-Api-Key", "api_key", "x-am", "x-forwarded", "xamz-key", "Key", "-", "_",
                     "X-Zis"):
            self.assertEqual(self.with_header(name).status, 201, name)

    def test_a_header_name_is_letters_hyphens_and_underscores(self):
        self.assertEqual(self.with_header("X" * 128).status, 201)
        problem(self.with_header("X" * 129), "header_name_invalid")
        for byte in range(1, 128):
            c = chr(byte)
            if c.isalpha() or c in "-_":
                continue
            for name in (f"{c}Key", f"Ke{c}y", f"Key{c}"):
                if name.strip() == "Key" or name.strip("\t\n\r\v\f ") == "Key":
                    continue  # blanks around what was pasted are taken off
                told = self.with_header(name)
                problem(told, ("header_name_invalid", "field_invalid"))

    def test_header_names_of_custom_fields_obey_the_same_rules(self):
        for name in ("Host", "cookie", "X-Amz-Date", "x-forwarded-host", "X1", "a b", "Content-Length", "user_agent"):
            told = self.create(auth_type="custom_fields",
                               fields={"base_url": "https://api.example.com", "headers": {name: "{{credentials.k}}"}},
                               credentials={"k": "v"})
            problem(told, "header_name_invalid")
