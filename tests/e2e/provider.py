"""A provider behind somebody else's TLS: nginx in front, and behind it a recorder that keeps every byte of every request.

nginx passes on what it gets (names with underscores, repeated headers, the path as it was sent) and changes nothing but Connection, so
that the recorder's bytes are the hub's.
"""
import re

import harness

LOCATION = """
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection close;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_redirect off;
            proxy_pass_header Server;
            proxy_pass_header Date;
"""

SERVER = """
    server {
        listen 127.0.0.1:{port} ssl;
        %s
        server_name _;
        ssl_certificate %s;
        ssl_certificate_key %s;
        client_max_body_size 0;
        underscores_in_headers on;
        ignore_invalid_headers off;
        merge_slashes off;
        absolute_redirect off;
        large_client_header_buffers 8 64k;
        %s
        location / {
%s
        }
    }
"""


class Request:
    """One request as it came: method, target, headers in order with their own letter case, body."""

    def __init__(self, raw):
        self.raw = raw
        head, self.body = raw.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]

    def all(self, name):
        """Every value that a careless server would read under this name: any letter case, "_" for "-"."""
        folded = name.lower().replace("_", "-")
        return [value for key, value in self.headers if key.lower().replace("_", "-") == folded]

    def __repr__(self):
        return f"<{self.raw[:600]!r}>"


def reply_ok(request):
    return harness.answer(b'{"ok":true}')


class Provider:
    """`answer`: a function from a Request to the bytes of an answer; may be changed at any time. `listen`: more places of nginx."""

    def __init__(self, case, listen=(), alternative="DNS:localhost,IP:127.0.0.1", extra="", name="provider", pki=None):
        self.answer = reply_ok
        self.requests = []
        self.pki = pki or case.pki(name + "-pki")
        certificate, key = self.pki.issue(alternative=alternative)
        self.behind = case.upstream(self._serve)
        where = "".join(f"listen {at} ssl reuseport;" for at in listen)
        place = LOCATION.replace("{behind}", str(self.behind.port))
        self.nginx = case.nginx(SERVER % (where, certificate, key, extra.replace("{place}", place), place), name=name)
        self.port = self.nginx.port
        self.url = f"https://localhost:{self.port}"
        self.environment = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_CA_FILE": self.pki.ca}

    def _serve(self, s, number):
        while True:
            raw = s.read_request()
            if not raw:
                return
            request = Request(raw)
            self.requests.append(request)
            s.sendall(self.answer(request))
            if any(v.lower() == "close" for v in request.all("connection")):
                return

    def take(self):
        """The requests since the last take()."""
        taken, self.requests = self.requests, []
        return taken

    def one(self):
        taken = self.take()
        if len(taken) != 1:
            raise AssertionError(f"{len(taken)} requests reached the provider instead of one: {taken!r}")
        return taken[0]


def problem(answer, code=None):
    """The problem body of an answer of the hub's own; fails when it is the provider's."""
    told = answer.header("raccord-error")
    if not told or answer.header("content-type") != "application/problem+json" or answer.json["code"] != told:
        raise AssertionError(f"not a refusal of the hub's: {answer!r}")
    if code and told not in ([code] if isinstance(code, str) else code):
        raise AssertionError(f"refused with {told} instead of {code}: {answer!r}")
    return answer.json


def parse_raw(bytes_):
    """(status, headers in lower case, body) of an answer that came over a raw socket and was closed."""
    head, _, body = bytes_.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(re.match(r"HTTP/1\.1 (\d+)", lines[0]).group(1)) if lines[0] else 0
    return status, {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:] if ":" in line)}, body
