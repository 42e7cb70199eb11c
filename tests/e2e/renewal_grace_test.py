"""A server that rotates refresh tokens and lets the old one serve again for a while, for answers that get lost on their way (requirement
10.6): each answer is dropped once, 200 of them, and no grant is lost. npm oidc-provider with such a window (oidc/authority.mjs, GRACE)."""
import concurrent.futures
import threading

from person import API, Person

CONNECTIONS, ROUNDS = 20, 10


class Grace(Person):
    LIFE = 2
    server = {"GRACE": "60"}
    environment = {"RACCORD_RENEWALS_THREADS": "8", "RACCORD_RENEWALS_RATE": "1000"}

    def call(self, key):
        said = self.hub1.get(f"/proxy/{key}/me")
        return key, said.status, said.json.get("sub")

    def all(self, keys):
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(self.call, keys))

    def test_two_hundred_answers_are_lost_and_no_grant_is(self):
        keys = ["crm"]
        for n in range(1, CONNECTIONS):
            browser, back = self.another(f"c{n}")
            self.assertEqual(browser.open(back).status, 200)
            keys.append(f"c{n}")
        self.control("/_forget")
        self.control("/_faults", {"kind": "drop", "first": True})
        for _ in range(ROUNDS):
            threading.Event().wait(self.LIFE + 0.1)  # all tokens are over: who calls waits for a renewal, whose first answer is lost
            self.assertEqual(self.all(keys), [(key, 200, "alice") for key in keys])
        log = self.control("/_log")
        self.assertGreaterEqual(log["dropped"], CONNECTIONS * ROUNDS)
        self.assertEqual((log["again"], log["revoked"]), (log["dropped"], 0))  # each was asked for once more, and no family is dead
        self.control("/_faults", None)
        for key in keys:
            grant = self.hub1.get(f"{API}/connections/{key}/grant").json
            self.assertEqual((grant["state"], grant["reason"]), ("good", None), (key, grant))
            self.assertGreaterEqual(grant["generation"], 1 + ROUNDS)
            self.assertEqual(self.hub1.post(f"{API}/connections/{key}/renew").status, 200)


class GraceOver(Person):
    """The window has passed when the old one is tried."""
    server = {"GRACE": "1"}

    def test_after_the_window_the_grant_is_over_with_its_reason_and_nothing_is_tried_again(self):
        self.control("/_faults", {"kind": "drop", "first": True})
        self.assertNotEqual(self.renew().status, 200)
        self.works()  # the access token serves until its end
        asked = self.asked()
        threading.Event().wait(2.1)
        self.control("/_expire")
        for _ in range(2):
            self.assertEqual(self.hub1.get("/proxy/crm/me").header("raccord-error"), "reconnect_required")
        self.assertEqual(self.asked(), asked + 1)
        self.assertEqual((self.grant()["state"], self.grant()["reason"]), ("over", "answer_lost"))
