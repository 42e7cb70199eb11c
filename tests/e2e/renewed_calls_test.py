"""Calls whose token is over: they wait for one renewal, go once more when the provider refused the token, and say clearly what failed."""
import base64
import json
import re
import threading
import urllib.parse

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
RULED = {
    "id": "ruled", "name": "Ruled", "version": "1.0.0", "stage": "stable", "documentation": "https://example.com",
    "description": {"en": "A service with words of its own.", "fr": "Un service qui a ses propres mots."},
    "domains": ["support"], "base_url": "{{fields.base_url}}", "prerequisites": {"en": "- None.", "fr": "- Aucun."},
    "fields": [{"key": "base_url", "type": "url", "required": True, "label": {"en": "Base URL", "fr": "URL de base"}},
               {"key": "token_url", "type": "url", "required": True, "label": {"en": "Token URL", "fr": "URL du jeton"}}],
    "auth": [{"type": "oauth2_client_credentials", "label": {"en": "Client", "fr": "Client"},
              "oauth": {"token_url": "{{fields.token_url}}",
                        "expired": {"status": [403], "pointer": "/error/code", "equals": "token_expired"}},
              "instructions": {"en": "None.", "fr": "Aucune."}}],
}


class Provider:
    """Tokens and what they open, on one port: POST /token gives a new one, after which only that one is taken."""

    def __init__(self, case):
        self.lock = threading.Lock()
        self.given = 0          # tokens
        self.asked = []         # forms of token requests
        self.tokens = {}        # number -> token
        self.refuses = "401 Unauthorized", b'{"error": "invalid_token"}'
        self.says = None        # instead of a token: (status, body)
        self.hold = threading.Event()
        self.hold.set()
        self.upstream = case.upstream(self.serve)
        self.url = self.upstream.url

    def serve(self, s, number):
        while raw := s.read_request():
            s.sendall(self.token(raw) if raw.startswith(b"POST /token ") else self.call(raw))

    def token(self, raw):
        self.hold.wait(harness.DEADLINE)
        with self.lock:
            self.asked.append(dict(urllib.parse.parse_qsl(raw.split(b"\r\n\r\n", 1)[1].decode())))
            if self.says:
                return harness.answer(self.says[1], self.says[0])
            self.given += 1
            said = {"access_token": f"t0ken-{self.given}", "token_type": "Bearer", "expires_in": 3600}
        return harness.answer(json.dumps(said).encode())

    def call(self, raw):
        with self.lock:
            good = f"Bearer t0ken-{self.given}".encode()
        shown = re.search(rb"^authorization: (.*)\r$", raw, re.M | re.I)
        if not shown or shown.group(1) != good:
            return harness.answer(self.refuses[1], self.refuses[0])
        return harness.answer(raw.split(b"\r\n\r\n", 1)[1] or b'{"ok": true}')

    def turn(self):
        """The token that is out is good no longer."""
        with self.lock:
            self.given += 1

    def calls(self):
        return [head for head in self.upstream.requests() if not head.startswith("POST /token ")]


class Case(harness.Case):
    def start(self, connector="http", **env):
        self.provider = Provider(self)
        self.hub1 = self.hub(env={**PLAIN, **env})
        made = self.hub1.post("/api/v1/connections", {
            "connector": connector, "auth_type": "oauth2_client_credentials", "key": "crm", "folder": "shared",
            "fields": {"base_url": self.provider.url, "token_url": self.provider.url + "/token"},
            "credentials": {"client_id": "raccord", "client_secret": "s3cret-of-the-client"}})
        self.assertEqual(made.status, 201, made)
        return made.json

    def many(self, count, method="GET", path="/proxy/crm/x", body=None):
        answers = [None] * count

        def ask(at):
            answers[at] = self.hub1.request(method, path, body)

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(harness.DEADLINE)
        return answers


