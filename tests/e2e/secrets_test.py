"""Secrets are used and never found again: a search by value, in every spelling, through all that the hub writes, keeps or shows."""
import base64
import hmac
import json
import os
import random
import re
import signal
import string
import threading
import urllib.parse

import harness
from provider import Provider, problem

WINDOW = 8  # bytes: a piece this long of a secret is a find


class Canaries:
    """Secrets that nobody else has, and how each might be spelled."""

    def __init__(self):
        self.values = {}
        self.chance = random.Random()

    def new(self, name, tricky=""):
        """Random text; `tricky` stands in its middle, to be escaped by whoever escapes."""
        half = ["".join(self.chance.choices(string.ascii_letters + string.digits, k=16)) for _ in range(2)]
        return self.know(name, half[0] + tricky + half[1])

    def know(self, name, value):
        self.values[name] = value.encode()
        return value

    @staticmethod
    def spellings(value):
        """(kind, bytes): long runs; a find of any of their windows is a leak."""
        yield "raw", value
        yield "json", json.dumps(value.decode())[1:-1].encode()
        yield "json, ascii escapes", "".join(f"\\u{ord(c):04x}" for c in value.decode()).encode()
        yield "percent", urllib.parse.quote(value, safe="").encode()
        yield "form", urllib.parse.quote_plus(value, safe="").encode()
        yield "every byte percent-encoded", "".join(f"%{b:02X}" for b in value).encode()
        yield "hex", value.hex().encode()
        yield "HEX", value.hex().upper().encode()
        yield "html", value.replace(b"&", b"&amp;").replace(b'"', b"&quot;").replace(b"<", b"&lt;").replace(b"+", b"&#43;")
        for skew in range(3):  # as it would stand anywhere within a longer text in base64
            encoded = base64.b64encode(b"\0" * skew + value)
            inner = encoded[(8 * skew + 5) // 6:8 * (skew + len(value)) // 6]
            yield f"base64 at {skew}", inner
            yield f"base64url at {skew}", inner.replace(b"+", b"-").replace(b"/", b"_")

    def found_in(self, haystack):
        """[(name, kind, piece)]"""
        finds = []
        grams = {haystack[i:i + WINDOW] for i in range(len(haystack) - WINDOW + 1)}  # so most pieces need no search
        for name, value in self.values.items():
            for kind, text in self.spellings(value):
                # A window of hexadecimal or escapes holds less of the secret than a raw one: the windows grow with the spelling.
                width = max(WINDOW, WINDOW * len(text) // len(value))
                pieces = (text[i:i + width] for i in range(len(text) - width + 1))
                piece = next((p for p in pieces if p[:WINDOW] in grams and p in haystack), None)
                if piece:
                    finds.append((name, kind, piece))
                    break
        return finds


class TheSearchItself(harness.Case):
    def test_each_spelling_would_be_found(self):
        """A test that cannot fail is a defect: the search does find."""
        canaries = Canaries()
        value = canaries.new("c", tricky='+/="\\&%<é').encode()
        self.assertEqual(canaries.found_in(b"nothing of it " * 1000), [])
        for disguise in (value, value[5:13], value[-8:], base64.b64encode(value), base64.b64encode(b"Basic x:" + value),
                         base64.urlsafe_b64encode(b"ab" + value),
                         value.hex().encode(), value.hex().upper().encode(), urllib.parse.quote(value.decode()).encode(),
                         urllib.parse.quote_plus(value.decode(), safe="").encode(), json.dumps({"a": value.decode()}).encode()):
            self.assertNotEqual(canaries.found_in(b"xx " + disguise + b" yy"), [], disguise)


class Search(harness.Case):
    """A hub (hub1) whose words and files are searched for canaries."""

    def setUp(self):
        super().setUp()
        self.canaries = Canaries()
        self.heard = []     # what the hub said, except where it says a secret on purpose

    def files(self):
        found = {"database": harness.stored_bytes(self.hub1.data)}
        for folder, _, names in os.walk(self.hub1.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    found[name] = f.read()
        return found

    def assert_nothing_in(self, places):
        for place, text in places.items():
            self.assertEqual(self.canaries.found_in(text), [], place)


class NothingIsFoundAgain(Search):
    def setUp(self):
        super().setUp()
        self.provider = Provider(self)
        self.port = self.provider.port
        bad_tls = harness.Pki(self.path("another-root"))
        self.broken = self.upstream(self.break_off)
        self.untrusted = self.upstream([harness.answer()], pki=bad_tls)
        key = base64.b64encode(os.urandom(32)).decode()
        self.canaries.know("master key", key)
        self.hub1 = self.hub(env=dict(self.provider.environment, RACCORD_LOG_LEVEL="debug", RACCORD_MASTER_KEY=key,
                                      RACCORD_TIMEOUTS_FIRST_BYTE="500ms",
                                      RACCORD_EGRESS_ALLOW_HTTP="localhost"))
        self.admin = self.hub1.admin
        self.canaries.know("administrator's token", self.admin)
        self.reflected = 0

    def break_off(self, s, number):
        """Malformed answers that hold all that came: in the status line, in a header, in half a body, in a chunk's size."""
        raw = s.read_request()
        flat = raw.replace(b"\r\n", b" ")[:3000]
        s.sendall((b"HTTP/1.1 2x0 " + flat + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nX Bad: " + flat + b"\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + flat,
                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + flat + b"\r\n",
                   flat, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nX-Echo: " + flat + b"\r\n\r\n")[number % 6])

    def reflect(self, request):
        """The provider tells all it got: in headers, in the body, in base64 too, and in a redirect."""
        self.reflected += 1
        everything = request.raw
        headers = [f"X-Echo-{n}: {value}" for n, (_, value) in enumerate(request.headers)]
        headers += ["X-Echo-Target: " + request.target, "X-Echo-Base64: " + base64.b64encode(everything).decode()[:4000]]
        for _, value in request.headers:
            headers.append("WWW-Authenticate: Bearer realm=\"" + value.replace('"', "'") + '"')
        if "moved" in request.target:
            headers.append("Location: https://localhost/" + urllib.parse.quote(request.all("authorization")[0]
                                                                               if request.all("authorization") else "x"))
            return harness.answer(everything, "302 Found", headers=headers)
        status = re.search(r"status=(\d+)", request.target)
        return harness.answer(everything, f"{status.group(1) if status else 200} {'Said' if status else 'OK'}",
                              content_type="text/plain", headers=headers)

    # --- saying and hearing ---

    def ask(self, method, path, body=None, purpose="", **more):
        """`purpose`: why this answer may hold a secret; it is then not searched."""
        said = self.hub1.request(method, path, body, **more)
        if not purpose:
            self.heard.append(f"{method} {path[:100]}: {said.status} {said.headers}\n".encode() + said.body)
        return said

    def connect(self, key, auth_type, credentials, fields=None, base=None):
        said = self.ask("POST", "/api/v1/connections", {
            "connector": "http", "auth_type": auth_type, "key": key, "name": key, "folder": "shared", "credentials": credentials,
            "fields": dict({"base_url": base or self.provider.url, "verify_path": "/me?status=401"}, **(fields or {}))})
        self.assertEqual(said.status, 201, said)
        return said.json

    KINDS = ("key", "key-query", "basic", "bearer", "pat", "custom")

    def connect_all(self, suffix="", base=None):
        new = self.canaries.new
        for kind, auth_type, credentials, fields in (
                ("key", "api_key", {"value": new("key" + suffix, "+/=&%")}, {"header": "X-Api-Key", "prefix": "Token "}),
                ("key-query", "api_key", {"value": new("key-query" + suffix, "+/=&% \"")}, {"query": "api_key"}),
                ("basic", "basic", {"username": new("user" + suffix, "é@"), "password": new("password" + suffix, ':"\\ é')}, {}),
                ("bearer", "bearer", {"token": new("bearer" + suffix, "+/==")}, {}),
                ("pat", "pat", {"token": new("pat" + suffix, "_-.")}, {}),
                ("custom", "custom_fields", {"one": new("custom header" + suffix, "/+"), "two": new("custom query" + suffix, "&= "),
                                             "three": new("custom body" + suffix, '"\\')},
                 {"headers": {"X-One": "v={{credentials.one}}"}, "query": {"two": "{{credentials.two}}"},
                  "body": {"three": "{{credentials.three}}"}})):
            self.connect(kind + suffix, auth_type, credentials, fields, base)

    def use(self, kind):
        """Calls of every sort; an answer of the provider's own is the caller's, and may say what it likes."""
        for path in ("/ok", "/x?status=401", "/x?status=500", "/moved"):
            for method, body in (("GET", None), ("POST", {"a": 1})):
                self.ask(method, f"/proxy/{kind}{path}", body, purpose="the provider's answer")
                sent = {"method": method, "path": path.split("?")[0], "query": path.partition("?")[2]}
                if body:
                    sent["body"] = body
                self.ask("POST", f"/api/v1/connections/{kind}/call", sent, purpose="the provider's answer")
        self.ask("POST", f"/api/v1/connections/{kind}/verify", {})

    def misuse(self, kind):
        """Calls that the hub refuses or that fail; these answers are the hub's own."""
        call = f"/api/v1/connections/{kind}/call"
        secret = self.canaries.values[{"basic": "password", "custom": "custom header"}.get(kind, kind)].decode()
        for path in ("https://evil.test/", "//evil.test/", "/../x", "https://127.0.0.1/", "http://localhost/",
                     f"https://{secret[:12]}@evil.test/",
                     "/" + urllib.parse.quote(secret, safe=""), "/x\\" + urllib.parse.quote(secret, safe="")):
            said = self.ask("POST", call, {"method": "GET", "path": path}, purpose="the provider's answer"
                            if secret[:8] in path else "")
            if said.header("raccord-error"):
                self.heard.append(said.body)
        self.ask("POST", call, {"method": "GET", "path": "/",
                                "headers": {"Authorization": "Bearer " + secret, "X-Api-Key": secret}})
        self.ask("POST", call, {"method": "GET", "path": "/", "headers": {"X-A": secret + "\r\n"}})
        self.ask("POST", call, {"method": "GET", "path": "/", "timeout_ms": secret})
        self.ask("POST", call, b'{"method": "GET", "path": "/", "body": {"token": "' + json.dumps(secret)[1:-1].encode() + b'"',
                 headers={"Content-Type": "application/json"})
        self.ask("POST", f"/proxy/{kind}/x", b"not json " + secret.encode(), headers={"Content-Type": "application/json"},
                 purpose="" if kind.startswith("custom") else "the provider's answer")
        self.ask("GET", f"/proxy/{kind}/x?q={urllib.parse.quote(secret)}&status=404", purpose="the provider's answer")

    def refused_input(self):
        new = self.canaries.new
        whole = {"connector": "http", "auth_type": "bearer", "key": "no", "folder": "shared",
                 "fields": {"base_url": self.provider.url}}
        for n, change in enumerate((
                {"credentials": {"token": new("list") and [new("in a list")]}}, {"credentials": {"token": new("control") + "\n x"}},
                {"credentials": {"tokens": new("misnamed")}}, {"credentials": new("no object")},
                {"credentials": {"token": new("ok"), "extra": new("extra")}},
                {"auth_type": "basic", "credentials": {"username": "a:b", "password": new("colon")}},
                {"auth_type": "nonsense", "credentials": {"token": new("nonsense")}},
                {"connector": "nonsense", "credentials": {"token": new("nowhere")}},
                {"allowed_domain": "*.com", "credentials": {"token": new("wild")}}, {"credentials": {"token": new("long") * 400}},
                {"fields": {"base_url": f"https://user:{new('in a url')}@localhost/"}},
                {"fields": {"base_url": f"https://{new('host part')}@evil.test/"}},
                {"auth_type": "api_key", "fields": {"base_url": self.provider.url, "header": "Host"},
                 "credentials": {"value": new("bad header")}},
                {"auth_type": "custom_fields", "fields": {"base_url": self.provider.url,
                                                          "headers": {"X-A": "{{credentials.missing}}"}},
                 "credentials": {"here": new("template")}})):
            said = self.ask("POST", "/api/v1/connections", dict(whole, key=f"no{n}", **change))
            self.assertEqual(said.status // 100, 4, said)
            problem(said)
        for text in ('{"credentials": {"token": "%s"', '{"credentials": {"token": "%s"}}}', '"%s"', '{"token": "%s", "token": "x"}',
                     '\x00%s', "%s"):
            for kind in ("application/json", "text/plain"):
                said = self.ask("POST", "/api/v1/connections", (text % new("broken body")).encode(), headers={"Content-Type": kind})
                problem(said)
        self.ask("PUT", "/api/v1/connections/bearer/credentials", {"token": [new("put list")]})
        self.ask("PUT", "/api/v1/connections/none/credentials", {"token": new("put nowhere")})
        self.ask("PATCH", "/api/v1/connections/bearer", {"credentials": {"token": new("patched")}})

    def people(self):
        new = self.canaries.new
        code = self.hub1.line("setup").split("#")[1]
        password = new("owner's password", 'é "\\')
        self.ask("POST", "/api/v1/setup", {"code": "wrong-" + new("wrong code"), "email": "o@example.com", "password": password})
        self.assertEqual(self.ask("POST", "/api/v1/setup",
                                  {"code": code, "email": "o@example.com", "password": password, "language": "en"}).status, 201)
        for wrong in (new("wrong password"), password + "x"):
            said = self.ask("POST", "/api/v1/session", {"email": "o@example.com", "password": wrong}, token="")
            problem(said, "bad_credentials")
        self.ask("POST", "/api/v1/session", {"email": new("typed into the wrong box"), "password": "x"}, token="")
        said = self.ask("POST", "/api/v1/session", {"email": "o@example.com", "password": password}, token="",
                        purpose="the session itself")
        self.assertEqual(said.status, 200)
        cookie = said.header("set-cookie").split(";")[0]
        self.canaries.know("session", cookie.split("=", 1)[1])
        csrf = said.json["csrf_token"]
        headers = {"Cookie": cookie, "X-CSRF-Token": csrf}
        made = self.ask("POST", "/api/v1/tokens", {"name": "mine"}, token="", headers=headers, purpose="shown once")
        self.canaries.know("user's token", made.json["secret"])
        self.ask("POST", "/api/v1/tokens", {"name": "x"}, token="", headers={"Cookie": cookie, "X-CSRF-Token": "wrong"})
        self.ask("GET", "/proxy/bearer/x", token=made.json["secret"], purpose="the provider's answer")
        self.ask("GET", "/proxy/none-such/x", token=made.json["secret"])
        self.ask("DELETE", f"/api/v1/tokens/{made.json['id']}", token="", headers=headers)
        self.ask("GET", "/proxy/bearer/x", token=made.json["secret"])
        forged = self.canaries.know("forged token", "rcd_" + "".join(random.choices("abcdefghijklmnopqrstuvwxyz234567", k=46)))
        for path in ("/proxy/bearer/x", "/api/v1/session", "/metrics"):
            problem(self.ask("GET", path, token=forged), "token_invalid")
        for value in ("Basic " + new("basic to the hub"), "Bearer " + new("odd token"), "Bearer  " + forged, forged):
            self.ask("GET", "/api/v1/session", token="", headers={"Authorization": value})
            self.ask("GET", "/proxy/bearer/x", token="", headers={"Authorization": value})

    def broken_requests(self):
        new = self.canaries.new
        for head in ("GET /proxy/bearer/x HTTP/1.1\r\nHost: h\r\nAuthorization : Bearer %s\r\n\r\n",
                     "GET /%s HTTP/9.9\r\nHost: h\r\n\r\n",
                     "GET /api/v1/x?token=%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                     "NONSENSE-%s / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: h\r\nX-\x01: %s\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n"):
            self.heard.append(self.hub1.raw((head % new("broken head")).encode("latin-1"), half_close=True))

    # --- the search ---

    def everywhere(self):
        """{place: bytes} of all that could be read by somebody who is not to know."""
        hub = self.hub1
        for path in ("/api/v1/connections?limit=200", "/api/v1/tokens?limit=200", "/api/v1/users", "/api/v1/session",
                     "/api/v1/service-accounts", "/api/v1/limits",
                     "/api/v1/folders", "/metrics", "/readyz", "/healthz", *(f"/api/v1/connections/{k}" for k in self.KINDS),
                     *(f"/api/v1/connections/{k}/usage" for k in self.KINDS)):
            self.ask("GET", path)
        cursor = ""
        while cursor is not None:
            page = self.ask("GET", f"/api/v1/runs?limit=200{cursor and '&cursor=' + cursor}")
            cursor = page.json["next_cursor"]
        places = {"what the hub said": b"\n".join(self.heard), "log": hub.log().encode(), "stdout": hub.out.text().encode()}
        for name in ("cmdline", "environ", "status"):
            with open(f"/proc/{hub.process.pid}/{name}", "rb") as f:
                places[name] = f.read()
        places.update(self.files())
        return places

    def test_used_in_success_and_failure_no_secret_is_found_again(self):
        self.connect_all()
        self.provider.answer = self.reflect
        for kind in self.KINDS:
            self.use(kind)
            self.misuse(kind)
        self.assertGreater(self.reflected, 60)  # the provider really told it all
        self.connect_all("-broken", self.broken.url)
        for _ in range(6):
            for kind in self.KINDS:
                self.ask_broken(kind)
        down = harness.free_port()
        self.connect_all("-down", f"https://localhost:{down}")
        self.connect_all("-untrusted", self.untrusted.url)
        for kind in self.KINDS:
            problem(self.ask("GET", f"/proxy/{kind}-down/x"), "upstream_connect")
            problem(self.ask("GET", f"/proxy/{kind}-untrusted/x"), "upstream_tls")
            self.ask("POST", f"/api/v1/connections/{kind}-untrusted/verify", {})
            self.ask("POST", f"/api/v1/connections/{kind}-down/verify", {})
        self.refused_input()
        self.people()
        self.broken_requests()
        self.change_and_delete()
        self.assertGreater(len(self.canaries.values), 70)
        self.wait_for_runs()
        places = self.everywhere()
        for name in ("database", "log", "environ"):
            self.assertIn(name, places)
        self.assertGreater(len(places["database"]), 100000)
        self.assertIn(b"debug", places["log"])
        self.assert_nothing_in(places)
        self.assertEqual(self.hub1.stop(), 0)
        self.assert_nothing_in({"log at the end": self.hub1.log().encode(), **self.files()})

    def ask_broken(self, kind):
        """A malformed answer: through the buffered call, whose own answer is then the hub's."""
        said = self.ask("POST", f"/api/v1/connections/{kind}-broken/call", {"method": "GET", "path": "/x"})
        if said.status != 502:
            raise AssertionError(f"a malformed answer was taken: {said!r}")
        return said

    def change_and_delete(self):
        new = self.canaries.new
        self.connect("replaced", "bearer", {"token": new("before")})
        for n in range(3):
            self.assertEqual(self.ask("PUT", "/api/v1/connections/replaced/credentials", {"token": new(f"after {n}")}).status, 200)
            self.ask("GET", "/proxy/replaced/x", purpose="the provider's answer")
        self.assertEqual(self.ask("DELETE", "/api/v1/connections/replaced").status, 204)

    def wait_for_runs(self):
        run = self.ask("GET", "/proxy/bearer/last", purpose="the provider's answer").header("raccord-run")
        deadline = harness.Deadline()
        while self.hub1.get(f"/api/v1/runs/{run}").status != 200:
            self.assertTrue(deadline.left())
            threading.Event().wait(0.02)

    def test_the_reflecting_body_is_the_callers_and_the_reflecting_header_is_not(self):
        self.connect_all()
        self.provider.answer = self.reflect
        said = self.hub1.get("/proxy/bearer/ok")
        self.assertIn(self.canaries.values["bearer"], said.body)  # it is the caller's own answer
        self.assertEqual(self.canaries.found_in("\n".join(f"{k}: {v}" for k, v in said.headers.items()).encode()), [])
        called = self.hub1.post("/api/v1/connections/bearer/call", {"method": "GET", "path": "/ok"}).json
        self.assertIn(self.canaries.values["bearer"].decode(), called["body"])
        self.assertEqual(self.canaries.found_in(json.dumps(called["headers"]).encode()), [])

    def test_a_secret_in_a_path_is_masked_in_the_record(self):
        self.connect_all()
        value = self.canaries.values["pat"].decode()
        ids = []
        for spelled in (value, urllib.parse.quote(value, safe=""), base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
                        value.encode().hex(),
                        "".join(f"%{b:02x}" for b in value.encode())):
            said = self.hub1.get(f"/proxy/pat/a/{spelled}/z")
            self.assertEqual(said.status, 200)
            ids.append(said.header("raccord-run"))
        deadline = harness.Deadline()
        while any(self.hub1.get(f"/api/v1/runs/{run}").status != 200 for run in ids):  # each loop writes its own in its own time
            self.assertTrue(deadline.left(), "a record is missing")
        runs = self.hub1.get("/api/v1/runs?limit=200").json["items"]
        paths = [r["path"] for r in runs if "/z" in r["path"]]
        self.assertEqual(paths, ["/a/[masked]/z"] * 5)


class TheProcess(harness.Case):
    def test_a_key_from_the_environment_is_gone_from_it(self):
        key = base64.b64encode(os.urandom(32)).decode()
        hub = self.hub(env={"RACCORD_MASTER_KEY": key})
        for name in ("environ", "cmdline"):
            with open(f"/proc/{hub.process.pid}/{name}", "rb") as f:
                self.assertNotIn(key.encode(), f.read())
        self.assertFalse(os.path.exists(os.path.join(hub.data, "master.key")))

    def test_secrets_are_not_taken_from_the_command_line(self):
        key = base64.b64encode(os.urandom(32)).decode()
        ended = harness.run("serve", "--data", self.path("d"), "--listen", "127.0.0.1:0", "--master-key", key)
        self.assertNotEqual(ended.code, 0)
        self.assertNotIn(key, ended.out + ended.err)

    def test_the_process_leaves_no_core_and_shows_no_memory(self):
        hub = self.hub()
        with open(f"/proc/{hub.process.pid}/limits", encoding="ascii") as f:
            core = re.search(r"^Max core file size\s+(\d+|unlimited)", f.read(), re.M).group(1)
        self.assertEqual(core, "0")

    def test_a_sealed_hub_has_no_key_and_no_credential_left_in_memory(self):
        provider = self.upstream([harness.answer()])
        allowed = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
        canary = "canary-" + base64.b16encode(os.urandom(12)).decode()
        hub = self.hub(env=allowed)
        hub.connection("crm", provider.url, credentials={"token": canary})
        hub.stop()
        hub.start()  # this process knows the credential from unsealing it only
        with open(os.path.join(hub.data, "master.key"), encoding="ascii") as f:
            master = f.read().strip()
        self.assertEqual(hub.get("/proxy/crm/x").status, 200)
        self.assertIn(canary.encode(), provider.received[-1])
        self.assertTrue(self.in_memory(hub, canary.encode()), "the search finds nothing even where it is")

        os.kill(hub.process.pid, signal.SIGUSR1)
        deadline = harness.Deadline()
        while hub.get("/readyz", token="").status != 503:
            self.assertTrue(deadline.left(), "not sealed")
        self.assertEqual(hub.get("/readyz", token="").json["reasons"][0]["code"], "sealed")
        refused = hub.get("/proxy/crm/x")
        self.assertEqual((refused.status, refused.header("raccord-error")), (503, "sealed"))
        self.assertEqual(hub.get("/api/v1/connections").status, 503)
        self.assertEqual(hub.get("/healthz", token="").status, 200)
        keys = [master.encode(), base64.b64decode(master) if len(master) == 44 else bytes.fromhex(master)]
        if harness.sanitized():
            return  # a sanitizer keeps copies of its own; requirement 12.10 asks for an optimised build
        while any(self.in_memory(hub, secret) for secret in [canary.encode(), *keys]):
            self.assertTrue(deadline.left(), "still in memory")

    def derived(self, hub):
        """The keys of the audit log, by the one they are made of: it lies where secrets lie, and the file of heads tells which it is."""
        with open(os.path.join(hub.data, "audit-heads.log"), "rb") as f:
            head, _, mac = f.read().splitlines()[-1].partition(b',"mac":"')
        for slot in self.slots(hub):
            keys = {name: hmac.new(slot, b"raccord derived key 1\0" + name.encode(), "sha256").digest()
                    for name in ("audit heads", "audit values", "run records", "calls file")}
            if hmac.new(keys["audit heads"], head, "sha256").hexdigest().encode() == mac[:64]:
                return {"fingerprints": slot, **keys}
        self.fail("no key in memory made the last head: the search finds nothing even where it is")

    @staticmethod
    def slots(hub):
        """Of secrets, 32 bytes each: small regions that are kept out of core dumps."""
        with open(f"/proc/{hub.process.pid}/smaps", encoding="utf-8") as maps, open(f"/proc/{hub.process.pid}/mem", "rb") as memory:
            for line in maps:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ rw", line):
                    start, end = (int(x, 16) for x in line.split()[0].split("-"))
                elif line.startswith("VmFlags:") and " dd" in line and end - start < 1 << 18:
                    memory.seek(start)
                    piece = memory.read(end - start)
                    yield from (piece[i:i + 32] for i in range(0, len(piece), 32) if any(piece[i:i + 32]))

    def test_sealing_wipes_the_audit_logs_keys_and_leaves_the_log_sound(self):
        arrived, go_on = threading.Event(), threading.Event()

        def provider(s, _):
            while head := s.read_request():
                if b"/slow" in head:
                    arrived.set()
                    go_on.wait(harness.DEADLINE)
                s.sendall(harness.answer())

        provider = self.upstream(provider)
        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost",
                            "RACCORD_AUDIT_STRICT": "true", "RACCORD_AUDIT_FILE": self.path("calls.log")})
        hub.connection("crm", provider.url)
        for i in range(5):
            self.assertEqual(hub.get(f"/proxy/crm/{i}").status, 200)
        keys = self.derived(hub)
        self.assertTrue(self.in_memory(hub, keys["calls file"]), "the search finds nothing even where it is")
        answers, token = [], hub.admin
        slow = threading.Thread(target=lambda: answers.append(hub.get("/proxy/crm/slow", token=token).status))
        slow.start()
        self.assertTrue(arrived.wait(harness.DEADLINE))

        done = harness.run("seal", "--data", hub.data)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(hub.get("/proxy/crm/x").header("raccord-error"), "sealed")
        deadline = harness.Deadline()
        while not harness.sanitized() and (left := [name for name, key in keys.items() if self.in_memory(hub, key)]):
            self.assertTrue(deadline.left(), f"still in memory: {left}")
        go_on.set()
        slow.join()
        self.assertEqual(answers, [200])  # what runs is finished; its record has no key any more, and is not written
        self.assertEqual(harness.run("seal", "--data", hub.data).code, 0)
        hub.stop()

        def verify():
            done = harness.run("verify-audit", "--data", hub.data, "--audit-file", self.path("calls.log"), "--json")
            self.assertEqual((done.code, done.json["ok"]), (0, True), done)
            return done.json

        self.assertEqual(verify()["calls"]["sealed"], 6)
        hub.start()
        actions = [r["action"] for r in hub.get("/api/v1/audit?limit=200").json["items"]]
        self.assertLess(actions.index("hub.start"), actions.index("hub.stop"))
        self.assertLess(actions.index("hub.stop"), actions.index("hub.seal"))
        paths = {r["path"] for r in hub.get("/api/v1/runs?limit=200").json["items"]}
        self.assertEqual(paths, {f"/{i}" for i in range(5)})
        self.assertEqual(hub.get("/proxy/crm/again").status, 200)
        hub.stop()
        verify()

    def test_there_is_nothing_to_seal_where_no_hub_runs(self):
        hub = self.hub()
        hub.stop()
        done = harness.run("seal", "--data", hub.data)
        self.assertEqual(done.code, 1)
        self.assertIn("no hub runs", done.err)

    @staticmethod
    def in_memory(hub, needle):
        with open(f"/proc/{hub.process.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{hub.process.pid}/mem", "rb") as memory:
            for line in maps:
                span, rights = line.split()[:2]
                if "w" not in rights:
                    continue
                start, end = (int(x, 16) for x in span.split("-"))
                try:
                    memory.seek(start)
                    if needle in memory.read(min(end - start, 1 << 28)):
                        return True
                except (OSError, ValueError, OverflowError):
                    continue
        return False

    def test_the_files_are_for_their_owner_only(self):
        hub = self.hub()
        self.assertEqual(os.stat(hub.data).st_mode & 0o077, 0)
        for folder, _, names in os.walk(hub.data):
            for name in names:
                self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o077, 0, name)
