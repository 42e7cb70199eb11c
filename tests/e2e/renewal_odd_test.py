"""A second authorization server that others wrote (npm oauth2-mock-server): each grant that it knows, and answers that are odd, wrong or
half of what they should be (requirements 9.3, 9.4, 10.6)."""
import json
import os
import re
import shutil
import subprocess
import unittest
import urllib.parse

import harness
from flows_test import API, OIDC, Case as Flow
from identity_test import Browser

CLIENT, SECRET = "raccord", "s3cr:et/+ %"


class Odd(Flow):
    def setUp(self):
        super().setUp()
        if not shutil.which("node") or not os.path.isdir(OIDC + "/node_modules/oauth2-mock-server"):
            raise unittest.SkipTest("left out: the npm package oauth2-mock-server is not here; tools/deps test installs it")
        self.begin()
        node = subprocess.Popen(["node", OIDC + "/mock.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.node, self.lines = node, harness.Lines(node.stdout)
        self.addCleanup(lambda: (node.stdin.close(), node.wait(harness.DEADLINE), self.lines.thread.join(), node.stdout.close()))
        found = self.lines.wait(r"^issuer: (.*)$")
        self.assertTrue(found, self.lines.text())
        self.issuer, self.changes = found.group(1), 0
        self.provider = self.upstream([harness.answer()] * 500)
        made = self.hub1.post(API + "/oauth-clients", {
            "key": "sso", "client_id": CLIENT, "client_secret": SECRET, "client_authentication": "client_secret_basic",
            "authorization_url": self.issuer + "/authorize", "token_url": self.issuer + "/token", "revocation_url": self.issuer + "/revoke",
            "scopes": ["read", "write"]})
        self.assertEqual(made.status, 201, made)

    def make(self, auth_type, **more):
        made = self.hub1.post(API + "/connections", {"connector": "http", "auth_type": auth_type, "key": "crm", "oauth_client": "sso",
                                                     "fields": {"base_url": self.provider.url}, **more})
        self.assertEqual(made.status, 201, made)
        self.con = made.json["id"]

    def person(self):
        self.make("oauth2_authorization_code")
        self.give()

    def give(self):
        browser = Browser()
        out = browser.open(self.authorize()["authorization_url"], follow=False).headers["Location"]
        self.sent = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(out).query))
        back = browser.open(out, follow=False).headers["Location"]  # it asks nobody
        page = browser.open(back)
        self.assertEqual(page.status, 200, page.text)
        self.works()

    def works(self, con=None):
        self.assertEqual(self.state(con), "active")
        self.token()

    def next(self, *answers, **one):
        """What the server's next answers are."""
        for to in answers or (one,):
            self.node.stdin.write(json.dumps(to) + "\n")
            self.changes += 1
        self.node.stdin.flush()
        deadline = harness.Deadline()
        while sum(line == "changed" for line in self.lines.lines) < self.changes:
            self.assertTrue(deadline.left())

    def told(self, what="asked"):
        return [json.loads(line.split(": ", 1)[1]) for line in self.lines.lines if line.startswith(what + ": ")]

    def told_so_far(self, n):
        """The same, when the server's word about the n-th request has arrived: it comes by another way than its answer."""
        deadline = harness.Deadline()
        while len(self.told()) < n:
            self.assertTrue(deadline.left(), self.told())
        return self.told()

    def grant(self):
        return self.hub1.get(API + "/connections/crm/grant").json

    def renew(self):
        return self.hub1.post(API + "/connections/crm/renew")

    def token(self):
        """The one that goes out."""
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        return re.findall(r"(?i)authorization: bearer (\S+)", self.last())[-1]


class EachGrant(Odd):
    def test_a_client_by_itself(self):
        self.make("oauth2_client_credentials")
        self.assertEqual(len(self.token().split(".")), 3)
        self.assertEqual({a["grant_type"] for a in self.told()}, {"client_credentials"})
        self.assertEqual((self.grant()["state"], self.grant()["refreshable"]), ("good", False))
        self.assertEqual(self.renew().status, 200)

    def test_a_password(self):
        self.make("oauth2_password", credentials={"username": "johndoe", "password": "  w0nder land+&=%"})
        first = self.token()
        self.assertEqual([(a["grant_type"], a["username"], a["password"]) for a in self.told()],
                         [("password", "johndoe", "  w0nder land+&=%")])
        self.assertEqual(self.renew().status, 200)
        self.assertEqual((self.told()[-1]["grant_type"], self.told()[-1]["refresh_token"]), ("refresh_token", self.told()[0]["gave"]))
        self.assertNotEqual(self.token(), first)

    def test_a_person_and_giving_back(self):
        self.person()
        self.assertEqual(self.sent["code_challenge_method"], "S256")
        self.assertEqual([a["grant_type"] for a in self.told()], ["authorization_code"])
        self.next(at="revoke", status=503)
        self.assertEqual(self.hub1.request("DELETE", API + "/connections/crm").status, 204)
        deadline = harness.Deadline()
        while not self.told("revoked"):
            self.assertTrue(deadline.left())


