"""The harness itself: a test that cannot fail is a defect, and so is a harness that cannot fail one."""
import os
import socket
import ssl
import unittest
import urllib.request

import harness


class Harness(harness.Case):
    def test_a_sanitizers_report_fails_a_test(self):
        for line in ("==12==ERROR: AddressSanitizer: heap-use-after-free", "x.c:1:2: runtime error: signed integer overflow",
                     "==1==ERROR: LeakSanitizer: detected memory leaks", "WARNING: ThreadSanitizer: data race", "bug: no such error: 7"):
            with self.assertRaises(AssertionError):
                harness.refuse_reports("before\n" + line + "\nafter")
        harness.refuse_reports("2026-01-01T00:00:00.000Z info debug: nothing wrong")

    def test_a_hub_that_dies_at_its_end_fails_a_test(self):
        class Dying(harness.Case):
            def runTest(self):
                os.kill(self.hub().process.pid, 9)

        result = unittest.TestResult()
        Dying().run(result)
        self.assertEqual((len(result.failures), len(result.errors)), (1, 0))

    def test_a_hub_that_does_not_start_is_told_with_its_own_words(self):
        with self.assertRaisesRegex(AssertionError, "(?s)does not listen.*no-such-setting"):
            self.hub("--no-such-setting", "1")

    def test_an_upstream_answers_in_order_and_records_bodies_of_both_kinds(self):
        u = self.upstream([harness.answer(b"1"), harness.answer(b"22")])
        with socket.create_connection(("127.0.0.1", u.port)) as s:
            s.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            got = harness.read_until_close(s)
        self.assertTrue(got.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(got.endswith(b"\r\n\r\n22"))
        self.assertEqual(len(u.requests()), 2)
        self.assertIn(b"abc", u.received[0])

    def test_a_mistake_in_an_upstreams_script_fails_a_test(self):
        def script(s, number):
            raise ValueError("a mistake")

        u = harness.Upstream(script)
        with socket.create_connection(("127.0.0.1", u.port)) as s:
            self.assertEqual(harness.read_until_close(s), b"")
        with self.assertRaises(ValueError):
            u.close()

    def test_certificates_verify_and_expired_ones_do_not(self):
        pki = self.pki()
        context = ssl.create_default_context(cafile=pki.ca)
        for more, good in (({}, True), ({"name": "old", "days": -1}, False), ({"name": "other", "alternative": "DNS:other.example"}, False)):
            u = self.upstream([harness.answer(b"ok")], pki=pki)
            u.context = pki.server_context(**more)
            try:
                got = urllib.request.urlopen(u.url.replace("localhost", "127.0.0.1"), timeout=10, context=context).read()
            except urllib.error.URLError as e:
                got = e.reason
            self.assertEqual(got == b"ok", good, got)

    def test_nginx_serves_what_its_blocks_say(self):
        n = self.nginx("server { listen 127.0.0.1:{port}; location / { return 200 \"here\\n\"; } }")
        self.assertEqual(urllib.request.urlopen(f"http://127.0.0.1:{n.port}/", timeout=10).read(), b"here\n")

    def test_raw_bytes_reach_a_hub_as_they_are(self):
        got = self.hub().raw(b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", half_close=True)
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)


if __name__ == "__main__":
    unittest.main()
