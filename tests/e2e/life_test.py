"""The rest of a connection's life: who depends on it, deleting and restoring, defaults, duplicates, history, tags."""
import harness

API = "/api/v1"
SECRET = "canary-of-a-credential-51e0"


class Case(harness.Case):
    def start(self, **env):
        self.provider = self.upstream([harness.answer(b'{"ok":true}')])
        allowed = f"localhost:{self.provider.port}"
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": allowed, "RACCORD_EGRESS_ALLOW_HTTP": allowed, **env})
        return self.hub1

    def make(self, key, **more):
        return self.hub1.connection(key, self.provider.url, credentials={"token": SECRET}, **more)

    def ask(self, method, path, body=None, status=200, **more):
        answer = self.hub1.request(method, API + path, body, **more)
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.body else None

    def code(self, method, path, body=None, **more):
        return self.hub1.request(method, API + path, body, **more).json.get("code")

    def keys(self, query=""):
        return [c["key"] for c in self.ask("GET", "/connections" + query)["items"]]


class Deleting(Case):
    def test_a_deleted_connection_is_gone_for_everyone_and_can_be_brought_back(self):
        hub = self.start()
        made = self.make("crm")
        self.ask("DELETE", "/connections/crm", status=204)
        self.assertEqual(self.keys(), [])
        self.assertEqual(self.code("GET", "/connections/crm"), "connection_not_found")
        self.assertEqual(self.code("PATCH", "/connections/" + made["id"], {"name": "x"}), "connection_not_found")
        self.assertEqual(hub.get("/proxy/crm/x").status, 404)
        self.assertEqual(hub.get(f"/proxy/{made['id']}/x").status, 404)
        trash = self.ask("GET", "/connections?deleted=true")["items"]
        self.assertEqual([(c["id"], c["state"]) for c in trash], [(made["id"], "deleted")])
        back = self.ask("POST", f"/connections/{made['id']}/restore")
        self.assertEqual((back["state"], back["key"], back["default"], back["credentials"].keys()), ("active", "crm", True, {"token"}))
        self.assertEqual(hub.get("/proxy/crm/x").status, 200)
        self.assertIn(f"Bearer {SECRET}".encode(), self.provider.received[0])
        self.assertEqual(self.keys("?deleted=true"), [])

    def test_its_key_is_free_for_another_and_then_it_comes_back_under_a_new_one(self):
        self.start()
        first = self.make("crm")
        self.ask("DELETE", "/connections/crm", status=204)
        second = self.make("crm")
        self.assertNotEqual(first["id"], second["id"])
        self.assertEqual(self.code("POST", f"/connections/{first['id']}/restore"), "conflict")
        back = self.ask("POST", f"/connections/{first['id']}/restore", {"key": "crm-old"})
        self.assertEqual((back["key"], back["default"]), ("crm-old", False))
        self.assertEqual(self.keys("?search=crm-old"), ["crm-old"])

    def test_what_others_depend_on_is_not_deleted_by_a_slip(self):
        hub = self.start()
        made = self.make("crm")
        token = self.ask("POST", "/tokens", {"name": "robot", "connections": [made["id"]]}, 201)
        usage = self.ask("GET", "/connections/crm/usage")
        self.assertEqual([(d["kind"], d["id"], d["name"]) for d in usage["dependants"]], [("token", token["id"], "robot")])
        self.assertEqual(self.ask("GET", "/connections/crm")["used_by"], 1)
        refused = hub.request("DELETE", API + "/connections/crm")
        self.assertEqual((refused.status, refused.json["code"]), (409, "in_use"))
        self.assertEqual(refused.json["dependants"], usage["dependants"])
        self.assertEqual(self.keys(), ["crm"])
        told = self.ask("DELETE", "/connections/crm?force=true")
        self.assertEqual((told["id"], told["dependants"]), (made["id"], usage["dependants"]))
        self.assertGreater(told["purge_at"], told["deleted_at"])
        # A token that has ended depends on nothing.
        self.ask("POST", f"/connections/{made['id']}/restore")
        self.ask("DELETE", "/tokens/" + token["id"], status=204)
        self.ask("DELETE", "/connections/crm", status=204)

    def test_deleting_the_default_asks_for_another_and_never_picks_one(self):
        hub = self.start()
        first, second = self.make("a"), self.make("b")
        refused = hub.request("DELETE", API + "/connections/a")
        self.assertEqual((refused.status, refused.json["code"]), (409, "default_needed"))
        self.assertEqual([o["id"] for o in refused.json["other_defaults"]], [second["id"]])
        self.ask("DELETE", "/connections/a?default=b", status=204)
        self.assertTrue(self.ask("GET", "/connections/b")["default"])
        self.ask("POST", f"/connections/{first['id']}/restore")
        self.assertFalse(self.ask("GET", "/connections/a")["default"])
        told = self.ask("DELETE", "/connections/b?force=true")
        self.assertEqual((told["was_default"], told["default"]), (True, None))
        self.assertEqual(self.keys("?default=true"), [])
        self.assertEqual(self.keys("?default=false"), ["a"])

    def test_an_outdated_delete_is_refused(self):
        hub = self.start()
        self.make("crm")
        self.ask("PATCH", "/connections/crm", {"notes": "x"})
        self.assertEqual(hub.request("DELETE", API + "/connections/crm", headers={"If-Match": '"1"'}).status, 412)
        self.assertEqual(hub.request("DELETE", API + "/connections/crm", headers={"If-Match": '"2"'}).status, 204)

    def test_purged_is_gone_for_good(self):
        self.start()
        made = self.make("crm")
        self.ask("DELETE", "/connections/crm", status=204)
        self.ask("DELETE", f"/connections/{made['id']}?purge=true", status=204)
        self.assertEqual(self.keys("?deleted=true"), [])
        self.assertEqual(self.code("POST", f"/connections/{made['id']}/restore"), "connection_not_found")
        self.make("crm")
        self.ask("DELETE", "/connections/crm?purge=true", status=204)
        self.assertEqual(self.keys("?deleted=true"), [])

    def test_credentials_can_be_destroyed_at_once(self):
        self.start(RACCORD_RETENTION_DELETED_SECRETS="0")
        made = self.make("crm")
        self.ask("DELETE", "/connections/crm", status=204)
        back = self.ask("POST", f"/connections/{made['id']}/restore")
        self.assertEqual((back["state"], back["credentials"]), ("needs_auth", {}))
        self.assertEqual(self.code("POST", "/connections/crm/call", {"method": "GET", "path": "/"}), "needs_auth")
        self.assertEqual(self.ask("PUT", "/connections/crm/credentials", {"token": SECRET})["state"], "active")

    def test_upkeep_ends_what_is_too_old(self):
        hub = self.start(RACCORD_RETENTION_DELETED_CONNECTIONS="0")
        made = self.make("crm")
        self.ask("DELETE", "/connections/crm", status=204)
        hub.stop()
        hub.start()
        self.eventually(lambda: not self.keys("?deleted=true"))
        self.assertEqual(self.code("POST", f"/connections/{made['id']}/restore"), "connection_not_found")

    def test_who_may_not_delete_may_not_restore_or_see_the_trash(self):
        hub = self.start()
        made = self.make("crm")
        viewer = hub.token("viewer", "viewer")
        self.ask("DELETE", "/connections/crm", status=204)
        self.assertEqual(self.code("POST", f"/connections/{made['id']}/restore", token=viewer), "denied")
        self.assertEqual(hub.request("DELETE", f"{API}/connections/{made['id']}?purge=true", token=viewer).status, 403)


