"""What the kernel is asked: by whom connections are made, and what happens when there is no randomness."""
import http.client
import os
import re
import signal
import subprocess

import harness


class Randomness(harness.Case):
    def under(self, inject, data):
        """The hub with a system call that fails: (exit code, output); it must end by itself."""
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=getrandom", "-e", "inject=getrandom:" + inject,
                   harness.binary(), "serve", "--listen", "127.0.0.1:0", "--data", data]
        told = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=harness.DEADLINE,
                              env=harness.environment(ASAN_OPTIONS="detect_leaks=0"), encoding="utf-8", errors="replace", check=False)
        return told.returncode, told.stdout

    def test_without_random_bytes_there_is_no_hub(self):
        """Requirement 12.12: no other source is taken instead, and what exists already is left as it is."""
        code, said = self.under("error=ENOSYS", self.path("new"))
        self.assertNotEqual(code, 0, said)
        self.assertNotIn("listening:", said)
        self.assertIn("random", said)
        self.assertFalse(os.path.exists(self.path("new/master.key")))
        hub = self.hub()
        hub.connection("p", "https://example.com")
        hub.stop()
        code, said = self.under("error=EIO", hub.data)
        self.assertNotEqual(code, 0, said)
        self.assertNotIn("listening:", said)
        hub.start()
        self.assertEqual(hub.get("/api/v1/connections/p").status, 200)

    def test_a_hub_that_is_given_no_more_random_bytes_ends(self):
        """And does not go on with keys that somebody could foresee; nothing of what it had acknowledged is lost."""
        hub = self.hub()
        hub.connection("p", "https://example.com")
        with subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-e", "trace=getrandom", "-e", "inject=getrandom:error=ENOSYS", "-p",
                               str(hub.process.pid)], stderr=subprocess.PIPE, text=True) as tracer:
            self.assertIn("attached", tracer.stderr.readline())
            with self.assertRaises((OSError, http.client.HTTPException)):
                hub.connection("q", "https://example.com")
            self.assertEqual(hub.process.wait(harness.DEADLINE), -signal.SIGABRT)
        self.assertIn("bug: the system gives no random bytes", hub.log())
        with open(hub.errors, "w", encoding="ascii"):
            pass  # what is looked for in there at the end was wanted
        hub.kill()
        hub.start()
        self.assertEqual([c["key"] for c in hub.get("/api/v1/connections").json["items"]], ["p"])


class OneDoor(harness.Case):
    def test_connections_are_made_in_one_place(self):
        """Requirement 3.11: the egress guard stands before connect(), so only one object may call it."""
        build = os.path.realpath(os.path.join(os.path.dirname(harness.binary()), "..", ".."))
        objects = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(build, "src")) for name in names if name.endswith(".o")]
        self.assertGreater(len(objects), 100)
        wanted = re.compile(r"^\s+U (connect|sendto|BIO_new_connect|BIO_connect|curl_\w+|uv_tcp_connect|uv_udp_\w+)\b", re.M)
        told = subprocess.run(["nm", "-A", "-u", *objects], capture_output=True, text=True, check=True).stdout
        callers = {os.path.basename(line.split(":")[0]) for line in told.splitlines() if wanted.search("\n" + line.split(":", 1)[1])}
        self.assertEqual(callers, {"upstream_dial.c.o"})
