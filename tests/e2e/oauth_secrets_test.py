"""Assertions, codes, verifiers and tokens are used and never found again: the search of secrets_test over every way to let one in that
has more than a stored secret. The authorization server is a hostile one: what it gets it tells in its errors, headers and pages, and
what it gives it gives again in places where it does not belong."""
import base64
import json
import os
import re
import subprocess
import urllib.parse

import harness
from provider import Request
from secrets_test import Search

API = "/api/v1"
# What the hub sends to a server in a form or a header, by the name of its field; each value is a secret from then on.
SECRET_FIELDS = ("code", "code_verifier", "client_secret", "client_assertion", "assertion", "refresh_token", "password", "token",
                 "device_code", "subject_token")


class Hostile:
    """One address for authorization, tokens, devices, revocation, a login of its own, and the API. `mode`: how tokens are answered."""

    def __init__(self, case, canaries):
        self.canaries, self.mode, self.served, self.known = canaries, "good", 0, set()
        self.upstream = case.upstream(self.serve)
        self.url = self.upstream.url

    def learn(self, request):
        body = dict(urllib.parse.parse_qsl(request.body.decode("latin-1")))
        for name in SECRET_FIELDS:
            self.keep(name, body.get(name))
        for value in request.all("authorization") + request.all("x-signature"):
            proof = re.search(r'(?i)(?:signature|response)="?([^",]+)', value)
            self.keep("header", proof.group(1) if proof else value.split(" ", 1)[-1])

    def keep(self, name, value):
        """Of a JWT its signature: what stands before is known to all who know the connection."""
        part = (value or "").rsplit(".", 1)[-1] if (value or "").startswith("ey") else value
        if part and len(part) >= 12 and part not in self.known:
            self.known.add(part)
            self.canaries.know(f"{name} #{len(self.known)}", part)

    def tokens(self):
        new, n = self.canaries.new, self.served
        return {"access_token": new(f"access token {n}", "+/=~"), "refresh_token": new(f"refresh token {n}", "-._"), "token_type": "Bearer",
                "expires_in": 3600, "scope": "read"}

    def serve(self, s, number):
        for raw in iter(s.read_request, b""):
            self.served += 1
            s.sendall(self.answer(Request(raw)))

    def answer(self, request):
        self.learn(request)
        flat = request.raw.decode("latin-1").replace("\r\n", " ")
        headers = ["X-Echo: " + flat[:3000]]
        path = request.target.split("?")[0]
        if path == "/api":
            return harness.answer(request.raw, "401 Unauthorized" if self.mode == "refuses tokens" else "200 OK", headers=headers)
        if path == "/revoke":
            return harness.answer(request.raw, "200 OK" if self.mode == "good" else "503 Said", headers=headers)
        if path == "/device":
            return harness.answer(json.dumps({
                "device_code": self.canaries.new(f"device code {self.served}"), "user_code": "ABCD-EFGH", "interval": 1, "expires_in": 600,
                "verification_uri": self.url + "/enter"}).encode(), headers=headers)
        if path == "/login":
            given = self.tokens()
            return harness.answer(json.dumps({"session": given["access_token"]}).encode(), headers=headers) if self.mode == "good" else \
                harness.answer(b"<html>" + request.raw, "500 Said", content_type="text/html", headers=headers)
        return self.answer_token(request, flat, headers)

    def answer_token(self, request, flat, headers):
        told = urllib.parse.unquote_plus(flat)
        given = self.tokens()
        answers = {
            "good": (200, given), "refuses tokens": (200, given),
            "invalid_grant": (400, {"error": "invalid_grant", "error_description": told}),
            "invalid_client": (401, {"error": told[:900], "error_description": told, "error_uri": "https://x.test/?" + told}),
            "down": (503, {"error": "server_error", "error_description": told}),
            "wrong type": (200, {**given, "token_type": "MAC " + given["access_token"]}),
            "no token": (200, {**given, "access_token": [given["access_token"]]}),
            "absurd": (200, {**given, "expires_in": given["refresh_token"]}),
        }
        if self.mode == "garbage":
            return harness.answer(b'{"access_token": "' + given["access_token"].encode() + b'", ' + request.raw, headers=headers)
        status, body = answers[self.mode]
        return harness.answer(json.dumps(body).encode(), f"{status} Said", headers=headers)