class Disabling(Case):
    def test_what_others_depend_on_is_not_disabled_by_a_slip(self):
        hub = self.start()
        made = self.make("crm")
        self.ask("POST", "/tokens", {"name": "robot", "connections": ["crm"]}, 201)
        self.ask("POST", "/service-accounts", {"name": "ci", "role": "user"}, 201)
        rule = {"claim": "azp", "equals": "ci", "principal": "ci", "grants": {"connections": ["crm"]}}
        self.ask("POST", "/identity-providers", {"key": "issuer", "issuer": "https://issuer.example", "jwt_callers": {"audience": "hub", "rules": [rule]}}, 201)
        for method, path, body in (("POST", "/connections/crm/disable", None), ("PATCH", "/connections/crm", {"state": "disabled"})):
            refused = hub.request(method, API + path, body)
            self.assertEqual((refused.status, refused.json["code"]), (409, "in_use"), refused)
            self.assertEqual([(d["kind"], d["name"]) for d in refused.json["dependants"]], [("token", "robot"), ("identity_provider", "issuer")])
            self.assertEqual(self.ask("GET", "/connections/crm")["state"], "active")
            self.assertEqual(self.ask(method, path + "?force=true", body)["state"], "disabled")
            self.ask("POST", "/connections/crm/enable")
        self.assertEqual(hub.get("/proxy/crm/x").status, 200)
        self.make("alone")
        self.assertEqual(self.ask("POST", "/connections/alone/disable")["state"], "disabled")


