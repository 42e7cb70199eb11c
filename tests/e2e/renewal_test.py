"""Credentials that end, with the real hub and a real authorization server (npm oidc-provider): callers share one request, faults do not
reach them, nothing of a token is told, a stop and a kill -9 keep what came."""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import unittest
import urllib.parse
import urllib.request

import harness

API = "/api/v1"
OIDC = os.path.join(harness.ROOT, "tests/e2e/oidc")
SECRET = "s3cr:et/+ %"


class Renewals(harness.Case):
    LIFE = "3600"
    environment = {}

    def setUp(self):
        super().setUp()
        if not shutil.which("node") or not os.path.isdir(OIDC + "/node_modules/oidc-provider"):
            raise unittest.SkipTest("left out: the npm package oidc-provider is not here; tools/deps test installs it")
        node = subprocess.Popen(["node", OIDC + "/authority.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, env={**os.environ, "ACCESS_TOKEN_LIFE": self.LIFE, **self.environment})
        lines = harness.Lines(node.stdout)
        self.addCleanup(lambda: (node.stdin.close(), node.wait(harness.DEADLINE), lines.thread.join(), node.stdout.close()))
        found = lines.wait(r"^issuer: (.*)$")
        self.assertTrue(found, lines.text())
        self.issuer = found.group(1)
        self.provider = self.upstream([harness.answer(b'{"ok":true}')] * 500)
        allowed = f"localhost:{self.provider.port},{self.issuer[7:]}"
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": allowed, "RACCORD_EGRESS_ALLOW_HTTP": allowed})

    def control(self, path, body=None):
        with urllib.request.urlopen(self.issuer + path, data=json.dumps(body).encode(), timeout=harness.DEADLINE) as r:
            return json.load(r)

    def ask(self, method, path, body=None, status=200):
        answer = self.hub1.request(method, API + path, body)
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.body else None

    def make(self, **fields):
        return self.ask("POST", "/connections", {
            "connector": "http", "auth_type": "oauth2_client_credentials", "name": "crm", "allowed_domain": "localhost",
            "fields": {"base_url": self.provider.url, "token_url": self.issuer + "/token", **fields},
            "credentials": {"client_id": "raccord", "client_secret": SECRET}}, 201)

    def call_many(self, n):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            return list(pool.map(lambda _: self.hub1.get("/proxy/crm/x").status, range(n)))


class Fetched(Renewals):
    def test_many_calls_at_a_missing_token_make_one_request(self):
        self.make()
        self.assertEqual(set(self.call_many(200)), {200})
        self.assertEqual(self.control("/_log")["requests"], 1)
        grant = self.ask("GET", "/connections/crm/grant")
        self.assertEqual((grant["state"], grant["generation"], grant["scopes"]["missing"]), ("good", 1, []))
        token = re.search(rb"Authorization: Bearer ([^\r]+)", self.provider.received[0]).group(1).decode()
        events = self.ask("GET", "/connections/crm/grant/events")["items"]
        self.assertEqual([e["what"] for e in events], ["obtained"])
        for text in (json.dumps(grant), json.dumps(events), self.hub1.log()):
            self.assertNotIn(token, text)
        self.assertIn('raccord_grants{state="good"}', self.hub1.get("/metrics").body.decode())

    def test_a_server_that_is_not_well_fails_no_call(self):
        self.make()
        self.control("/_faults", {"kind": "status", "status": 503, "n": 1})
        self.assertEqual(set(self.call_many(40)), {200})
        self.assertEqual(self.control("/_log")["requests"], 2)

    def test_a_renewal_that_is_asked_for_is_made_once_and_told(self):
        self.make()
        self.assertEqual(self.call_many(1), [200])
        self.assertEqual(self.ask("POST", "/connections/crm/renew")["generation"], 2)
        self.assertEqual(self.ask("GET", "/connections/crm/grant/events")["items"][0]["cause"], "asked")

    def test_after_kill_9_the_token_is_still_there(self):
        self.make()
        self.assertEqual(self.call_many(1), [200])
        self.hub1.kill()
        self.hub1.start()
        self.assertEqual(self.call_many(3), [200] * 3)
        self.assertEqual(self.control("/_log")["requests"], 1)


class GivenBack(Renewals):
    def make_with_client(self):
        self.ask("POST", "/oauth-clients", {"key": "idp", "client_id": "raccord", "client_secret": SECRET, "token_url": self.issuer + "/token",
                                            "revocation_url": self.issuer + "/token/revocation"}, 201)
        self.ask("POST", "/connections", {"connector": "http", "auth_type": "oauth2_client_credentials", "name": "crm",
                                          "allowed_domain": "localhost", "fields": {"base_url": self.provider.url}, "oauth_client": "idp"}, 201)
        self.assertEqual(self.call_many(1), [200])

    def test_a_deleted_connections_token_is_revoked_and_that_is_told(self):
        self.make_with_client()
        token = re.search(rb"Authorization: Bearer ([^\r]+)", self.provider.received[0]).group(1).decode()
        self.ask("DELETE", "/connections/crm", status=204)
        told = self.ask("GET", "/audit?action=connection.revoke")["items"]
        self.assertEqual([(r["outcome"]) for r in told], ["done"])
        sent = urllib.request.Request(self.issuer + "/token/introspection", data=urllib.parse.urlencode({"token": token}).encode(),
                                      headers={"Authorization": "Basic " + base64.b64encode(b"raccord:s3cr%3Aet%2F%2B+%25").decode()})
        with urllib.request.urlopen(sent, timeout=harness.DEADLINE) as r:
            self.assertEqual(json.load(r), {"active": False})


class ShortLived(Renewals):
    LIFE = "2"

    def test_tokens_that_live_two_seconds_reach_the_provider_alive(self):
        self.make()
        deadline = harness.Deadline(4)
        rounds = 0
        while deadline.left():
            self.assertEqual(set(self.call_many(20)), {200})
            rounds += 20
        asked = self.control("/_log")["requests"]
        self.assertGreaterEqual(asked, 2)
        self.assertLess(asked, rounds / 3)


class Restored(Renewals):
    def test_grants_of_a_backup_are_listed_with_what_to_do_until_they_are_renewed(self):
        self.ask("POST", "/connections", {
            "connector": "http", "auth_type": "oauth2_password", "name": "crm", "folder": "shared", "allowed_domain": "localhost",
            "fields": {"base_url": self.provider.url, "token_url": self.issuer + "/token"},
            "credentials": {"client_id": "raccord", "client_secret": SECRET, "username": "joe", "password": "sesame"}}, 201)
        self.assertEqual(self.call_many(1), [200])
        self.assertEqual(self.ask("GET", "/grants?from_backup=true")["items"], [])
        everything = self.ask("GET", "/grants")["items"]
        self.assertEqual([(g["connection"]["key"], g["state"], g["action"]) for g in everything], [("crm", "good", "none")])
        path, key = self.path("backup"), self.path("kept.key")
        shutil.copy(self.hub1.data + "/master.key", key)
        self.assertEqual(harness.run("backup", "--data", self.hub1.data, "-o", path).code, 0)
        token = self.hub1.admin
        self.hub1.kill()
        self.assertEqual(harness.run("restore", path, "--data", self.path("back"), "--master-key-file", key).code, 0)
        self.hub1 = self.hub(data=self.path("back"), env={"RACCORD_MASTER_KEY_FILE": key, "RACCORD_EGRESS_ALLOW_PRIVATE": "localhost,127.0.0.1",
                                                          "RACCORD_EGRESS_ALLOW_HTTP": "localhost,127.0.0.1"})
        self.hub1._admin = token
        (listed,) = self.ask("GET", "/grants?from_backup=true&state=good")["items"]
        self.assertEqual((listed["connection"]["folder"], listed["from_backup"], listed["action"]), ("shared", True, "renew"))
        self.assertIn("Renouvelez", self.hub1.get(API + "/grants", headers={"Accept-Language": "fr"}).text)
        shown = self.hub1.cli("grants", "list", "--from-backup")
        self.assertEqual(shown.code, 0, shown)
        self.assertIn("Renew it now", shown.out)
        self.assertEqual(self.hub1.get(API + "/grants?state=odd").status, 400)
        self.ask("POST", "/connections/crm/renew")
        self.assertEqual(self.ask("GET", "/grants?from_backup=true")["items"], [])
        self.assertIn("No grant matches", self.hub1.cli("grants", "list", "--from-backup").out + self.hub1.cli("grants", "list", "--from-backup").err)


class Exchange(Renewals):
    """RFC 8693: a token for other ears, for one that somebody gave or that the hub signs."""

    def server(self, path, **form):
        sent = urllib.request.Request(self.issuer + path, data=urllib.parse.urlencode(form).encode(),
                                      headers={"Authorization": "Basic " + base64.b64encode(b"raccord:s3cr%3Aet%2F%2B+%25").decode()})
        with urllib.request.urlopen(sent, timeout=harness.DEADLINE) as r:
            return json.loads(r.read() or "{}")

    def subject(self):
        return self.server("/token", grant_type="client_credentials", scope="write")["access_token"]

    def exchange(self, audience="orders", resource="", **credentials):
        return self.ask("POST", "/connections", {
            "connector": "http", "auth_type": "oauth2_token_exchange", "name": "crm", "allowed_domain": "localhost", "scopes": "read",
            "fields": {"base_url": self.provider.url, "token_url": self.issuer + "/token", "audience": audience, "resource": resource,
                       "subject": "robot"},
            "credentials": {"client_id": "raccord", "client_secret": SECRET, **credentials}}, 201)

    def sent(self, at):
        return re.search(rb"Authorization: Bearer ([^\r]+)", self.provider.received[at]).group(1).decode()


class Exchanged(Exchange):
    def test_a_given_token_is_exchanged_and_again_when_its_successor_ends(self):
        subject = self.subject()
        self.exchange(subject_token=subject)
        self.assertEqual(self.call_many(1), [200])
        first = self.sent(0)
        self.assertNotEqual(first, subject)
        self.assertEqual(self.server("/token/introspection", token=first)["scope"], "read")
        self.ask("POST", "/connections/crm/renew")
        self.assertEqual(self.call_many(1), [200])
        self.assertNotIn(self.sent(1), (subject, first))
        for text in (json.dumps(self.ask("GET", "/connections/crm")), self.hub1.log()):
            self.assertNotIn(subject, text)

    def test_when_the_given_token_is_over_another_one_is_asked_for_and_serves(self):
        subject = self.subject()
        self.exchange(subject_token=subject)
        self.assertEqual(self.call_many(1), [200])
        self.server("/token/revocation", token=subject)
        self.assertEqual(self.hub1.post(API + "/connections/crm/renew").json["code"], "reconnect_required")
        self.assertEqual(self.ask("GET", "/connections/crm")["health"], "reconnect_required")
        self.ask("PUT", "/connections/crm/credentials", {"credentials": {"client_id": "raccord", "client_secret": SECRET,
                                                                         "subject_token": self.subject()}})
        self.assertEqual(self.call_many(1), [200])

    def test_one_token_is_asked_for_several_audiences_and_resources(self):
        self.exchange(audience="orders stock", subject_token=self.subject(), resource="https://a.example.com https://b.example.com")
        self.assertEqual(self.call_many(1), [200])
        self.assertEqual(self.control("/_log")["ears"], {"audience": ["orders", "stock"],
                                                         "resource": ["https://a.example.com", "https://b.example.com"]})

    def test_a_wrong_audience_is_told_as_a_matter_of_configuration(self):
        self.exchange(audience="nobody", subject_token=self.subject())
        refused = self.hub1.get("/proxy/crm/x")
        self.assertEqual((refused.status, refused.json["code"]), (502, "oauth_client"), refused)
        self.assertIn("invalid_target", refused.text)


class ExchangedSigned(Exchange):
    def setUp(self):
        key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], check=True, capture_output=True).stdout
        self.key = key.decode()
        public = subprocess.run(["openssl", "pkey", "-pubout"], input=key, check=True, capture_output=True).stdout
        self.environment = {"SUBJECT_KEY": public.decode()}
        super().setUp()

    def test_where_the_grant_is_a_signature_the_next_key_is_tried_too(self):
        old = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], check=True, capture_output=True).stdout
        self.ask("POST", "/oauth-clients", {"key": "sso", "client_id": "raccord", "client_secret": SECRET, "client_authentication": "client_secret_basic",
                                            "token_url": self.issuer + "/token", "private_key": old.decode(), "next_private_key": self.key}, 201)
        self.ask("POST", "/connections", {"connector": "http", "auth_type": "oauth2_jwt_bearer", "key": "crm", "oauth_client": "sso", "scopes": "read",
                                          "allowed_domain": "localhost", "fields": {"base_url": self.provider.url, "subject": "robot"}}, 201)
        self.assertEqual(self.call_many(1), [200])
        self.assertEqual(self.control("/_log")["requests"], 2)  # the server knows the next one alone
        self.ask("POST", "/oauth-clients/sso/activate")
        self.ask("POST", "/connections/crm/renew")
        self.assertEqual(self.control("/_log")["requests"], 3)

    def test_the_hub_signs_the_subject_itself(self):
        self.exchange(private_key=self.key)
        self.assertEqual(self.call_many(1), [200])
        self.ask("POST", "/connections/crm/renew")
        self.assertEqual(self.call_many(1), [200])
        self.assertNotEqual(self.sent(0), self.sent(1))
