"""The hub's own listener over TLS: versions, and a certificate that changes while it is served (requirement 7.3)."""
import os
import signal
import socket
import ssl
import threading
import unittest

import harness

RELOADS = 50
REQUESTS = 10000


class Listener(harness.Case):
    def start(self):
        self.authority = self.pki()
        self.paths = self.path("listener.pem"), self.path("listener.key")
        self.put("first")
        return self.hub(env={"RACCORD_TLS_CERTIFICATE": self.paths[0], "RACCORD_TLS_KEY": self.paths[1]})

    def put(self, name):
        """A certificate of that name in the place of the one before, each file at once."""
        for new, place in zip(self.authority.issue(name), self.paths):
            os.replace(new, place)

    def trusting(self, **more):
        context = ssl.create_default_context(cafile=self.authority.ca)
        for name, value in more.items():
            setattr(context, name, value)
        return context

    def served(self, hub):
        """The common name that a new connection is shown."""
        with socket.create_connection((hub.host, hub.port), harness.DEADLINE) as s:
            with self.trusting().wrap_socket(s, server_hostname="localhost") as t:
                return dict(pair[0] for pair in t.getpeercert()["subject"])["commonName"]

    def reload(self, hub, line, before):
        hub.process.send_signal(signal.SIGHUP)
        deadline = harness.Deadline()
        while hub.log().count(line) <= before:
            self.assertTrue(deadline.left(), hub.log())
            threading.Event().wait(0.005)  # the log is a file: nothing tells when it grows

    def test_fifty_reloads_drop_no_request(self):
        hub = self.start()
        hub.admin
        done, failures, answered, counted = threading.Event(), [], [0], threading.Condition()

        def ask(kept):
            connection = None
            while not done.is_set():
                try:
                    connection = connection if kept and connection else hub.connect()
                    if hub.get("/healthz", token="", connection=connection).status != 200:
                        failures.append("status")
                    with counted:
                        answered[0] += 1
                        counted.notify()
                except Exception as e:  # whatever it is, it is a failed request
                    failures.append(repr(e))
                    connection = None
                if not kept and connection:
                    connection.close()

        askers = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(4)]
        for t in askers:
            t.start()
        certificates = [self.authority.issue(f"number-{i}") for i in range(2)]
        for i in range(RELOADS):
            for new, place in zip(certificates[i % 2], self.paths):
                os.link(new, place + ".new")
                os.replace(place + ".new", place)
            self.reload(hub, "certificate of the listener read again", i)
            with counted:  # so that the reloads are spread over the requests
                counted.wait_for(lambda: failures or answered[0] >= REQUESTS * (i + 1) // RELOADS, harness.DEADLINE)
        done.set()
        for t in askers:
            t.join()
        self.assertEqual(failures, [])
        self.assertGreaterEqual(answered[0], REQUESTS)
        self.assertEqual(self.served(hub), f"number-{(RELOADS - 1) % 2}")

    def test_a_bad_new_certificate_leaves_the_old_one(self):
        hub = self.start()
        for i, damage in enumerate((lambda: self.file("listener.pem", "no certificate"), lambda: self.put_mismatch())):
            damage()
            self.reload(hub, "the old one is served on", i)
            self.assertEqual(self.served(hub), "first")
        self.put("second")
        self.reload(hub, "certificate of the listener read again", 0)
        self.assertEqual(self.served(hub), "second")

    def put_mismatch(self):
        os.replace(self.authority.issue("stranger")[0], self.paths[0])

    def test_a_hub_without_a_certificate_ends_with_its_terminal(self):
        hub = self.hub()
        self.assertEqual(hub.stop(signal.SIGHUP), 0)

    def test_only_tls_1_2_and_1_3_with_ephemeral_keys_are_spoken(self):
        hub = self.start()
        for version, spoken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
            context = self.trusting()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            self.assertEqual(self.handshake(hub, context), spoken, version)
        for ciphers, spoken in (("kRSA:@SECLEVEL=0", False), ("ECDHE+AES+SHA1:@SECLEVEL=0", False), ("ECDHE+AESGCM", True)):
            context = self.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(ciphers)
            self.assertEqual(self.handshake(hub, context), spoken, ciphers)

    def handshake(self, hub, context):
        with socket.create_connection((hub.host, hub.port), harness.DEADLINE) as s:
            try:
                context.wrap_socket(s, server_hostname="localhost").close()
                return True
            except (ssl.SSLError, ConnectionResetError):
                return False


if __name__ == "__main__":
    unittest.main()
