"""Tokens of issuers that do not exist, signed with openssl's command, and the issuer that publishes their keys."""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
import time

import harness


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *arguments], input=stdin, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def integers(der):
    """The two numbers of a DER sequence: an ECDSA signature."""
    out, at = [], 2 if der[1] < 128 else 3
    for _ in range(2):
        length = der[at + 1]
        out.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    return out


class Key:
    """A private key in a file, its public half as a JSON web key."""

    def __init__(self, folder, kid, kind="EC"):
        self.kid, self.kind = kid, kind
        fd, self.path = tempfile.mkstemp(prefix="key-", dir=folder)
        os.close(fd)
        if kind == "EC":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.path)
            raw = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")[-64:]
            self.jwk = {"kty": "EC", "crv": "P-256", "x": b64(raw[:32]), "y": b64(raw[32:]), "kid": kid, "use": "sig"}
            self.algorithm = "ES256"
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
            modulus = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
            self.jwk = {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB", "kid": kid, "alg": "RS256"}
            self.algorithm = "RS256"

    @property
    def public_pem(self):
        return openssl("pkey", "-in", self.path, "-pubout")

    def signature(self, data):
        der = openssl("dgst", "-sha256", "-sign", self.path, stdin=data)
        if self.kind != "EC":
            return der
        r, s = integers(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(key, claims, header=None, sign=None):
    """Signed by `key`, or by sign(bytes) when given; `header` replaces members, None takes one out."""
    head = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
    head.update(header or {})
    text = b64(json.dumps({k: v for k, v in head.items() if v is not None}).encode()) + "." + b64(json.dumps(claims).encode())
    return text + "." + b64((sign or key.signature)(text.encode()))


def hmac_with(secret):
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


class Issuer:
    """Publishes discovery and keys on loopback; what it publishes may change, and it may go away."""

    def __init__(self, case, keys):
        self.keys, self.away, self.fetched = list(keys), False, []
        self.upstream = case.upstream(self._serve)
        self.url = self.upstream.url

    def _serve(self, s, number):
        while raw := s.read_request():
            path = re.match(rb"\S+ (\S+)", raw).group(1).decode()
            self.fetched.append(path)
            if self.away:
                s.close()
                return
            if path == "/.well-known/openid-configuration":
                body = {"issuer": self.url, "jwks_uri": self.url + "/keys", "authorization_endpoint": self.url + "/authorize",
                        "token_endpoint": self.url + "/token"}
            else:
                body = {"keys": [k.jwk for k in self.keys]}
            s.sendall(harness.answer(json.dumps(body).encode()))

    def claims(self, **more):
        now = int(time.time())
        made = {"iss": self.url, "aud": "raccord", "sub": "robot", "iat": now, "exp": now + 300}
        made.update(more)
        return {k: v for k, v in made.items() if v is not None}