class Copies(Case):
    def test_a_copy_takes_what_fits_and_never_the_credential(self):
        self.start()
        self.make("crm", notes="# Read me", fields={"verify_path": "/me"})
        plan = self.ask("POST", "/connections/crm/duplicate", {"auth_type": "basic", "dry_run": True})
        self.assertEqual((plan["would_create"]["auth_type"], plan["missing_credentials"]), ("basic", ["username"]))
        self.assertEqual(self.keys(), ["crm"])
        copy = self.ask("POST", "/connections/crm/duplicate", {"auth_type": "basic", "key": "crm-basic"}, 201)
        self.assertEqual((copy["state"], copy["credentials"], copy["notes"], copy["default"]), ("needs_auth", {}, "# Read me", False))
        self.assertEqual(copy["fields"]["verify_path"], "/me")
        self.assertEqual((copy["owner"], copy["missing_credentials"]), ({"id": None, "name": "System"}, ["username"]))
        self.assertEqual(copy["copied_from"]["key"], "crm")
        same = self.ask("POST", "/connections/crm/duplicate", {"name": "Twin"}, 201)
        self.assertEqual((same["auth_type"], same["state"], same["credentials"]), ("bearer", "needs_auth", {}))

    def test_a_copy_of_what_has_changed_since_it_was_read_is_refused_to_those_who_may_make_one(self):
        hub = self.start()
        self.make("crm")
        viewer = hub.token("looks-only", "viewer")
        self.ask("PATCH", "/connections/crm", {"notes": "x"})
        copy = lambda version, token=None, **body: hub.post(API + "/connections/crm/duplicate", body, headers={"If-Match": f'"{version}"'},
                                                            token=token).status
        self.assertEqual([copy(1, viewer), copy(1), copy(1, dry_run=True), copy(2, dry_run=True)], [403, 412, 412, 200])
        self.assertEqual(self.keys(), ["crm"])
        self.assertEqual(copy(2, name="Twin"), 201)

    def test_a_dry_run_refuses_what_the_copy_would_be_refused(self):
        hub = self.start()
        self.make("crm")
        self.make("taken")
        viewer = hub.token("looks-only", "viewer")
        self.ask("POST", "/folders", {"path": "shared/closed"}, 201)
        door = "/connections/crm/duplicate"
        for body, token in (({}, viewer), ({"folder": "shared/closed"}, viewer), ({"folder": "shared/absent"}, None), ({"key": "taken"}, None),
                            ({"fields": {"base_url": "ftp://x"}}, None)):
            with self.subTest(body=body):
                real = hub.post(API + door, dict(body), token=token)
                dry = hub.post(API + door, dict(body, dry_run=True), token=token)
                self.assertEqual((dry.status, dry.json["code"], dry.json.get("errors")), (real.status, real.json["code"], real.json.get("errors")), dry)
                self.assertGreaterEqual(dry.status, 400)
        self.ask("POST", "/policies", {"name": "Enough", "rules": [{"rule": "quota", "connectors": ["http"], "value": 2}]}, 201)
        self.assertEqual(self.code("POST", door, {"dry_run": True}), "quota_exceeded")
        self.assertEqual(self.keys(), ["crm", "taken"])

    def test_who_authenticates_a_connection_owns_it(self):
        hub = self.start()
        self.ask("POST", "/connections", {"connector": "http", "auth_type": "bearer", "key": "later", "name": "Later", "folder": "shared",
                                          "fields": {"base_url": self.provider.url}}, 201)
        self.assertEqual(self.ask("GET", "/connections/later")["owner"]["name"], "System")
        self.assertEqual(hub.request("GET", "/proxy/later/x").status, 409)
        done = self.ask("PUT", "/connections/later/credentials", {"token": SECRET})
        self.assertEqual((done["state"], done["owner"]["name"]), ("active", "tests"))

    def test_what_a_deleted_account_owned_is_nobodys_until_somebody_authenticates_it(self):
        hub = self.start()
        robot = self.ask("POST", "/tokens", {"name": "t", "service_account": "robot", "role": "user"}, 201)
        self.ask("PATCH", "/service-accounts/robot", {"role": "editor"})
        user = self.ask("POST", "/users", {"email": "ann@example.com", "role": "editor", "password": harness.PASSWORD}, 201)
        self.make("one")
        with harness.database(hub.data) as db:
            db.execute("UPDATE connection SET owner_id = ?", (robot["principal"]["id"],))
        self.make("two")
        with harness.database(hub.data) as db:
            db.execute("UPDATE connection SET owner_id = ? WHERE key = 'two'", (user["id"],))
        self.assertEqual(self.ask("GET", "/connections/one")["owner"]["name"], "robot")
        self.ask("DELETE", "/service-accounts/robot", status=204)
        self.ask("DELETE", "/users/ann@example.com", status=204)
        for key in ("one", "two"):
            self.assertEqual(self.ask("GET", f"/connections/{key}")["owner"], {"id": None, "name": "System"})
        self.assertEqual(self.ask("PUT", "/connections/one/credentials", {"token": SECRET})["owner"]["name"], "tests")


