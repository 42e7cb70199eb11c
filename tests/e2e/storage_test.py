"""When the disk is full, or what is on it is damaged: what can go on goes on, and what cannot says so."""
import base64
import os
import random
import shutil
import sqlite3
import subprocess
import time
import unittest.mock

import harness

PLAIN = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"}
CANARY = "cAnArY-of-storage-6a10"


def echo(s, _):
    while request := s.read_request():
        said = next((l[15:] for l in request.decode().split("\r\n") if l.lower().startswith("authorization: ")), "")
        s.sendall(harness.answer(f'{{"said":"{said}"}}'.encode()))


@harness.embedded
class SmallDisk(harness.Case):
    """A file system of a few MiB, in a mount namespace of its own; everything of the hub runs in there."""

    SIZE = "6M"

    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        enter = f'mount -t tmpfs -o size={self.SIZE},mode=0755 tmpfs "{self.disk}" && echo mounted && exec cat'
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", enter], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.leave)
        if self.holder.stdout.readline().strip() != "mounted":
            self.skipTest(f"no mount namespace can be made here: {self.holder.stderr.read().strip()}")
        wrapper = self.file("in-there", f'#!/bin/sh\nexec nsenter -t {self.holder.pid} -U -m --preserve-credentials '
                                        f'"{harness.binary()}" "$@"\n', 0o755)
        patch = unittest.mock.patch.object(harness, "binary", lambda: wrapper)
        patch.start()
        self.addCleanup(patch.stop)
        self.outside = f"/proc/{self.holder.pid}/root{self.disk}"

    def leave(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()

    def fill(self):
        """To the last byte."""
        with open(self.outside + "/filler", "ab", buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def test_a_full_disk_stops_writes_and_nothing_else_and_room_brings_them_back(self):
        provider = self.upstream(echo)
        hub = self.hub(data=self.disk + "/data", env=dict(PLAIN, RACCORD_THREADS="1"))  # its log is outside the disk
        hub.connection("crm", provider.url, credentials={"token": CANARY})
        self.assertEqual(hub.get("/proxy/crm/").json["said"], "Bearer " + CANARY)
        made = []
        for round_ in range(2):
            self.fill()
            refused = None
            for n in range(2000):
                said = hub.post("/api/v1/connections", {
                    "connector": "http", "auth_type": "bearer", "key": f"c{round_}-{n}", "name": "n", "folder": "shared",
                    "fields": {"base_url": provider.url}, "credentials": {"token": CANARY}})
                if said.status != 201:
                    refused = said
                    break
                made.append(f"c{round_}-{n}")
            self.assertIsNotNone(refused, "the disk was never full")
            self.assertIn((refused.status, refused.json["code"]), ((507, "storage_full"), (503, "store_failed")), refused)
            self.assertEqual(refused.json["code"], "storage_full", refused)
            # Reading, calling and health go on.
            for _ in range(30):
                self.assertEqual(hub.get("/proxy/crm/").json["said"], "Bearer " + CANARY)
            self.assertEqual(hub.get("/api/v1/connections/crm").status, 200)
            self.assertEqual(hub.get("/healthz").status, 200)
            ready = hub.get("/readyz")
            self.assertEqual(ready.status, 503)
            self.assertIn("storage_full", [r["code"] for r in ready.json["reasons"]])
            self.assertEqual(hub.request("PATCH", "/api/v1/connections/crm", {"notes": "lost"}).json["code"], "storage_full")

            os.unlink(self.outside + "/filler")
            began = time.monotonic()
            while hub.request("PATCH", "/api/v1/connections/crm", {"notes": f"kept {round_}"}).status != 200:
                self.assertLess(time.monotonic() - began, 10, hub.log())
            while hub.get("/readyz").status != 200:
                self.assertLess(time.monotonic() - began, 10, hub.log())
        self.assertEqual(hub.stop(), 0)
        copy = self.path("copy.db")
        shutil.copy(self.outside + "/data/raccord.db", copy)
        with sqlite3.connect(copy) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            there = {row[0] for row in db.execute("SELECT key FROM connection")}
            self.assertEqual(there, {"crm", *made})
            self.assertEqual(db.execute("SELECT notes FROM connection WHERE key = 'crm'").fetchone(), ("kept 1",))


@harness.embedded
class Damage(harness.Case):
    ROUNDS, FLIPS, CONNECTIONS = 20, 15, 60

    def test_flipped_bytes_stop_what_stands_on_them_and_the_hub_says_so(self):
        chance = random.Random()
        seed = int(os.environ.get("SEED", chance.randrange(1 << 32)))
        chance.seed(seed)
        rounds = int(os.environ.get("ROUNDS", self.ROUNDS))
        provider = self.upstream(echo)
        hub = self.hub(env=dict(PLAIN, RACCORD_THREADS="1"))
        keys = [f"c{n}" for n in range(self.CONNECTIONS)]
        for key in keys:
            hub.connection(key, provider.url, credentials={"token": f"{CANARY}-{key}"})
        hub.admin
        hub.stop()
        with open(hub.data + "/raccord.db", "rb") as f:
            sound = f.read()
        refused = worked = failed = astray = 0
        whole = {f"{CANARY}-{key}" for key in keys}
        for n in range(rounds):
            when = f"round {n}, seed {seed}\n{hub.log()[-3000:]}"
            damaged = bytearray(sound)
            for _ in range(self.FLIPS):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            for name in os.listdir(hub.data):
                if name.startswith("raccord.db"):
                    os.unlink(f"{hub.data}/{name}")
            with open(hub.data + "/raccord.db", "wb") as f:
                f.write(damaged)
            os.chmod(hub.data + "/raccord.db", 0o600)
            try:
                hub.start()
            except AssertionError:  # the schema or the ring itself: it says so, and does not start
                ended = harness.run("serve", "--data", hub.data, "--listen", "127.0.0.1:0", env=PLAIN)
                self.assertEqual(ended.code, 1, f"{when}{ended}")
                self.assertRegex(ended.err, r"\((store_failed|store_damaged|crypto_failed|key_wrong|internal)", when)
                refused += 1
                continue
            line = hub.connect()
            for key in keys:
                said = hub.get(f"/proxy/{key}/", connection=line)
                if said.status == 200:
                    # Whole, or not at all. Keys are not sealed: a flipped letter gives a connection another one's name.
                    self.assertIn(said.json["said"].split()[-1], whole, f"{key}: {when}")
                    astray += not said.json["said"].endswith(f"{CANARY}-{key}")
                    worked += 1
                else:
                    self.assertIn("code", said.json, when)
                    self.assertNotIn(CANARY, said.text, when)
                    failed += 1
                if line.sock is None:
                    line = hub.connect()
            line.close()
            self.assertIsNone(hub.process.poll(), f"it died: {when}")
            self.assertEqual(hub.stop(), 0, when)
        print(f"# {rounds * self.FLIPS} bits flipped: {worked} calls worked, {failed} did not, {refused} starts refused", flush=True)
        self.assertGreater(worked, failed)
        self.assertLessEqual(astray, rounds)
        self.assertLess(refused, rounds)
