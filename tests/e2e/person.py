"""A person's grant from a real authorization server (npm oidc-provider) that rotates refresh tokens and ends a family whose old one comes
back, in a hub whose system calls can be made to fail. For tests of renewals."""
import http.client
import json
import os
import shutil
import subprocess
import threading
import unittest
import urllib.request

import harness
from faults import Faults
from flows_test import API, OIDC, Case as Flow
from identity_test import Browser

SECRET = "s3cr:et/+ %"
OWN = {
    "id": "own", "name": "Own", "version": "1.0.0", "stage": "stable", "documentation": "https://example.com",
    "description": {"en": "A service of the test's own.", "fr": "Un service propre au test."},
    "domains": ["support"], "base_url": "{{fields.base_url}}", "prerequisites": {"en": "- None.", "fr": "- Aucun."},
    "fields": [{"key": "base_url", "type": "url", "required": True, "label": {"en": "Base URL", "fr": "URL de base"}}],
    "auth": [{"type": "oauth2_authorization_code", "label": {"en": "Person", "fr": "Personne"},
              "instructions": {"en": "None.", "fr": "Aucune."}}],
}


class Person(Flow):
    """A hub under faults, a server, and a grant that alice gave in her browser. The server's /me is the API that is called."""
    LIFE = 3600
    environment = {"RACCORD_RENEWALS_THREADS": "1"}
    oauth = None  # what a connector's file of the test's own says of OAuth; None: the built-in connector "http"
    server = {}   # the server's environment
    kind_of_faults = Faults

    def setUp(self):
        super().setUp()
        if not shutil.which("node") or not os.path.isdir(OIDC + "/node_modules/oidc-provider"):
            raise unittest.SkipTest("left out: the npm package oidc-provider is not here; tools/deps test installs it")
        self.faults = self.kind_of_faults(self)
        self.environment = {**self.environment, **self.faults.environment}
        if self.oauth:
            self.environment["RACCORD_CONNECTORS"] = self.path("connectors")
            os.mkdir(self.path("connectors"))
            self.file("connectors/own.json", json.dumps({**OWN, "auth": [{**OWN["auth"][0], "oauth": self.oauth}]}))
        self.begin()
        self.hub1.listen = f"{self.hub1.host}:{self.hub1.port}"  # where the browser comes back to, also after a restart
        node = subprocess.Popen(["node", OIDC + "/authority.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, env={**os.environ, **self.server, "ACCESS_TOKEN_LIFE": str(self.LIFE),
                                           "CALLBACK": self.hub1.url + "/oauth/callback"})
        lines = harness.Lines(node.stdout)
        self.addCleanup(lambda: (node.stdin.close(), node.wait(harness.DEADLINE), lines.thread.join(), node.stdout.close()))
        found = lines.wait(r"^issuer: (.*)$")
        self.assertTrue(found, lines.text())
        self.issuer = found.group(1).replace("127.0.0.1", "localhost")
        made = self.hub1.post(API + "/oauth-clients", {
            "key": "sso", "client_id": "raccord", "client_secret": SECRET, "client_authentication": "client_secret_basic",
            "authorization_url": self.issuer + "/auth", "token_url": self.issuer + "/token", "scopes": ["openid", "offline_access"]})
        self.assertEqual(made.status, 201, made)
        made = self.hub1.post(API + "/connections", {"connector": "own" if self.oauth else "http", "key": "crm",
                                                     "auth_type": "oauth2_authorization_code", "oauth_client": "sso", "fields": {"base_url": self.api()}})
        self.assertEqual(made.status, 201, made)
        self.con = made.json["id"]
        self.give()

    def api(self):
        """What is called with the token."""
        return self.issuer

    def give(self):
        """Alice authorizes, again if need be."""
        browser = Browser()
        back = self.to_provider(browser, self.authorize()["authorization_url"])
        page = browser.open(back)
        self.assertEqual(page.status, 200, page.text)
        self.works()

    def works(self):
        """The token that goes out is good, and hers."""
        called = self.hub1.get("/proxy/crm/me")
        self.assertEqual((called.status, called.json.get("sub")), (200, "alice"), (called, self.grant(), self.hub1.log()[-2000:]))

    def another(self, key):
        """A connection that waits, and a browser on its way back to the hub from alice's consent."""
        made = self.hub1.post(API + "/connections", {"connector": "http", "auth_type": "oauth2_authorization_code", "key": key,
                                                     "oauth_client": "sso", "fields": {"base_url": self.issuer}})
        self.assertEqual(made.status, 201, made)
        browser = Browser()
        return browser, self.to_provider(browser, self.authorize(key)["authorization_url"])

    def grant(self):
        return self.hub1.get(API + "/connections/crm/grant").json

    def grant_of_the_disk(self):
        """Its generation, while the hub is down."""
        with harness.database(self.hub1.data) as db:
            return db.execute("SELECT generation FROM connection_grant").fetchone()[0]

    def control(self, path, body=None):
        with urllib.request.urlopen(self.issuer + path, data=json.dumps(body).encode(), timeout=harness.DEADLINE) as r:
            return json.load(r)

    def given(self):
        return self.control("/_log")["given"]

    def asked(self):
        return self.control("/_log")["requests"]

    def renew(self):
        return self.hub1.post(API + "/connections/crm/renew")

    def whole(self):
        """The family lives: it can be renewed, and what comes of that is good."""
        said = self.renew()
        self.assertEqual(said.status, 200, (said, self.grant(), self.hub1.log()[-2000:]))
        self.works()

    def restart(self):
        self.hub1.stop()
        self.hub1.start()

    def strike(self, action, at=1, **calls):
        """Kill the hub in the middle of a renewal. The steps that were taken, whole, and the one that was torn or not taken; None:
        there are not so many steps."""
        self.faults.arm(action, at, thread="renewal", **calls)
        try:
            said = self.renew()
            self.assertEqual(said.status, 200, said)
        except (OSError, http.client.HTTPException):
            pass
        if not self.faults.struck:
            self.faults.disarm()
            return None, ""
        self.hub1.process.wait(harness.DEADLINE)
        self.hub1.kill()
        self.faults.disarm()
        steps = self.faults.steps()
        return (steps, "") if action == "kill_after" else (steps[:-1], steps[-1])

    def left_behind(self, at=1):
        """The hub is dead, and new tokens lie in its journal: the `at`-th answer of a renewal."""
        steps, _ = self.strike("kill_after", at, calls="fdatasync", file="answers.")
        self.assertTrue(steps)

    def under_way(self, call, commit=True):
        """call() takes a renewal, whose answer waits at the server (commit: tokens are given already). The function that lets it go
        on and tells what call() said."""
        self.control("/_faults", {"kind": "hold", "n": 1, "commit": commit})
        asked, said = self.asked(), []
        caller = threading.Thread(target=lambda: said.append(call()))
        caller.start()
        self.asks(asked + 1)

        def let_go():
            self.control("/_release")
            caller.join(harness.DEADLINE)
            return said[0]
        return let_go

    def settled(self, asked):
        """The server has done with what was asked."""
        deadline = harness.Deadline()
        while True:
            log = self.control("/_log")
            if log["requests"] >= asked and log["over"] == log["requests"]:
                return log
            self.assertTrue(deadline.left(), log)
            threading.Event().wait(0.01)

    def until(self, what, true, seconds=harness.DEADLINE):
        """Waits for what comes by itself."""
        deadline = harness.Deadline(seconds)
        while not true():
            self.assertTrue(deadline.left(), (what, self.grant(), self.hub1.log()[-2000:]))
            threading.Event().wait(0.02)

    def until_log(self, word, times):
        deadline = harness.Deadline()
        while self.hub1.log().count(word) < times:
            self.assertTrue(deadline.left(), self.hub1.log()[-2000:])
            threading.Event().wait(0.02)

    def let_end(self):
        """The token's life is over, as far as the hub knows."""
        self.hub1.stop()
        with harness.database(self.hub1.data) as db:
            db.execute("UPDATE connection_grant SET expires_ms = obtained_ms + 1, next_ms = 0")
        self.hub1.start()

    def asks(self, n):
        """The server was asked so often, by now or soon."""
        self.until(f"{n} requests", lambda: self.asked() >= n)