class History(Case):
    def test_what_happened_is_told_newest_first_without_a_secret(self):
        self.start()
        made = self.make("crm")
        self.ask("PATCH", "/connections/crm", {"name": "New", "tags": ["eu"]})
        self.ask("PUT", "/connections/crm/credentials", {"token": SECRET + "2"})
        self.ask("POST", "/connections/crm/disable")
        self.ask("DELETE", "/connections/crm", status=204)
        page = self.ask("GET", f"/connections/{made['id']}/history?limit=3")
        rest = self.ask("GET", f"/connections/{made['id']}/history?cursor={page['next_cursor']}")
        actions = [i["action"] for i in page["items"] + rest["items"]]
        self.assertEqual(actions, ["connection.delete", "connection.disable", "connection.credentials", "connection.update",
                                   "connection.create"])
        self.assertEqual(page["items"][1]["after"]["state"], "disabled")
        self.assertEqual(page["items"][0]["actor"]["name"], "tests")
        self.assertNotIn(SECRET, str(page) + str(rest))


class Tags(Case):
    def test_tags_are_kept_in_order_and_found(self):
        self.start()
        self.make("a", tags=["eu", "crm", "eu"])
        self.make("b", tags=["us"])
        self.assertEqual(self.ask("GET", "/connections/a")["tags"], ["crm", "eu"])
        self.assertEqual(self.keys("?tag=eu"), ["a"])
        self.ask("PATCH", "/connections/a", {"tags": []})
        self.assertEqual(self.keys("?tag=eu"), [])
        for bad in ("x", [""], ["with blank"], ["x" * 65], ["t"] * 33, [1]):
            self.assertEqual(self.code("PATCH", "/connections/a", {"tags": bad}), "field_invalid", bad)


