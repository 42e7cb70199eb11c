"""kill -9 at the steps of a renewal, through the whole program, with a person's grant from a server that rotates (person.py). Whatever
reached the disk is used after the restart; what did not is carried on with, or said (requirements 10.3 to 10.6, 10.12).
RACCORD_KILLS: how many kills (preset: 100, over all steps)."""
import os
import re
import sys

import harness
from identity_test import Browser
from person import API, Person


@harness.embedded
class Struck(Person):
    TOO_EARLY = ("pwrite answers.0",)  # dead in such a call, the answer is lost

    def plan(self):
        """(what is done, at which step) for each call of one renewal."""
        self.faults.arm("record", thread="renewal")
        self.assertEqual(self.renew().status, 200)
        self.faults.disarm()
        steps = self.faults.steps()
        said = " ".join(steps)
        for part in ("fdatasync raccord.db-wal", "connect socket", "send socket", "recv socket", "pwrite answers.0 fdatasync answers.0"):
            self.assertIn(part, said)
        plan = [("kill_before", at) for at in range(1, len(steps) + 1)]
        plan += [("tear", at) for at, step in enumerate(steps, 1) if re.match("pwrite|send|recv", step)]
        plan += [("kill_after", at) for at, step in enumerate(steps, 1) if re.match("send|recv|connect|.*answers|fdatasync", step)]
        return steps, plan

    def kept(self, whole, generation):
        """Whether the answer is among what the dead hub left; the next one runs."""
        return "pwrite answers.0" in whole

    def round(self, action, at):
        before, generation = self.control("/_log"), self.grant()["generation"]
        whole, broken = self.strike(action, at)
        if whole is None:
            return "not struck"
        sent = "send socket" in whole
        given = self.settled(before["requests"] + sent)["given"] > before["given"]
        self.hub1.start()
        kept = self.kept(whole, generation)
        grant = self.grant()
        self.works()
        self.assertEqual(grant["generation"], generation + kept, grant)
        if kept:
            self.assertTrue(given)
            self.assertEqual(grant["state"], "good")
        else:
            self.control("/_expire")
        if given and not kept:
            called = self.hub1.get("/proxy/crm/me")
            self.assertEqual(called.header("raccord-error"), "reconnect_required", called)
            grant = self.grant()
            self.assertEqual((grant["state"], grant["reason"]), ("over", "answer_lost"))
            self.hub1.get("/proxy/crm/me")
            self.assertEqual(self.asked(), before["requests"] + 2)  # the old refresh token was tried once more, and no more
            self.assertTrue(broken in ("", "recv socket", *self.TOO_EARLY) or "close" in broken, (whole, broken))
            self.give()
        else:
            self.works()
        self.assertEqual(self.renew().status, 200)
        self.works()
        return "kept" if kept else "lost on its way" if given else "not given"


class Killed(Struck):
    def test_at_each_step_what_reached_us_is_used_and_what_did_not_is_said(self):
        steps, plan = self.plan()
        wanted = int(os.environ.get("RACCORD_KILLS", "100"))
        told = {}
        for n in range(wanted):
            what = plan[n * len(plan) // wanted % len(plan)] if wanted <= len(plan) else plan[n % len(plan)]
            with self.subTest(action=what[0], at=what[1], step=steps[what[1] - 1]):
                came = self.round(*what)
                told[came] = told.get(came, 0) + 1
        print(f"{wanted} kills: {told}; {len(plan)} are planned", file=sys.stderr)
        self.assertGreater(told.get("kept", 0), 0)
        self.assertGreater(told.get("not given", 0), 0)


class KilledAgain(Struck):
    def start_and_kill(self, at):
        """Killed at a step of taking up what was left, or soon after."""
        self.faults.arm("kill_before", at, thread="renewal")
        try:
            self.hub1.start()
        except AssertionError:  # it died before it listened
            pass
        self.hub1.kill()
        self.faults.disarm()

    def test_killed_again_while_it_takes_an_answer_up_it_still_takes_it_up(self):
        on_disk = {"action": "kill_after", "calls": "fdatasync", "file": "answers."}
        self.strike(**on_disk)
        self.faults.arm("record", thread="renewal")
        self.hub1.start()
        self.faults.disarm()
        steps = self.faults.steps()
        count = steps.index("fdatasync raccord.db-wal") + 3  # the transaction, and the wiping of its room
        wanted = min(count, int(os.environ.get("RACCORD_KILLS", "100")) // 8)
        for n in range(wanted):
            generation = self.grant()["generation"]
            at = 1 + n * count // wanted
            with self.subTest(at=at, step=steps[at - 1:at]):
                self.strike(**on_disk)
                self.start_and_kill(at)
                self.start_and_kill(at + 1)
                self.hub1.start()
                self.assertEqual((self.grant()["generation"], self.grant()["state"]), (generation + 1, "good"))
                self.works()
                self.assertEqual(self.renew().status, 200)


class KilledWhileAuthorizing(Struck):
    """The hub dies while it exchanges a person's code for their first tokens."""

    def die(self, action, **calls):
        browser, back = self.another("two")
        self.faults.arm(action, 1, thread="renewal", **calls)
        self.assertRaises(OSError, browser.open, back)
        self.hub1.process.wait(harness.DEADLINE)
        self.hub1.kill()
        self.faults.disarm()
        self.hub1.start()
        return browser, back

    def test_what_the_code_brought_is_there_when_it_had_reached_the_disk(self):
        asked = self.asked()
        self.die("kill_after", calls="fdatasync", file="answers.")
        self.assertEqual(self.state("two"), "active")
        called = self.hub1.get("/proxy/two/me")
        self.assertEqual((called.status, called.json["sub"]), (200, "alice"))
        self.assertEqual(self.hub1.post(API + "/connections/two/renew").status, 200)
        self.assertEqual(self.asked(), asked + 2)
        self.works()

    def test_otherwise_it_waits_for_the_person_and_takes_them(self):
        for what in ({"action": "kill_before", "calls": "send"}, {"action": "kill_before", "calls": "pwrite", "file": "answers."}):
            with self.subTest(what):
                browser, back = self.die(**what)
                self.assertEqual(self.state("two"), "needs_auth")
                self.assertEqual(self.hub1.get("/proxy/two/me").header("raccord-error"), "needs_auth")
                self.assertNotEqual(browser.open(back).status, 200)  # a way back is taken once
                browser = Browser()
                page = browser.open(self.to_provider(browser, self.authorize("two")["authorization_url"]))
                self.assertEqual(page.status, 200, page.text)
                self.assertEqual(self.hub1.get("/proxy/two/me").status, 200)
                self.assertEqual(self.hub1.request("DELETE", API + "/connections/two").status, 204)
