"""What end-to-end tests stand on: the real binary, real sockets, real files. Standard library only.

    class Calls(harness.Case):
        def test_a_call_reaches_the_provider(self):
            hub = self.hub("--demo")
            self.assertEqual(hub.get("/api/v1/connections").status, 200)

A Hub is started on a free port and a data directory of its own, and stopped when the test ends. Nothing here sleeps: everything
waits for a line, a byte or an exit, with a deadline. A sanitizer's report or a bug() in any process fails the test.
"""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEADLINE = 60.0  # seconds; sanitizers on a busy machine are slow
PASSWORD = "correct horse battery staple"

REPORTS = re.compile(r"^.*(?:ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer|runtime error:|^bug: ).*$", re.M)


def binary():
    candidates = [os.environ.get("RACCORD_BINARY"), os.path.join(ROOT, "build/raccord"), os.path.join(ROOT, "build/src/cmd/raccord")]
    for path in candidates:
        if path and os.path.exists(path):
            return os.path.realpath(path)
    raise unittest.SkipTest("there is no raccord: build it, or set RACCORD_BINARY")


def environment(**more):
    """The tests' own settings do not leak into the program: no RACCORD_*, no proxy, plain English."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RACCORD_") and not k.lower().endswith("_proxy")}
    kept.update(LC_ALL="C.UTF-8", LANG="C.UTF-8", COLUMNS="")
    # The least that passwords may cost: what they cost otherwise is a test of its own.
    kept.update(RACCORD_SIGN_IN_PASSWORD_MEMORY="19M", RACCORD_SIGN_IN_PASSWORD_PASSES="2")
    kept.setdefault("ASAN_OPTIONS", "halt_on_error=1:detect_stack_use_after_return=1")
    kept.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    kept.update({k: v for k, v in more.items() if v is not None})
    return kept


def free_port():
    """A port that nobody listens on now: for programs that cannot say which port 0 became."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sanitized():
    """A sanitizer's own memory would be counted, and searched, as the hub's."""
    with open(binary(), "rb") as program:
        return bool(re.search(rb"__[at]san_init", program.read()))


def totp(uri, steps=0):
    """The code that an authenticator app shows for an otpauth:// address, so many steps of 30 s from now. RFC 6238."""
    secret = re.search(r"[?&]secret=([A-Z2-7]+)", uri).group(1)
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, (int(time.time()) // 30 + steps).to_bytes(8, "big"), "sha1").digest()
    at = digest[19] & 15
    return f"{(int.from_bytes(digest[at:at + 4], 'big') & 0x7fffffff) % 1000000:06d}"


class Deadline:
    def __init__(self, seconds=DEADLINE):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())


class Lines:
    """A stream read in a thread; wait() answers the first line that the pattern matches, from the beginning."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, pattern, seconds=DEADLINE):
        expression, deadline = re.compile(pattern), Deadline(seconds)
        with self.changed:
            while True:
                for line in self.lines:
                    found = expression.search(line)
                    if found:
                        return found
                if self.ended or not deadline.left():
                    return None
                self.changed.wait(deadline.left())

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def json(self):
        """Numbers as their text, so that a test sees what came: 19.99 is "19.99" wrapped in Number."""
        return json.loads(self.body, parse_float=Number, parse_int=int)

    def header(self, name):
        return self.headers.get(name.lower())

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Number(str):
    """The source text of a JSON number with a fraction or exponent."""


class Program:
    """The outcome of one run of the CLI."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<exit {self.code}\nstdout: {self.out}\nstderr: {self.err}>"


