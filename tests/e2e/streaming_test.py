"""Bodies of any size pass through with the same bytes and the same memory."""
import hashlib
import random
import re
import socket
import threading
import time

import harness

MIB = 1024 * 1024
GROWTH_KIB = 32 * 1024
BLOCK = random.Random(7).randbytes(MIB + 17)  # no power of two: a piece lost, doubled or moved changes the sum
# The sanitizer keeps freed memory in quarantine and would be counted as growth of the hub.
QUIET = "halt_on_error=1:quarantine_size_mb=4:malloc_context_size=2"


def pieces(size):
    left = size
    while left:
        piece = memoryview(BLOCK)[:min(left, len(BLOCK))]
        yield piece
        left -= len(piece)


def sum_of(size):
    h = hashlib.sha256()
    for piece in pieces(size):
        h.update(piece)
    return h.hexdigest()


def receive(s, size, already=b""):
    """Sum and count of what comes, until `size` bytes or the end."""
    h, count, buffer = hashlib.sha256(already), len(already), bytearray(512 * 1024)
    view = memoryview(buffer)
    while count < size:
        n = s.recv_into(buffer)
        if not n:
            break
        h.update(view[:n])
        count += n
    return h.hexdigest(), count


def read_head(s):
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(4096)
        if not more:
            raise AssertionError(f"no head: {got!r}")
        got += more
    head, rest = got.split(b"\r\n\r\n", 1)
    return head.decode("latin-1"), rest


