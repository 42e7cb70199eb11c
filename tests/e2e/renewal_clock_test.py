"""Clocks that jump, or are wrong, under a person's grant (person.py): no renewal that nobody needs, no token past its end at the provider,
no lost lease, no longer session (requirements 11.1 to 11.3). The hub's wall clock is moved by tests/e2e/faults.py."""

import harness
from person import API, Person

HOUR, YEARS = 3600, 10 * 366 * 86400


class Jumps(Person):
    def prepared_anew(self):
        """What is known of the connection is read again, by the clock of now."""
        said = self.hub1.request("PATCH", f"{API}/connections/crm", {"name": "Crm"})
        self.assertEqual(said.status, 200, said)

    def calm(self):
        """Calls work, and neither the token endpoint nor the API noticed anything."""
        asked, denied = self.asked(), self.control("/_log")["denied"]
        for _ in range(3):
            self.prepared_anew()
            self.works()
        self.assertEqual((self.asked(), self.control("/_log")["denied"]), (asked, denied))

    def test_a_wall_clock_that_jumps_while_the_hub_runs_changes_nothing(self):
        for jump in (-HOUR, YEARS, -300, 300, -YEARS):
            with self.subTest(jump):
                self.faults.shift_clock(jump)
                self.calm()
                self.assertEqual(self.renew().status, 200)
                self.calm()

    def test_a_jump_in_the_middle_of_a_renewal_loses_no_lease(self):
        for jump in (-HOUR, YEARS):
            with self.subTest(jump):
                generation, asked = self.grant()["generation"], self.asked()
                let_go = self.under_way(self.renew)
                self.faults.shift_clock(jump)
                said = let_go()
                self.assertEqual(said.status, 200, said)
                self.assertEqual((self.grant()["generation"], self.asked()), (generation + 1, asked + 1))
                self.works()

    def test_a_session_does_not_become_longer(self):
        signed = self.hub1.post(API + "/session", {"email": "first@example.com", "password": harness.PASSWORD}, token="")
        cookie = {"Cookie": signed.header("set-cookie").split(";")[0]}
        with harness.database(self.hub1.data) as db:
            db.execute("UPDATE session SET seen_ms = seen_ms - 14 * 60000")
        self.assertEqual(self.hub1.get(API + "/session", token="", headers=cookie).status, 200)
        with harness.database(self.hub1.data) as db:
            db.execute("UPDATE session SET seen_ms = seen_ms - 16 * 60000")
        self.faults.shift_clock(-HOUR)
        self.assertEqual(self.hub1.get(API + "/session", token="", headers=cookie).status, 401)

    def restart(self, shift):
        self.hub1.stop()
        self.faults.shift_clock(shift)
        self.hub1.start()

    def test_across_a_restart_a_clock_that_was_set_back_or_a_little_on_renews_nothing(self):
        for shift in (-HOUR, 0, 300, -300):
            with self.subTest(shift):
                self.restart(shift)
                self.calm()

    def test_after_a_start_in_another_decade_and_back_a_grant_is_renewed_once_and_lives(self):
        self.restart(YEARS)
        asked = self.asked()
        self.works()
        self.assertLessEqual(self.asked(), asked + 1)  # by that clock it is over
        self.restart(0)
        self.calm()
        self.assertEqual(self.renew().status, 200)
        self.until("times of now", lambda: self.grant()["expires_at"] < "2036")

    def test_a_failure_in_another_decade_does_not_keep_a_grant_waiting_until_then(self):
        self.restart(YEARS)
        self.control("/_faults", {"kind": "status", "status": 503, "n": 100, "after": 3600})
        self.until("failing", lambda: self.hub1.get("/proxy/crm/me").status and self.grant()["state"] == "failing")
        self.restart(0)
        self.control("/_faults", None)
        self.let_end()
        self.until("renewed", lambda: self.hub1.get("/proxy/crm/me").status == 200)


class Skewed(Person):
    LIFE = 3
    SHIFT = -300

    def begin(self):
        self.faults.shift_clock(self.SHIFT)
        super().begin()

    def works(self, con=None):
        called = self.hub1.get("/proxy/crm/me")
        self.assertEqual(called.status, 200, (called, self.hub1.log()[-2000:]))

    def test_no_token_reaches_the_api_past_its_end_and_the_difference_is_told(self):
        deadline, asked = harness.Deadline(self.LIFE * 2.5), self.asked()
        while deadline.left():
            self.works()
        log = self.control("/_log")
        self.assertGreaterEqual(log["requests"], asked + 2)
        self.assertLessEqual(log["requests"], asked + 4)
        self.assertEqual(log["denied"], 0)
        self.assertIn("clock differs", self.hub1.log())


class SkewedOn(Skewed):
    SHIFT = 300