def database_of(arguments):
    """The same tests on PostgreSQL: RACCORD_E2E_POSTGRES is the address of a server whose role may make databases, up to the
    path. Each data directory has a database of its own there, kept with the server."""
    server = os.environ.get("RACCORD_E2E_POSTGRES")
    if not server or "--data" not in arguments[:-1]:
        return {}
    data = os.path.realpath(arguments[arguments.index("--data") + 1])
    name = "d" + hashlib.sha256(data.encode()).hexdigest()[:24]
    head, _, options = server.partition("?")
    head = head.rstrip("/")
    if data not in _databases:
        _databases.add(data)
        subprocess.run(["psql", "-XAtqd", f"{head}/postgres?{options}", "-c", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"
                        " LC_COLLATE 'C' LC_CTYPE 'C'"], capture_output=True, check=False)  # it may be there already
    return {"RACCORD_DATABASE_URL": f"{head}/{name}?{options}"}


_databases = set()


def on_postgres():
    """Do all hubs of this run keep their data there?"""
    return bool(os.environ.get("RACCORD_E2E_POSTGRES"))


def embedded(test):
    """A test, or a class of them, of the file that the embedded database is."""
    return unittest.skipIf(on_postgres(), "left out on PostgreSQL: it is about the embedded database's file")(test)



class Rows(list):
    """Of one statement, as sqlite3 gives them."""

    rowcount = -1
    description = ()

    def fetchall(self):
        return list(self)

    def fetchone(self):
        return self[0] if self else None


