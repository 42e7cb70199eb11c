"""The wire, both ends of it: what the hub reads from callers and providers, and what it does when either misbehaves."""
import concurrent.futures
import gzip
import json
import re
import socket
import threading
import time
import zlib

import harness

MIB = 1 << 20
LOCAL = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}


class Case(harness.Case):
    def start(self, script, key="p", auth_type="bearer", credentials=None, env=None, **fields):
        """A hub, and a connection to a provider that follows the script."""
        hub = self.hub(env={**LOCAL, **(env or {})})
        self.provider = self.upstream(script)
        hub.connection(key, self.provider.url, auth_type, credentials, fields=fields)
        return hub

    def head(self, hub, method="GET", path="/proxy/p/", *lines, version="1.1"):
        lines = [f"{method} {path} HTTP/{version}", f"Host: 127.0.0.1:{hub.port}", f"Authorization: Bearer {hub.admin}", *lines, "", ""]
        return "\r\n".join(lines).encode()

    def code(self, answer):
        return answer.status, answer.header("raccord-error")


def read_some(s, enough, seconds=harness.DEADLINE):
    """Bytes until enough(bytes), without waiting for the end."""
    s.settimeout(seconds)
    got = b""
    while not enough(got):
        more = s.recv(65536)
        if not more:
            break
        got += more
    return got


