"""A disk that is full, broken, or does not sync, at each write of a renewal of a person's grant (person.py): nothing is sent that could not
be written down before, and no grant is lost (requirements 10.3, 10.4, 18.2)."""
import errno
import re

import harness
from person import Person

WRITES = "pwrite write fdatasync fsync ftruncate fallocate"


@harness.embedded
class Disk(Person):
    def writes(self):
        """The calls of one renewal that write, or promise that something is written."""
        self.faults.arm("record", thread="renewal", calls=WRITES, file=".")
        self.assertEqual(self.renew().status, 200)
        self.faults.disarm()
        return self.faults.steps()


class Before(Disk):
    def test_what_could_not_be_written_down_is_not_sent(self):
        steps = self.writes()
        first = steps.index("fdatasync raccord.db-wal") + 1  # the intent is committed
        for error in (errno.ENOSPC, errno.EIO):
            for at in range(1, first + 1):
                with self.subTest(step=steps[at - 1], error=errno.errorcode[error]):
                    asked = self.asked()
                    self.faults.fail(error, at, thread="renewal", calls=WRITES, file=".")
                    said = self.renew()
                    self.faults.disarm()
                    self.assertGreater(self.faults.struck, 0)
                    self.assertNotEqual(said.status, 200, said)
                    self.assertEqual(self.asked(), asked)
                    self.assertEqual(self.grant()["state"], "good")
                    self.works()
                    if steps[at - 1].startswith("fdatasync"):  # after that nothing is believed of the file
                        self.restart()
                    self.whole()


