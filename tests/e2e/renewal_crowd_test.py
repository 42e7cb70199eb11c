"""Many callers at a person's expired token, on all loops of the real hub: one request at the server that rotates, no failed call; and what a
stop in the middle of a renewal does (requirements 10.1, 10.7, 10.9)."""
import resource
import select
import signal
import socket
import sys
import threading

import harness
from person import Person

ECHO = """
    server {
        listen 127.0.0.1:{port} backlog=16384;
        keepalive_timeout 0;
        location / { default_type text/plain; return 200 "$http_authorization"; }
    }
"""


class Crowd:
    """So many callers, each with a socket of its own; whole() when each has its answer."""

    def __init__(self, case, hub, path, count, token=None):
        self.epoll = select.epoll()
        self.answers, self.open = {}, {}
        self.each = lambda: None  # called when one of them has its answer
        case.addCleanup(self.close)
        self.request = (f"GET {path} HTTP/1.1\r\nHost: {hub.host}:{hub.port}\r\nAuthorization: Bearer {token or hub.admin}\r\n"
                        "Connection: close\r\n\r\n").encode()
        for _ in range(count):
            s = socket.create_connection((hub.host, hub.port), timeout=harness.DEADLINE)
            s.sendall(self.request)
            s.setblocking(False)
            self.epoll.register(s, select.EPOLLIN)
            self.open[s.fileno()] = s
            self.answers[s.fileno()] = b""

    def close(self):
        for s in self.open.values():
            s.close()
        self.epoll.close()

    def whole(self):
        """[(status, body)]"""
        deadline = harness.Deadline(120)
        done = []
        while self.open:
            if not deadline.left():
                raise AssertionError(f"{len(self.open)} callers wait for ever, {len(done)} do not")
            for fd, _ in self.epoll.poll(1, 1024):
                got = self._recv(fd)
                self.answers[fd] += got or b""
                if got != b"":
                    continue
                self.epoll.unregister(fd)
                self.open.pop(fd).close()
                self.each()
                head, _, body = self.answers.pop(fd).partition(b"\r\n\r\n")
                done.append((head.split(b" ")[1] if head else b"", body))
        return done

    def _recv(self, fd):
        """None: nothing yet."""
        try:
            return self.open[fd].recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""