class PostgresRows:
    """As much of a sqlite3 connection as tests use, on PostgreSQL. Each statement is a transaction of its own."""

    def __init__(self, url):
        self.url = url

    @staticmethod
    def literal(value):
        return "NULL" if value is None else str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"

    def execute(self, sql, parameters=()):
        pieces = sql.split("?")
        text = "".join(piece + value for piece, value in zip(pieces, [self.literal(p) for p in parameters] + [""], strict=True))
        if sql.startswith("SELECT"):
            text = f"SELECT row_to_json(found) FROM ({text}) found"
        done = subprocess.run(["psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{text}\n{done.stderr}")
        lines = done.stdout.splitlines()
        if sql.startswith("SELECT"):
            found = [json.loads(line, object_pairs_hook=list) for line in lines]  # two columns may have one name
            rows = Rows(tuple(value for _, value in one) for one in found)
            rows.description = [(name,) for name, _ in (found[0] if found else ())]
            return rows
        rows = Rows()
        rows.rowcount = int(lines[-1].split()[-1]) if lines and lines[-1].split()[-1].isdigit() else -1
        return rows

    def close(self):
        pass


@contextlib.contextmanager
def database(data):
    """What the hub of this data directory stored, to look at and to change: execute(sql, parameters), with "?" for each."""
    url = database_of(("--data", data)).get("RACCORD_DATABASE_URL")
    if url:
        yield PostgresRows(url)
        return
    with contextlib.closing(sqlite3.connect(os.path.join(data, "raccord.db"), timeout=DEADLINE)) as db, db:
        yield db


def unguard_audit(db):
    """What an intruder with a database editor does first: the engine itself refuses to change a record."""
    where = " ON audit" if isinstance(db, PostgresRows) else ""
    for trigger in "audit_is_not_changed", "audit_is_not_removed":
        db.execute(f"DROP TRIGGER IF EXISTS {trigger}{where}")


def stored_bytes(data):
    """All that the database of this data directory holds, as it lies there."""
    url = database_of(("--data", data)).get("RACCORD_DATABASE_URL")
    if url:
        return subprocess.run(["pg_dump", "--data-only", url], capture_output=True, check=True).stdout
    found = b""
    for name in sorted(os.listdir(data)):
        if name.startswith("raccord.db"):
            with open(os.path.join(data, name), "rb") as f:
                found += f.read()
    return found


def run(*arguments, token=None, server=None, stdin="", env=None, cwd=None, seconds=DEADLINE, text=True):
    """The CLI without a terminal. Fails on a sanitizer's report."""
    variables = environment(**{"RACCORD_TOKEN": token, "RACCORD_SERVER": server, **database_of(arguments), **(env or {})})
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([binary(), *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, cwd=cwd,
                          timeout=seconds)
    err = done.stderr.decode("utf-8", "replace")
    refuse_reports(err)
    return Program(done.returncode, done.stdout.decode("utf-8") if text else done.stdout, err)


def refuse_reports(text):
    found = REPORTS.search(text)
    if found:
        raise AssertionError(f"a sanitizer or bug() spoke: {found.group(0)}\n{text[-8000:]}")


class Terminal:
    """The CLI at a terminal: type when a prompt shows. `shown` is all that a person would have seen."""

    def __init__(self, *arguments, token=None, server=None, env=None, columns=None):
        variables = environment(**{"RACCORD_TOKEN": token, "RACCORD_SERVER": server, "TERM": "xterm", **database_of(arguments), **(env or {})})
        if columns:
            variables["COLUMNS"] = str(columns)
        try:
            ours, theirs = pty.openpty()
        except OSError as e:
            raise unittest.SkipTest(f"no terminal can be made here ({e}; is /dev/pts mounted?)")
        self.fd = ours
        self.process = subprocess.Popen([binary(), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=variables,
                                        start_new_session=True)
        os.close(theirs)
        self.shown = ""

    def _read(self, deadline):
        ready, _, _ = select.select([self.fd], [], [], deadline.left())
        if not ready:
            raise AssertionError(f"nothing more came; shown so far: {self.shown!r}")
        try:
            got = os.read(self.fd, 65536)
        except OSError:  # the other end is closed
            got = b""
        self.shown += got.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(got)

    def expect(self, text, seconds=DEADLINE):
        deadline = Deadline(seconds)
        while text not in self.shown:
            if not self._read(deadline):
                raise AssertionError(f"it ended before {text!r}; shown: {self.shown!r}")

    def type(self, line):
        os.write(self.fd, (line + "\n").encode())

    def end(self, seconds=DEADLINE):
        deadline = Deadline(seconds)
        while self._read(deadline):
            pass
        os.close(self.fd)
        code = self.process.wait(timeout=deadline.left())
        refuse_reports(self.shown)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Hub:
    def __init__(self, data, *arguments, env=None, listen="127.0.0.1:0", config=None):
        self.data, self.arguments, self.listen = data, list(arguments), listen
        self.variables = environment(**{**database_of(("--data", data)), **(env or {})})
        self.config = config
        self.errors = data + ".log"
        self.process = None
        self._admin = None
        self.start()

    def start(self):
        """Also after stop() or kill(): the same data, perhaps another port."""
        command = [binary(), "serve", "--listen", self.listen, "--data", self.data]
        command += ["--config", self.config] if self.config else []
        log = open(self.errors, "a", encoding="utf-8")
        with log:
            self.process = subprocess.Popen(command + self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            env=self.variables, text=True, encoding="utf-8")
        self.out = Lines(self.process.stdout)
        found = self.out.wait(r"^listening: (https?)://(.*):(\d+)$")
        if not found:
            self.kill()
            raise AssertionError(f"the hub does not listen; stdout: {self.out.text()}\nstderr: {self.log()}")
        self.scheme, self.host, self.port = found.group(1), found.group(2).strip("[]"), int(found.group(3))
        self.url = f"{found.group(1)}://{found.group(2)}:{found.group(3)}"

    def line(self, name):
        """What follows "NAME: " among the lines of readiness."""
        found = self.out.wait(rf"^{re.escape(name)}: (.*)$")
        if not found:
            raise AssertionError(f"no line {name!r}; stdout: {self.out.text()}")
        return found.group(1)

    def log(self):
        with open(self.errors, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, sign=signal.SIGTERM, seconds=DEADLINE):
        """Ask it to stop and wait; answers the exit code."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(sign)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the hub did not stop in {seconds} s\n{self.log()[-4000:]}")
        self.out.thread.join(DEADLINE)
        process.stdout.close()
        refuse_reports(self.log())
        return code

    def kill(self):
        """As a power cut would: no goodbye."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.out.thread.join(DEADLINE)
            self.process.stdout.close()
        self.process = None

    # --- who asks ---

    def token(self, name="tests", role="admin", *more):
        """A new token, made on the database as an operator would."""
        place = {k: v for k, v in self.variables.items() if k in ("RACCORD_DATABASE_URL", "LD_PRELOAD", "ASAN_OPTIONS") or k.startswith("TEST_")}
        made = run("token", "create", "--data", self.data, "--name", name, "--role", role, *more, env=place)
        if made.code != 0:
            raise AssertionError(f"no token: {made!r}")
        return made.out.strip()

    @property
    def admin(self):
        if self._admin is None:
            self._admin = self.token()
        return self._admin

    def cli(self, *arguments, token=None, **more):
        return run(*arguments, server=self.url, token=self.admin if token is None else token, **more)

    def terminal(self, *arguments, token=None, **more):
        return Terminal(*arguments, server=self.url, token=self.admin if token is None else token, **more)

    # --- requests ---

    def connect(self):
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection(self.host, self.port, timeout=DEADLINE, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)

    def request(self, method, path, body=None, headers=None, token=None, connection=None):
        """`body`: bytes or text as it is, anything else as JSON. `token`: None the administrator's, "" none."""
        sent = dict(headers or {})
        token = self.admin if token is None else token
        if token:
            sent.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        c = connection or self.connect()
        try:
            c.request(method, path, body=body, headers=sent)
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            if connection is None:
                c.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def raw(self, *pieces, half_close=False, seconds=DEADLINE):
        """Bytes in, bytes out until the hub closes; for messages that no client library would send."""
        with socket.create_connection((self.host, self.port), timeout=seconds) as s:
            for piece in pieces:
                s.sendall(piece)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            return read_until_close(s)

    def connection(self, key, base_url, auth_type="bearer", credentials=None, **more):
        """A connection of the plain HTTP connector in the shared folder; answers the API's object."""
        body = {"connector": "http", "auth_type": auth_type, "key": key, "name": key, "folder": "shared",
                "fields": {"base_url": base_url}, "credentials": {"token": "t0k-" + key} if credentials is None else credentials}
        fields = more.pop("fields", {})
        body.update(more)
        body["fields"].update(fields)
        made = self.post("/api/v1/connections", body)
        if made.status != 201:
            raise AssertionError(f"no connection: {made!r}")
        return made.json


def read_until_close(s):
    got = b""
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return got
        if not more:
            return got
        got += more


class Upstream:
    """A provider of few words: for each connection `script` says what happens.

    A list of bytes: the answers, in order, one after each request (the last one repeats). A function (socket, number of the connection):
    anything at all. `received` holds the bytes of each connection. With `pki`, it speaks TLS for localhost.
    """

    def __init__(self, script, pki=None, host="127.0.0.1"):
        self.script = script
        self.received = []
        self.changed = threading.Condition()
        self.context = pki.server_context() if pki else None
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if pki else 'http'}://localhost:{self.port}"
        self.sockets = []
        self.failure = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                number = len(self.received)
                self.received.append(b"")
                self.sockets.append(s)
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(s, number), daemon=True).start()

    def _serve(self, s, number):
        try:
            s.settimeout(DEADLINE)
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            if callable(self.script):
                self.script(Recorded(s, self, number), number)
            else:
                self._answer(Recorded(s, self, number))
        except (OSError, ssl.SSLError):
            pass  # the hub hung up; a test sees that in what was received
        except Exception as e:  # a mistake in the script: the test reports it at the end
            self.failure = e
        finally:
            s.close()

    def _answer(self, s):
        for at in range(1 << 30):
            if not s.read_request():
                return
            s.sendall(self.script[min(at, len(self.script) - 1)])

    def wait(self, enough, seconds=DEADLINE):
        """Until enough(list of bytes by connection) is true; answers whether it became so."""
        deadline = Deadline(seconds)
        with self.changed:
            return self.changed.wait_for(lambda: enough(self.received), deadline.left())

    def requests(self):
        """Every request's head as text, over all connections."""
        with self.changed:
            everything = list(self.received)
        return [head.decode("latin-1") for bytes_ in everything for head in re.findall(rb"[A-Z]+ \S+ HTTP/1\.1\r\n.*?\r\n\r\n", bytes_, re.S)]

    def close(self):
        self.listener.close()
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.failure:
            raise self.failure


class Recorded:
    """A socket whose incoming bytes are kept."""

    def __init__(self, s, upstream, number):
        self.socket, self.upstream, self.number = s, upstream, number
        self.rest = b""

    def recv(self, n=65536):
        got = self.socket.recv(n)
        with self.upstream.changed:
            self.upstream.received[self.number] += got
            self.upstream.changed.notify_all()
        return got

    def sendall(self, bytes_):
        self.socket.sendall(bytes_)

    def close(self):
        self.socket.close()

    def read_request(self):
        """One whole request (head and body); b"" at the end of the connection."""
        buffered = self.rest
        while b"\r\n\r\n" not in buffered:
            got = self.recv()
            if not got:
                return b""
            buffered += got
        head, body = buffered.split(b"\r\n\r\n", 1)
        length = re.search(rb"^content-length:\s*(\d+)", head, re.M | re.I)
        chunked = re.search(rb"^transfer-encoding:\s*chunked", head, re.M | re.I)
        while (length and len(body) < int(length.group(1))) or (chunked and not re.search(rb"(^|\r\n)0\r\n\r\n", body)):
            got = self.recv()
            if not got:
                return b""
            body += got
        size = int(length.group(1)) if length else len(body) if chunked else 0
        self.rest = body[size:]
        return head + b"\r\n\r\n" + body[:size]


def answer(body=b"{}", status="200 OK", content_type="application/json", headers=()):
    """The bytes of a plain HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Pki:
    """A root and server certificates, made with the openssl command; each test its own."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.ca, self.ca_key = self._path("ca.pem"), self._path("ca.key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                      "/CN=Test root", "-keyout", self.ca_key, "-out", self.ca, "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def issue(self, name="server", alternative="DNS:localhost,IP:127.0.0.1", days=30):
        """(certificate file, key file); a negative number of days makes an expired one."""
        key, request, out, extensions = (self._path(name + end) for end in (".key", ".csr", ".pem", ".ext"))
        with open(extensions, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                      key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", str(days),
                      "-extfile", extensions, "-out", out)
        return out, key

    def server_context(self, **more):
        certificate, key = self.issue(**more)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


class Nginx:
    """nginx with the given server blocks. `{port}` in the text becomes a free port; ready when it accepts. It serves so many connections
    at once: it gets room for more, as it closes those that wait for a request when less than a sixteenth is free."""

    def __init__(self, folder, servers, connections=512):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not os.path.exists(program):
            raise unittest.SkipTest("nginx is not here")
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.errors = os.path.join(folder, "error.log")
        config = os.path.join(folder, "nginx.conf")
        temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {self.errors};\n"
                    f"events {{ worker_connections {connections + connections // 8 + 64}; }}\n"
                    f"http {{\n    access_log off;\n{temporary}{servers.replace('{port}', str(self.port))}\n}}\n")
        self.process = subprocess.Popen([program, "-p", folder, "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        deadline = Deadline()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or not deadline.left():
                    self.close()
                    raise AssertionError("nginx does not start: " + (open(self.errors).read() if os.path.exists(self.errors) else ""))
                select.select([], [], [], 0.02)  # nothing tells when nginx listens

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=DEADLINE)


class Chromium:
    """A page in Chromium that can be acted on: the DevTools protocol over a pipe."""

    def __init__(self, program, profile, url):
        there, self.to = os.pipe()
        self.back, here = os.pipe()
        os.set_inheritable(there, True)
        os.set_inheritable(here, True)
        shell = f'exec "$0" "$@" 3<&{there} 4>&{here}'
        self.process = subprocess.Popen(["bash", "-c", shell, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                         "--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}",
                                         "--remote-debugging-pipe"], pass_fds=(there, here), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(there)
        os.close(here)
        self.number, self.rest = 0, b""
        target = self.ask("Target.createTarget", {"url": url})["targetId"]
        self.session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]

    def ask(self, method, params, **session):
        self.number += 1
        os.write(self.to, json.dumps({"id": self.number, "method": method, "params": params, **session}).encode() + b"\0")
        deadline = Deadline()
        while True:
            while b"\0" not in self.rest:
                if not select.select([self.back], [], [], deadline.left())[0] or not (piece := os.read(self.back, 65536)):
                    raise AssertionError("Chromium does not answer")
                self.rest += piece
            message, _, self.rest = self.rest.partition(b"\0")
            said = json.loads(message)
            if said.get("id") == self.number:
                return said.get("result", {})

    def run(self, script):
        """What the script answers; promises are waited for. None when the page went away meanwhile."""
        said = self.ask("Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True}, sessionId=self.session)
        if "exceptionDetails" in said:
            raise AssertionError(said["exceptionDetails"])
        return said.get("result", {}).get("value")

    def until(self, condition):
        """Until the condition, a script, holds; the page may be another one by then."""
        deadline = Deadline()
        while not self.run(f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"):
            if not deadline.left():
                raise AssertionError(f"never: {condition}\n{self.run('document.body.innerText')}")
            select.select([], [], [], 0.02)

    def close(self):
        os.close(self.to)
        os.close(self.back)
        self.process.kill()
        self.process.wait(DEADLINE)


class Case(unittest.TestCase):
    """A test with a folder of its own, and everything it starts stopped at its end."""

    maxDiff = None

    def setUp(self):
        binary()
        self.folder = tempfile.mkdtemp(prefix="raccord-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self._hubs = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, text, mode=0o600):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path, mode)
        return path

    def eventually(self, true, what="it did not happen"):
        """For what nothing tells the end of: asks until the answer is true, and answers it."""
        deadline = Deadline()
        while not (got := true()):
            self.assertTrue(deadline.left(), what)
            threading.Event().wait(0.05)
        return got

    def hub(self, *arguments, **more):
        self._hubs += 1
        hub = Hub(more.pop("data", self.path(f"data{self._hubs}")), *arguments, **more)
        self.addCleanup(self._stopped_well, hub)
        return hub

    def _stopped_well(self, hub):
        code = hub.stop()
        if code not in (0, None):
            self.fail(f"the hub ended with exit code {code}\n{hub.log()[-4000:]}")

    def upstream(self, script, **more):
        u = Upstream(script, **more)
        self.addCleanup(u.close)
        return u

    def pki(self, name="pki"):
        return Pki(self.path(name))

    def nginx(self, servers, name="nginx", **more):
        n = Nginx(self.path(name), servers, **more)
        self.addCleanup(n.close)
        return n

    def chromium(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            self.skipTest("left out: chromium is not here; tools/deps test installs it")
        return program

    def drive(self, url):
        """The page, to be acted on."""
        page = Chromium(self.chromium(), self.path("driven"), url)
        self.addCleanup(page.close)
        return page

    def browse(self, url, language="en"):
        """The page as Chromium has it in the end, after whatever it was led through; it says nothing of what our policy stopped."""
        done = subprocess.run([self.chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
                               "--disable-background-networking", "--no-first-run", f"--accept-lang={language}",
                               f"--user-data-dir={self.path('chromium')}", "--virtual-time-budget=5000", "--dump-dom", url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=3 * DEADLINE, text=True, check=False)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual(console, [], url)
        return done.stdout

    def at_terminal(self, terminal):
        self.addCleanup(terminal.kill)
        return terminal


class SharedHub(Case):
    """One hub for all tests of a class: for tests that do not mind each other."""

    hub_arguments = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        binary()
        cls.place = tempfile.mkdtemp(prefix="raccord-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.shared = Hub(os.path.join(cls.place, "data"), *cls.hub_arguments)
        cls.addClassCleanup(cls._end)

    @classmethod
    def _end(cls):
        code = cls.shared.stop()
        if code not in (0, None):
            raise AssertionError(f"the hub ended with exit code {code}\n{cls.shared.log()[-4000:]}")