class After(Disk):
    def test_an_answer_that_the_disk_did_not_take_at_once_is_kept_and_used(self):
        steps = self.writes()
        kept = steps.index("pwrite answers.0")
        last = len(steps) - 1 - steps[::-1].index("fdatasync raccord.db-wal")
        for error in (errno.ENOSPC, errno.EIO):
            for at in (kept, kept + 2, (kept + last) // 2, last - 1):
                for stays in (True, False):
                    with self.subTest(step=steps[at], at=at, error=errno.errorcode[error], stays=stays):
                        asked, generation = self.asked(), self.grant()["generation"]
                        self.faults.fail(error, at + 1, stays=stays, thread="renewal", calls=WRITES, file=".")
                        self.renew()
                        self.assertGreater(self.faults.struck, 0)
                        self.faults.disarm()
                        self.until("kept", lambda: self.grant()["generation"] == generation + 1)
                        self.assertEqual(self.asked(), asked + 1)
                        self.whole()

    def test_after_a_failed_sync_the_answer_is_used_at_the_next_start(self):
        for file in ("answers.", "raccord.db-wal"):
            with self.subTest(file=file):
                asked, generation = self.asked(), self.grant()["generation"]
                self.faults.fail(errno.EIO, 1 if file == "answers." else 2, stays=False, thread="renewal", calls="fdatasync", file=file)
                self.renew()
                self.assertEqual(self.faults.struck, 1)
                self.faults.disarm()
                self.assertNotEqual(self.renew().status, 200)  # nothing is believed of the file
                self.works()
                self.restart()
                self.assertEqual(self.grant()["generation"], generation + 1)
                self.assertEqual(self.asked(), asked + 1)
                self.control("/_expire")
                self.works()
                self.whole()


    def test_after_a_failed_sync_of_the_database_calls_have_what_lies_in_its_room(self):
        self.let_end()
        asked, generation = self.asked(), self.grant()["generation"]
        self.faults.fail(errno.EIO, 2, stays=False, thread="renewal", calls="fdatasync", file="raccord.db-wal")
        for _ in range(3):
            self.works()
        self.assertEqual(self.faults.struck, 1)
        self.faults.disarm()
        self.assertEqual(self.grant()["generation"], generation)  # it is not in the database, and nobody is told that it is
        self.assertNotEqual(self.renew().status, 200)
        self.works()
        self.assertEqual(self.asked(), asked + 1)
        self.control("/_expire")  # what was borrowed is over: the next one cannot be asked for before the start
        self.assertGreaterEqual(self.hub1.get("/proxy/crm/me").status, 500)
        self.assertEqual(self.asked(), asked + 1)
        self.restart()
        self.assertEqual(self.grant()["generation"], generation + 1)
        self.works()
        self.whole()

    def test_what_is_in_no_room_is_lent_to_nobody(self):
        self.let_end()
        asked = self.asked()
        self.faults.fail(errno.EIO, 2, thread="renewal", calls="fdatasync", file=".")  # the intent is there; then neither file takes it
        said = self.hub1.get("/proxy/crm/me")
        self.faults.disarm()
        self.assertGreaterEqual(said.status, 500, said)
        self.assertEqual(self.asked(), asked + 1)
        self.hub1.kill()  # a stop would wait for the database as long as it may: memory alone has the answer

    def test_what_a_code_brought_is_kept_when_there_is_room_again(self):
        browser, back = self.another("first")
        self.faults.arm("record", thread="renewal", calls=WRITES, file=".")
        self.assertEqual(browser.open(back).status, 200)
        at = self.faults.steps().index("fdatasync answers.0") + 2
        browser, back = self.another("second")
        asked = self.asked()
        self.faults.fail(errno.ENOSPC, at, thread="renewal", calls=WRITES, file=".")
        self.assertEqual(browser.open(back).status, 507)
        self.assertGreater(self.faults.struck, 0)
        self.assertEqual(self.state("second"), "needs_auth")
        self.faults.disarm()
        self.until("kept", lambda: self.state("second") == "active")
        self.assertEqual(self.hub1.get("/proxy/second/me").status, 200)
        self.assertEqual(self.asked(), asked + 1)


class AtTheStart(Disk):
    """An answer is in its room, and the database does not take it at the start."""

    def taken_up(self, asked, generation):
        self.until("taken up", lambda: self.grant()["generation"] == generation + 1, 20)
        self.assertEqual(self.asked(), asked + 1)
        # The access tokens are over, too, as this server says. A call that began with the one of before may meet them both.
        self.until("works", lambda: self.hub1.get("/proxy/crm/me").status == 200)
        self.assertEqual(self.asked(), asked + 2)
        self.whole()

    def test_it_is_taken_up_when_the_database_takes_it(self):
        for error, stays in ((errno.ENOSPC, False), (errno.ENOSPC, True), (errno.EIO, True)):
            with self.subTest(error=errno.errorcode[error], stays=stays):
                asked, generation = self.asked(), self.grant()["generation"]
                self.left_behind()
                self.control("/_expire")
                self.faults.fail(error, 1, stays=stays, thread="renewal", calls="pwrite", file="raccord.db-wal")
                self.hub1.start()
                self.assertGreater(self.faults.struck, 0)
                self.faults.disarm()
                self.taken_up(asked, generation)

    def test_a_caller_meanwhile_does_not_spend_the_old_refresh_token(self):
        asked, generation = self.asked(), self.grant()["generation"]
        self.left_behind()
        self.control("/_expire")
        self.faults.fail(errno.ENOSPC, 1, calls="pwrite", file="raccord.db-wal", begins="answers.")
        self.hub1.start()
        said = self.hub1.get("/proxy/crm/me")
        self.assertGreater(said.status, 400)
        self.assertGreater(self.faults.struck, 0)
        self.faults.disarm()
        self.taken_up(asked, generation)

    def test_an_answer_that_still_cannot_be_taken_up_outlives_the_next_death(self):
        asked, generation = self.asked(), self.grant()["generation"]
        self.left_behind()
        self.control("/_expire")
        for _ in range(2):
            self.faults.fail(errno.ENOSPC, 1, calls="pwrite", file="raccord.db-wal", begins="answers.")
            self.hub1.start()
            self.hub1.kill()
            self.assertGreater(self.faults.struck, 0)
            self.faults.disarm()
        self.hub1.start()
        self.taken_up(asked, generation)


class FullFromTheBeginning(Disk):
    def begin(self):
        """The journal's first page finds no room."""
        self.faults.fail(errno.ENOSPC, 1, thread="raccord", calls="pwrite", file="answers.")
        super().begin()
        self.assertGreater(self.faults.struck, 0)
        self.faults.disarm()

    def test_an_answer_that_is_kept_when_there_is_room_is_found_after_a_death(self):
        generation = self.grant()["generation"]
        self.left_behind()
        self.hub1.start()
        self.assertEqual(self.grant()["generation"], generation + 1)
        self.control("/_expire")
        self.works()
