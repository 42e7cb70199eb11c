"""Policies: refused at creation, re-authentication and call, at once; quotas without a race; explain tells what then happens."""
import threading

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.provider = self.upstream([harness.answer()])
        self.hub1 = self.hub(env=PLAIN)

    def policy(self, name, *rules, **more):
        made = self.hub1.post("/api/v1/policies", dict({"name": name, "rules": list(rules)}, **more))
        self.assertEqual(made.status, 201, made)
        return made.json

    def body(self, key, **more):
        return dict({"connector": "http", "auth_type": "bearer", "key": key, "folder": "shared",
                     "fields": {"base_url": self.provider.url}, "credentials": {"token": "t0ken"}}, **more)

    def create(self, key, **more):
        return self.hub1.post("/api/v1/connections", self.body(key, **more))

    def explain(self, operation, **more):
        said = self.hub1.post("/api/v1/policies:explain", dict({"operation": operation}, **more))
        self.assertEqual(said.status, 200, said)
        return said.json


class Blocked(Case):
    def test_a_blocked_connector_is_refused_at_creation_reauthentication_and_call_until_the_policy_goes(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        c = hub.connect()
        self.addCleanup(c.close)
        call = lambda: hub.get("/proxy/crm/a", connection=c)
        self.assertEqual(call().status, 200)
        made = self.policy("No HTTP", {"rule": "connectors_block", "values": ["http"]})
        refused = call()
        self.assertEqual((refused.status, refused.json["code"]), (403, "connector_blocked"))
        self.assertIn("No HTTP", refused.json["detail"])
        self.assertEqual(self.create("other").json["code"], "connector_blocked")
        for method, path, body in [("PUT", "credentials", {"token": "x"}), ("POST", "enable", {}), ("POST", "verify", {}),
                                   ("POST", "call", {"method": "GET", "path": "/"})]:
            answer = hub.request(method, f"/api/v1/connections/crm/{path}", body)
            self.assertEqual(answer.json["code"], "connector_blocked", path)
        listed = {i["id"]: i for i in hub.get("/api/v1/connectors?limit=200").json["items"]}
        self.assertEqual(listed["http"]["blocked_by"], ["No HTTP"])
        self.assertEqual(listed["zendesk"]["blocked_by"], [])
        self.assertEqual(hub.request("DELETE", f"/api/v1/policies/{made['id']}").status, 204)
        self.assertEqual(call().status, 200)

    def test_every_stored_rule_refuses_with_its_code_and_names_the_policy(self):
        for rule, code in [({"rule": "connectors_allow", "values": ["zendesk"]}, "connector_blocked"),
                           ({"rule": "auth_types_block", "connectors": ["http"], "values": ["bearer"]}, "auth_type_blocked"),
                           ({"rule": "auth_types_allow", "values": ["basic"]}, "auth_type_blocked"),
                           ({"rule": "domains_allow", "values": ["*.example.com"]}, "domain_blocked"),
                           ({"rule": "domains_block", "values": ["localhost"]}, "domain_blocked"),
                           ({"rule": "quota", "connectors": ["http"], "value": 0}, "quota_exceeded"),
                           ({"rule": "preset", "connectors": ["http"], "part": "field", "name": "base_url", "mode": "enforced",
                             "value": "https://api.example.com"}, "preset_enforced")]:
            made = self.policy("The rule", rule)
            refused = self.create("x")
            self.assertEqual(refused.json["code"], code, rule)
            self.assertIn("The rule", refused.json["detail"])
            self.hub1.request("DELETE", f"/api/v1/policies/{made['id']}")
        self.assertEqual(self.create("x").status, 201)

    def test_a_wildcard_is_refused_where_exact_hosts_are_asked(self):
        self.policy("Exact", {"rule": "domains_exact"})
        body = self.body("x", allowed_domain="*.example.com", fields={"base_url": "https://api.example.com"})
        self.assertEqual(self.hub1.post("/api/v1/connections", body).json["code"], "domain_blocked")
        body["allowed_domain"] = "api.example.com"
        self.assertEqual(self.hub1.post("/api/v1/connections", body).status, 201)

    def test_calls_are_narrowed_by_method_risk_and_address(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        ask = lambda method: hub.request(method, "/proxy/crm/a").header("raccord-error") or "ok"
        for rule, wanted in [({"rule": "methods_allow", "values": ["GET"]}, ["ok", "call_blocked"]),
                             ({"rule": "risks_block", "values": ["destructive"]}, ["ok", "call_blocked"]),
                             ({"rule": "addresses_allow", "values": ["127.0.0.0/8"]}, ["ok", "ok"]),
                             ({"rule": "addresses_block", "values": ["127.0.0.0/8"]}, ["call_blocked", "call_blocked"])]:
            made = self.policy("Calls", rule)
            self.assertEqual([ask("GET"), ask("DELETE")], wanted, rule)
            hub.request("DELETE", f"/api/v1/policies/{made['id']}")
        self.assertEqual([ask("GET"), ask("DELETE")], ["ok", "ok"])

    def test_a_disabled_policy_holds_nothing_and_a_changed_one_holds_as_changed(self):
        made = self.policy("P", {"rule": "connectors_block", "values": ["http"]}, enabled=False)
        self.assertEqual(self.create("x").status, 201)
        put = {"name": "P", "rules": [{"rule": "connectors_block", "values": ["http"]}]}
        etag = self.hub1.get(f"/api/v1/policies/{made['id']}").header("etag")
        changed = self.hub1.request("PUT", f"/api/v1/policies/{made['id']}", put, headers={"If-Match": etag})
        self.assertEqual(changed.status, 200, changed)
        self.assertEqual(self.create("y").json["code"], "connector_blocked")
        again = self.hub1.request("PUT", f"/api/v1/policies/{made['id']}", put, headers={"If-Match": etag})
        self.assertEqual(again.json["code"], "precondition_failed")

    def test_policies_hold_after_a_restart(self):
        self.policy("P", {"rule": "connectors_block", "values": ["http"]})
        self.hub1.stop()
        self.hub1.start()
        self.assertEqual(self.create("y").json["code"], "connector_blocked")

    def test_what_cannot_be_read_is_refused_with_its_place(self):
        for rules, pointer in [([{"rule": "no_such"}], "/rules/0/rule"), ([{"rule": "quota"}], "/rules/0/value"),
                               ([{"rule": "connectors_block", "values": []}], "/rules/0/values"),
                               ([{"rule": "connectors_block", "values": ["a"], "connectors": ["b"]}], "/rules/0/connectors"),
                               ([{"rule": "methods_block", "values": ["GET", "BREW"]}], "/rules/0/values/1"),
                               ([{"rule": "domains_block", "values": ["https://x"]}], "/rules/0/values/0")]:
            refused = self.hub1.post("/api/v1/policies", {"name": "x", "rules": rules})
            self.assertEqual((refused.status, refused.json["errors"][0]["pointer"]), (400, pointer), refused)

    def test_users_do_not_see_policies(self):
        user = self.hub1.token("user-one", "user")
        for method, path, body in [("GET", "/policies", None), ("POST", "/policies", {"name": "x", "rules": []}),
                                   ("POST", "/policies:preview", {"policy": {"name": "x", "rules": []}})]:
            self.assertEqual(self.hub1.request(method, "/api/v1" + path, body, token=user).status, 403, path)


class Folders(Case):
    def new_folder(self, name, parent="shared"):
        made = self.hub1.post("/api/v1/folders", {"path": parent + "/" + name})
        self.assertEqual(made.status, 201, made)
        return made.json["id"]

    def test_a_folders_policy_holds_below_it_and_follows_what_is_moved(self):
        hub = self.hub1
        sales, hr = self.new_folder("sales"), self.new_folder("hr")
        east = self.new_folder("east", "shared/sales")
        self.policy("Sales reads", {"rule": "risks_allow", "values": ["read"]}, folder="shared/sales")
        hub.connection("in", self.provider.url, folder="shared/sales/east")
        hub.connection("out", self.provider.url, folder="shared/hr")
        c = hub.connect()
        self.addCleanup(c.close)
        delete = lambda key: hub.request("DELETE", f"/proxy/{key}/x", connection=c).header("raccord-error") or "ok"
        self.assertEqual([delete("in"), delete("out")], ["call_blocked", "ok"])
        moved = hub.request("PATCH", f"/api/v1/folders/{east}", {"parent": hr})
        self.assertEqual(moved.status, 200, moved)
        self.assertEqual(delete("in"), "ok")
        moved = hub.post("/api/v1/connections/out/move", {"folder": sales})
        self.assertEqual(moved.status, 200, moved)
        self.assertEqual(delete("out"), "call_blocked")

    def test_what_a_policy_refuses_is_not_moved_into_its_folder(self):
        hub = self.hub1
        self.new_folder("sales")
        self.policy("No bearer", {"rule": "auth_types_block", "values": ["bearer"]}, folder="shared/sales")
        hub.connection("crm", self.provider.url)
        self.assertEqual(hub.post("/api/v1/connections/crm/move", {"folder": "shared/sales"}).json["code"], "auth_type_blocked")

    def test_a_folder_that_moves_in_is_counted_with_all_that_is_below_it(self):
        hub = self.hub1
        for path in ("shared/here", "shared/here/deep", "shared/there", "shared/there/free"):
            hub.post("/api/v1/folders", {"path": path})
        for key in "abc":
            hub.connection(key, self.provider.url, folder="shared/here/deep")
        self.policy("Two", {"rule": "quota", "connectors": ["http"], "value": 2}, folder="shared/there")
        self.policy("Elsewhere", {"rule": "quota", "connectors": ["zendesk"], "value": 0}, folder="shared/there")
        move = lambda path, to: hub.request("PATCH", "/api/v1/folders/" + path.replace("/", "%2F"), {"parent": to})
        for path in ("shared/here/deep", "shared/here"):
            refused = move(path, "shared/there/free")
            self.assertEqual((refused.status, refused.json["code"]), (409, "quota_exceeded"), refused)
            self.assertIn("http 3/2 (policy “Two”)", refused.json["detail"])
            self.assertEqual(hub.get("/api/v1/connections/a").json["folder"]["path"], "shared/here/deep")
        hub.request("DELETE", "/api/v1/connections/a?force=true")
        self.assertEqual(move("shared/here/deep", "shared/there/free").status, 200)
        self.assertEqual(move("shared/there/free/deep", "shared/there").status, 200)  # counted there already

    def test_a_folders_quota_counts_what_is_moved_in_and_the_instances_does_not(self):
        hub = self.hub1
        self.new_folder("sales")
        self.policy("All", {"rule": "quota", "connectors": ["http"], "value": 2})
        hub.connection("a", self.provider.url, folder="shared/sales")
        hub.connection("b", self.provider.url)
        one = self.policy("One", {"rule": "quota", "connectors": ["http"], "value": 1}, folder="shared/sales")
        self.assertEqual(hub.post("/api/v1/connections/b/move", {"folder": "shared/sales"}).json["code"], "quota_exceeded")
        hub.request("DELETE", f"/api/v1/policies/{one['id']}")
        self.assertEqual(hub.post("/api/v1/connections/b/move", {"folder": "shared/sales"}).status, 200)

    def test_a_folder_does_not_go_while_policies_hold_for_it(self):
        made = self.new_folder("sales")
        policy = self.policy("P", {"rule": "secure"}, folder=made)
        self.assertEqual(self.hub1.request("DELETE", f"/api/v1/folders/{made}").json["code"], "limit_reached")
        self.hub1.request("DELETE", f"/api/v1/policies/{policy['id']}")
        self.assertEqual(self.hub1.request("DELETE", f"/api/v1/folders/{made}").status, 204)

    def test_a_token_for_a_folder_reaches_what_is_below_and_nothing_beside(self):
        hub = self.hub1
        self.new_folder("sales"), self.new_folder("hr")
        self.new_folder("east", "shared/sales")
        for key, folder in [("below", "shared/sales/east"), ("beside", "shared/hr"), ("above", "shared")]:
            hub.connection(key, self.provider.url, folder=folder)
        token = hub.post("/api/v1/tokens", {"name": "sales", "role": "admin", "grants": {"folders": ["shared/sales"]}}).json["secret"]
        self.assertEqual([hub.get(f"/proxy/{k}/x", token=token).status for k in ("below", "beside", "above")], [200, 404, 404])
        listed = hub.get("/api/v1/connections", token=token).json["items"]
        self.assertEqual([i["key"] for i in listed], ["below"])
        made = hub.post("/api/v1/connections", self.body("new", folder="shared/hr"), token=token)
        self.assertEqual(made.status, 404, made)
        self.assertEqual(hub.post("/api/v1/connections", self.body("new", folder="shared/sales"), token=token).status, 201)


class Defaults(Case):
    def test_preset_values_fill_in_and_never_show(self):
        made = self.policy("Preset", {"rule": "preset", "connectors": ["http"], "part": "field", "name": "base_url",
                                      "value": self.provider.url, "mode": "enforced"},
                           {"rule": "preset", "connectors": ["http"], "part": "credential", "name": "token",
                            "value": "pr3set-s3cret", "mode": "enforced"})
        self.assertEqual(made["rules"][1]["value"], {"set": True})
        self.assertNotIn("pr3set", self.hub1.get("/api/v1/policies").text)
        bare = {"connector": "http", "auth_type": "bearer", "key": "crm", "folder": "shared"}
        created = self.hub1.post("/api/v1/connections", bare)
        self.assertEqual(created.status, 201, created)
        self.assertEqual(created.json["state"], "active")
        self.assertEqual(self.hub1.get("/proxy/crm/a").status, 200)
        self.assertIn(b"pr3set-s3cret", b"".join(self.provider.received))
        own = self.hub1.post("/api/v1/connections", dict(bare, key="own", credentials={"token": "mine"}))
        self.assertEqual((own.json["code"], own.json["errors"][0]["pointer"]), ("preset_enforced", "/credentials/token"))
        # What is sent back as it was read keeps the sealed value.
        put = self.hub1.request("PUT", f"/api/v1/policies/{made['id']}", {"name": "Preset", "rules": made["rules"]})
        self.assertEqual(put.status, 200, put)
        self.assertEqual(self.hub1.post("/api/v1/connections", dict(bare, key="second")).json["state"], "active")
        self.hub1.stop()
        self.assertNotIn(b"pr3set-s3cret", harness.stored_bytes(self.hub1.data))

    def test_an_optional_preset_gives_way(self):
        self.policy("Preset", {"rule": "preset", "connectors": ["http"], "part": "field", "name": "base_url",
                               "value": "https://api.example.com"})
        created = self.create("crm")
        self.assertEqual(created.json["fields"]["base_url"], self.provider.url)

    def test_a_fresh_connection_may_begin_disabled_and_a_name_be_frozen(self):
        self.policy("Careful", {"rule": "new_connections", "value": "disabled"}, {"rule": "name_frozen"})
        self.assertEqual(self.create("crm").json["state"], "disabled")
        self.assertEqual(self.hub1.request("PATCH", "/api/v1/connections/crm", {"name": "other"}).json["code"], "name_frozen")
        self.assertEqual(self.hub1.request("PATCH", "/api/v1/connections/crm", {"name": "crm", "notes": "n"}).status, 200)
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/enable", {}).json["state"], "active")

    def test_secure_runs_keep_no_path(self):
        self.hub1.connection("crm", self.provider.url)
        self.policy("Secure", {"rule": "secure"})
        answer = self.hub1.get("/proxy/crm/patients/42")
        run = None
        deadline = harness.Deadline()
        while (run is None or run.status != 200) and deadline.left():
            run = self.hub1.get("/api/v1/runs/" + answer.header("raccord-run"))
        self.assertEqual(run.json["path"], "")

    def test_run_records_older_than_a_policy_says_are_removed_and_their_going_is_no_flaw(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        runs = lambda: hub.get("/api/v1/runs").json["items"]
        hub.get("/proxy/crm/x")
        self.eventually(runs, "a run record never came")
        hub.stop()
        hub.start()
        threading.Event().wait(1.1)  # a second of age
        self.assertEqual(len(runs()), 1, "nothing removed it before the policy")
        self.policy("Short", {"rule": "run_retention", "value": "1s"})
        hub.stop()
        hub.start()  # which looks after old things at once
        self.eventually(lambda: not runs(), "the policy's term removed nothing")
        self.assertTrue(hub.get("/api/v1/audit:verify").json["ok"])
        self.assertEqual(hub.get("/api/v1/audit?action=runs.prune").json["items"][0]["outcome"], "done")


class Quotas(Case):
    def test_parallel_creations_do_not_pass_the_limit(self):
        self.policy("Three", {"rule": "quota", "connectors": ["http"], "value": 3})
        results = []
        threads = [threading.Thread(target=lambda n=n: results.append(self.create(f"c{n}"))) for n in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(r.status for r in results), [201] * 3 + [409] * 7)
        refused = next(r for r in results if r.status == 409)
        self.assertEqual(refused.json["code"], "quota_exceeded")
        self.assertIn("3/3", refused.json["detail"])
        limits = {i["name"]: i for i in self.hub1.get("/api/v1/limits").json["items"]}
        self.assertEqual((limits["connections.http"]["value"], limits["connections.http"]["use"], limits["connections.http"]["source"]),
                         (3, 3, "policy"))
        self.assertIsNotNone(limits["connections.http"]["last_hit"])

    def test_a_deleted_connection_frees_its_place_and_does_not_come_back_into_a_taken_one(self):
        self.policy("One", {"rule": "quota", "connectors": ["http"], "value": 1})
        first = self.create("a").json["id"]
        self.assertEqual(self.create("b").json["code"], "quota_exceeded")
        self.assertEqual(self.hub1.request("DELETE", f"/api/v1/connections/{first}").status, 204)
        self.assertEqual(self.create("b").status, 201)
        self.assertEqual(self.hub1.post(f"/api/v1/connections/{first}/restore", {}).json["code"], "quota_exceeded")
        copy = self.hub1.post("/api/v1/connections/b/duplicate", {"credentials": {"token": "x"}})
        self.assertEqual(copy.json["code"], "quota_exceeded")

    def test_each_limit_of_what_people_make_is_shown_with_its_use_and_when_it_was_reached(self):
        hub = self.hub1
        secret = hub.token("maker", "editor")
        listed = lambda: {i["name"]: i for i in hub.get("/api/v1/limits", token=secret).json["items"]}
        before = listed()
        self.assertEqual((before["tokens"]["value"], before["tokens"]["use"], before["tokens"]["last_hit"]), (1000, 1, None))
        self.assertEqual((before["policies"]["use"], before["connection_shares"]["value"]), (None, 200))  # not an editor's to count
        own = hub.get("/api/v1/session", token=secret).json["principal"]["id"]
        hub.stop()
        with harness.database(hub.data) as db:
            db.execute("WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 999) INSERT INTO token"
                       " (id, hash, last4, name, principal_id, role, created_ms) SELECT 'tok_' || i, 'h' || i, 'last', 'x', ?, 'user', 1 FROM counted", (own,))
        hub.start()
        self.assertEqual(hub.post("/api/v1/tokens", {"name": "one more"}, token=secret).json["code"], "limit_reached")
        now = listed()["tokens"]
        self.assertEqual(now["use"], 1000)
        self.assertIsNotNone(now["last_hit"])
        self.assertIn("personal_connections", hub.cli("limits").out)
        self.assertIn("crm ", hub.cli("connectors", "domains").out)
        names, cursor = [], ""
        while cursor is not None:
            page = hub.get(f"/api/v1/limits?limit=7&cursor={cursor}" if cursor else "/api/v1/limits?limit=7", token=secret).json
            self.assertLessEqual(len(page["items"]), 7)
            names, cursor = names + [i["name"] for i in page["items"]], page["next_cursor"]
        self.assertEqual(names, list(listed()))

    def test_the_seed_limits_are_a_preset(self):
        made = self.hub1.post("/api/v1/policies", {"preset": "genesys"})
        self.assertEqual(made.status, 201, made)
        limits = {i["name"]: i["value"] for i in self.hub1.get("/api/v1/limits").json["items"]}
        self.assertEqual({k: v for k, v in limits.items() if k.startswith("connections.")},
                         {"connections.aws-lambda": 10, "connections.microsoft-dynamics-365": 10, "connections.genesys-cloud": 10,
                          "connections.zendesk": 10, "connections.salesforce": 50, "connections.http": 50,
                          "connections.google-cloud": 100})


class Ages(Case):
    DAY = 86400000

    def backdate(self, what, days, key):
        """While the hub is off: as if it had happened that long ago."""
        self.hub1.stop()
        with harness.database(self.hub1.data) as db:
            of = "(SELECT id FROM connection WHERE key = ?)"
            if what == "secret":
                db.execute(f"UPDATE connection_secret SET updated_ms = updated_ms - ? WHERE connection_id = {of}", (days * self.DAY, key))
            else:
                db.execute(f"UPDATE connection SET updated_ms = updated_ms - ? WHERE id = {of}", (days * self.DAY, key))
        self.hub1.start()

    def shown(self, key):
        return self.hub1.get(f"/api/v1/connections/{key}").json

    def until(self, key, **wanted):
        deadline = harness.Deadline()
        while not wanted.items() <= self.shown(key).items():
            self.assertTrue(deadline.left(), (self.shown(key), self.hub1.log()[-2000:]))
            threading.Event().wait(0.02)

    def test_credentials_that_are_too_old_are_not_used_until_they_are_entered_anew(self):
        hub = self.hub1
        for key in ("old", "soon", "fresh"):
            hub.connection(key, self.provider.url)
        self.backdate("secret", 100, "old")
        self.backdate("secret", 70, "soon")
        rule = {"rule": "secret_max_age", "value": "90d", "connectors": ["http"]}
        preview = hub.post("/api/v1/policies:preview", {"policy": {"name": "Yearly", "rules": [rule]}}).json
        self.assertEqual([(c["key"], c["code"]) for c in preview["connections"]["items"]], [("old", "credentials_too_old")])
        self.assertEqual(hub.get("/proxy/old/a").status, 200)
        made = self.policy("Yearly", rule)
        refused = hub.get("/proxy/old/a")
        self.assertEqual((refused.status, refused.json["code"]), (403, "credentials_too_old"))
        self.assertIn("90d (policy “Yearly”)", refused.json["detail"])
        said = self.explain("connection.call", connection="old")
        self.assertEqual((said["decision"], said["code"]), ("block", "credentials_too_old"))
        self.assertIn(("secret_max_age", "block", "90d"), [(s["rule"], s["effect"], s["says"]) for s in said["trace"]])
        for key in ("soon", "fresh"):
            self.assertEqual((hub.get(f"/proxy/{key}/a").status, self.explain("connection.call", connection=key)["decision"]), (200, "allow"))
        # Told where people look, and who to tell.
        self.until("old", health="expired")
        self.until("soon", health="expiring")
        self.assertEqual(self.shown("fresh")["health"], "unknown")
        self.assertRegex(hub.log(), r"warn credentials too old .*key=old owner=\w+")
        told = hub.get("/api/v1/connections/old/history").json["items"][0]
        self.assertEqual((told["action"], told["after"]), ("connection.health", {"health": "expired"}))
        # A look that goes well does not hide it.
        hub.request("PATCH", "/api/v1/connections/soon", {"fields": {"base_url": self.provider.url, "verify_path": "/me"}})
        self.assertEqual(hub.post("/api/v1/connections/soon/verify").status, 200)
        self.assertEqual(self.shown("soon")["health"], "expiring")
        self.assertEqual(hub.request("PUT", "/api/v1/connections/old/credentials", {"token": "new"}).status, 200)
        self.assertEqual((hub.get("/proxy/old/a").status, self.shown("old")["health"]), (200, "unknown"))
        self.assertEqual(hub.request("DELETE", f"/api/v1/policies/{made['id']}").status, 204)
        self.until("soon", health="unknown", credentials_due_at=None)

    def test_a_kept_decision_ends_when_the_credentials_get_too_old(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        self.policy("Short", {"rule": "secret_max_age", "value": "3s"})
        c, deadline = hub.connect(), harness.Deadline()
        self.addCleanup(c.close)
        answers = []
        while not answers or answers[-1] == 200:
            self.assertTrue(deadline.left())
            answers.append(hub.get("/proxy/crm/a", connection=c).status)
        self.assertEqual(set(answers), {200, 403})

    def test_what_nobody_uses_is_disabled_by_the_system_and_says_which_policy(self):
        hub = self.hub1
        for key in ("idle", "used", "off"):
            hub.connection(key, self.provider.url)
        hub.post("/api/v1/connections/off/disable")
        for key in ("idle", "used", "off"):
            self.backdate("use", 40, key)
        self.assertEqual(hub.get("/proxy/used/a").status, 200)
        deadline = harness.Deadline()
        while not self.shown("used")["last_used_at"]:
            self.assertTrue(deadline.left())
        rule = {"rule": "idle_max", "value": "30d"}
        preview = hub.post("/api/v1/policies:preview", {"policy": {"name": "Tidy", "rules": [rule]}}).json
        self.assertEqual([(c["key"], c["code"]) for c in preview["connections"]["items"]], [("idle", "connection_disabled")])
        self.policy("Tidy", rule)
        self.until("idle", state="disabled")
        self.assertEqual(self.shown("used")["state"], "active")
        self.assertEqual(hub.get("/proxy/idle/a").json["code"], "connection_disabled")
        told = hub.get("/api/v1/connections/idle/history").json["items"][0]
        self.assertEqual((told["action"], told["after"]), ("connection.disable", {"state": "disabled", "policy": "Tidy"}))
        self.assertRegex(hub.log(), r"warn idle connection disabled .*key=idle owner=\w+ policy=Tidy")
        # Who enables it again begins a new term.
        self.assertEqual(hub.post("/api/v1/connections/idle/enable").status, 200)
        self.policy("Another", rule)
        hub.stop()
        hub.start()
        self.assertEqual(hub.get("/proxy/idle/a").status, 200)


class Explain(Case):
    def test_it_answers_for_restoring_copying_and_moving(self):
        hub = self.hub1
        hub.post("/api/v1/folders", {"path": "shared/strict"})
        _, gone = hub.connection("crm", self.provider.url), hub.connection("gone", self.provider.url)
        self.policy("Nothing here", {"rule": "connectors_block", "values": ["http"]}, folder="shared/strict")
        self.assertEqual(hub.request("DELETE", f"/api/v1/connections/{gone['id']}").status, 204)
        asked = lambda operation, **more: (lambda e: (e["decision"], e["code"]))(self.explain(operation, **more))
        self.assertEqual(asked("connection.restore", connection=gone["id"]), ("allow", None))
        self.assertEqual(asked("connection.move", connection="crm", folder="shared/strict"), ("block", "connector_blocked"))
        self.assertEqual(hub.post("/api/v1/connections/crm/move", {"folder": "shared/strict"}).json["code"], "connector_blocked")
        self.assertEqual(asked("connection.duplicate", connection="crm"), ("allow", None))
        self.assertEqual(asked("connection.duplicate", connection="crm", folder="shared/strict"), ("block", "connector_blocked"))
        self.assertEqual(hub.post("/api/v1/connections/crm/duplicate", {"folder": "shared/strict"}).json["code"], "connector_blocked")
        self.policy("One", {"rule": "quota", "connectors": ["http"], "value": 1})
        self.assertEqual(asked("connection.restore", connection=gone["id"]), ("block", "quota_exceeded"))
        self.assertEqual(hub.post(f"/api/v1/connections/{gone['id']}/restore").json["code"], "quota_exceeded")
        self.assertEqual(asked("connection.duplicate", connection="crm"), ("block", "quota_exceeded"))
        self.assertEqual(hub.post("/api/v1/connections/crm/duplicate", {}).json["code"], "quota_exceeded")
        viewer = hub.token("eye", "viewer")
        said = hub.post("/api/v1/policies:explain", {"operation": "connection.restore", "connection": gone["id"]}, token=viewer).json
        self.assertEqual((said["decision"], said["code"]), ("block", "denied"))
        self.assertEqual(asked("connection.restore", connection="con_" + "0" * 26), ("block", "connection_not_found"))

    def happens(self, operation, connection, token, method="GET", key="n"):
        hub = self.hub1
        if operation == "connection.call":
            r = hub.post(f"/api/v1/connections/{connection}/call", {"method": method, "path": "/a"}, token=token)
        elif operation == "connection.create":
            r = hub.post("/api/v1/connections", self.body(key), token=token)
        elif operation == "connection.credentials":
            r = hub.request("PUT", f"/api/v1/connections/{connection}/credentials", {"token": "new"}, token=token)
        elif operation == "GET /api/v1/connections/{id}":
            r = hub.get(f"/api/v1/connections/{connection}", token=token)
        else:
            r = hub.post(f"/api/v1/connections/{connection}/{operation.split('.')[1]}", {}, token=token)
        return r.json.get("code") if r.status >= 400 else None

    def test_it_says_what_then_happens(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        hub.connection("off", self.provider.url)
        hub.post("/api/v1/connections/off/disable", {})
        tokens = {}
        for name, grants in [("all", {}), ("reads", {"risks": ["read"]}), ("away", {"addresses": ["192.0.2.1"]}),
                             ("one", {"connections": ["off"]})]:
            tokens[name] = hub.post("/api/v1/tokens", {"name": name, "role": "admin", "grants": grants}).json
        hub.post("/api/v1/service-accounts", {"name": "plain", "role": "user"})
        tokens["plain"] = hub.post("/api/v1/tokens", {"name": "plain", "service_account": "plain", "role": "user"}).json
        policies = [[], [{"rule": "connectors_block", "values": ["http"]}], [{"rule": "risks_block", "values": ["destructive"]}],
                    [{"rule": "quota", "connectors": ["http"], "value": 2}], [{"rule": "auth_types_block", "values": ["bearer"]}]]
        asked = [("connection.call", "crm", "GET"), ("connection.call", "crm", "DELETE"), ("connection.call", "off", "GET"),
                 ("connection.verify", "crm", "GET"), ("connection.enable", "crm", "GET"), ("connection.credentials", "crm", "GET"),
                 ("connection.create", None, "GET"), ("connection.call", "nowhere", "GET"),
                 ("GET /api/v1/connections/{id}", "crm", "GET")]
        number = 0
        for rules in policies:
            made = self.policy("P", *rules)
            for name, token in tokens.items():
                for operation, connection, method in asked:
                    number += 1
                    question = {"token": token["id"], "address": "127.0.0.1"}
                    if connection:
                        question.update(connection=connection)
                    else:
                        question.update(connector="http", auth_type="bearer", domain="localhost", folder="shared")
                    if operation == "connection.call":
                        question.update(method=method)
                    said = self.explain(operation, **question)
                    happened = self.happens(operation, connection, token["secret"], method, f"n{number}")
                    if happened == "verify_not_offered":
                        happened = None
                    self.assertEqual(said["code"], happened, (rules, name, operation, connection, method, said))
                    self.assertEqual(said["decision"], "block" if happened else "allow")
                    if happened is None and operation == "connection.create":
                        hub.request("DELETE", f"/api/v1/connections/n{number}")
            hub.request("DELETE", f"/api/v1/policies/{made['id']}")

    def test_a_right_of_folders_is_asked_where_it_is_held_and_is_nothing_without_a_place(self):
        hub = self.hub1
        user, shared = hub.token("user-one", "user"), "/api/v1/folders/shared"
        self.assertEqual(hub.post("/api/v1/folders", {"path": "shared/closed", "inherits": False}).status, 201)
        for operation, method, path, body in (("folder.update", "PATCH", shared, {"preset": "open_folder"}),
                                              ("folder.members", "PUT", shared + "/members", {"members": []}),
                                              ("folder.create", "POST", "/api/v1/folders", {"path": "shared/x"}),
                                              ("GET /api/v1/folders/{id}/audit", "GET", shared + "/audit", None),
                                              ("GET /api/v1/folders/{id}/members", "GET", shared + "/members", None),
                                              ("GET /api/v1/folders/{id}", "GET", "/api/v1/folders/shared%2Fclosed", None),
                                              ("connect_session.create", "POST", "/api/v1/connect-sessions",
                                               {"connector": "http", "auth_type": "bearer", "key": "k", "folder": "shared",
                                                "fields": {"base_url": self.provider.url}})):
            with self.subTest(operation):
                folder = "shared/closed" if path.endswith("closed") else "shared"
                said = self.explain(operation, principal="user-one", folder=folder)
                door = hub.request(method, path, body, token=user)
                self.assertEqual((said["code"], said["decision"]), (door.json.get("code"), "block" if door.status >= 400 else "allow"), door)
                lone = hub.post("/api/v1/policies:explain", {"operation": operation, "principal": "user-one"})
                missing = "/connection" if operation.startswith("connect") else "/folder"
                self.assertEqual((lone.status, lone.json["errors"][0]["pointer"]), (400, missing))
        self.assertEqual(self.explain("connection.update", principal="user-one", folder="shared")["code"], "denied")
        self.assertEqual(self.explain("GET /api/v1/connections", principal="user-one")["decision"], "allow")
        for operation in ("connection.call", "connection.move", "connection.restore"):
            lone = hub.post("/api/v1/policies:explain", {"operation": operation, **({} if operation.endswith("call") else {"folder": "shared"})})
            self.assertEqual((lone.status, lone.json["code"]), (400, "field_required"), operation)

    def test_the_trace_names_each_rule_that_was_asked(self):
        self.hub1.connection("crm", self.provider.url)
        allow = self.policy("Ours", {"rule": "connectors_allow", "values": ["http", "zendesk"]})
        folder = self.hub1.get("/api/v1/connections/crm").json["folder"]["id"]
        block = self.policy("Not here", {"rule": "methods_block", "values": ["DELETE"]}, folder=folder)
        said = self.explain("connection.call", connection="crm", method="DELETE")
        steps = [(s["layer"], s["policy"] and s["policy"]["id"], s["rule"], s["effect"]) for s in said["trace"]]
        self.assertIn(("instance", allow["id"], "connectors_allow", "allow"), steps)
        self.assertIn(("folder", block["id"], "methods_block", "block"), steps)
        self.assertEqual(said["code"], "call_blocked")
        self.assertIn("Not here", said["because"])

    def test_others_are_for_administrators_to_ask_about(self):
        user = self.hub1.token("user-one", "user")
        own = self.hub1.post("/api/v1/policies:explain", {"operation": "token.create"}, token=user)
        self.assertEqual(own.json["decision"], "allow")
        other = self.hub1.post("/api/v1/policies:explain", {"operation": "token.create", "principal": "tests"}, token=user)
        self.assertEqual(other.json["code"], "denied")
        admin = self.explain("user.create", principal="user-one")
        self.assertEqual((admin["decision"], admin["code"]), ("block", "denied"))


class Preview(Case):
    def test_it_names_exactly_what_then_breaks(self):
        hub = self.hub1
        for key, kind in [("a", "bearer"), ("b", "bearer"), ("c", "none")]:
            hub.connection(key, self.provider.url, kind, {} if kind == "none" else None)
        tokens = {}
        for name, keys in [("for-a", ["a"]), ("for-c", ["c"]), ("any", None)]:
            tokens[name] = hub.post("/api/v1/tokens", {"name": name, "role": "admin", "grants": {"connections": keys}}).json
        rules = [{"rule": "auth_types_block", "values": ["bearer"]}]
        said = hub.post("/api/v1/policies:preview", {"policy": {"name": "P", "rules": rules}})
        self.assertEqual(said.status, 200, said)
        broken = {i["key"] for i in said.json["connections"]["items"]}
        refused = {i["name"] for i in said.json["tokens"]["items"]}
        self.assertEqual((said.json["connections"]["count"], said.json["connections"]["items"][0]["code"]), (2, "auth_type_blocked"))
        self.assertEqual(hub.get("/proxy/a/x").status, 200)  # a preview changes nothing
        self.policy("P", *rules)
        self.assertEqual(broken, {k for k in "abc" if hub.get(f"/proxy/{k}/x").status != 200})
        for name, token in tokens.items():
            codes = {hub.get(f"/proxy/{k}/x", token=token["secret"]).header("raccord-error") for k in "abc"}
            self.assertEqual(name in refused, "auth_type_blocked" in codes, (name, codes))

    def test_methods_that_would_go_are_named(self):
        hub = self.hub1
        hub.connection("a", self.provider.url)
        said = hub.post("/api/v1/policies:preview", {"policy": {"name": "P", "rules": [{"rule": "risks_allow", "values": ["read"]}]}})
        self.assertEqual(said.json["connections"]["items"][0]["methods"], ["POST", "PUT", "PATCH", "DELETE"])

    def test_a_full_quota_is_told(self):
        self.hub1.connection("a", self.provider.url)
        said = self.hub1.post("/api/v1/policies:preview",
                              {"policy": {"name": "P", "rules": [{"rule": "quota", "connectors": ["http"], "value": 1}]}})
        self.assertEqual(said.json["quotas"], [{"connector": "http", "use": 1, "value": 1}])
        self.assertEqual(said.json["connections"]["count"], 0)


class CommandLine(Case):
    def test_policies_from_the_command_line(self):
        hub = self.hub1
        hub.connection("crm", self.provider.url)
        path = self.path("policy.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{"name": "No HTTP", "rules": [{"rule": "connectors_block", "values": ["http"]}]}')
        preview = hub.cli("policies", "preview", "--body", "@" + path, "--json")
        self.assertEqual(preview.json["connections"]["count"], 1)
        shown = hub.cli("policies", "preview", "--body", "@" + path).out
        self.assertRegex(shown, r"^1 connections would refuse what they let through now:\nKEY +NAME +CODE .*\ncrm +crm +connector_blocked ")
        self.assertNotIn("items.0", shown)
        self.file("harmless.json", '{"name": "Zendesk only", "rules": [{"rule": "connectors_block", "values": ["slack"]}]}')
        self.assertEqual(hub.cli("policies", "preview", "--body", "@" + self.path("harmless.json")).out, "Nothing would break.\n")
        wide = max(len(line) for line in hub.cli("connectors", "list").out.splitlines())
        self.assertLess(wide, 150)
        made = hub.cli("policies", "create", "--body", "@" + path, "--json")
        self.assertEqual(made.code, 0, made)
        self.assertIn("No HTTP", hub.cli("policies", "list").out)
        self.assertEqual(hub.cli("policies", "get", "No HTTP", "--json").json["id"], made.json["id"])
        typo = hub.cli("policies", "preview", "No HTP", "--body", "@" + path)
        self.assertEqual(typo.code, 3, typo)
        self.assertEqual(hub.cli("policies", "preview", "No HTTP", "--body", "@" + path).out, "Nothing would break.\n")
        said = hub.cli("policies", "explain", "connection.call", "--connection", "crm", "--method", "GET", "--json")
        self.assertEqual(said.json["code"], "connector_blocked")
        self.assertEqual(hub.cli("call", "crm", "GET", "/").code, 4)
        self.assertEqual(hub.cli("policies", "delete", made.json["id"], "--yes").code, 0)
        self.assertEqual(hub.cli("call", "crm", "GET", "/").code, 0)
        self.assertIn("request_body", hub.cli("limits").out)
