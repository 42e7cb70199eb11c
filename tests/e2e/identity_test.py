"""Sign-in with an OpenID Connect provider: the round trip with one that others wrote, and what a hostile or broken one may not do."""
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import harness
import tokens
from roles_test import drip

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
OIDC = os.path.join(harness.ROOT, "tests/e2e/oidc")
SECRET = "s3cr:et/+ %&="
DOORS = "/api/v1/identity-providers"


class Browser:
    """Cookies and redirects as a browser has them; a page's forms are filled in by hand."""

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    def __init__(self, language="en"):
        self.jar = http.cookiejar.CookieJar()
        self.language = language
        handlers = [urllib.request.HTTPCookieProcessor(self.jar), urllib.request.ProxyHandler({})]
        self.follow = urllib.request.build_opener(*handlers)
        self.stay = urllib.request.build_opener(*handlers, self.NoRedirect)

    def open(self, url, form=None, follow=True):
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data, {"Accept-Language": self.language})
        try:
            page = (self.follow if follow else self.stay).open(request, timeout=harness.DEADLINE)
        except urllib.error.HTTPError as e:
            page = e
        with page:
            page.text = page.read().decode()
        return page

    def cookie(self, name):
        return next((c.value for c in self.jar if c.name == name), None)


class Case(harness.Case):
    def rows(self, sql):
        """What the hub has stored, read beside it."""
        with harness.database(self.hub1.data) as db:
            found = db.execute(sql)
            return [dict(zip([c[0] for c in found.description], row, strict=True)) for row in found.fetchall()]

    def provider_row(self, issuer, sign_in=None, **more):
        body = {"key": "sso", "name": "Single sign-on", "issuer": issuer, "client_secret": SECRET,
                "sign_in": {"client_id": "raccord", "create_users": True, "scopes": ["openid", "email", "profile", "groups"], **(sign_in or {})}}
        body.update(more)
        made = self.hub1.post(DOORS, body)
        self.assertEqual(made.status, 201, made)
        return made.json

    def change(self, **sign_in):
        row = self.hub1.get(DOORS + "/sso").json["sign_in"]
        said = self.hub1.request("PATCH", DOORS + "/sso", {"sign_in": {**row, **sign_in}})
        self.assertEqual(said.status, 200, said)

    def me(self, browser):
        said = self.hub1.get("/api/v1/session", token="", headers={"Cookie": f"raccord={browser.cookie('raccord')}"})
        self.assertEqual(said.status, 200, said)
        return said.json

    def begin(self, email="first@example.com"):
        """A hub whose setup is done, without which nobody signs in; its owner is a token of theirs and their id."""
        self.hub1 = self.hub(env=PLAIN)
        code = self.hub1.line("setup").split("#")[1]
        made = self.hub1.post("/api/v1/setup", {"code": code, "email": email, "password": harness.PASSWORD}, token="")
        self.assertEqual(made.status, 201, made)
        signed = self.hub1.post("/api/v1/session", {"email": email, "password": harness.PASSWORD}, token="")
        sent = {"Cookie": signed.header("set-cookie").split(";")[0], "X-CSRF-Token": signed.json["csrf_token"]}
        token = self.hub1.post("/api/v1/tokens", {"name": "o", "role": "owner"}, token="", headers=sent).json["secret"]
        self.owner = token, made.json["id"]

    def refused(self, page, code, reason=""):
        self.assertEqual(page.headers["Raccord-Error"], code, page.text)
        self.assertIn(reason, page.text)
        self.assertNotIn(SECRET, page.text)


# ---- a provider that others wrote ----