MODES = ("invalid_grant", "invalid_client", "down", "wrong type", "no token", "absurd", "garbage", "refuses tokens", "good")


class WhateverAServerAnswers(Search):
    def setUp(self):
        super().setUp()
        self.server = Hostile(self, self.canaries)
        master = self.canaries.know("master key", base64.b64encode(os.urandom(32)).decode())
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost",
                                  "RACCORD_LOG_LEVEL": "debug", "RACCORD_MASTER_KEY": master, "RACCORD_TIMEOUTS_CIRCUIT": "0"})
        key = self.path("signing.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True, capture_output=True)
        with open(key, encoding="ascii") as f:
            self.key = f.read()
        self.canaries.know("private key", "".join(self.key.split("\n")[1:-2]))

    def ask(self, method, path, body=None, status=None, shown=False):
        """`shown`: the answer holds on purpose what is searched for: the provider's own, or a link."""
        said = self.hub1.request(method, path, body)
        if status:
            self.assertEqual(said.status, status, said)
        if not shown:
            self.heard.append(f"{method} {path[:100]}: {said.status} {said.headers}\n".encode() + said.body)
        elif said.header("raccord-error"):
            self.heard.append(said.body)
        return said

    # --- one of each ---

    def client(self, key, **more):
        body = {"key": key, "client_id": "hub-" + key, "authorization_url": self.server.url + "/authorize", "token_url": self.server.url + "/token",
                "revocation_url": self.server.url + "/revoke", "device_authorization_url": self.server.url + "/device", "scopes": ["read"], **more}
        self.ask("POST", API + "/oauth-clients", body, 201)

    def make(self, key, auth_type, credentials=None, client=None, **fields):
        body = {"connector": "http", "auth_type": auth_type, "key": key, "name": key, "fields": {"base_url": self.server.url, **fields},
                **({"credentials": credentials} if credentials else {}), **({"oauth_client": client} if client else {})}
        return self.ask("POST", API + "/connections", body, 201).json["id"]

    def make_all(self):
        new, url = self.canaries.new, self.server.url
        self.client("basic", client_secret=new("client secret", "+:/ %"), next_client_secret=new("next client secret", "&="))
        self.client("post", client_secret=new("posted client secret", "+:/ %"), client_authentication="client_secret_post")
        self.client("signed", private_key=self.key, algorithm="ES256", client_authentication="private_key_jwt")
        self.client("shared", client_secret=new("shared secret of a JWT", "+") * 2, client_authentication="client_secret_jwt")
        for client in ("basic", "post", "signed", "shared"):
            self.make("code-" + client, "oauth2_authorization_code", client=client)
            self.make("machine-" + client, "oauth2_client_credentials", client=client)
        self.make("device", "oauth2_device_code", client="basic")
        self.make("password", "oauth2_password", {"username": "joe", "password": new("password", 'é"\\& ')}, client="post")
        self.make("bearer", "oauth2_jwt_bearer", {"private_key": self.key}, client="basic", subject="joe", issuer="hub", audience=url)
        self.make("exchange", "oauth2_token_exchange", {"subject_token": new("subject token", "-_")}, client="basic")
        self.make("login", "custom_oauth", {"user": "joe", "secret": new("login secret", '"\\&')}, login_url=url + "/login",
                  login_body='{"user":"{{credentials.user}}","secret":"{{credentials.secret}}"}', login_values={"access_token": "$.session"},
                  headers={"X-Session": "{{authResponse.access_token}}"})
        self.make("aws", "aws_sigv4", {"access_key_id": "AKIDEXAMPLE", "secret_access_key": new("AWS key", "/+"), "session_token": new("AWS session", "/+=")},
                  region="eu-west-3", service="lambda")
        self.make("digest", "digest", {"username": "joe", "password": new("digest password", ':"')})
        self.make("oauth1", "oauth1", {"consumer_key": "ck", "consumer_secret": new("consumer secret", "%&"), "token": new("OAuth 1 token"),
                                       "token_secret": new("token secret", "&")})
        self.make("hmac", "hmac", {"secret": new("HMAC secret", "+/"), "key_id": "k1"}, signed="{{method}} {{path}}", header="X-Signature")

    KEYS = tuple(f"{kind}-{client}" for kind in ("code", "machine") for client in ("basic", "post", "signed", "shared")) + \
        ("device", "password", "bearer", "exchange", "login", "aws", "digest", "oauth1", "hmac")

    def browse(self, url, headers=None):
        """One step of a browser; pages and headers are searched, but for the cookie that the browser is to keep and where it is sent."""
        said = self.hub1.request("GET", url[len(self.hub1.url):], headers=headers, token="")
        kept = {k: v for k, v in said.headers.items() if k.lower() not in ("set-cookie", "location")}
        self.heard.append(f"{said.status} {kept}".encode() + said.body)
        return said

    def authorize(self, key):
        begun = self.ask("POST", f"{API}/connections/{key}/authorize", {}, 201, shown=True).json
        away = self.browse(begun["authorization_url"])
        self.assertEqual(away.status, 303, away)
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(away.header("location")).query))
        self.assertFalse(set(asked) & set(SECRET_FIELDS), asked)
        self.heard.append(away.header("location").encode())
        cookie = away.header("set-cookie").split(";")[0]
        code = self.canaries.new("authorization code", "-._~")
        back = "/oauth/callback?" + urllib.parse.urlencode({"code": code, "state": asked["state"]})
        page = self.browse(self.hub1.url + back, {"Cookie": cookie})
        self.assertIn("no-referrer", page.header("referrer-policy"))
        again = self.browse(self.hub1.url + back, {"Cookie": cookie})
        self.assertNotEqual(again.status, 200)
        wrong = back.replace(asked["state"], "x" + asked["state"])
        self.browse(self.hub1.url + wrong, {"Cookie": cookie})

    def use(self, key):
        self.ask("GET", f"/proxy/{key}/api?x=1", shown=True)
        self.ask("POST", f"{API}/connections/{key}/call", {"method": "POST", "path": "/api", "body": {"a": 1}}, shown=True)
        self.ask("POST", f"{API}/connections/{key}/renew")
        for of in ("", "/grant", "/grant/events", "/history", "/usage"):
            self.ask("GET", f"{API}/connections/{key}{of}")

    # --- the search ---

    def everywhere(self):
        for path in ("connections", "runs", "audit", "oauth-clients", "tokens"):
            cursor = ""
            while cursor is not None:
                cursor = self.ask("GET", f"{API}/{path}?limit=200{cursor and '&cursor=' + cursor}", status=200).json["next_cursor"]
        for path in ("/metrics", "/readyz", API + "/doctor", API + "/audit:export?limit=10000"):
            self.ask("GET", path)
        places = {"what the hub said": b"\n".join(self.heard), "log": self.hub1.log().encode(), **self.files()}
        for name in ("cmdline", "environ"):
            with open(f"/proc/{self.hub1.process.pid}/{name}", "rb") as f:
                places[name] = f.read()
        return places

    def test_no_secret_is_found_again(self):
        self.make_all()
        for key in self.KEYS:
            if key.startswith("code"):
                self.authorize(key)
        self.ask("POST", f"{API}/connections/device/authorize", {}, 201, shown=True)
        for mode in MODES:
            self.server.mode = mode
            for key in self.KEYS:
                self.use(key)
            if mode != "good":
                for key in ("code-basic", "code-signed"):
                    self.authorize(key)
        kinds = {re.sub(r"[ #\d]+$", "", name) for name in self.canaries.values}
        for wanted in ("code", "code_verifier", "client_assertion", "assertion", "refresh_token", "access token", "password", "device_code", "subject_token"):
            self.assertIn(wanted, kinds)  # the server really got, and gave, one of each
        self.server.mode = "down"
        for key in self.KEYS:
            self.ask("DELETE", f"{API}/connections/{key}?force=true")
        self.assertGreater(len(self.canaries.values), 150)
        places = self.everywhere()
        self.assert_nothing_in(places)
        self.assertEqual(self.hub1.stop(), 0)
        self.assert_nothing_in({"log at the end": self.hub1.log().encode(), **self.files()})