class Waiting(Case):
    def test_the_first_callers_wait_for_one_token(self):
        self.start()
        self.provider.asked.clear()
        self.provider.turn()
        self.assertEqual([a.status for a in self.many(32)], [200] * 32)
        self.assertLessEqual(len(self.provider.asked), 2)  # one when it was made, one now
        self.assertEqual(self.provider.asked[-1]["grant_type"], "client_credentials")

    def test_what_a_policy_forbids_while_a_call_waits_is_not_sent_afterwards(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        self.provider.hold.clear()
        said, before = [], b"".join(self.provider.upstream.received).count(b"POST /token ")
        waiting = threading.Thread(target=lambda: said.append(self.hub1.request("DELETE", "/proxy/crm/x")))
        waiting.start()
        self.assertTrue(self.provider.upstream.wait(lambda all: b"".join(all).count(b"POST /token ") > before))
        saved = self.hub1.post("/api/v1/policies", {"name": "No deletions", "rules": [{"rule": "methods_block", "values": ["DELETE"]}]})
        self.assertEqual(saved.status, 201, saved)
        self.provider.hold.set()
        waiting.join(harness.DEADLINE)
        self.assertEqual((said[0].status, said[0].json["code"]), (403, "call_blocked"), said)
        self.assertEqual(len([c for c in self.provider.calls() if c.startswith("DELETE ")]), 1)  # the one whose token was refused

    def test_a_refused_token_is_renewed_once_for_all_and_nobody_notices(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        before = len(self.provider.asked)
        self.assertEqual([a.status for a in self.many(32)], [200] * 32)
        self.assertEqual(len(self.provider.asked), before + 1)

    def test_the_body_of_a_buffered_call_goes_again(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        said = self.hub1.post("/api/v1/connections/crm/call", {"method": "POST", "path": "/x", "body": {"of": "mine"}})
        self.assertEqual((said.status, said.json["status"], said.json["body"]), (200, 200, {"of": "mine"}), said)

    def test_a_small_body_goes_again(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        said = self.hub1.request("POST", "/proxy/crm/x", {"of": "mine"})
        self.assertEqual((said.status, said.json), (200, {"of": "mine"}), said)

    def test_a_large_body_has_its_answer_and_the_next_call_a_new_token(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        before, large = len(self.provider.asked), {"n": "x" * 100_000}
        self.assertEqual(self.hub1.request("POST", "/proxy/crm/x", large).status, 401)
        deadline = harness.Deadline()
        while self.hub1.request("POST", "/proxy/crm/x", large).status != 200:
            self.assertTrue(deadline.left(), "the refused token was not renewed")
        self.assertEqual(len(self.provider.asked), before + 1)

    def test_a_provider_that_refuses_each_token_is_heard_after_one_more_try(self):
        self.start()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.call = lambda raw: harness.answer(b"no", "401 Unauthorized")
        said = self.hub1.get("/proxy/crm/x")
        self.assertEqual((said.status, said.body), (401, b"no"), said)
        self.assertIsNone(said.header("raccord-error"))

    def test_who_leaves_while_waiting_stops_nothing(self):
        self.start()
        self.provider.turn()
        self.provider.hold.clear()
        late = self.hub1.request("GET", "/proxy/crm/x", headers={"Raccord-Timeout": "300ms"})
        self.assertEqual((late.status, late.header("raccord-error")), (504, "upstream_timeout"), late)
        self.provider.hold.set()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)

    def test_a_wrong_client_is_named_as_the_cause_and_no_secret_with_it(self):
        self.start()
        self.provider.says = "401 Unauthorized", b'{"error": "invalid_client", "error_description": "who?"}'
        self.provider.turn()
        said = self.hub1.get("/proxy/crm/x")
        self.assertEqual((said.status, said.header("raccord-error")), (502, "oauth_client"), said)
        self.assertEqual(said.json["fault"], "configuration")
        everything = said.body.decode() + self.hub1.log()
        pair = base64.b64encode(b"raccord:s3cret-of-the-client").decode()
        for hidden in ("s3cret-of-the-client", pair, "t0ken-"):
            self.assertNotIn(hidden, everything)


class Captured(Case):
    """OAU-23: the provider says with the token where the account lives."""
    CONNECTOR = {**RULED, "id": "placed", "base_url": "{{fields.instance}}",
                 "fields": [{"key": "instance", "type": "url", "required": True, "label": {"en": "Instance", "fr": "Instance"}}, RULED["fields"][1]],
                 "auth": [{**RULED["auth"][0], "oauth": {"token_url": "{{fields.token_url}}",
                                                         "capture": {"instance": {"pointer": "/instance_url", "replaces": True}}}}]}

    def place(self, address):
        self.file("placed.json", json.dumps(self.CONNECTOR))
        self.provider = Provider(self)
        self.provider.says = "200 OK", json.dumps({"access_token": "t0ken-0", "token_type": "Bearer", "expires_in": 3600,
                                                   "instance_url": address(self.provider)}).encode()
        self.hub1 = self.hub(env={**PLAIN, "RACCORD_CONNECTORS": self.folder})
        made = self.hub1.post("/api/v1/connections", {
            "connector": "placed", "key": "crm", "folder": "shared",
            "fields": {"instance": self.provider.url + "/first", "token_url": self.provider.url + "/token"},
            "credentials": {"client_id": "raccord", "client_secret": "s3cret-of-the-client"}})
        self.assertEqual(made.status, 201, made)
        said = self.hub1.get("/proxy/crm/x")
        self.assertEqual(said.status, 200, said)
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        return self.hub1.get("/api/v1/connections/crm").json, [head.split(" ")[1] for head in self.provider.calls()]

    def test_the_address_that_comes_with_the_token_is_where_calls_go(self):
        shown, paths = self.place(lambda provider: provider.url + "/second")
        self.assertEqual(shown["fields"]["instance"], self.provider.url + "/second")
        self.assertEqual(paths[-1], "/second/x")

    def test_an_address_outside_the_allowed_domain_is_not_taken(self):
        shown, paths = self.place(lambda provider: provider.url.replace("localhost", "127.0.0.1"))
        self.assertEqual(shown["fields"]["instance"], self.provider.url + "/first")
        self.assertEqual(paths, ["/first/x"] * 2)
        self.assertIn("a token answer brought", self.hub1.log())


class Waits(Case):
    def test_new_credentials_wait_for_an_issuer_and_no_writer_waits_with_them(self):
        issuing = {**RULED, "id": "issuing", "fields": [RULED["fields"][0], {**RULED["fields"][1], "key": "issuer"}],
                   "auth": [{**RULED["auth"][0], "oauth": {"issuer": "{{fields.issuer}}"}}]}
        self.file("issuing.json", json.dumps(issuing))
        asked, go = threading.Event(), threading.Event()
        go.set()

        def serve(s, number):
            while raw := s.read_request():
                if b"/.well-known/" in raw.split(b" ")[1]:
                    asked.set()
                    go.wait(harness.DEADLINE)
                    url = self.there.url
                    s.sendall(harness.answer(json.dumps({"issuer": url, "token_endpoint": url + "/token"}).encode()))
                else:
                    s.sendall(harness.answer(b'{"access_token": "t0ken-0", "token_type": "Bearer"}'))

        self.there = self.upstream(serve)
        self.hub1 = self.hub(env={**PLAIN, "RACCORD_CONNECTORS": self.folder})
        own = {"client_id": "raccord", "client_secret": "s3cret-of-the-client"}
        made = self.hub1.post("/api/v1/connections", {"connector": "issuing", "key": "crm", "folder": "shared", "credentials": own,
                                                      "fields": {"base_url": self.there.url, "issuer": self.there.url}})
        self.assertEqual(made.status, 201, made)
        self.hub1.stop()  # what it knows of issuers goes with it
        self.hub1.start()
        asked.clear()
        go.clear()
        said = []
        put = threading.Thread(target=lambda: said.append(self.hub1.request("PUT", "/api/v1/connections/crm/credentials", own)))
        put.start()
        self.assertTrue(asked.wait(harness.DEADLINE))
        self.assertEqual(self.hub1.post("/api/v1/folders", {"path": "shared/meanwhile"}).status, 201)
        self.assertEqual(said, [])
        go.set()
        put.join(harness.DEADLINE)
        self.assertEqual([a.status for a in said], [200], said)


class WordsOfItsOwn(Case):
    def start_ruled(self):
        self.file("ruled.json", json.dumps(RULED))
        self.start("ruled", RACCORD_CONNECTORS=self.folder)

    def test_a_clients_own_words_hold_from_when_they_are_set(self):
        self.provider = Provider(self)
        self.hub1 = self.hub(env=PLAIN)
        client = {"key": "own", "client_id": "raccord", "client_secret": "s3cret", "token_url": self.provider.url + "/token"}
        self.assertEqual(self.hub1.post("/api/v1/oauth-clients", client).status, 201)
        made = self.hub1.post("/api/v1/connections", {"connector": "http", "auth_type": "oauth2_client_credentials", "key": "crm",
                                                      "folder": "shared", "oauth_client": "own", "fields": {"base_url": self.provider.url}})
        self.assertEqual(made.status, 201, made)
        self.provider.refuses = "419 Over", b"<p>session over</p>"
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.turn()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 419)
        set_ = self.hub1.request("PATCH", "/api/v1/oauth-clients/own", {"expired": {"status": [419], "contains": ["session over"]}})
        self.assertEqual(set_.status, 200, set_)
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)

    def test_a_status_and_a_member_of_the_body_say_that_a_token_is_over(self):
        self.start_ruled()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.provider.refuses = "403 Forbidden", b'{"error": {"code": "token_expired"}}'
        self.provider.turn()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)

    def test_the_same_status_with_another_body_is_the_callers_whole(self):
        self.start_ruled()
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        before = len(self.provider.asked)
        for body in (b'{"error": {"code": "no_right"}}', b"", b"<p>no</p>", b"x" * 300_000):
            with self.subTest(body[:20]):
                self.provider.refuses = "403 Forbidden", body
                self.provider.call = lambda raw: harness.answer(body, "403 Forbidden", headers=["X-Told: yes"])
                said = self.hub1.get("/proxy/crm/x")
                self.assertEqual((said.status, said.body, said.header("x-told")), (403, body, "yes"))
        self.assertEqual(len(self.provider.asked), before)
