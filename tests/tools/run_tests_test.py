"""tools/run-tests: what counts as passed. A skip or a crash never does."""
import importlib.machinery
import importlib.util
import sys
import unittest

import place

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("run_tests", place.tool("run-tests"))
run_tests = importlib.util.module_from_spec(importlib.util.spec_from_loader("run_tests", loader))
loader.exec_module(run_tests)


class Tap(unittest.TestCase):
    def judge(self, text, result="OK", code=0):
        ok, bad, skipped, _ = run_tests.judge_tap(text, result, code)
        return ok, bad, len(skipped)

    def test_two_groups_in_one_program_are_added(self):
        self.assertEqual(self.judge("1..2\nok 1 - a\nok 2 - b\n# ok - x/y\n1..1\nok 1 - c\n# ok - x/z\n"), (3, 0, 0))

    def test_a_failed_case_and_a_failed_set_up_count_as_failed(self):
        text = "1..3\nok 1 - a\nnot ok 2 - b\n# a.c:8: error: Failure!\nnot ok 3 - c Could not run test: Test setup failed\n"
        self.assertEqual(self.judge(text, "FAIL", 2), (1, 2, 0))

    def test_a_skipped_case_is_neither(self):
        self.assertEqual(self.judge("1..2\nok 1 - a\nnot ok 2 # SKIP b\n"), (1, 0, 1))
        self.assertEqual(self.judge("1..2\nok 1 - a\nok 2 # SKIP b\n"), (1, 0, 1))

    def test_a_crash_fails_the_cases_that_never_ended(self):
        self.assertEqual(self.judge("1..5\nok 1 - a\nok 2 - b\n", "FAIL", -6), (2, 3, 0))

    def test_a_program_that_says_nothing_has_failed_even_with_exit_code_0(self):
        self.assertEqual(self.judge("", "OK", 0), (0, 1, 0))
        self.assertEqual(self.judge("1..0\n", "OK", 0), (0, 1, 0))

    def test_a_sanitizer_finding_after_the_last_case_is_a_failure(self):
        self.assertEqual(self.judge("1..1\nok 1 - a\n", "FAIL", 23), (1, 1, 0))

    def test_running_out_of_time_is_a_failure(self):
        self.assertEqual(self.judge("1..1\nok 1 - a\n", "TIMEOUT", -15), (1, 1, 0))

    def test_a_failure_with_exit_code_0_is_still_a_failure(self):
        self.assertEqual(self.judge("1..1\nnot ok 1 - a\n", "OK", 0), (0, 1, 0))


class Unittest(unittest.TestCase):
    def judge(self, text, code=0):
        ok, bad, skipped, _ = run_tests.judge_unittest(text, code)
        return ok, bad, len(skipped)

    def test_a_good_run_counts_its_cases(self):
        self.assertEqual(self.judge("Ran 12 tests in 3.1s\n\nOK\n"), (12, 0, 0))

    def test_skips_are_not_passes(self):
        text = "test_a (m.C.test_a) ... skipped 'no nginx'\n\nRan 3 tests in 0.1s\n\nOK (skipped=2)\n"
        self.assertEqual(self.judge(text), (1, 0, 2))

    def test_failures_and_errors_are_added(self):
        self.assertEqual(self.judge("Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n", 1), (1, 3, 1))

    def test_a_run_that_broke_off_has_failed(self):
        self.assertEqual(self.judge("Traceback (most recent call last):\n", 1), (0, 1, 0))
        self.assertEqual(self.judge("", -9), (0, 1, 0))

    def test_a_bad_exit_code_after_ok_is_a_failure(self):
        self.assertEqual(self.judge("Ran 5 tests in 0.1s\n\nOK\n", 1), (5, 1, 0))

    def test_no_cases_at_all_is_a_failure(self):
        self.assertEqual(self.judge("Ran 0 tests in 0.0s\n\nOK\n"), (0, 1, 0))