class Real(Case):
    PEOPLE = {"alice": {"email": "Alice@example.com", "email_verified": True, "name": "Alice", "groups": ["staff", "it"]},
              "bob": {"email": "bob@elsewhere.example", "email_verified": True, "groups": []},
              "eve": {"email": "alice@example.com", "email_verified": False}}

    def setUp(self):
        super().setUp()
        if not shutil.which("node") or not os.path.isdir(OIDC + "/node_modules/oidc-provider"):
            raise unittest.SkipTest("left out: the npm package oidc-provider is not here; tools/deps test installs it")
        self.begin()
        self.start("client_secret_basic")

    def start(self, way):
        client = {"client_id": "raccord", "client_secret": SECRET, "redirect_uris": [self.hub1.url + "/oidc/callback"],
                  "token_endpoint_auth_method": way, "grant_types": ["authorization_code"], "response_types": ["code"]}
        if way == "none":
            del client["client_secret"]
        node = subprocess.Popen(["node", OIDC + "/provider.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, env={**os.environ, "PEOPLE": json.dumps(self.PEOPLE), "CLIENT": json.dumps(client)})
        lines = harness.Lines(node.stdout)
        self.addCleanup(lambda: (node.stdin.close(), node.wait(harness.DEADLINE), lines.thread.join(), node.stdout.close()))
        found = lines.wait(r"^issuer: (.*)$")
        self.assertTrue(found, lines.text())
        self.node, self.lines, self.issuer = node, lines, found.group(1)

    def people(self, **changed):
        self.node.stdin.write(json.dumps(changed) + "\n")
        self.node.stdin.flush()
        self.assertTrue(self.lines.wait(r"^changed$"))
        self.lines.lines.remove(next(line for line in self.lines.lines if line.strip() == "changed"))

    def sign_in(self, who, browser=None, back="", key="sso"):
        """From the hub's door through the provider's forms; answers the hub's last page."""
        browser = browser or Browser()
        page = browser.open(f"{self.hub1.url}/api/v1/session/oidc/{key}{back}")
        for _ in range(3):
            action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            if not action or page.url.startswith(self.hub1.url):
                break
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text).group(1)
            form = {"prompt": prompt, **({"login": who, "password": "x"} if prompt == "login" else {})}
            page = browser.open(urllib.parse.urljoin(page.url, action.group(1)), form)
        return browser, page

    def test_a_person_signs_in_and_is_known_again(self):
        self.provider_row(self.issuer)
        self.assertEqual([p["key"] for p in self.hub1.get("/api/v1/session/providers", token="").json["items"]], ["sso"])
        browser, page = self.sign_in("alice", back="?return=/setup%3Fa=1")
        self.assertEqual(page.status, 200, page.text)
        self.assertIn(f'content="0;url={self.hub1.url}/setup?a=1"', page.text)
        me = self.me(browser)
        self.assertEqual((me["principal"]["name"], me["role"]), ("alice@example.com", "user"))
        again, _ = self.sign_in("alice")
        self.assertEqual(self.me(again)["principal"], me["principal"])
        self.assertNotEqual(again.cookie("raccord"), browser.cookie("raccord"))
        self.assertIsNone(browser.cookie("raccord-sign-in"))
        gone = self.hub1.request("DELETE", "/api/v1/session", token="",
                                 headers={"Cookie": f"raccord={browser.cookie('raccord')}", "X-CSRF-Token": me["csrf_token"]})
        self.assertEqual(gone.status, 204)
        self.assertEqual(self.hub1.get("/api/v1/session", token="", headers={"Cookie": f"raccord={browser.cookie('raccord')}"}).status, 401)

    def test_clients_that_post_their_secret_or_have_none_sign_in_too(self):
        for way in ("client_secret_post", "none"):
            with self.subTest(way):
                self.start(way)
                self.provider_row(self.issuer, {"token_auth": way if way != "none" else "auto"}, key=way.replace("_", "-"),
                                  client_secret=None if way == "none" else SECRET)
                browser, page = self.sign_in("alice" if way == "none" else "bob", key=way.replace("_", "-"))
                self.assertEqual(page.status, 200, page.text)
                self.me(browser)

    def test_groups_give_a_role_and_take_it_away_at_the_next_sign_in(self):
        self.provider_row(self.issuer, {"groups": [{"group": "it", "role": "admin"}]})
        browser, _ = self.sign_in("alice")
        self.assertEqual(self.me(browser)["role"], "admin")
        self.people(alice={**self.PEOPLE["alice"], "groups": ["staff"]})
        browser, _ = self.sign_in("alice")
        self.assertEqual(self.me(browser)["role"], "user")

    def test_groups_have_roles_in_folders_and_memberships_follow_the_provider(self):
        made = self.provider_row(self.issuer, {"groups": [{"group": "staff", "folder": "shared", "role": "user"},
                                                          {"group": "it", "folder": "shared", "role": "admin"}]})
        members = ("SELECT g.name, f.role, u.name AS member FROM principal g JOIN folder_member f ON f.principal_id = g.id"
                   " LEFT JOIN group_member m ON m.group_id = g.id LEFT JOIN principal u ON u.id = m.member_id"
                   " WHERE g.kind = 'group' ORDER BY g.name")
        self.sign_in("alice")
        self.assertEqual([tuple(r.values()) for r in self.rows(members)],
                         [("sso/it", "admin", "alice@example.com"), ("sso/staff", "user", "alice@example.com")])
        self.people(alice={**self.PEOPLE["alice"], "groups": ["it"]})
        self.sign_in("alice")
        self.assertEqual([tuple(r.values()) for r in self.rows(members)], [("sso/it", "admin", "alice@example.com"), ("sso/staff", "user", None)])
        self.change(groups=[{"group": "it", "folder": "shared", "role": "user"}])
        self.assertEqual([tuple(r.values()) for r in self.rows(members)], [("sso/it", "user", "alice@example.com")])
        said = self.hub1.request("PATCH", DOORS + "/sso", {"sign_in": {"client_id": "x", "groups": [{"group": "g", "folder": "shared/none", "role": "user"}]}})
        self.assertEqual((said.status, said.json["errors"][0]["pointer"]), (400, "/sign_in/groups/0/folder"))
        self.hub1.request("DELETE", DOORS + "/" + made["id"])
        self.assertEqual(self.rows("SELECT id FROM principal WHERE kind = 'group'"), [])

    def test_who_may_come_in_is_the_administrators_to_say(self):
        self.provider_row(self.issuer, {"email_domains": ["example.com"], "create_users": False})
        self.refused(self.sign_in("bob")[1], "sign_in_refused", "domain")
        self.refused(self.sign_in("alice")[1], "sign_in_refused", "no account")
        self.hub1.post("/api/v1/users", {"email": "alice@example.com"})
        self.refused(self.sign_in("alice")[1], "sign_in_refused", "linking by address is off")
        self.change(link_by_email=True)
        self.refused(self.sign_in("eve")[1], "sign_in_refused", "not verified")
        browser, page = self.sign_in("alice")
        self.assertEqual(page.status, 200, page.text)
        user = self.me(browser)["principal"]["id"]
        self.hub1.request("PATCH", "/api/v1/users/" + user, {"disabled": True})
        self.refused(self.sign_in("alice")[1], "sign_in_refused", "disabled")

    def test_a_person_shows_again_who_it_is(self):
        self.provider_row(self.issuer)
        browser, _ = self.sign_in("alice")
        before = self.me(browser)
        _, page = self.sign_in("alice", browser, "?step_up=true&return=/x")
        self.assertEqual(page.status, 200, page.text)
        after = self.me(browser)
        self.assertEqual(after["session"], before["session"])
        self.assertGreater(after["proved_at"], before["proved_at"])

    def test_a_page_of_refusal_is_in_the_readers_language(self):
        self.provider_row(self.issuer, {"email_domains": ["example.com"]})
        page = self.sign_in("bob", Browser("fr"))[1]
        self.refused(page, "sign_in_refused", "n&#39;est pas accepté")
        self.assertIn('<html lang="fr">', page.text)

    def test_a_sign_in_fits_one_browser_and_serves_once(self):
        self.provider_row(self.issuer)
        victim = Browser()
        page = victim.open(self.hub1.url + "/api/v1/session/oidc/sso")
        held = []
        victim.stay.handlers  # the provider's last redirect is followed by hand, to have its URL
        action = urllib.parse.urljoin(page.url, re.search(r'action="([^"]+)"', page.text).group(1))
        page = victim.open(action, {"prompt": "login", "login": "alice", "password": "x"})
        action = urllib.parse.urljoin(page.url, re.search(r'action="([^"]+)"', page.text).group(1))
        page = victim.open(action, {"prompt": "consent"}, follow=False)
        while not page.headers["Location"].startswith(self.hub1.url):
            page = victim.open(urllib.parse.urljoin(page.url, page.headers["Location"]), follow=False)
        held = page.headers["Location"]
        self.refused(Browser().open(held), "sign_in_over")
        self.assertIn("iss=", held)
        other = re.sub(r"iss=[^&]*", "iss=" + urllib.parse.quote("https://evil.example", safe=""), held)
        self.refused(victim.open(other), "sign_in_refused", "another issuer")
        self.refused(victim.open(held), "sign_in_over")


# ---- a provider that lies ----

class Liar(tokens.Issuer):
    """Gives whatever ID token the test wants; `made` gets the claims that would be right, and answers the token's text."""

    def __init__(self, case, keys):
        super().__init__(case, keys)
        self.nonce, self.made, self.info, self.forms, self.status = None, None, None, [], "200 OK"

    def _serve(self, s, number):
        while raw := s.read_request():
            path = re.match(rb"\S+ (\S+)", raw).group(1).decode()
            self.fetched.append(path)
            if self.away:
                return s.close()
            if path == "/.well-known/openid-configuration":
                body = {"issuer": self.url, "jwks_uri": self.url + "/keys", "authorization_endpoint": self.url + "/authorize",
                        "token_endpoint": self.url + "/token", "userinfo_endpoint": self.url + "/userinfo"}
            elif path == "/keys":
                body = {"keys": [k.jwk for k in self.keys]}
            elif path == "/userinfo":
                body = self.info
            else:
                self.forms.append(dict(urllib.parse.parse_qsl(raw.split(b"\r\n\r\n", 1)[1].decode())))
                body = {"access_token": "at", "token_type": "Bearer", "id_token": self.made and self.made(self.right())}
                body = body if self.status.startswith("200") else {"error": "invalid_grant", "error_description": "<script>x</script>"}
            s.sendall(harness.answer(json.dumps(body).encode(), self.status if path == "/token" else "200 OK"))

    def right(self):
        return self.claims(aud="raccord", sub="ann", nonce=self.nonce, email="ann@example.com", email_verified=True)


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.key = tokens.Key(self.folder, "k1")
        self.liar = Liar(self, [self.key])
        self.begin()
        self.row = self.provider_row(self.liar.url)

    def go(self, made=None, browser=None, start="", **query):
        """One sign-in whose provider answers made(claims); answers browser and page."""
        browser = browser or Browser()
        out = browser.open(self.hub1.url + "/api/v1/session/oidc/sso" + start, follow=False)
        if out.status != 303:
            return browser, out
        asked = self.asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(out.headers["Location"]).query))
        self.liar.nonce = asked["nonce"]
        self.liar.made = made or (lambda claims: tokens.token(self.key, claims))
        sent = {"code": "c", "state": asked["state"], **query}
        sent = {k: v for k, v in sent.items() if v is not None}
        return browser, browser.open(self.hub1.url + "/oidc/callback?" + urllib.parse.urlencode(sent))

    def with_claims(self, **changed):
        return lambda claims: tokens.token(self.key, {k: v for k, v in {**claims, **changed}.items() if v is not None})

    def test_the_right_token_signs_in_so_that_the_wrong_ones_mean_something(self):
        browser, page = self.go()
        self.assertEqual(page.status, 200, page.text)
        self.assertEqual(self.me(browser)["principal"]["name"], "ann@example.com")
        self.assertGreaterEqual(len(self.liar.forms[0]["code_verifier"]), 43)
        self.assertEqual(self.liar.forms[0]["redirect_uri"], self.row["redirect_uri"])

    def test_no_wrong_id_token_signs_anybody_in(self):
        now, other, rsa = int(time.time()), tokens.Key(self.folder, "k1"), tokens.Key(self.folder, "r1", "RSA")
        self.liar.keys.append(rsa)
        sign = tokens.hmac_with
        for what, made in {
            "nonce": self.with_claims(nonce="other"), "no nonce": self.with_claims(nonce=None),
            "iss": self.with_claims(iss="https://evil.example"), "aud": self.with_claims(aud="other"),
            "two aud, no azp": self.with_claims(aud=["raccord", "other"]), "azp": self.with_claims(azp="other"),
            "expired": self.with_claims(exp=now - 61), "no exp": self.with_claims(exp=None), "to come": self.with_claims(nbf=now + 120),
            "nobody": self.with_claims(sub=None),
            "alg none": lambda c: tokens.token(self.key, c, {"alg": "none"}, lambda _: b""),
            "alg none, a signature": lambda c: tokens.token(self.key, c, {"alg": "none"}),
            "HMAC with the public key": lambda c: tokens.token(rsa, c, {"alg": "HS256"}, sign(rsa.public_pem)),
            "HMAC with the client secret": lambda c: tokens.token(rsa, c, {"alg": "HS256"}, sign(SECRET.encode())),
            "another's key": lambda c: tokens.token(other, c), "crit": lambda c: tokens.token(self.key, c, {"crit": ["x"], "x": 1}),
            "key in the header": lambda c: tokens.token(other, c, {"jwk": other.jwk}),
            "no token": lambda c: None, "no JWT": lambda c: "abc",
        }.items():
            with self.subTest(what):
                browser, page = self.go(made)
                self.assertIn(page.headers["Raccord-Error"], ("sign_in_refused", "identity_provider_failed"), page.text)
                self.assertIsNone(browser.cookie("raccord"))
        self.assertEqual([u["id"] for u in self.hub1.get("/api/v1/users").json["items"]], [self.owner[1]])

    def test_state_is_single_use_and_an_errors_text_never_comes_through(self):
        self.refused(self.go(state="x" * 52)[1], "sign_in_over")
        self.refused(self.go(state=None)[1], "sign_in_over")
        browser, page = self.go(error="access_denied", error_description="<script>alert(1)</script>", code=None)
        self.refused(page, "sign_in_refused", "said no")
        self.assertNotIn("script", page.text)
        self.refused(self.go(code=None)[1], "sign_in_refused", "no code")
        self.liar.status = "400 Bad Request"
        page = self.go()[1]
        self.refused(page, "sign_in_refused", "does not take its code back")
        self.assertNotIn("script", page.text)

    def test_userinfo_about_somebody_else_is_refused(self):
        bare = self.with_claims(email=None, email_verified=None)
        self.liar.info = {"sub": "mallory", "email": "ann@example.com", "email_verified": True}
        self.refused(self.go(bare)[1], "sign_in_refused", "different people")
        self.liar.info = {"sub": "ann", "email": "ann@example.com", "email_verified": True}
        self.assertEqual(self.go(bare)[1].status, 200)

    def test_a_second_factor_that_the_administrator_asks_for_must_be_named(self):
        self.change(second_factor={"amr": ["mfa"], "acr": ["gold"]})
        self.refused(self.go()[1], "sign_in_refused", "second factor")
        self.refused(self.go(self.with_claims(amr=["pwd"]))[1], "sign_in_refused", "second factor")
        self.assertEqual(self.go(self.with_claims(amr=["pwd", "mfa"]))[1].status, 200)
        self.assertEqual(self.go(self.with_claims(acr="gold"))[1].status, 200)

    def test_no_provider_makes_an_administrator_an_owner(self):
        token, owner = self.owner
        self.change(link_by_email=True)
        self.refused(self.go(self.with_claims(email="first@example.com"))[1], "sign_in_refused", "owner")
        rule = {"jwt_callers": {"audience": "raccord", "rules": [{"claim": "azp", "equals": "x", "principal": owner}]}}
        said = self.hub1.request("PATCH", DOORS + "/sso", rule)
        self.assertEqual((said.status, said.json["code"]), (403, "denied"), said)
        self.assertEqual(self.hub1.request("PATCH", DOORS + "/sso", rule, token=token).status, 200)
        for method, body in (("PATCH", {"jwks_uri": "https://evil.example/keys"}), ("PATCH", {"jwt_callers": None}), ("DELETE", None)):
            self.assertEqual(self.hub1.request(method, DOORS + "/sso", body).status, 403)

    def test_who_signed_in_once_may_call_with_tokens_of_the_same_subject(self):
        said = self.hub1.request("PATCH", DOORS + "/sso", {"jwt_callers": {"audience": "api", "users": True}})
        self.assertEqual(said.status, 200, said)
        token = tokens.token(self.key, self.liar.claims(aud="api", sub="ann"))
        self.assertEqual(self.hub1.get("/api/v1/session", token=token).status, 401)
        browser, _ = self.go()
        me = self.hub1.get("/api/v1/session", token=token)
        self.assertEqual(me.json["principal"], self.me(browser)["principal"])

    def test_callers_who_are_users_are_narrowed_as_those_of_rules_are(self):
        provider = self.upstream([harness.answer(b"hello")])
        keys = [self.hub1.connection(key, provider.url)["key"] for key in ("crm", "other")]
        self.change(default_role="editor")
        self.assertEqual(self.go()[1].status, 200)
        put = lambda **limits: self.hub1.request("PATCH", DOORS + "/sso", {"jwt_callers": {"audience": "api", "users": True, "users_limits": limits or None}})
        token = tokens.token(self.key, self.liar.claims(aud="api", sub="ann"))
        call = lambda method="GET", key="crm": self.hub1.request(method, f"/proxy/{key}/x", token=token).header("raccord-error") or "ok"
        kept = put()
        limits = kept.json["jwt_callers"]["users_limits"]
        self.assertEqual((kept.status, limits.pop("grants")["connections"], set(limits.values())), (200, None, {None}), kept)
        self.assertEqual([call(key=k) for k in keys] + [call("DELETE")], ["ok"] * 3)
        kept = put(grants={"connections": ["crm"], "methods": ["GET"]}).json["jwt_callers"]["users_limits"]["grants"]
        self.assertEqual((len(kept["connections"]), kept["methods"]), (1, ["GET"]), kept)
        self.assertEqual((call(), call("DELETE"), call(key="other")), ("ok", "token_not_granted", "connection_not_granted"))
        said = self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "connection": "crm", "method": "DELETE",
                                                           "identity_provider": "sso", "claims": {"sub": "ann"}}).json
        self.assertEqual((said["code"], said["trace"][0]["says"]), ("token_not_granted", "its users, as ann@example.com"), said)
        self.assertEqual(put(role="viewer").status, 200)
        self.assertEqual(call(), "denied")
        self.assertEqual(put(expires_at="2020-01-01T00:00:00Z").status, 200)
        self.assertEqual(call(), "token_invalid")
        self.assertEqual(put(max_lifetime="60s").status, 200)
        self.assertEqual(call(), "token_invalid")
        wrong = self.hub1.request("PATCH", DOORS + "/sso", {"jwt_callers": {"audience": "api", "users": True, "users_limits": {"claim": "x"}}})
        self.assertEqual((wrong.status, wrong.json["errors"][0]["pointer"]), (400, "/jwt_callers/users_limits/claim"), wrong)

    def by(self, browser, method, path, body=None):
        """As the console asks, with the browser's session."""
        sent = {"Cookie": f"raccord={browser.cookie('raccord')}", "X-CSRF-Token": self.me(browser)["csrf_token"]}
        return self.hub1.request(method, path, body, token="", headers=sent)

    def stream(self, path, token):
        """A running answer; says when it ends."""
        line = self.hub1.connect()
        line.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        self.assertEqual((answer.status, answer.read(1)), (200, b"x"))
        ended = threading.Event()

        def read():
            try:
                while answer.read(64):
                    pass
            except Exception:  # cut short, as it must be
                pass
            ended.set()
        threading.Thread(target=read, daemon=True).start()
        self.assertFalse(ended.wait(0.2), "the answer ended by itself")
        return ended

    def closed_folders(self, *names):
        slow = self.upstream(drip)
        for name in names:
            made = self.hub1.post("/api/v1/folders", {"path": "shared/" + name, "inherits": False})
            self.assertEqual(made.status, 201, made)
            made = self.hub1.post("/api/v1/connections", {"connector": "http", "auth_type": "bearer", "key": name, "folder": "shared/" + name,
                                                          "fields": {"base_url": slow.url}, "credentials": {"token": "t"}})
            self.assertEqual(made.status, 201, made)

    def test_a_mapped_group_opens_its_folder_alone_and_leaving_it_ends_what_runs(self):
        self.closed_folders("sales", "other")
        self.change(groups=[{"group": "sellers", "folder": "shared/sales", "role": "user"}])
        browser, page = self.go(self.with_claims(groups=["sellers", "unknown"]))
        self.assertEqual(page.status, 200, page.text)
        token = self.by(browser, "POST", "/api/v1/tokens", {"name": "t", "role": "user"}).json["secret"]
        self.assertEqual([f["path"] for f in self.by(browser, "GET", "/api/v1/folders").json["items"] if f["path"] != "shared"], ["shared/sales"])
        self.assertEqual([c["key"] for c in self.by(browser, "GET", "/api/v1/connections").json["items"]], ["sales"])
        self.assertEqual(self.hub1.get("/proxy/other/x", token=token).status, 404)
        ended = self.stream("/proxy/sales/x", token)
        self.assertEqual(self.go(self.with_claims(groups=[]))[1].status, 200)
        self.assertTrue(ended.wait(1), "the answer goes on after its person left the group")
        self.assertEqual(self.hub1.get("/proxy/sales/x", token=token).status, 404)
        self.assertEqual(self.by(browser, "GET", "/api/v1/connections").json["items"], [])  # the session of before
        self.assertEqual(self.by(browser, "GET", "/api/v1/connections/sales").status, 404)

    def test_a_caller_of_an_issuer_loses_what_runs_with_its_rule(self):
        self.closed_folders("sales")
        account = self.hub1.post("/api/v1/service-accounts", {"name": "robots", "role": "user"}).json["id"]
        members = {"members": [{"principal": account, "role": "user"}]}
        self.assertEqual(self.hub1.request("PUT", "/api/v1/folders/shared%2Fsales/members", members).status, 200)
        rule = {"claim": "azp", "equals": "ci", "principal": "robots"}
        put = lambda **callers: self.hub1.request("PATCH", DOORS + "/sso", {"jwt_callers": {"audience": "api", **callers}}).status
        self.assertEqual(put(rules=[rule]), 200)
        token = tokens.token(self.key, self.liar.claims(aud="api", azp="ci"))
        ended = self.stream("/proxy/sales/x", token)
        self.assertEqual(put(rules=[{**rule, "equals": "another"}]), 200)
        self.assertTrue(ended.wait(1), "the answer goes on after the rule was taken away")
        self.assertEqual(self.hub1.get("/proxy/sales/x", token=token).status, 401)
        # ... and with a role that does not use.
        self.assertEqual(put(rules=[rule]), 200)
        ended = self.stream("/proxy/sales/x", token)
        self.assertEqual(put(rules=[{**rule, "role": "viewer"}]), 200)
        self.assertTrue(ended.wait(1), "the answer goes on after the rule lost its role")
        self.assertEqual(self.hub1.get("/proxy/sales/x", token=token).status, 403)
        self.assertEqual(self.hub1.post("/api/v1/connections/sales/call", {"method": "GET", "path": "/"}, token=token).status, 403)
        self.assertEqual([c["key"] for c in self.hub1.get("/api/v1/connections", token=token).json["items"]], ["sales"])
        said = self.hub1.post("/api/v1/policies:explain", {"operation": "connection.call", "connection": "sales"}, token=token)
        self.assertEqual((said.json["decision"], said.json["code"]), ("block", "denied"), said)

    def test_who_has_no_password_here_shows_the_provider_again_who_it_is(self):
        self.change(groups=[{"group": "it", "role": "admin"}])
        account = lambda name: self.hub1.post("/api/v1/service-accounts", {"name": name}).json["id"]
        one, two = account("one"), account("two")
        browser, _ = self.go(self.with_claims(groups=["it"]))
        before = browser.cookie("raccord")
        self.assertEqual(self.by(browser, "DELETE", "/api/v1/service-accounts/" + one).status, 204)
        with harness.database(self.hub1.data) as db:
            db.execute("UPDATE session SET proved_ms = proved_ms - 600000 WHERE how = 'provider'")
        said = self.by(browser, "DELETE", "/api/v1/service-accounts/" + two)
        self.assertEqual(said.json["code"], "step_up_required", said)
        now, again = int(time.time()), {"browser": browser, "start": "?step_up=true"}
        self.refused(self.go(self.with_claims(groups=["it"]), **again)[1], "sign_in_refused", "again")
        self.assertEqual((self.asked["prompt"], self.asked["max_age"]), ("login", "0"))
        self.refused(self.go(self.with_claims(groups=["it"], auth_time=now - 600), **again)[1], "sign_in_refused", "again")
        self.refused(self.go(self.with_claims(groups=["it"], auth_time=now + 1, sub="eve"), **again)[1], "sign_in_refused", "somebody else")
        self.assertEqual(self.by(browser, "DELETE", "/api/v1/service-accounts/" + two).status, 403)
        self.refused(self.go(self.with_claims(auth_time=now), start="?step_up=true")[1], "session_required")
        page = self.go(self.with_claims(groups=["it"], auth_time=now), **again)[1]
        self.assertEqual(page.status, 200, page.text)
        self.assertNotEqual(browser.cookie("raccord"), before)  # a new id for more rights
        self.assertEqual(self.hub1.get("/api/v1/session", token="", headers={"Cookie": f"raccord={before}"}).status, 401)
        self.assertEqual(self.by(browser, "DELETE", "/api/v1/service-accounts/" + two).status, 204)
        told = [e["outcome"] for e in self.rows("SELECT outcome FROM audit WHERE action = 'session.step_up' ORDER BY number")]
        self.assertEqual((told[0], told[-1], told.count("done")), ("refused", "done", 1))

    def test_one_address_begins_twenty_sign_ins_a_minute_that_lead_nowhere(self):
        for _ in range(3):
            self.assertEqual(self.go()[1].status, 200)  # these count no longer
        for _ in range(20):
            self.assertEqual(self.go(state="x" * 52)[1].headers["Raccord-Error"], "sign_in_over")
        self.refused(self.go()[1], "rate_limited")
        self.assertEqual(self.rows("SELECT count(*) AS n FROM identity_attempt")[0]["n"], 20)

    def test_a_narrowed_administrators_token_maps_nothing_to_more_than_itself(self):
        narrow = self.hub1.post("/api/v1/tokens", {"name": "n", "role": "admin", "grants": {"connections": []}}).json["secret"]
        row = self.hub1.get(DOORS + "/sso").json["sign_in"]
        said = self.hub1.request("PATCH", DOORS + "/sso", {"sign_in": {**row, "groups": [{"group": "g", "role": "admin"}]}}, token=narrow)
        self.assertEqual((said.status, said.json["code"]), (403, "denied"), said)
        robots = self.hub1.post("/api/v1/service-accounts", {"name": "robots", "role": "admin"}).json["id"]
        body = {"audience": "a", "rules": [{"claim": "azp", "equals": "x", "principal": robots}]}
        said = self.hub1.request("PATCH", DOORS + "/sso", {"sign_in": None, "jwt_callers": body}, token=narrow)
        self.assertEqual((said.status, said.json["code"]), (403, "denied"), said)

    def test_keys_that_turned_are_fetched_again(self):
        self.assertEqual(self.go()[1].status, 200)
        self.key = tokens.Key(self.folder, "k2")
        self.liar.keys = [self.key]
        self.assertEqual(self.go()[1].status, 200)

    def test_a_provider_that_is_down_is_said_to_be_down(self):
        self.liar.away = True
        page = self.go()[1]
        self.refused(page, "identity_provider_failed", "cannot be reached")
        self.assertEqual(page.status, 502)

    def test_the_way_back_leads_to_no_other_host(self):
        for path in ("//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\tb", "/%0aSet-Cookie:x", "/<script>", "/" + "a" * 600):
            with self.subTest(path):
                page = Browser().open(self.hub1.url + "/api/v1/session/oidc/sso?" + urllib.parse.urlencode({"return": path.replace("%0a", "\n")}),
                                      follow=False)
                self.assertEqual((page.status, page.headers["Raccord-Error"]), (400, "field_invalid"))

    def test_the_cookie_of_an_attempt_is_lax_and_the_sessions_is_strict(self):
        browser = Browser()
        out = browser.open(self.hub1.url + "/api/v1/session/oidc/sso", follow=False)
        self.assertRegex(out.headers["Set-Cookie"], r"^raccord-sign-in=\w{52}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600$")
        _, page = self.go(browser=browser)
        cookies = page.headers.get_all("Set-Cookie")
        self.assertTrue(any(re.match(r"raccord=\w{52}; .*HttpOnly; SameSite=Strict", c) for c in cookies), cookies)

    def test_the_log_has_who_came_in_and_who_was_refused(self):
        self.go()
        self.go(self.with_claims(nonce="x"))
        entries = self.rows("SELECT * FROM audit WHERE action = 'session.create'")[1:]  # after the owner's
        self.assertEqual(sorted(e["outcome"] for e in entries), ["done", "refused"])
        everything = json.dumps([dict(e) for e in entries]) + self.hub1.log()
        for hidden in (SECRET, self.liar.nonce, "eyJ"):
            self.assertNotIn(hidden, everything)