class Verifying(Case):
    """What the provider says of a credential: asked for, by itself, in bulk, and before another takes its place."""

    def answering(self, **env):
        """A provider that knows a token by its last letter: "1" is ana, "2" bob, others are refused."""
        self.refused = set()

        def serve(s, number):
            while True:
                request = s.read_request()
                if not request:
                    return
                token = request.split(b"Bearer ", 1)[-1].split(b"\r\n", 1)[0].decode()
                name = {"1": "ana", "2": "bob"}.get(token[-1:])
                if name is None or token in self.refused:
                    s.sendall(harness.answer(b'{"error":"no"}', "401 Unauthorized"))
                else:
                    s.sendall(harness.answer(b'{"login":"%s"}' % name.encode()))

        self.provider = self.upstream(serve)
        allowed = f"localhost:{self.provider.port}"
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": allowed, "RACCORD_EGRESS_ALLOW_HTTP": allowed, **env})
        return self.hub1

    def make(self, key, token="tok1", **more):
        return self.hub1.connection(key, self.provider.url, credentials={"token": token}, fields={"verify_path": "/me"}, **more)

    def health(self, key):
        return self.ask("GET", "/connections/" + key)["health"]

    def test_new_credentials_are_tried_before_they_replace_the_old_ones(self):
        self.answering()
        self.make("crm")
        refused = self.hub1.request("PUT", API + "/connections/crm/credentials?verify=true", {"token": "tok9"})
        self.assertEqual((refused.status, refused.json["code"]), (502, "verify_failed"))
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)  # the old one is still there
        done = self.ask("PUT", "/connections/crm/credentials?verify=true", {"token": "new1"})
        self.assertEqual((done["health"], done["state"]), ("ok", "active"))
        self.assertIsNotNone(done["verified_at"])

    def test_credentials_that_are_tried_make_a_connection_that_waited_for_them(self):
        self.answering()
        self.ask("POST", "/connections", {"connector": "http", "auth_type": "bearer", "key": "later", "name": "Later", "folder": "shared",
                                          "fields": {"base_url": self.provider.url, "verify_path": "/me"}}, 201)
        self.assertEqual(self.code("PUT", "/connections/later/credentials?verify=true", {"token": "tok9"}), "verify_failed")
        self.assertEqual(self.ask("GET", "/connections/later")["state"], "needs_auth")
        self.assertEqual(self.ask("PUT", "/connections/later/credentials?verify=true", {"token": "tok1"})["state"], "active")

    def test_a_credential_that_was_revoked_stops_calls_until_it_works_again(self):
        self.answering()
        self.make("crm")
        self.assertEqual(self.ask("POST", "/connections/crm/verify")["health"], "ok")
        self.refused.add("tok1")
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 401)  # the provider's own
        self.eventually(lambda: self.health("crm") == "reconnect_required")
        self.assertEqual(self.hub1.get("/proxy/crm/x").json["code"], "reconnect_required")
        told = self.ask("GET", "/connections/crm/history")["items"][0]
        self.assertEqual((told["action"], told["actor"]["name"], told["after"]["health"]), ("connection.health", "System", "reconnect_required"))
        self.refused.clear()
        self.assertEqual(self.ask("POST", "/connections/crm/verify")["health"], "ok")
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)

    def test_a_credential_that_never_worked_is_failing_and_calls_go_on(self):
        self.answering()
        self.make("crm", "tok9")
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 401)
        self.eventually(lambda: self.health("crm") == "failing")
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 401)

    def test_what_is_due_is_looked_at_by_itself(self):
        self.answering(RACCORD_PROBES_INTERVAL="1s")
        self.make("good")
        self.make("bad", "tok9")
        self.eventually(lambda: self.health("good") == "ok" and self.health("bad") == "failing")

    def test_nothing_is_looked_at_by_itself_when_that_is_turned_off(self):
        self.answering(RACCORD_PROBES_INTERVAL="0")
        self.make("crm")
        order = self.ask("POST", "/connections:verify", {"ids": []}, 202)
        self.assertEqual((order["state"], order["total"]), ("done", 0))
        self.assertEqual(self.provider.received, [])

    def test_many_are_verified_in_one_order(self):
        self.answering()
        for i in range(12):
            self.make(f"c{i}", "tok1" if i % 3 else "tok9", tags=["batch"])
        self.make("off")
        self.ask("POST", "/connections/off/disable")
        order = self.ask("POST", "/connections:verify", {"filter": {"tag": "batch"}}, 202)
        self.assertEqual(order["total"], 12)
        self.eventually(lambda: self.ask("GET", "/connections:verify/" + order["id"])["state"] == "done")
        done = self.ask("GET", "/connections:verify/" + order["id"])
        self.assertEqual((done["done"], done["ok"], done["failing"], done["skipped"]), (12, 8, 4, 0))
        named = self.ask("POST", "/connections:verify", {"ids": ["off", "c1"]}, 202)
        self.eventually(lambda: self.ask("GET", "/connections:verify/" + named["id"])["state"] == "done")
        named = self.ask("GET", "/connections:verify/" + named["id"])
        self.assertEqual((named["ok"], named["skipped"]), (1, 1))
        other = self.hub1.token("other")
        self.assertEqual(self.code("GET", "/connections:verify/" + order["id"], token=other), "not_found")
        for bad in ({}, {"ids": ["c1"], "filter": {}}, {"ids": "c1"}, {"filter": {"state": "x"}}, {"filter": {"health": "x"}}):
            self.assertEqual(self.hub1.post(API + "/connections:verify", bad).status, 400, bad)
        self.assertEqual(self.code("POST", "/connections:verify", {"ids": ["nowhere"]}), "connection_not_found")

    def test_the_command_line_shows_how_far_it_is(self):
        self.answering()
        self.make("a")
        self.assertEqual(self.hub1.cli("connections", "verify", "--all").code, 0)
        self.make("b", "tok9")
        done = self.hub1.cli("connections", "verify", "--all", "--json")
        self.assertEqual((done.code, done.json["ok"], done.json["failing"]), (5, 1, 1))
        self.assertEqual(self.hub1.cli("connections", "verify").code, 2)


    def test_another_account_is_asked_about_before_it_replaces_the_one_there(self):
        self.answering()
        self.ask("POST", "/connections", {"connector": "github", "auth_type": "pat", "key": "gh", "name": "GitHub", "folder": "shared",
                                          "fields": {"base_url": self.provider.url}, "credentials": {"token": "tok1"},
                                          "allowed_domain": "localhost"}, 201)
        self.assertEqual(self.ask("POST", "/connections/gh/verify")["account"], "ana")
        self.assertRegex(self.hub1.cli("connections", "list").out, r"ACCOUNT[^\n]*\ngh .* ana  ")
        refused = self.hub1.request("PUT", API + "/connections/gh/credentials?verify=true", {"token": "tok2"})
        self.assertEqual((refused.status, refused.json["code"]), (409, "account_changed"))
        self.assertIn("ana -> bob", refused.json["detail"])
        self.assertEqual(self.ask("GET", "/connections/gh")["account"], "ana")
        self.assertEqual(self.ask("PUT", "/connections/gh/credentials?verify=true", {"token": "more1"})["account"], "ana")
        done = self.ask("PUT", "/connections/gh/credentials?verify=true&accept_account_change=true", {"token": "tok2"})
        self.assertEqual((done["account"], done["health"]), ("bob", "ok"))
        change = self.ask("GET", "/connections/gh/history")["items"][0]
        self.assertEqual((change["before"]["account"], change["after"]["account"]), ("ana", "bob"))