class Expired(Person):
    environment = {"RACCORD_RENEWALS_THREADS": "8", "RACCORD_THREADS": "4"}

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = min(hard, 24_000) if hard != resource.RLIM_INFINITY else 24_000
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit, hard))  # for nginx, too
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUp()

    def api(self):
        self.echo = self.nginx(ECHO, connections=self.callers())
        return f"http://localhost:{self.echo.port}"

    def works(self):
        called = self.hub1.get("/proxy/crm/x")
        self.assertEqual(called.status, 200, called)
        return called.body

    def callers(self):
        """Each takes two descriptors of the hub's."""
        return min(10_000, (self.limit - 1000) // 2)

    def test_ten_thousand_callers_are_one_request_and_none_fails(self):
        old = self.works()
        self.let_end()
        self.control("/_faults", {"kind": "hold", "n": 1})
        asked = self.asked()
        crowd = Crowd(self, self.hub1, "/proxy/crm/x", self.callers())
        self.asks(asked + 1)
        self.control("/_release")
        answers = crowd.whole()
        self.assertEqual(len(answers), self.callers())
        seen = {}
        for answer in answers:
            seen[answer] = seen.get(answer, 0) + 1
        self.assertEqual(set(status for status, _ in seen), {b"200"}, list(seen.items())[:5])
        self.assertEqual(len(seen), 1)  # all of them with the same token
        self.assertNotIn(old, [body for _, body in seen])
        self.assertEqual(self.asked(), asked + 1)
        self.assertEqual(self.hub1.post("/api/v1/connections/crm/renew").status, 200)  # the family is alive
        if self.callers() < 10_000:
            print(f"{self.callers()} callers: more descriptors are not allowed here", file=sys.stderr)


class Stopped(Person):
    def me(self):
        return self.hub1.get("/proxy/crm/me")

    def ask_me(self):
        """A call of which nothing but the request is there."""
        line = self.hub1.connect()
        line.request("GET", "/proxy/crm/me", headers={"Authorization": f"Bearer {self.hub1.admin}"})
        return line

    def stopping(self):
        """The process, which has heard that it is to stop."""
        process, stops = self.hub1.process, self.hub1.log().count("stopping")
        process.send_signal(signal.SIGTERM)
        self.until_log("stopping", stops + 1)
        return process

    def test_a_stop_in_the_middle_of_a_renewal_waits_for_its_answer_and_keeps_it(self):
        self.let_end()
        asked, generation = self.asked(), self.grant()["generation"]
        let_go = self.under_way(self.me)
        process = self.stopping()
        said = let_go()
        self.assertEqual(process.wait(harness.DEADLINE), 0)
        self.assertEqual((said.status, said.json["sub"]), (200, "alice"), said)
        self.restart()
        self.assertEqual((self.grant()["generation"], self.grant()["state"]), (generation + 1, "good"))
        self.works()
        self.assertEqual(self.asked(), asked + 1)

    def test_a_second_signal_does_not_hurry_a_renewal(self):
        self.let_end()
        asked, generation = self.asked(), self.grant()["generation"]
        let_go = self.under_way(self.ask_me)
        process = self.stopping()
        process.send_signal(signal.SIGINT)
        line = let_go()
        self.assertEqual(process.wait(harness.DEADLINE), 0)
        line.close()
        self.restart()
        self.assertEqual((self.grant()["generation"], self.asked()), (generation + 1, asked + 1))
        self.works()

    def test_a_hub_that_is_sealed_in_the_middle_of_a_renewal_has_its_answer_after_the_restart(self):
        asked, generation = self.asked(), self.grant()["generation"]
        let_go = self.under_way(self.renew)
        self.hub1.process.send_signal(signal.SIGUSR1)
        self.until_log("sealed", 1)
        let_go()
        self.until_log("new tokens were not kept", 1)
        self.control("/_expire")
        self.restart()
        self.assertEqual((self.grant()["generation"], self.asked()), (generation + 1, asked + 1))
        self.works()

    def test_a_renewal_whose_caller_left_comes_to_its_end(self):
        self.let_end()
        asked, generation, lines = self.asked(), self.grant()["generation"], []
        let_go = self.under_way(lambda: lines.append(self.ask_me()))
        lines[0].close()
        let_go()
        self.until("kept", lambda: self.grant()["generation"] == generation + 1)
        self.works()
        self.assertEqual(self.asked(), asked + 1)


class Reconsidered(Person):
    environment = {"RACCORD_RENEWALS_THREADS": "1", "RACCORD_THREADS": "1"}

    def test_a_caller_that_waits_while_tokens_change_goes_on_and_one_whose_token_is_revoked_does_not(self):
        made = [self.hub1.post("/api/v1/tokens", {"name": name, "role": "editor"}).json for name in ("stays", "goes")]
        self.let_end()
        self.control("/_faults", {"kind": "hold", "n": 1})
        asked, said = self.asked(), {}

        def call(token):
            said[token["id"]] = self.hub1.get("/proxy/crm/me", token=token["secret"])
        callers = [threading.Thread(target=call, args=(token,)) for token in made]
        for caller in callers:
            caller.start()
        self.asks(asked + 1)
        self.assertEqual(self.hub1.request("DELETE", f"/api/v1/tokens/{made[1]['id']}").status, 204)
        callers[1].join(harness.DEADLINE)  # within a second it is asked anew who may
        self.assertEqual(said[made[1]["id"]].status, 401)
        late = self.hub1.get("/proxy/crm/me", token=made[0]["secret"], headers={"Raccord-Timeout": "100ms"})
        self.assertEqual(late.header("raccord-error"), "upstream_timeout")  # nothing remembers the rights of before any more
        self.control("/_release")
        callers[0].join(harness.DEADLINE)
        self.assertEqual((said[made[0]["id"]].status, said[made[0]["id"]].json["sub"]), (200, "alice"))
