"""A real PostgreSQL for tests: a cluster of its own in a new directory, with all the durability that one has in service.

    pg = postgres.Postgres()                 # initdb, then start
    url = pg.create("raccord")               # an empty database that the role "raccord" owns, as the hub wants it
    replica = pg.standby()                   # synchronous: a commit is acknowledged when the replica has it, too
    pg.kill(); replica.promote()
    pg.close()                               # ends every process it started, and takes the directory away

PostgreSQL refuses to run as root: then it runs as the user that its Debian package makes. Processes are ended by their ids.
"""
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import harness

OWNER = "postgres"  # of the cluster
ROLE = "raccord"    # who the hub is to it: nobody special
SETTINGS = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "wal_level=replica", "max_wal_senders=8", "max_connections=100",
            "shared_buffers=16MB", "listen_addresses=127.0.0.1", "password_encryption=scram-sha-256", "logging_collector=off",
            "log_min_messages=warning", "log_statement=none", "wal_sender_timeout=10s", "wal_receiver_timeout=10s", "jit=off")


def programs():
    """The newest server's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: int(p.split("/")[4]))
    if found:
        return os.path.dirname(found[-1])
    if os.environ.get("PATH") and shutil.which("postgres"):
        return os.path.dirname(os.path.realpath(shutil.which("postgres")))
    raise unittest.SkipTest("left out: PostgreSQL is not here; tools/deps test installs it")


def someone():
    """Whom a server may run as, or None: as we ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise unittest.SkipTest("left out: PostgreSQL does not run as root, and there is neither postgres nor nobody")