class OddAnswers(Odd):

    def renews(self, told=200, requests=1, **one):
        before = len(self.told())
        self.next(one)
        said = self.renew()
        self.assertEqual(said.status, told, said)
        self.assertEqual(len(self.told_so_far(before + requests)), before + requests)
        return said.json

    def alive(self):
        """The next renewal sends the newest refresh token that the server gave, and works."""
        gave, before = [a["gave"] for a in self.told() if a["gave"]][-1], len(self.told())
        said = self.renew()
        self.assertEqual((said.status, said.json.get("state")), (200, "good"), said)
        self.assertEqual(self.told_so_far(before + 1)[-1]["refresh_token"], gave)
        self.works()

    def test_what_can_be_understood_is_used(self):
        self.person()
        for change in ({"set": {"token_type": "bearer"}}, {"set": {"token_type": "BEARER"}}, {"set": {"x": {"y": [1, {}]}, "id_token": 7}},
                       {"set": {"scope": None}}, {"set": {"refresh_expires_in": "soon"}}):
            with self.subTest(change):
                self.assertEqual(self.renews(**change)["state"], "good")
                self.alive()

    def test_a_life_is_a_number_or_a_text_and_never_absurd(self):
        self.person()
        for said, lives in (("3600", True), (7200, True), ("soon", False), (-5, False), (0, False), (None, False), (10 ** 12, False),
                            ([60], False), ("", False)):
            with self.subTest(said):
                self.assertEqual(bool(self.renews(set={"expires_in": said})["expires_at"]), lives)
                self.alive()
        self.assertIsNone(self.renews(unset=["expires_in"])["expires_at"])
        self.alive()

    def test_no_refresh_token_in_the_answer_means_that_the_old_one_stays(self):
        self.person()
        for change in ({"unset": ["refresh_token"]}, {"set": {"refresh_token": ""}}, {"set": {"refresh_token": None}}):
            with self.subTest(change):
                self.assertTrue(self.renews(**change)["refreshable"])
                self.alive()

    def test_granted_scopes_are_those_of_the_answer(self):
        self.person()
        self.assertEqual(self.renews(set={"scope": "read"})["scopes"]["missing"], ["write"])
        self.assertEqual(self.renews(unset=["scope"])["scopes"]["missing"], ["write"])
        self.assertEqual(self.renews(set={"scope": ["read", "write"]})["scopes"]["missing"], [])

    def test_half_an_answer_costs_neither_the_token_nor_the_grant(self):
        self.person()
        for change in ({"unset": ["access_token"]}, {"set": {"access_token": ""}}, {"set": {"access_token": 5}}, {"body": []},
                       {"body": None}, {"body": "token"}, {"body": {}}, {"set": {"access_token": "a b"}}):
            with self.subTest(change):
                token, generation = self.token(), self.grant()["generation"]
                self.renews(told=502, **change)
                grant = self.grant()
                self.assertEqual((grant["state"], grant["reason"], grant["generation"]), ("failing", "answer_lost", generation))
                self.assertEqual(self.token(), token)  # serves until its end
                before = len(self.told())
                self.assertEqual(self.renew().status, 502)
                self.assertEqual(len(self.told()), before)  # and the refresh token is not spent again before
                self.give()

    def test_an_answer_of_the_wrong_form_still_brings_the_next_refresh_token(self):
        self.person()
        for change in ({"unset": ["token_type"]}, {"set": {"token_type": "mac"}}, {"set": {"scope": "x" * 20000}}):
            with self.subTest(change):
                token = self.token()
                self.renews(told=502, **change)
                self.assertEqual(self.grant()["state"], "paused")
                self.assertEqual(self.token(), token)
                self.alive()

    def test_refusals_mean_what_they_say(self):
        self.person()
        for status, body, told, state, reason, requests in (
                (400, {"error": "invalid_client"}, 502, "paused", "invalid_client", 1),
                (401, {}, 502, "paused", "http_401", 1),
                (400, {"error": "invalid_scope"}, 502, "paused", "invalid_scope", 1)):
            with self.subTest((status, body)):
                self.renews(told=told, requests=requests, status=status, body=body)
                grant = self.grant()
                self.assertEqual((grant["state"], grant["reason"]), (state, reason))
                self.works()
                self.alive()

    def test_a_server_that_is_not_well_costs_nothing(self):
        self.person()
        for status, body in ((503, {}), (500, {"error": "invalid_grant"}), (429, {"error": "slow"}), (502, None)):
            with self.subTest(status):
                before = len(self.told())
                self.next(status=status, body=body)
                self.assertEqual(self.renew().status, 200)  # who waits, waits for the next try
                self.assertEqual(len(self.told_so_far(before + 2)), before + 2)
                self.alive()

    def test_an_odd_refusal_is_asked_about_once(self):
        self.person()
        self.next(status=400, body={})
        before = len(self.told())
        self.assertEqual(self.renew().status, 200)
        self.assertEqual(len(self.told_so_far(before + 2)), before + 2)
        self.alive()
        for refusal in ({"error": "invalid_grant"}, {"error": "bad_refresh_token"}):
            with self.subTest(refusal):
                self.renews(told=409, status=400, body=refusal)
                self.assertEqual((self.grant()["state"], self.grant()["reason"]), ("over", refusal["error"]))
                before = len(self.told())
                self.assertEqual(self.renew().status, 409)
                self.assertEqual(len(self.told()), before)
                self.give()
        self.next({"status": 400, "body": {}}, {"status": 400, "body": ""})
        before = len(self.told())
        self.assertEqual(self.renew().status, 409)
        self.assertEqual((self.grant()["state"], len(self.told_so_far(before + 2))), ("over", before + 2))