class Memory:
    """How far the hub's resident memory rises above where it stood."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self.read("VmRSS")
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")  # the high-water mark starts anew

    def read(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(rf"^{name}:\s+(\d+) kB", f.read(), re.M).group(1))

    def growth(self):
        return self.read("VmHWM") - self.before


class Store:
    """A provider that only knows big bodies: GET /<size> sends them, POST sums them up. Counts what it has sent and received."""

    def __init__(self):
        self.sent = self.received = 0
        self.may_read = threading.Event()
        self.may_read.set()

    def serve(self, s, number):
        raw = s.socket
        while True:
            try:
                head, rest = read_head(raw)
            except AssertionError:
                return
            method, target = head.split(" ")[:2]
            if method == "GET":
                self.send(raw, int(target.rsplit("/", 1)[1]), chunked="chunked" in target)
            else:
                self.take(raw, head, rest)

    def send(self, raw, size, chunked):
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        raw.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" + framing + b"\r\n\r\n")
        for piece in pieces(size):
            if chunked:
                raw.sendall(b"%x\r\n" % len(piece))
            at = 0
            while at < len(piece):
                n = raw.send(piece[at:at + 256 * 1024])
                at += n
                self.sent += n
            if chunked:
                raw.sendall(b"\r\n")
        if chunked:
            raw.sendall(b"0\r\n\r\n")

    def take(self, raw, head, rest):
        size = int(re.search(r"^content-length: (\d+)", head, re.M | re.I).group(1))
        h, self.received, buffer = hashlib.sha256(rest), len(rest), bytearray(512 * 1024)
        while self.received < size:
            self.may_read.wait(harness.DEADLINE)
            n = raw.recv_into(buffer)
            if not n:
                return
            h.update(memoryview(buffer)[:n])
            self.received += n
        raw.sendall(harness.answer(h.hexdigest().encode(), content_type="text/plain"))


class Case(harness.Case):
    def start(self, store, **settings):
        upstream = self.upstream(store.serve)
        env = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost", "ASAN_OPTIONS": QUIET,
               "RACCORD_TIMEOUTS_TOTAL": "0", "RACCORD_TIMEOUTS_CLIENT_TOTAL": "10m", "RACCORD_THREADS": "1"}
        hub = self.hub(env=dict(env, **settings))
        hub.connection("big", upstream.url)
        return hub

    def open(self, hub, method, path, *headers, size=None):
        s = socket.create_connection((hub.host, hub.port), timeout=harness.DEADLINE)
        self.addCleanup(s.close)
        lines = [f"{method} /proxy/big{path} HTTP/1.1", "Host: hub.test", f"Authorization: Bearer {hub.admin}", *headers]
        if size is not None:
            lines.append(f"Content-Length: {size}")
        s.sendall("\r\n".join([*lines, "", ""]).encode())
        return s

    def download(self, hub, size):
        s = self.open(hub, "GET", f"/{size}")
        head, rest = read_head(s)
        self.assertTrue(head.startswith("HTTP/1.1 200 "), head)
        got = receive(s, size, rest)
        s.close()
        return got

    def upload(self, hub, size):
        s = self.open(hub, "POST", "/", size=size)
        for piece in pieces(size):
            s.sendall(piece)
        head, rest = read_head(s)
        self.assertTrue(head.startswith("HTTP/1.1 200 "), head)
        while len(rest) < 64:
            rest += s.recv(64)
        s.close()
        return rest.decode()

    def measured(self, name, size, began, memory):
        rate = size / MIB / (time.monotonic() - began)
        print(f"# {name}: {size // MIB} MiB at {rate:.0f} MiB/s, resident memory +{memory.growth() // 1024} MiB", flush=True)


class AGibibyte(Case):
    def test_down_and_up_without_growing(self):
        store = Store()
        hub = self.start(store)
        self.download(hub, 8 * MIB)  # what is allocated once is allocated now
        self.upload(hub, 8 * MIB)
        size = 1024 * MIB
        wanted = sum_of(size)
        memory, began = Memory(hub.process.pid), time.monotonic()
        self.assertEqual(self.download(hub, size), (wanted, size))
        self.measured("down", size, began, memory)
        self.assertLess(memory.growth(), GROWTH_KIB)
        began = time.monotonic()
        self.assertEqual(self.upload(hub, size), wanted)
        self.measured("up", size, began, memory)
        self.assertLess(memory.growth(), GROWTH_KIB)

    def test_chunks_too(self):
        hub = self.start(Store())
        self.download(hub, 8 * MIB)
        size, line, h, count = 128 * MIB, hub.connect(), hashlib.sha256(), 0
        memory = Memory(hub.process.pid)
        line.request("GET", f"/proxy/big/chunked/{size}", headers={"Authorization": f"Bearer {hub.admin}"})
        said = line.getresponse()
        self.assertEqual((said.status, said.getheader("transfer-encoding")), (200, "chunked"))
        while piece := said.read(256 * 1024):
            h.update(piece)
            count += len(piece)
        line.close()
        self.assertEqual((h.hexdigest(), count), (sum_of(size), size))
        self.assertLess(memory.growth(), GROWTH_KIB)

    def test_over_tls_too(self):
        store = Store()
        pki = self.pki()
        certificate, key = pki.issue()
        upstream = harness.Upstream(store.serve)
        self.addCleanup(upstream.close)
        provider = self.nginx(f"""
    server {{
        listen 127.0.0.1:{{port}} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        client_max_body_size 0;
        location / {{
            proxy_pass http://127.0.0.1:{upstream.port};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}""")
        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_CA_FILE": pki.ca, "ASAN_OPTIONS": QUIET,
                            "RACCORD_THREADS": "1", "RACCORD_TIMEOUTS_TOTAL": "0"})
        hub.connection("big", f"https://localhost:{provider.port}")
        self.download(hub, 8 * MIB)
        self.upload(hub, 8 * MIB)
        size = 256 * MIB
        wanted = sum_of(size)
        memory, began = Memory(hub.process.pid), time.monotonic()
        self.assertEqual(self.download(hub, size), (wanted, size))
        self.measured("down over TLS", size, began, memory)
        began = time.monotonic()
        self.assertEqual(self.upload(hub, size), wanted)
        self.measured("up over TLS", size, began, memory)
        self.assertLess(memory.growth(), GROWTH_KIB)


class SlowOnes(Case):
    SIZE = 96 * MIB
    HELD = 48 * MIB  # far more than the sockets of three programs hold between them, far less than the whole

    def stalled(self, count):
        """Waits until count() stands still, and answers it."""
        deadline, last, since = harness.Deadline(), count(), time.monotonic()
        while deadline.left():
            threading.Event().wait(0.05)
            now = count()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 0.7 and now:
                return now
        raise AssertionError("it never stood still")

    def test_a_slow_caller_holds_the_provider_back(self):
        store = Store()
        hub = self.start(store)
        self.download(hub, 8 * MIB)
        store.sent = 0
        memory = Memory(hub.process.pid)
        s = self.open(hub, "GET", f"/{self.SIZE}")
        head, rest = read_head(s)
        held = self.stalled(lambda: store.sent)
        self.assertLess(held, self.HELD)
        self.assertLess(memory.growth(), GROWTH_KIB)
        other = hub.get("/proxy/big/1024")  # the same loop serves others meanwhile
        self.assertEqual((other.status, len(other.body)), (200, 1024))
        self.assertEqual(receive(s, self.SIZE, rest), (sum_of(self.SIZE), self.SIZE))
        self.assertLess(memory.growth(), GROWTH_KIB)

    def test_a_slow_provider_holds_the_caller_back(self):
        store = Store()
        hub = self.start(store)
        self.upload(hub, 8 * MIB)
        store.may_read.clear()
        memory = Memory(hub.process.pid)
        s = self.open(hub, "POST", "/", size=self.SIZE)
        progress = [0]

        def send():
            for piece in pieces(self.SIZE):
                at = 0
                while at < len(piece):
                    n = s.send(piece[at:at + 256 * 1024])
                    at += n
                    progress[0] += n

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        held = self.stalled(lambda: progress[0])
        self.assertLess(held, self.HELD)
        self.assertLess(memory.growth(), GROWTH_KIB)
        store.may_read.set()
        thread.join(harness.DEADLINE)
        head, rest = read_head(s)
        while len(rest) < 64:
            rest += s.recv(64)
        self.assertEqual(rest.decode(), sum_of(self.SIZE))

    def test_a_caller_who_leaves_ends_the_providers_work(self):
        store = Store()
        hub = self.start(store)
        s = self.open(hub, "GET", f"/{1024 * MIB}")
        read_head(s)
        s.close()
        self.stalled(lambda: store.sent)
        deadline = harness.Deadline()
        while deadline.left():
            runs = hub.get("/api/v1/runs?limit=1").json["items"]
            if runs and runs[0]["outcome"] == "cancelled":
                break
            threading.Event().wait(0.05)
        self.assertEqual(runs[0]["outcome"], "cancelled")
        self.assertLess(store.sent, 1024 * MIB)
        self.assertEqual(hub.get("/proxy/big/10").body, bytes(BLOCK[:10]))

    def test_half_an_answer_never_looks_whole(self):
        def cut(s, number):
            s.read_request()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)

        def cut_chunked(s, number):
            s.read_request()
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"c350\r\n" + b"x" * 50000 + b"\r\n")

        hub = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"})
        for key, script in (("cut", cut), ("chunked", cut_chunked)):
            hub.connection(key, self.upstream(script).url)
            head = f"GET /proxy/{key}/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {hub.admin}\r\n\r\n"
            got = hub.raw(head.encode())
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got[:200])
            self.assertFalse(got.endswith(b"0\r\n\r\n"))
            self.assertLess(len(got), 100000)
            told = hub.post(f"/api/v1/connections/{key}/call", {"method": "GET", "path": "/"})
            self.assertEqual((told.status, told.json["code"]), (502, "upstream_closed"))
