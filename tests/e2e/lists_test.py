"""Lists on the real binary: a page shows each thing exactly as it shows itself, to whoever asks, and pages have neither gaps nor doubles."""

import json
import threading
import unittest

import harness
from oauth_clients_test import script
from roles_test import Case

API = "/api/v1/connections"


class Pages(Case):
    """Connections of every kind, in several folders and of several owners: what a page gets wrong is another row's answer."""

    def arrange(self):
        self.start()
        hub = self.hub1
        tokens = self.upstream(script({"/token": {"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "scope": "x"}})).url
        self.ann, self.bob = self.person("ann@example.com", "editor"), self.person("bob@example.com", "user")
        for path, more in (("shared/a", {}), ("shared/a/deep", {"preset": "open_folder"}), ("shared/b", {"inherits": False}),
                           ("shared/c", {"preset": "administrators_only"})):
            self.new_folder(path, **more)
        self.members("shared/b", ("ann@example.com", "viewer"))
        base = self.provider.url
        urls = {"token_url": tokens + "/token", "authorization_url": tokens + "/authorize"}
        for key, scopes in (("crm", ["x", "y"]), ("erp", ["z"])):
            body = dict({"key": key, "client_id": key, "client_secret": "s", "scopes": scopes}, **urls)
            self.assertEqual(hub.post("/api/v1/oauth-clients", body).status, 201)
        kinds = [{"auth_type": "bearer", "credentials": {"token": "t"}},
                 {"auth_type": "basic", "credentials": {"username": "u", "password": "p"}, "tags": ["eu"]},
                 {"auth_type": "none", "credentials": {"client_certificate": {"issue": "connection", "days": 30}}},
                 {"auth_type": "none", "credentials": {"client_certificate": {"issue": "instance", "days": 300}}},
                 {"auth_type": "oauth2_client_credentials", "oauth_client": "crm"},
                 {"auth_type": "oauth2_client_credentials", "oauth_client": "erp", "scopes": ["own"]},
                 {"auth_type": "oauth2_authorization_code", "oauth_client": "crm"}]
        self.made = []
        folders = ["shared", "shared/a", "shared/a/deep", "shared/b", "shared/c"]
        for i in range(4 * len(kinds)):
            kind = dict(kinds[i % len(kinds)])
            body = dict({"connector": "http", "key": f"k{i}", "folder": folders[i % len(folders)], "notes": f"n{i}",
                         "fields": {"base_url": f"{base}/{i}"}}, **kind)
            made = hub.post(API, body)
            self.assertEqual(made.status, 201, made)
            self.made.append(made.json["id"])
        for who in (self.ann, self.bob):
            self.made.append(self.connection("mine", "personal", who.token)["id"])
        for i, with_ in ((0, "bob@example.com"), (3, "bob@example.com"), (8, "bob@example.com"), (3, "shared/a")):
            self.assertEqual(hub.post(f"{API}/{self.made[i]}/shares", {"with": with_}).status, 201)
        token = {"name": "some", "role": "viewer", "connections": [self.made[i] for i in (1, 3, 4, 9)]}
        self.limited = hub.post("/api/v1/tokens", token).json["secret"]
        self.narrowed = hub.post("/api/v1/tokens", {"name": "in a", "role": "viewer", "grants": {"folders": ["shared/a"]}}).json["secret"]
        # What calls leave: grants, times of use.
        for i in (4, 5, 11):
            self.assertEqual(hub.get(f"/proxy/{self.made[i]}/x").status, 200)
            deadline = harness.Deadline()
            while not (used := hub.get(f"{API}/{self.made[i]}").json)["last_used_at"]:
                self.assertTrue(deadline.left(), "its use was never noted")
                threading.Event().wait(0.02)
            self.assertEqual(used["scopes"]["granted"], ["x"])

    def walk(self, token, path, limit):
        items, cursor, sizes = [], "", []
        while True:
            got = self.ask(token, "GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
            self.assertEqual(got.status, 200, got)
            items += got.json["items"]
            sizes.append(len(got.json["items"]))
            if not got.json["next_cursor"]:
                self.assertTrue(all(n == limit for n in sizes[:-1]), sizes)
                return items
            cursor = "&cursor=" + got.json["next_cursor"]

    def test_a_page_shows_each_thing_as_it_shows_itself(self):
        self.arrange()
        self.connections()
        self.filters()
        self.folders()

    def connections(self):
        callers = {"administrator": (self.hub1.admin, 28), "editor": (self.ann.token, 24), "user": (self.bob.token, 24),
                   "limited": (self.limited, 4), "narrowed": (self.narrowed, 11)}
        for name, (token, least) in callers.items():
            alone = {}
            for id_ in self.made:
                got = self.ask(token, "GET", f"{API}/{id_}")
                self.assertIn(got.status, (200, 404), got)
                if got.status == 200:
                    alone[id_] = got.json
            with self.subTest(name):
                self.assertGreaterEqual(len(alone), least)
            for limit in (1, 7, 200):
                page = {c["id"]: c for c in self.walk(token, API, limit)}
                with self.subTest(name, limit=limit):
                    self.assertEqual(sorted(page), sorted(alone))
                    for id_, shown in page.items():
                        self.assertEqual(json.dumps(shown, indent=1), json.dumps(alone[id_], indent=1))
        paths = {c["folder"]["path"] for c in self.walk(self.bob.token, API, 200)}
        self.assertEqual(paths, {"shared", "shared/a", "shared/a/deep", "shared/c", "personal", None})

    def filters(self):
        every = self.walk(self.hub1.admin, API, 200)
        for query, takes in (("connector=http&state=needs_auth", lambda c: c["state"] == "needs_auth"),
                             ("connector=none&state=active", lambda c: False),
                             ("health=unknown&state=active", lambda c: (c["health"], c["state"]) == ("unknown", "active")),
                             ("tag=eu&connector=http", lambda c: c["tags"] == ["eu"]),
                             ("search=k1&state=active", lambda c: "k1" in c["key"] and c["state"] == "active"),
                             ("search=k&default=true", lambda c: c["default"] and "k" in c["key"]),
                             ("default=false&connector=http", lambda c: not c["default"])):
            with self.subTest(query):
                self.assertEqual([c["id"] for c in self.walk(self.hub1.admin, f"{API}?{query}", 3)], [c["id"] for c in every if takes(c)])

    def folders(self):
        for token in (self.hub1.admin, self.ann.token, self.bob.token, self.narrowed):
            page = self.walk(token, "/api/v1/folders", 2)
            self.assertGreater(len(page), 1)
            for folder in page:
                self.assertEqual(self.ask(token, "GET", "/api/v1/folders/" + folder["id"]).json, folder)


if __name__ == "__main__":
    unittest.main()