def stat(pid):
    """State and parent of a process, of one that is gone "X"."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            state, parent = f.read().rpartition(")")[2].split()[:2]
            return state, int(parent)
    except OSError:
        return "X", 0


def children(pid):
    """Of a process, by their ids."""
    pids = [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*")]
    return [one for one in pids if stat(one)[1] == pid]


def lives(pid):
    return stat(pid)[0] not in "ZX"


def signalled(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Server:
    """One server on one data directory. Postgres makes the first; standby() makes others like it."""

    def __init__(self, ground, name):
        self.ground, self.name = ground, name
        self.data = os.path.join(ground.folder, name)
        self.errors = os.path.join(ground.folder, name + ".log")
        self.port, self.process = None, None

    # --- life ---

    def start(self):
        """Also after stop() or kill(), on the port that it had."""
        for last in (self.port is not None, False, False, True):
            self.port = self.port or harness.free_port()
            if self._started():
                return self
            if last:
                break
            self.port = None  # perhaps someone took it
        raise AssertionError(f"PostgreSQL does not start:\n{self.log()[-4000:]}")

    def _started(self):
        settings = [word for s in self.ground.settings + (f"port={self.port}", f"unix_socket_directories={self.ground.folder}") for word in ("-c", s)]
        with open(self.errors, "ab") as log:
            begins = log.tell()
            command = self.ground.as_someone("postgres", "-D", self.data, *settings)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.ground.folder,
                                            env=self.ground.environment())
        deadline = harness.Deadline()
        while deadline.left() and self.process.poll() is None:
            with open(self.errors, "rb") as log:
                log.seek(begins)
                if b"is ready to accept" in log.read():
                    return True
            threading.Event().wait(0.02)  # nothing tells when a server is ready, but its log
        self._ended(signal.SIGKILL)
        return False

    def _ended(self, number):
        """The server and its children, all of them: what is left of a killed one keeps the next from starting."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            family = children(process.pid)
            if number == signal.SIGKILL:
                signalled([process.pid] + family, number)
            else:
                signalled([process.pid] + family, signal.SIGCONT)
                process.send_signal(number)
            try:
                process.wait(timeout=harness.DEADLINE)
            finally:
                if process.poll() is None:
                    signalled([process.pid] + children(process.pid), signal.SIGKILL)
                    process.wait()
            deadline = harness.Deadline()
            while deadline.left() and any(lives(pid) for pid in family):
                threading.Event().wait(0.01)

    def stop(self):
        """Open transactions are rolled back, everybody is sent away ("fast")."""
        self._ended(signal.SIGINT)

    def kill(self):
        """As a power cut would, all its processes at once."""
        self._ended(signal.SIGKILL)

    def pause(self):
        """It neither answers nor hangs up, as behind a network that swallows everything."""
        signalled([self.process.pid] + children(self.process.pid), signal.SIGSTOP)

    def resume(self):
        signalled([self.process.pid] + children(self.process.pid), signal.SIGCONT)

    def log(self):
        with open(self.errors, encoding="utf-8", errors="replace") as f:
            return f.read()

    # --- use ---

    def url(self, database=ROLE, role=ROLE, socket=False):
        where = (f"@/{database}?host={self.ground.folder}&port={self.port}" if socket else f"@127.0.0.1:{self.port}/{database}")
        return f"postgresql://{role}:{self.ground.passwords[role]}{where}"

    def try_sql(self, text, database="postgres", role=OWNER, seconds=harness.DEADLINE):
        """psql's outcome: .code, .out (rows by lines, columns by |), .err."""
        done = subprocess.run([os.path.join(programs(), "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url(database, role)],
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.ground.environment(),
                              timeout=seconds, check=False)
        return harness.Program(done.returncode, done.stdout.rstrip("\n"), done.stderr)

    def sql(self, text, database="postgres", role=OWNER, seconds=harness.DEADLINE):
        """What it answers; statements by semicolons, each in a transaction of its own. Wrong ones fail the test."""
        done = self.try_sql(text, database, role, seconds)
        if done.code:
            raise AssertionError(f"{text[:400]}\n{done.err}")
        return done.out

    def create(self, database=ROLE, collation="C"):
        """An empty database as the hub wants it; answers its URL."""
        self.sql(f"CREATE DATABASE {database} OWNER {ROLE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE '{collation}' LC_CTYPE '{collation}'")
        return self.url(database)

    def drop(self, database=ROLE):
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def until(self, query, wanted, seconds=harness.DEADLINE):
        """Asks until the query answers that."""
        deadline = harness.Deadline(seconds)
        while (got := self.sql(query)) != wanted:
            if not deadline.left():
                raise AssertionError(f"{query}: {got!r} and never {wanted!r}\n{self.log()[-2000:]}")
            threading.Event().wait(0.05)

    # --- replicas ---

    def standby(self, name=None, synchronous=True, port=None):
        """A streaming replica, running, at a port that is free unless one is given. `synchronous`: from now on no commit is acknowledged here before the replica has it on its disk."""
        replica = Server(self.ground, name or f"standby{len(self.ground.servers)}")
        self.ground.servers.append(replica)
        replica.port = port
        self.ground.run("pg_basebackup", "-D", replica.data, "-R", "-X", "stream", "-C", "-S", replica.name, "-c", "fast", "-d",
                        self.url("postgres", OWNER) + f"?application_name={replica.name}", user=True)
        with open(os.path.join(replica.data, "postgresql.auto.conf"), "a", encoding="utf-8") as f:
            f.write("synchronous_standby_names = ''\n")
        replica.start()
        if synchronous:
            self.sql(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({replica.name})'; SELECT pg_reload_conf()")
        self.until(f"SELECT sync_state FROM pg_stat_replication WHERE application_name = '{replica.name}' AND state = 'streaming'",
                   "sync" if synchronous else "async")
        return replica

    def promote(self):
        """A replica becomes a server that takes writes; who was its primary must be gone by then."""
        self.sql("SELECT pg_promote(true, 60)")
        self.until("SELECT pg_is_in_recovery()", "f")


class Postgres(Server):
    """A new cluster, running. close() it."""

    def __init__(self, *settings):
        """`settings`: more of them, "name=value"."""
        programs()
        self.settings = SETTINGS + settings
        self.user = someone()
        self.folder = tempfile.mkdtemp(prefix="raccord-pg-")
        self.passwords = {OWNER: secrets.token_hex(12), ROLE: secrets.token_hex(12)}
        super().__init__(self, "primary")
        self.servers = [self]
        try:
            self._initialise()
            self.start()
            self.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.passwords[ROLE]}'")
        except BaseException:
            self.close()
            raise

    def _initialise(self):
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        path = os.path.join(self.folder, "password")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.passwords[OWNER] + "\n")
        os.chmod(path, 0o600)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        # Its own sync goes over every file of the cluster, for nothing: a test that loses one begins with another.
        self.run("initdb", "-D", self.data, "-U", OWNER, "--pwfile", path, "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8",
                 "--no-sync", "--no-instructions", user=True)

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return {**kept, "LC_ALL": "C.UTF-8", "HOME": self.folder}

    def as_someone(self, program, *arguments):
        """The command, so that it ends with us however we end, as somebody who is not root."""
        command = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        if self.user:
            if not command:
                raise unittest.SkipTest("left out: PostgreSQL does not run as root, and there is no setpriv")
            command += [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return [*command, os.path.join(programs(), program), *arguments]

    def run(self, program, *arguments, user=False):
        command = self.as_someone(program, *arguments) if user else [os.path.join(programs(), program), *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
                              env=self.environment(), timeout=2 * harness.DEADLINE, check=False)
        if done.returncode:
            raise AssertionError(f"{program}: {re.sub('|'.join(self.passwords.values()), '***', done.stdout)}")

    def close(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve():
    """For tests in other languages: prints the address of a new database for each line that comes in, until there are no more. A line may
    name a collation."""
    ground = Postgres()
    try:
        for number, line in enumerate(iter(sys.stdin.readline, "")):
            word = line.strip()
            if word in ("kill", "start"):
                getattr(ground, word)()
                print(word, flush=True)
            else:
                try:
                    print(ground.create(f"d{number}", word or "C"), flush=True)
                except AssertionError:  # a collation that is not here
                    print("none", flush=True)
    finally:
        ground.close()


if __name__ == "__main__":
    serve()
