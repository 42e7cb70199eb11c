"""A token's grants: each narrowing refused and allowed, through the proxy and through the call."""
import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}


class Narrowing(harness.SharedHub):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.provider = harness.Upstream([harness.answer()])
        cls.addClassCleanup(cls.provider.close)
        cls.hub1 = harness.Hub(cls.place + "/own", env=PLAIN)
        cls.addClassCleanup(cls.hub1.stop)
        cls.crm = cls.hub1.connection("crm", cls.provider.url + "/v2")
        cls.other = cls.hub1.connection("other", cls.provider.url)

    def token(self, **grants):
        made = self.hub1.post("/api/v1/tokens", {"name": "narrow", "role": "admin", "grants": grants})
        self.assertEqual(made.status, 201, made)
        return made.json

    def codes(self, secret, method, path, key="crm", **headers):
        """What the proxy and the call say; "ok" when the provider answered."""
        proxied = self.hub1.request(method, f"/proxy/{key}{path}", b"" if method in ("POST", "PUT", "PATCH") else None, headers=headers,
                                    token=secret)
        called = self.hub1.post(f"/api/v1/connections/{key}/call", {"method": method, "path": path, "headers": headers}, token=secret)
        return [proxied.header("raccord-error") or "ok", called.json.get("code", "ok")]

    def allowed(self, made, method, path="/a", **more):
        self.assertEqual(self.codes(made["secret"], method, path, **more), ["ok", "ok"])

    def refused(self, made, method, path="/a", code="token_not_granted", **more):
        self.assertEqual(self.codes(made["secret"], method, path, **more), [code, code])

    def test_methods(self):
        t = self.token(methods=["get", "HEAD"])
        self.assertEqual(t["grants"]["methods"], ["GET", "HEAD"])
        self.allowed(t, "GET")
        self.refused(t, "POST")
        self.refused(t, "DELETE")

    def test_risks(self):
        t = self.token(risks=["read", "write"])
        self.allowed(t, "GET")
        self.allowed(t, "PATCH")
        self.refused(t, "DELETE")

    def test_a_header_that_means_another_method_is_judged_as_that_method(self):
        t = self.token(risks=["read", "write"])
        self.refused(t, "POST", **{"X-HTTP-Method-Override": "DELETE"})
        self.allowed(t, "POST", **{"X-HTTP-Method-Override": "PUT"})
        for name in ("x-http-method", "X-Method-Override", "X-Method", "X_HTTP_METHOD_OVERRIDE", "X-HTTP_Method-OVERRIDE"):
            self.refused(t, "POST", **{name: "DELETE"})

    def test_paths(self):
        t = self.token(paths=["/contacts"])
        self.allowed(t, "GET", "/contacts/1")
        self.allowed(t, "GET", "/contacts")
        self.refused(t, "GET", "/contacts-old")
        self.refused(t, "GET", "/deals")
        self.refused(t, "GET", "/contacts/../deals")
        self.refused(t, "GET", "/contacts/%c0%ae%C0%AE/deals")
        for name in ("X-Original-URL", "X-Rewrite-URL", "X_Rewrite_Url"):
            self.refused(t, "GET", "/contacts/1", **{name: "/deals"})

    def test_addresses(self):
        self.allowed(self.token(addresses=["127.0.0.0/8", "::1"]), "GET")
        t = self.token(addresses=["192.0.2.0/24"])
        self.refused(t, "GET")
        self.assertEqual(self.hub1.get("/api/v1/connections", token=t["secret"]).json["code"], "token_not_granted")

    def test_connections(self):
        t = self.token(connections=["crm"])
        self.assertEqual(t["connections"], [self.crm["id"]])
        self.allowed(t, "GET")
        proxied = self.hub1.get("/proxy/other/a", token=t["secret"])
        self.assertEqual(proxied.json["code"], "connection_not_granted")
        called = self.hub1.post("/api/v1/connections/other/call", {"method": "GET", "path": "/"}, token=t["secret"])
        self.assertEqual(called.status, 404)

    def test_folders(self):
        t = self.token(folders=["shared"])
        self.assertEqual(t["grants"]["folders"], [self.crm["folder"]["id"]])
        self.allowed(t, "GET")

    def test_a_refusal_says_which_narrowing_in_both_languages(self):
        secret = self.token(risks=["read"])["secret"]
        english = self.hub1.request("DELETE", "/proxy/crm/a", token=secret)
        french = self.hub1.request("DELETE", "/proxy/crm/a", token=secret, headers={"Accept-Language": "fr"})
        self.assertIn("risk destructive", english.json["detail"])
        self.assertIn("le risque destructive", french.json["detail"])

    def test_a_token_that_reads_changes_nothing_in_the_hub(self):
        secret = self.token(risks=["read"])["secret"]
        self.assertEqual(self.hub1.get("/api/v1/connections", token=secret).status, 200)
        for method, path, body in [("POST", "/api/v1/tokens", {"name": "x"}), ("PATCH", "/api/v1/connections/other", {"name": "x"}),
                                   ("DELETE", "/api/v1/connections/other", None)]:
            self.assertEqual(self.hub1.request(method, path, body, token=secret).json["code"], "token_not_granted", path)

    def test_a_token_makes_none_that_may_more(self):
        own = self.token(methods=["GET", "POST"], addresses=["127.0.0.0/8", "::1"])["secret"]
        made = self.hub1.post("/api/v1/tokens", {"name": "child", "role": "admin"}, token=own)
        self.assertEqual(made.json["grants"]["methods"], ["GET", "POST"])
        for grants in ({"methods": ["DELETE"]}, {"methods": None}, {"addresses": ["0.0.0.0/0"]}):
            refused = self.hub1.post("/api/v1/tokens", {"name": "child", "grants": grants}, token=own)
            self.assertEqual(refused.json["code"], "denied", grants)

    def test_a_token_neither_widens_nor_prolongs_a_sibling_that_has_what_it_has_not(self):
        mine, other = self.token(connections=["crm"])["secret"], self.token(connections=["other"], methods=["GET"])
        wide = self.hub1.post("/api/v1/tokens", {"name": "wide", "role": "admin", "expires_in": "1h"}).json
        for at, body in ((other, {"grants": {"methods": None}}), (other, {"expires_in": "30d"}), (wide, {"expires_in": "30d"})):
            refused = self.hub1.request("PATCH", "/api/v1/tokens/" + at["id"], body, token=mine)
            self.assertEqual((refused.status, refused.json["code"]), (403, "denied"), refused)
        self.refused(other, "POST", key="other")
        child = self.hub1.post("/api/v1/tokens", {"name": "child", "grants": {"methods": ["GET"]}}, token=mine).json
        changed = self.hub1.request("PATCH", "/api/v1/tokens/" + child["id"], {"grants": {"methods": None}, "expires_in": "1d"}, token=mine)
        self.assertEqual((changed.status, changed.json["grants"]["methods"]), (200, None), changed)

    def test_a_token_narrowed_to_a_folder_changes_those_that_it_made_for_one_below(self):
        self.hub1.post("/api/v1/folders", {"path": "shared/north"})
        self.hub1.post("/api/v1/folders", {"path": "shared/north/far"})
        own = self.token(folders=["shared/north"])["secret"]
        child = self.hub1.post("/api/v1/tokens", {"name": "child", "grants": {"folders": ["shared/north/far"]}}, token=own).json
        changed = self.hub1.request("PATCH", "/api/v1/tokens/" + child["id"], {"grants": {"folders": ["shared/north"]}}, token=own)
        self.assertEqual(changed.status, 200, changed)
        sibling = self.token(folders=["shared"])
        refused = self.hub1.request("PATCH", "/api/v1/tokens/" + sibling["id"], {"expires_in": "1d"}, token=own)
        self.assertEqual(refused.status, 403, refused)

    def test_a_changed_grant_holds_at_once_on_a_kept_connection(self):
        made = self.token(methods=["GET"])
        c = self.hub1.connect()
        self.addCleanup(c.close)
        get = lambda: self.hub1.request("GET", "/proxy/crm/a", token=made["secret"], connection=c)
        self.assertEqual(get().status, 200)
        changed = self.hub1.request("PATCH", f"/api/v1/tokens/{made['id']}", {"grants": {"methods": ["POST"]}})
        self.assertEqual(changed.json["grants"]["methods"], ["POST"])
        self.assertEqual(get().json["code"], "token_not_granted")

    def test_the_command_line_narrows_too(self):
        secret = self.hub1.token("narrow-cli", "user", "--method", "GET", "--address", "127.0.0.0/8", "--path", "/a", "--folder", "shared")
        self.assertEqual(self.codes(secret, "GET", "/a"), ["ok", "ok"])
        self.assertEqual(self.codes(secret, "PUT", "/a"), ["token_not_granted"] * 2)
        self.assertEqual(self.codes(secret, "GET", "/b"), ["token_not_granted"] * 2)

    def test_bad_grants_are_named(self):
        for grants, pointer in [({"methods": ["BREW"]}, "/grants/methods/0"), ({"addresses": ["10.0.0.0/99"]}, "/grants/addresses/0"),
                                ({"methods": []}, "/grants/methods"), ({"verbs": ["GET"]}, "/grants/verbs")]:
            refused = self.hub1.post("/api/v1/tokens", {"name": "x", "grants": grants})
            self.assertEqual(refused.status, 400, refused)
            self.assertEqual(refused.json["errors"][0]["pointer"], pointer)
