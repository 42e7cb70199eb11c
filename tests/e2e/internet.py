"""An Internet of one's own: a network namespace in which every address there is, of either family, leads to this machine.

So the hub runs with its real rules and no exemption for tests, and a trap that listens on all addresses sees whoever comes, wherever
they wanted to go. Names are answered by dnsmasq; those under flip.test by the test itself, query by query. Needs root; without it the
tests are left out, and say so.
"""
import ctypes
import os
import selectors
import shutil
import socket
import struct
import subprocess
import threading

import harness

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
HOME = "93.184.215.14"  # the provider
HOME6 = "2606:2800:21f:cb07::14"
ELSEWHERE = "93.184.215.66"  # every name that nobody has written down

HOSTS = {
    "api.example.com": [HOME], "sub.example.com": [HOME], "example.com": [HOME], "api6.example.com": [HOME6],
    "api.github.com": [HOME], "api.openai.com": [HOME], "slack.com": [HOME], "api.stripe.com": [HOME], "acme.zendesk.com": [HOME],
    "acme.atlassian.net": [HOME], "acme.service-now.com": [HOME], "acme.myshopify.com": [HOME], "acme.my.salesforce.com": [HOME],
    "login.salesforce.com": [HOME], "acme.crm4.dynamics.com": [HOME], "login.microsoftonline.com": [HOME], "graph.microsoft.com": [HOME],
    "api.mypurecloud.ie": [HOME], "login.mypurecloud.ie": [HOME], "bigquery.googleapis.com": [HOME], "admin.googleapis.com": [HOME],
    "oauth2.googleapis.com": [HOME], "lambda.eu-west-3.amazonaws.com": [HOME], "sts.eu-west-3.amazonaws.com": [HOME],
    "loop.test": ["127.0.0.1"], "loop2.test": ["127.1.2.3"], "loop6.test": ["::1"], "private.test": ["10.0.0.5"],
    "private172.test": ["172.16.0.1"],
    "private192.test": ["192.168.1.1"], "linklocal.test": ["169.254.7.7"], "meta.test": ["169.254.169.254"],
    "meta6.test": ["fd00:ec2::254"],
    "meta-other.test": ["100.100.100.200"], "shared.test": ["100.64.0.1"], "bench.test": ["198.18.0.1"], "doc.test": ["192.0.2.1"],
    "zero.test": ["0.0.0.0"], "multicast.test": ["224.0.0.251"], "reserved.test": ["240.0.0.1"],
    "broadcast.test": ["255.255.255.255"],
    "relay.test": ["192.88.99.1"], "mapped.test": ["::ffff:127.0.0.1"], "compatible.test": ["::7f00:1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "nat64local.test": ["64:ff9b:1::a00:5"], "sixtofour.test": ["2002:7f00:1::1"], "teredo.test": ["2001::1"],
    "ula.test": ["fc00::1"],
    "link6.test": ["fe80::1"], "site6.test": ["fec0::1"], "doc6.test": ["2001:db8::1"], "doc6new.test": ["3fff::1"],
    "segment.test": ["5f00::1"],
    "discard.test": ["100::1"], "any6.test": ["::"], "multicast6.test": ["ff02::1"],
    "mixed.test": [HOME, "10.0.0.5"], "mixed6.test": [HOME, "::1"], "mixedmeta.test": [HOME, "169.254.169.254"],
}
GOOD = ("api.example.com", "sub.example.com", "example.com", "api6.example.com")
CLOSED_TO_ALL = [name for name in HOSTS if name.endswith(".test")]
ALIASES = {"alias.test": "loop.test", "alias.example.com": "private.test"}


def enter():
    """This thread, and all that it starts, into namespaces of its own. Answers why not, or None."""
    for program in ("ip", "dnsmasq", "mount"):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"{program} is not here"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        return f"a network namespace cannot be made here ({os.strerror(ctypes.get_errno())}); root can"
    # Or what is mounted for a test would show outside of it. The root of a chroot is no mount of its own and cannot be told so.
    if subprocess.run(["mount", "--make-rprivate", "/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        return "mounts cannot be made private here (a chroot)"
    return None


def do(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}")


class Case(harness.Case):
    """Each test runs in a thread that is in the namespace; so do all the programs and sockets that it starts."""

    def run(self, result=None):
        result = result if result is not None else self.defaultTestResult()
        thread = threading.Thread(target=self._run_inside, args=(result,))
        thread.start()
        thread.join()
        return result

    def _run_inside(self, result):
        why_not = enter()
        if not why_not:
            super().run(result)
            return
        result.startTest(self)
        result.addSkip(self, why_not)
        result.stopTest(self)

    def setUp(self):
        super().setUp()
        do("ip", "link", "set", "lo", "up")
        do("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
        do("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")
        do("ip", "-6", "address", "add", HOME6, "dev", "lo", "nodad")  # or nobody may listen there
        self._names()
        self.flips = Flips()
        self.addCleanup(self.flips.close)
        self.traps = Traps()
        self.addCleanup(self.traps.close)

    def _names(self):
        hosts = self.file("hosts", "".join(f"{a} {name}\n" for name, addresses in HOSTS.items() for a in addresses), mode=0o644)
        os.chmod(self.folder, 0o755)
        resolver = self.file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n", mode=0o644)
        do("mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf"))
        program = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin")
        dns = subprocess.Popen(
            [program, "--keep-in-foreground", "--conf-file=/dev/null", "--port=53", "--listen-address=127.0.0.1",
             "--bind-interfaces", "--no-resolv",
             "--no-hosts", "--addn-hosts=" + hosts, "--local-ttl=0", "--cache-size=0", "--user=root", "--group=root", "--pid-file=",
             "--log-facility=-",
             "--server=/flip.test/127.0.0.1#5353", f"--address=/#/{ELSEWHERE}", "--address=/gone.test/",
             *[f"--cname={name},{target}" for name, target in ALIASES.items()]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(dns.wait)
        self.addCleanup(dns.terminate)
        deadline = harness.Deadline()
        while True:
            try:
                socket.create_connection(("127.0.0.1", 53), timeout=1).close()
                return
            except OSError:
                if dns.poll() is not None or not deadline.left():
                    raise AssertionError("dnsmasq does not start")
                threading.Event().wait(0.02)  # nothing tells when it listens


class Traps:
    """Listeners on every address of both families; who comes is written down with where they wanted to go."""

    PORTS = (22, 80, 443, 3128, 5432, 6379, 8080, 8443)

    def __init__(self):
        self.caught = []
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in self.PORTS:
                s = socket.socket(family)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside the provider, whose own address goes first
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((any_address, port))
                s.listen(256)
                s.setblocking(False)
                self.selector.register(s, selectors.EVENT_READ)
        self.probes = socket.create_server(("127.0.0.1", 0))
        self.probes.setblocking(False)
        self.selector.register(self.probes, selectors.EVENT_READ)
        self.wake, self.waker = socket.socketpair()
        self.selector.register(self.wake, selectors.EVENT_READ)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            for key, _ in sorted(self.selector.select(), key=lambda ready: ready[0].fileobj is self.probes):
                if key.fileobj is self.wake:
                    return
                self._empty(key.fileobj)

    def _empty(self, listener):
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            if listener is self.probes:
                s.close()
                return  # what came before the next one is looked at before it
            with self.lock:
                self.caught.append(s.getsockname()[:2])
            s.close()

    def take(self):
        """(address, port) of each visit since the last take(). A visit that was begun before this call is in it: the watcher closes
        the probe only after it emptied every other listener."""
        with socket.create_connection(self.probes.getsockname()) as probe:
            probe.recv(1)
        with self.lock:
            caught, self.caught = self.caught, []
        return caught

    def close(self):
        self.waker.send(b"x")
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.waker.close()


class Flips:
    """The name server of flip.test: `answer(name, kind, count)` says what the count-th question of this kind ("A", "AAAA") for the name
    gets: a list of addresses, None for "no such name", or silence (...)."""

    KINDS = {1: "A", 28: "AAAA"}

    def __init__(self):
        self.answer = lambda name, kind, count: None
        self.asked = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 5353))
        self.tcp = socket.socket()  # for what does not fit into a datagram
        self.tcp.bind(("127.0.0.1", 5353))
        self.tcp.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not question:
                return
            said = self._reply(question)
            if said and len(said) > 512:
                asked = question[12:12 + self._name_length(question) + 4]
                said = said[:2] + struct.pack(">H", 0x8780) + said[4:6] + bytes(6) + asked  # truncated: ask again over TCP
            if said:
                self.socket.sendto(said, peer)

    def _serve_tcp(self):
        while True:
            try:
                s, _ = self.tcp.accept()
                with s:
                    size = struct.unpack(">H", s.recv(2))[0]
                    said = self._reply(s.recv(size))
                    if said:
                        s.sendall(struct.pack(">H", len(said)) + said)
            except (OSError, struct.error):
                if self.tcp.fileno() < 0:
                    return

    @staticmethod
    def _name_length(question):
        at = 12
        while question[at]:
            at += question[at] + 1
        return at + 1 - 12

    def _reply(self, question):
        length = self._name_length(question)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += question[at] + 1
        name, kind = ".".join(labels).lower(), self.KINDS.get(struct.unpack(">H", question[at + 1:at + 3])[0])
        count = self.asked[name, kind] = self.asked.get((name, kind), 0) + 1
        addresses = self.answer(name, kind, count) if kind else []
        if addresses is ...:
            return None
        records = b""
        for a in addresses or []:
            packed = socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a)
            records += b"\xc0\x0c" + struct.pack(">HHIH", 28 if ":" in a else 1, 1, 0, len(packed)) + packed
        flags = 0x8580 | (3 if addresses is None else 0)
        return question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses or []), 0, 0) + question[12:12 + length + 4] + records

    def close(self):
        self.tcp.close()
        self.socket.close()
