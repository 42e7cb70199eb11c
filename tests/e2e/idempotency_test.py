"""The same POST twice has one effect: Idempotency-Key (requirement 18.7)."""
import concurrent.futures
import threading

import harness

API = "/api/v1"


class Keys(harness.Case):
    def start(self, script=None):
        self.provider = self.upstream(script or [harness.answer(b'{"n":19.99}')])
        self.allowed = f"localhost:{self.provider.port}"
        return self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": self.allowed, "RACCORD_EGRESS_ALLOW_HTTP": self.allowed})

    def order(self, key="crm"):
        return {"connector": "http", "auth_type": "bearer", "key": key, "name": key, "folder": "shared",
                "fields": {"base_url": self.provider.url}, "credentials": {"token": "t0k"}}

    def post(self, hub, path, body, key="k1", **more):
        return hub.request("POST", API + path, body, headers={"Idempotency-Key": key}, **more)

    def code(self, answer):
        return answer.json.get("code")

    @staticmethod
    def age(hub, ms):
        with harness.database(hub.data) as db:
            db.execute("UPDATE idempotency SET created_ms = created_ms - ?", (ms,))

    def test_the_same_request_gets_the_same_answer_and_happens_once(self):
        hub = self.start()
        first = self.post(hub, "/connections", self.order())
        again = self.post(hub, "/connections", self.order())
        self.assertEqual((first.status, first.header("idempotency-replayed")), (201, None))
        self.assertEqual((again.status, again.header("idempotency-replayed")), (201, "true"))
        self.assertEqual(again.body, first.body)
        for name in ("etag", "location", "content-type"):
            self.assertEqual(again.header(name), first.header(name), name)
        self.assertEqual(len(hub.get(API + "/connections").json["items"]), 1)
        quoted = self.post(hub, "/connections", self.order(), key='"k1"')
        self.assertEqual(quoted.header("idempotency-replayed"), "true")

    def test_another_request_under_the_same_key_is_refused(self):
        hub = self.start()
        self.post(hub, "/connections", self.order("a"))
        self.assertEqual((self.post(hub, "/connections", self.order("b")).status, 409), (409, 409))
        self.assertEqual(self.code(self.post(hub, "/connections", self.order("b"))), "idempotency_key_reused")
        # Another path, another caller, another key: nothing to do with it.
        self.assertEqual(self.post(hub, "/connections/a/disable", None).status, 200)
        other = hub.token("another")
        self.assertEqual(self.post(hub, "/connections", self.order("b"), token=other).status, 201)
        self.assertEqual(self.post(hub, "/connections", self.order("c"), key="k2").status, 201)

    def test_a_key_is_kept_for_24_hours_and_then_gone_with_its_answer(self):
        hub = self.start()
        day = 24 * 3600 * 1000
        age = lambda ms: self.age(hub, ms)
        first = self.post(hub, "/groups", {"name": "one"})
        age(day - 60000)
        self.assertEqual(self.post(hub, "/groups", {"name": "one"}).body, first.body)
        age(60000)
        # The key is free, for other things too, whether upkeep has come by or not.
        self.assertEqual(self.post(hub, "/groups", {"name": "two"}).status, 201)
        self.assertEqual(self.post(hub, "/groups", {"name": "two"}).header("idempotency-replayed"), "true")
        self.post(hub, "/groups", {"name": "three"}, key="k2")
        age(day)
        hub.stop()
        hub.start()  # which looks after old things at once

        def left():
            with harness.database(hub.data) as db:
                return (db.execute("SELECT count(*) FROM idempotency").fetchone()[0],
                        db.execute("SELECT count(*) FROM sealed_value WHERE kind = 'idempotency'").fetchone()[0])
        self.eventually(lambda: left() == (0, 0), f"they are still there: {left()}")

    def test_a_caller_has_ten_thousand_keys_and_others_have_theirs(self):
        hub = self.start()
        other = hub.token("another")
        self.assertEqual(self.post(hub, "/groups", {"name": "one"}).status, 201)
        with harness.database(hub.data) as db:
            db.execute("WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 9999) INSERT INTO idempotency"
                       " (id, principal_id, request, maker, created_ms, bytes) SELECT 'k' || i, principal_id, 'r', 'm', created_ms, 1"
                       " FROM counted, idempotency")
        full = self.post(hub, "/groups", {"name": "two"}, key="k2")
        self.assertEqual(self.code(full), "limit_reached", full)
        self.assertEqual(self.post(hub, "/groups", {"name": "one"}).header("idempotency-replayed"), "true")
        self.assertEqual(self.post(hub, "/groups", {"name": "two"}, key="k2", token=other).status, 201)
        self.assertEqual(hub.post(API + "/groups", {"name": "three"}).status, 201)

    def test_a_key_that_is_no_key_is_refused(self):
        hub = self.start()
        for key in ('""', "with blanks in it", "x" * 256):
            answer = self.post(hub, "/connections", self.order(), key=key)
            self.assertEqual((answer.status, self.code(answer)), (400, "field_invalid"), key)
        self.assertEqual(hub.get(API + "/connections").json["items"], [])

    def test_a_failure_without_effect_may_be_mended_under_the_same_key(self):
        hub = self.start()
        refused = self.post(hub, "/connections", {**self.order(), "no_such_field": 1})
        self.assertEqual(refused.status, 400)
        self.assertEqual(self.post(hub, "/connections", self.order()).status, 201)

    def test_fifty_at_once_make_one(self):
        hub = self.start()
        hub.admin  # made before the race
        gate = threading.Barrier(50)

        def one(_):
            c = hub.connect()
            gate.wait()
            try:
                return self.post(hub, "/connections", self.order(), connection=c)
            finally:
                c.close()

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(one, range(50)))
        made = [a for a in answers if a.status == 201]
        waiting = [a for a in answers if a.status == 409]
        self.assertEqual(len(made) + len(waiting), 50, answers)
        self.assertEqual(len([a for a in made if not a.header("idempotency-replayed")]), 1)
        self.assertEqual({a.body for a in made}, {made[0].body})
        self.assertLessEqual({self.code(a) for a in waiting}, {"idempotency_in_flight"})
        self.assertEqual(len(hub.get(API + "/connections").json["items"]), 1)

    def test_while_a_call_runs_the_second_waits_and_the_provider_sees_one(self):
        arrived, go = threading.Event(), threading.Event()

        def slow(s, number):
            if number or not s.read_request():
                return
            arrived.set()
            go.wait(harness.DEADLINE)
            s.sendall(harness.answer(b"once"))

        hub = self.start(slow)
        hub.connection("crm", self.provider.url)
        body = {"method": "POST", "path": "/orders", "body": "x"}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.post, hub, "/connections/crm/call", body)
            self.assertTrue(arrived.wait(harness.DEADLINE))
            second = self.post(hub, "/connections/crm/call", body)
            self.assertEqual((second.status, self.code(second)), (409, "idempotency_in_flight"))
            go.set()
            first = first.result()
        again = self.post(hub, "/connections/crm/call", body)
        self.assertEqual((again.body, again.header("idempotency-replayed")), (first.body, "true"))
        self.assertEqual(again.header("raccord-run"), first.header("raccord-run"))
        self.assertEqual(len(self.provider.received), 1)

    def test_a_call_that_failed_at_the_provider_is_not_made_again(self):
        hub = self.start(lambda s, number: s.read_request() and None)
        hub.connection("crm", self.provider.url)
        body = {"method": "POST", "path": "/orders", "body": "x"}
        first = self.post(hub, "/connections/crm/call", body)
        again = self.post(hub, "/connections/crm/call", body)
        self.assertEqual((first.status, self.code(first)), (502, "upstream_closed"))
        self.assertEqual((again.status, again.json, again.header("idempotency-replayed")), (502, first.json, "true"))
        self.assertEqual(again.header("raccord-error"), "upstream_closed")
        self.assertEqual(len(self.provider.received), 1)

    def test_a_call_cut_off_by_a_crash_is_not_made_again(self):
        arrived, go = threading.Event(), threading.Event()

        def never(s, number):
            s.read_request()
            arrived.set()
            go.wait(harness.DEADLINE)

        hub = self.start(never)
        hub.connection("crm", self.provider.url)
        body = {"method": "POST", "path": "/orders", "body": "x"}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cut = pool.submit(self.post, hub, "/connections/crm/call", body)
            self.assertTrue(arrived.wait(harness.DEADLINE))
            hub.kill()
            go.set()
            self.assertIsNotNone(cut.exception())
        hub.start()
        again = self.post(hub, "/connections/crm/call", body)
        if harness.on_postgres():  # another node might be at it, for some minutes
            self.assertEqual((again.status, self.code(again)), (409, "idempotency_in_flight"))
            self.age(hub, 5 * 60 * 1000)
            again = self.post(hub, "/connections/crm/call", body)
        self.assertEqual((again.status, self.code(again)), (409, "idempotency_answer_lost"))
        self.assertEqual(len(self.provider.received), 1)

    def test_an_answer_outlives_a_crash_and_a_shown_once_secret_is_sealed(self):
        hub = self.start()
        self.post(hub, "/connections", self.order(), key="c")
        token = self.post(hub, "/tokens", {"name": "robot"})
        self.assertEqual(token.status, 201)
        hub.kill()
        self.assertNotIn(token.json["secret"], self.everything(hub))
        hub.start()
        again = self.post(hub, "/tokens", {"name": "robot"})
        self.assertEqual((again.body, again.header("idempotency-replayed")), (token.body, "true"))
        self.assertEqual(self.post(hub, "/connections", self.order(), key="c").header("idempotency-replayed"), "true")

    def everything(self, hub):
        """All bytes of the data directory, as text."""
        import os
        found = b""
        for folder, _, names in os.walk(hub.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    found += f.read()
        return found.decode("latin-1")

    def test_a_large_answer_is_replayed_whole(self):
        big = bytes(range(32, 127)) * 4000
        hub = self.start([harness.answer(big)])
        hub.connection("crm", self.provider.url)
        body = {"method": "GET", "path": "/big"}
        first = self.post(hub, "/connections/crm/call", body)
        again = self.post(hub, "/connections/crm/call", body)
        self.assertEqual((first.status, again.header("idempotency-replayed")), (200, "true"))
        self.assertEqual(again.body, first.body)

    def test_too_large_an_answer_says_so(self):
        hub = self.start([harness.answer(b"x" * (2 << 20))])
        hub.connection("crm", self.provider.url)
        body = {"method": "GET", "path": "/big"}
        self.assertEqual(self.post(hub, "/connections/crm/call", body).status, 200)
        self.assertEqual(self.code(self.post(hub, "/connections/crm/call", body)), "idempotency_answer_lost")
