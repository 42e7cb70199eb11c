"""The rest of a person's grant's life (person.py): tokens that are bound to a key, grants that nobody uses, and grants that come back from
a backup (requirements 9.7, 19.7, OAU-26)."""
import shutil

import harness
from person import API, Person


class Bound(Person):
    """DPoP at the token endpoint and at the API, each of which wants nonces of its own (RFC 9449 8, 9)."""
    oauth = {"dpop": True}
    server = {"DPOP": "1"}

    def test_a_token_that_is_bound_to_a_key_is_renewed_and_works_over_restarts(self):
        for _ in range(2):
            self.assertEqual(self.renew().status, 200)
            self.works()
            self.hub1.kill()
            self.hub1.start()
            self.works()
        self.hub1.kill()
        self.hub1.start()
        self.control("/_expire")
        self.works()  # a nonce for the old token, and one for the new

    def test_an_answer_that_only_the_disk_has_still_belongs_to_its_key(self):
        self.left_behind(at=2)  # the first answer says which nonce to use
        self.hub1.start()
        self.assertEqual(self.grant()["generation"], 2)
        self.works()
        self.assertEqual(self.renew().status, 200)


class Idle(Person):
    oauth = {"max_idle": "2s"}

    def test_a_grant_that_nobody_uses_is_renewed_before_its_refresh_token_is_too_old(self):
        self.until("renewed by itself", lambda: self.grant()["generation"] >= 2)
        self.hub1.kill()
        generation = self.grant_of_the_disk()
        self.hub1.start()
        self.until("and after a death", lambda: self.grant()["generation"] > generation)
        causes = {e["cause"] for e in self.hub1.get(API + "/connections/crm/grant/events").json["items"]}
        self.assertEqual(causes, {"authorized", "idle"})
        self.works()


class Restored(Person):
    def backup(self):
        done = harness.run("backup", "--data", self.hub1.data, "-o", self.path("saved"))
        self.assertEqual(done.code, 0, done)
        shutil.copy(f"{self.hub1.data}/master.key", self.path("kept.key"))

    def restore(self):
        """The hub goes on from the backup, as if the machine had been lost."""
        listen, admin = self.hub1.listen, self.hub1.admin
        self.hub1.kill()
        done = harness.run("restore", self.path("saved"), "--data", self.path("elsewhere"), "--master-key-file", self.path("kept.key"))
        self.assertEqual(done.code, 0, done)
        kept = {name: value for name, value in self.hub1.variables.items() if name != "RACCORD_DATABASE_URL"}
        self.hub1 = self.hub(data=self.path("elsewhere"), listen=listen, env={**kept, "RACCORD_MASTER_KEY_FILE": self.path("kept.key")})
        self.hub1._admin = admin
        self.assertTrue(self.grant()["from_backup"])

    def test_a_grant_of_the_middle_of_its_life_serves_until_its_end_and_then_says_where_it_came_from(self):
        self.backup()
        self.assertEqual(self.renew().status, 200)  # what the backup holds is spent
        self.restore()
        asked = self.asked()
        self.works()
        self.assertEqual(self.asked(), asked)  # nothing is spent that need not be
        self.control("/_expire")
        for _ in range(2):
            self.assertEqual(self.hub1.get("/proxy/crm/me").header("raccord-error"), "reconnect_required")
        self.assertEqual(self.asked(), asked + 1)
        self.assertEqual((self.grant()["state"], self.grant()["reason"]), ("over", "from_backup"))
        self.give()
        self.assertEqual((self.grant()["state"], self.grant()["from_backup"]), ("good", False))

    def test_a_grant_that_was_not_renewed_since_goes_on(self):
        self.backup()
        self.restore()
        self.control("/_expire")
        self.works()
        self.assertEqual((self.grant()["state"], self.grant()["from_backup"]), ("good", False))

    def test_an_answer_of_another_life_is_not_taken_for_one_of_this(self):
        self.backup()
        self.left_behind()
        shutil.copy(f"{self.hub1.data}/answers.0", self.path("answers"))
        before = self.grant_of_the_disk()
        self.restore()
        self.hub1.stop()
        shutil.copy(self.path("answers"), f"{self.hub1.data}/answers.0")
        self.hub1.start()
        self.assertEqual(self.grant()["generation"], before)
        self.works()