class WhatCallersSend(Case):
    def test_what_is_malformed_is_answered_and_nothing_behind_it_is_read(self):
        hub = self.start([harness.answer(b"{}")])
        smuggled = self.head(hub, "GET", "/proxy/p/smuggled")
        auth = f"Authorization: Bearer {hub.admin}\r\n".encode()
        rows = [
            (400, b"GET /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (400, b"POST /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
            (400, b"POST /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Content_Length: 4\r\n\r\nabcd"),
            (400, b"POST /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
            (400, b"POST /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 300 + b"\r\na\r\n0\r\n\r\n"),
            (400, b"GET /proxy/p/ HTTP/1.1\r\n" + auth + b"\r\n"),
            (400, b"GET /proxy/p/ HTTP/1.1\nHost: h\n\n"),
            (400, b"GET /proxy/p/\x00 HTTP/1.1\r\nHost: h\r\n\r\n"),
            (400, b"GET /proxy/p/ HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\n\r\n"),
            (400, b"GET /proxy/p/ HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n"),
            (400, b"GET http://other/proxy/p/ HTTP/1.1\r\nHost: h\r\n\r\n"),
            (400, b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
            (505, b"GET /proxy/p/ HTTP/2.0\r\nHost: h\r\n\r\n"),
            (417, b"POST /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + auth + b"Expect: tea\r\nContent-Length: 1\r\n\r\nx"),
            (414, b"GET /proxy/p/" + b"u" * 8192 + b" HTTP/1.1\r\nHost: h\r\n\r\n"),
            (431, b"GET /proxy/p/ HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 32768 + b"\r\n\r\n"),
            (431, b"GET /proxy/p/ HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100 + b"\r\n"),
        ]
        for status, sent in rows:
            with self.subTest(sent[:120]):
                got = hub.raw(sent + smuggled)
                self.assertEqual(got[:12], f"HTTP/1.1 {status}".encode(), got[:300])
                self.assertEqual(got.count(b"HTTP/1.1 "), 1)
                self.assertIn(b"\r\nRaccord-Error: ", got)
                self.assertIn(b"\r\nConnection: close\r\n", got)
        self.assertFalse([r for r in self.provider.requests() if "smuggled" in r])

    def test_ten_requests_in_one_write_are_answered_in_order(self):
        def echo_path(s, number):
            while True:
                request = s.read_request()
                if not request:
                    return
                s.sendall(harness.answer(request.split(b" ")[1]))
        hub = self.start(echo_path)
        sent = b"".join(self.head(hub, "GET", f"/proxy/p/{n}", *(["Connection: close"] if n == 9 else [])) for n in range(10))
        got = hub.raw(sent)
        self.assertEqual(got.count(b"HTTP/1.1 200 OK\r\n"), 10)
        self.assertEqual([int(n) for n in re.findall(rb"\r\n\r\n/(\d)", got)], list(range(10)))

    def test_a_body_over_the_limit_is_refused_with_and_without_a_length(self):
        hub = self.start([harness.answer(b"{}")], env={"RACCORD_LIMITS_PROXY_BODY": "64K"})
        exact, over = b"x" * 65536, b"x" * 65537
        for chunked in (False, True):
            for path, body, status in (("/proxy/p/", exact, 200), ("/proxy/p/", over, 413), ("/proxy/p/", b"x" * 8 * MIB, 413)):
                with self.subTest(f"{len(body)} bytes, chunked: {chunked}"):
                    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
                    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
                    got = hub.raw(self.head(hub, "POST", path, framing, "Connection: close") + sent)
                    self.assertEqual(got[:12], f"HTTP/1.1 {status}".encode(), got[:300])
                    self.assertEqual(b"Raccord-Error: body_too_large" in got, status == 413)

    def test_a_body_of_the_api_over_the_limit_is_refused_with_and_without_a_length(self):
        hub = self.hub(env=LOCAL)
        over = b'{"a": "' + b"x" * MIB + b'"}'
        plain = self.head(hub, "POST", "/api/v1/connections", f"Content-Length: {len(over)}", "Content-Type: application/json")
        chunked = self.head(hub, "POST", "/api/v1/connections", "Transfer-Encoding: chunked", "Content-Type: application/json")
        for got in (hub.raw(plain + over), hub.raw(chunked + b"%x\r\n" % len(over) + over + b"\r\n0\r\n\r\n")):
            self.assertIn(b"HTTP/1.1 413 ", got[:20])
            self.assertIn(b"body_too_large", got)

    def test_a_method_that_is_not_taken_is_told_those_that_are(self):
        hub = self.hub(env=LOCAL)
        told = hub.request("DELETE", "/api/v1/connections")
        self.assertEqual(self.code(told), (405, "method_not_allowed"))
        self.assertEqual(sorted(told.header("allow").split(", ")), ["GET", "HEAD", "POST"])
        self.assertEqual(hub.request("GET", "/api/v1/nowhere").status, 404)

        self.upstream_hub = self.start([harness.answer(b"{}")])
        told = self.upstream_hub.request("PROPFIND", "/proxy/p/")
        self.assertEqual(self.code(told), (405, "method_not_allowed"))
        self.assertIn("PATCH", told.header("allow").split(", "))
        self.assertEqual(self.provider.requests(), [])

    def test_a_slow_head_is_answered_408(self):
        hub = self.hub(env={**LOCAL, "RACCORD_TIMEOUTS_CLIENT_HEAD": "300ms"})
        got = hub.raw(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
        self.assertTrue(got.startswith(b"HTTP/1.1 408 "), got)

    def test_who_expects_100_gets_it_before_the_provider_has_the_body(self):
        hub = self.start([harness.answer(b"done")])
        with socket.create_connection((hub.host, hub.port)) as s:
            s.sendall(self.head(hub, "POST", "/proxy/p/", "Expect: 100-continue", "Content-Length: 4", "Connection: close"))
            self.assertEqual(read_some(s, lambda b: b"\r\n\r\n" in b), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"body")
            self.assertTrue(harness.read_until_close(s).endswith(b"done"))
        self.assertNotIn("expect", self.provider.requests()[0].lower())

    def test_chunks_of_any_size_arrive_whole(self):
        def sum_it(s, number):
            for request in iter(s.read_request, b""):
                body, rest = b"", request.split(b"\r\n\r\n", 1)[1]
                while rest:
                    size, rest = rest.split(b"\r\n", 1)
                    n = int(size, 16)
                    body, rest = body + rest[:n], rest[n + 2:]
                s.sendall(harness.answer(b"%d %d" % (len(body), zlib.crc32(body))))
        hub = self.start(sum_it)
        body = bytes(i * i & 0xff for i in range(300000))
        for sizes in ([300000], [1] * 50 + [299950], [16384] * 18 + [5088], [65536] * 4 + [37856]):
            sent, at = b"", 0
            for n in sizes:
                sent += b"%X\r\n%s\r\n" % (n, body[at:at + n])
                at += n
            got = hub.raw(self.head(hub, "POST", "/proxy/p/", "Transfer-Encoding: chunked", "Connection: close") + sent + b"0\r\n\r\n")
            self.assertTrue(got.endswith(b"%d %d" % (len(body), zlib.crc32(body))), got[-300:])


class WhatProvidersAnswer(Case):
    def test_malformed_answers_end_in_502_and_no_byte_of_them_passes(self):
        rows = [
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0x10\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\n folded\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: a\x00b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: a\rSet-Cookie: b\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\nX-Evil: 1\r\n\r\n",
            b"HTTP/3.0 200 OK\r\nX-Evil: 1\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX-Evil: 1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Evil: " + b"x" * 70000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X-Evil: 1\r\n" * 101 + b"\r\n",
        ]
        now = []
        def script(s, number):
            while s.read_request():
                s.sendall(now[0])
        hub = self.start(script)
        for at, row in enumerate(rows):
            with self.subTest(row[:100]):
                now[:] = [row]
                told = hub.get("/proxy/p/")
                self.assertEqual(self.code(told), (502, "upstream_invalid"))
                self.assertNotIn(b"Evil", told.body)
                self.assertIsNone(told.header("x-evil"))
                self.assertEqual(len(self.provider.received), at + 1)  # a connection of its own: none was kept

    def test_bytes_behind_an_answer_reach_nobody(self):
        """Many callers side by side: a kept socket goes from one to the next at once."""
        def script(s, number):
            while True:
                request = s.read_request()
                if not request:
                    return
                evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL" if number % 2 else b""
                s.sendall(harness.answer(request.split(b" ")[1]) + evil)
        hub = self.start(script)

        def ask(n):
            c = hub.connect()
            try:
                return [(f"/{n}-{i}".encode(), hub.get(f"/proxy/p/{n}-{i}", connection=c)) for i in range(50)]
            finally:
                c.close()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for answers in pool.map(ask, range(8)):
                for wanted, told in answers:
                    self.assertEqual((told.status, told.body), (200, wanted))

    def test_head_204_and_304_have_no_body_and_no_false_length(self):
        rows = {
            ("HEAD", "length"): b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
            ("HEAD", "chunked"): b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ("GET", "204"): b"HTTP/1.1 204 No Content\r\n\r\n",
            ("GET", "304"): b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        }
        lengths = {"length": b"99"}
        hub = self.start(lambda s, n: [s.sendall(rows[tuple(r.decode().split(" ")[:2])[0], r.decode().split(" ")[1][1:]])
                                       for r in iter(s.read_request, b"")])
        for method, name in rows:
            with self.subTest(name):
                got = hub.raw(self.head(hub, method, f"/proxy/p/{name}") + self.head(hub, method, f"/proxy/p/{name}", "Connection: close"))
                self.assertEqual(got.count(b"HTTP/1.1 "), 2, got)
                found = re.findall(rb"Content-Length: (\d+)", got)
                self.assertEqual(found, [lengths[name]] * 2 if name in lengths else [])
                self.assertTrue(got.endswith(b"\r\n\r\n"))

    def test_interim_answers_are_passed_over_and_trailers_dropped(self):
        hub = self.start([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: evil\r\n\r\n"])
        got = hub.raw(self.head(hub, "GET", "/proxy/p/", "Connection: close"))
        self.assertEqual(got.count(b"HTTP/1.1 "), 1)
        self.assertTrue(got.endswith(b"2\r\nok\r\n0\r\n\r\n"), got)
        self.assertNotIn(b"evil", got)

    def test_what_trickles_is_passed_on_at_once(self):
        """As server-sent events: the caller has the first before the provider says the second."""
        heard = threading.Event()
        def script(s, number):
            s.read_request()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
            if heard.wait(harness.DEADLINE):
                s.sendall(b"8\r\ndata: 2\n\r\n0\r\n\r\n")
        hub = self.start(script)
        with socket.create_connection((hub.host, hub.port)) as s:
            s.sendall(self.head(hub, "GET", "/proxy/p/", "Connection: close"))
            got = read_some(s, lambda b: b"data: 1\n" in b, seconds=20)
            self.assertIn(b"data: 1\n", got)
            heard.set()
            self.assertTrue(harness.read_until_close(s).endswith(b"data: 2\n\r\n0\r\n\r\n"))

    def test_an_early_answer_reaches_a_caller_who_is_still_sending(self):
        def script(s, number):
            s.recv()
            s.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        hub = self.start(script)
        got = hub.raw(self.head(hub, "POST", "/proxy/p/", f"Content-Length: {20 * MIB}"), *[b"x" * MIB] * 20)
        self.assertTrue(got.startswith(b"HTTP/1.1 401 "), got[:200])
        self.assertTrue(got.endswith(b"\r\n\r\nno"), got[-200:])

    def test_a_redirect_to_get_does_not_turn_the_rest_of_a_body_into_requests(self):
        """POST, 303 before the body has come: what the caller sends on must not reach the provider behind the GET."""
        redirected = threading.Event()
        def script(s, number):
            if number == 0:
                s.recv()
                s.sendall(b"HTTP/1.1 303 See Other\r\nLocation: /got\r\nContent-Length: 0\r\n\r\n")
                s.recv()
                return
            redirected.set()
            while s.recv():
                s.sendall(harness.answer(b"got"))
        hub = self.start(script, follow_redirects=True)
        evil = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        with socket.create_connection((hub.host, hub.port)) as s:
            s.sendall(self.head(hub, "POST", "/proxy/p/post", f"Content-Length: {len(evil) * 2}") + evil)
            self.assertTrue(redirected.wait(harness.DEADLINE))
            s.sendall(evil)
            got = read_some(s, lambda b: b.endswith(b"got"))
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
        self.assertEqual(hub.get("/proxy/p/again").status, 200)
        with self.provider.changed:
            for received in self.provider.received[1:]:
                self.assertNotIn(b"smuggled", received)


class Limits(Case):
    def test_a_compression_bomb_is_noticed_as_it_unfolds(self):
        pack = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(pack.compress(bytes(MIB)) for _ in range(1024)) + pack.flush()
        hub = self.start([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(bomb), bomb)])
        hub.post("/api/v1/connections/p/call", {"method": "GET", "path": "/"})  # once, for the buffers that stay
        with open(f"/proc/{hub.process.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
        def memory(name):
            with open(f"/proc/{hub.process.pid}/status", encoding="ascii") as f:
                return int(re.search(rf"^{name}:\s+(\d+) kB", f.read(), re.M).group(1))
        before, began = memory("VmRSS"), time.monotonic()
        told = hub.post("/api/v1/connections/p/call", {"method": "GET", "path": "/"})
        took = time.monotonic() - began
        self.assertEqual(self.code(told), (502, "response_too_large"))
        if not harness.sanitized():
            self.assertLess(took, 2)
            self.assertLess(memory("VmHWM") - before, 32 * 1024)
        # The proxy does not unpack: the caller gets what came.
        self.assertEqual(hub.get("/proxy/p/").body, bomb)

    def test_every_member_of_a_gzip_answer_is_unpacked(self):
        packed = gzip.compress(b'{"a": 1') + gzip.compress(b"9.99}")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        hub = self.start([head % len(packed) + packed])
        self.assertIn(b'{"a": 19.99}', hub.post("/api/v1/connections/p/call", {"method": "GET", "path": "/"}).body)
        for cut in (packed[:20], packed[:-3]):
            hub.connection(f"cut{len(cut)}", self.upstream([head % len(cut) + cut]).url)
            told = hub.post(f"/api/v1/connections/cut{len(cut)}/call", {"method": "GET", "path": "/"})
            self.assertEqual(self.code(told), (502, "upstream_invalid"))

    def test_the_caller_may_ask_for_less_time(self):
        silent = threading.Event()
        def script(s, number):
            s.read_request()
            silent.wait(harness.DEADLINE)
        hub = self.start(script)
        self.addCleanup(silent.set)
        began = time.monotonic()
        told = hub.get("/proxy/p/", headers={"Raccord-Timeout": "500ms"})
        self.assertEqual(self.code(told), (504, "upstream_timeout"))
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        told = hub.post("/api/v1/connections/p/call", {"method": "GET", "path": "/", "timeout_ms": 300})
        self.assertEqual(self.code(told), (504, "upstream_timeout"))
        for wrong in ("soon", "0", "-1s"):
            self.assertEqual(self.code(hub.get("/proxy/p/", headers={"Raccord-Timeout": wrong})), (400, "input_invalid"), wrong)

    def test_each_phase_towards_the_provider_has_its_limit(self):
        release = threading.Event()
        self.addCleanup(release.set)
        def script(s, number):
            request = s.read_request()
            if b"/idle" in request.split(b"\r\n")[0]:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            if not release.wait(harness.DEADLINE):
                raise AssertionError("nobody hung up")
        hub = self.start(script, env={"RACCORD_TIMEOUTS_FIRST_BYTE": "400ms", "RACCORD_TIMEOUTS_IDLE": "400ms"})
        self.assertEqual(self.code(hub.get("/proxy/p/first")), (504, "upstream_timeout"))
        got = hub.raw(self.head(hub, "GET", "/proxy/p/idle"))
        self.assertTrue(got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"half"), got)  # cut off, and so never whole
        self.assertIn(b"Content-Length: 10", got)

    def test_retries_are_for_what_may_be_repeated_and_asked_for(self):
        def flaky(s, number):
            while s.read_request():
                s.sendall(harness.answer(b"busy", "503 Service Unavailable") if number < 2 else harness.answer(b"fine"))
        hub = self.start(flaky)
        self.assertEqual(hub.get("/proxy/p/", headers={"Raccord-Retries": "2"}).body, b"fine")
        self.assertEqual(len(self.provider.requests()), 3)
        self.assertNotIn("raccord-retries", "".join(self.provider.requests()).lower())

        once = {"Idempotency-Key": "k1"}
        rows = (("POST", "2", {}, "0", 1), ("POST", "2", once, "0", 3), ("PATCH", "1", once, "0", 2), ("PUT", "2", {}, "0", 3), ("GET", "0", {}, "0", 1),
                ("GET", None, {}, "0", 1), ("GET", "99", {}, "0", 3), ("GET", "2", {}, "3600", 1), ("GET", "2", {"Raccord-Timeout": "20s"}, "25", 1),
                ("GET", "1", {}, "Sun, 06 Nov 1994 08:49:37 GMT", 2), ("GET", "1", {}, "Thu, 01 Jan 2099 00:00:00 GMT", 1), ("GET", "1", {}, "soon", 2))
        for number, (method, wish, headers, after, tries) in enumerate(rows):
            with self.subTest(f"{method} {wish} {headers} {after}"):
                provider = self.upstream(lambda s, n: [s.sendall(harness.answer(b"busy", "503 Service Unavailable", headers=[f"Retry-After: {after}"]))
                                                       for _ in iter(s.read_request, b"")])
                hub.connection(f"r{number}", provider.url)
                told = hub.request(method, f"/proxy/r{number}/", b"x" if method != "GET" else None,
                                   headers={**headers, **({"Raccord-Retries": wish} if wish else {})})
                self.assertEqual((told.status, told.header("retry-after")), (503, after))
                self.assertEqual(len(provider.requests()), tries)
        self.assertEqual(self.code(hub.get("/proxy/p/", headers={"Raccord-Retries": "many"})), (400, "input_invalid"))

    def test_a_provider_that_is_down_is_left_alone_and_found_again(self):
        well = threading.Event()
        def script(s, number):
            for request in iter(s.read_request, b""):
                s.sendall(harness.answer(b"fine") if well.is_set() or b"/other" in request else harness.answer(b"down", "503 Service Unavailable"))
        hub = self.start(script, env={"RACCORD_TIMEOUTS_CIRCUIT": "300ms", "RACCORD_THREADS": "2"})
        hub.connection("q", self.provider.url)
        for _ in range(10):
            self.assertEqual(hub.get("/proxy/p/").body, b"down")
        reached = len(self.provider.requests())
        refused = hub.get("/proxy/p/other")
        self.assertEqual(self.code(refused), (503, "circuit_open"))
        self.assertIn("localhost", refused.json["detail"])
        self.assertEqual(hub.post("/api/v1/connections/p/call", {"method": "GET", "path": "/"}).json["code"], "circuit_open")
        self.assertEqual(len(self.provider.requests()), reached)
        self.assertEqual(hub.get("/proxy/q/other").body, b"fine")  # another connection is not judged by this one's calls
        self.assertIn("raccord_circuits_opened_total 1", hub.get("/metrics").body.decode())
        run = f"/api/v1/runs/{refused.header('raccord-run')}"
        self.assertEqual(self.eventually(lambda: hub.get(run).json.get("error")), "circuit_open")
        well.set()
        self.eventually(lambda: hub.get("/proxy/p/").body == b"fine")
        self.assertEqual({hub.get("/proxy/p/").body for _ in range(20)}, {b"fine"})

    def test_a_callers_hurry_does_not_open_a_circuit(self):
        release = threading.Event()
        self.addCleanup(release.set)
        hub = self.start(lambda s, n: [release.wait(harness.DEADLINE) and s.sendall(harness.answer(b"fine")) for _ in iter(s.read_request, b"")])
        for _ in range(12):
            self.assertEqual(self.code(hub.get("/proxy/p/", headers={"Raccord-Timeout": "20ms"})), (504, "upstream_timeout"))

    def test_a_body_that_must_be_changed_is_limited_and_has_a_form(self):
        hub = self.start([harness.answer(b"{}")], auth_type="custom_fields", credentials={"c": "s3cr3t"},
                         body={"client": "{{credentials.c}}"})
        def send(body, content_type, chunked=False):
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
            sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
            return hub.raw(self.head(hub, "POST", "/proxy/p/", framing, f"Content-Type: {content_type}", "Connection: close") + sent)
        for chunked in (False, True):
            self.assertIn(b" 200 ", send(b'{"n": 1.10}', "application/json", chunked)[:16])
            last = self.provider.received[-1].rsplit(b"\r\n\r\n", 1)[1]
            self.assertEqual(json.loads(last), {"n": 1.10, "client": "s3cr3t"})
            self.assertIn(b"1.10", last)
            self.assertIn(b"body_too_large", send(b'"' + b"x" * 2 * MIB + b'"', "application/json", chunked))
            self.assertIn(b"unsupported_media_type", send(b"<a/>", "application/xml", chunked))
            self.assertIn(b"json_invalid", send(b"{", "application/json", chunked))
            self.assertIn(b"input_invalid", send(b"[]", "application/json", chunked))


class UnderLoad(Case):
    def test_callers_side_by_side_get_their_own_answers(self):
        """Also what the thread sanitizer watches: two loops, workers, the recorder and /metrics at once."""
        def script(s, number):
            while True:
                request = s.read_request()
                if not request:
                    return
                s.sendall(harness.answer(request.split(b" ")[1]))
        hub = self.start(script, env={"RACCORD_THREADS": "2"})
        until = time.monotonic() + 3

        def proxied(n):
            c, done = hub.connect(), 0
            while time.monotonic() < until:
                told = hub.get(f"/proxy/p/{n}-{done}", connection=c)
                self.assertEqual((told.status, told.body), (200, f"/{n}-{done}".encode()))
                done += 1
            c.close()
            return done

        def buffered(n):
            done = 0
            while time.monotonic() < until:
                told = hub.post("/api/v1/connections/p/call", {"method": "GET", "path": f"/{n}-{done}"})
                self.assertEqual(told.status, 200, told)
                hub.get("/metrics")
                done += 1
            return done

        def leaving(n):
            while time.monotonic() < until:
                with socket.create_connection((hub.host, hub.port)) as s:
                    s.sendall(self.head(hub, "GET", f"/proxy/p/{n}"))
            return 1

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(lambda job: job[0](job[1]), [(proxied, n) for n in range(4)] + [(buffered, 4), (buffered, 5), (leaving, 6)]))
        self.assertGreater(min(counts), 0)

    def test_a_cold_start_asks_once_for_all_callers(self):
        """One worker, room for one more question: two hundred callers of a connection that nobody has used yet are all served."""
        def script(s, number):
            for _ in iter(s.read_request, b""):
                s.sendall(harness.answer(b"{}"))
        hub = self.start(script, env={"RACCORD_THREADS": "1", "RACCORD_LIMITS_WORKERS": "1", "RACCORD_LIMITS_WORKER_QUEUE": "1"})
        callers = [socket.create_connection((hub.host, hub.port)) for _ in range(200)]
        for s in callers:
            s.sendall(self.head(hub, "GET", "/proxy/p/", "Connection: close"))
        told = [read_some(s, lambda got: b"\r\n" in got).split(b"\r\n")[0] for s in callers]
        for s in callers:
            s.close()
        self.assertEqual(set(told), {b"HTTP/1.1 200 OK"})
