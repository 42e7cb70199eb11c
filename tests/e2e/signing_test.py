"""Requests that are signed: what arrives is verified by the provider's own computation, from the bytes that it got."""
import base64
import hashlib
import hmac
import json
import re
import threading
import time
import unittest
import urllib.parse

import harness
from provider import Provider, problem

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY_LIMIT = 6 * 1024 * 1024


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def quoted(text):
    return urllib.parse.quote(text, safe="-_.~")


def split_target(target):
    path, _, query = target.partition("?")
    return path, query


def pairs(query):
    return [tuple(urllib.parse.unquote_plus(part) for part in p.partition("=")[::2]) for p in query.split("&") if p]


def aws_flaw(request, key_id="AKIDEXAMPLE", secret=SECRET, region="eu-west-3", service="lambda", token=None):
    """Why AWS would refuse it; None when it would not."""
    (authorization,) = request.all("authorization")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})", authorization)
    if not found:
        return f"not a signature: {authorization}"
    (date,) = request.all("x-amz-date")
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    if found[1] != f"{key_id}/{scope}":
        return f"scope {found[1]}"
    if request.all("x-amz-content-sha256") != [sha256(request.body)] and service != "sts":
        return "the body's hash is another"
    if request.all("x-amz-security-token") != ([token] if token else []):
        return "security token"
    names = found[2].split(";")
    if names != sorted(set(names)):
        return "names are not sorted"
    for name, _ in request.headers:
        if (name.lower().startswith("x-amz-") or name.lower() in ("host", "content-type")) and name.lower() not in names:
            return f"{name} is not signed"
    segments = []
    path, query = split_target(request.target)
    for segment in path.split("/")[1:]:
        segments.append(quoted(segment))
    if service == "s3":
        segments = [quoted(urllib.parse.unquote(s)) for s in path.split("/")[1:]]
    canonical_query = "&".join("=".join(p) for p in sorted((quoted(k), quoted(v)) for k, v in pairs(query)))
    values = [name + ":" + ",".join(re.sub(" +", " ", v) for v in request.all(name)) + "\n" for name in names]
    canonical = "\n".join([request.method, "/" + "/".join(segments), canonical_query, "".join(values), found[2], sha256(request.body)])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, sha256(canonical.encode("latin-1"))])
    key = ("AWS4" + secret).encode()
    for step in scope.split("/"):
        key = hmac.new(key, step.encode(), "sha256").digest()
    return None if hmac.new(key, text.encode(), "sha256").hexdigest() == found[3] else f"signature over:\n{canonical}"


class Signed(harness.Case):
    def begin(self, auth_type, fields, credentials, **more):
        self.provider = Provider(self)
        self.hub_ = self.hub(env=self.provider.environment)
        self.made = self.hub_.connection("p", self.provider.url + more.pop("base", ""), auth_type=auth_type, credentials=credentials,
                                         fields=fields, allowed_domain="localhost", **more)
        return self.hub_

    def call(self, method, path, status=200, **more):
        answer = self.hub_.request(method, "/proxy/p" + path, **more)
        self.assertEqual(answer.status, status, f"{answer!r} {answer.headers}\n{self.hub_.log()[-2000:]}")
        return answer

    def nothing_kept(self, *secrets):
        """In no record, answer about the connection or log."""
        kept = self.hub_.get("/api/v1/runs?limit=100").text + self.hub_.get("/api/v1/connections/p").text + self.hub_.log()
        for secret in secrets:
            self.assertNotIn(secret, kept)


class Aws(Signed):
    def start(self, service="lambda", credentials=None, **more):
        self.service = service
        return self.begin("aws_sigv4", {"region": "eu-west-3", "service": service, **more},
                          credentials or {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET})

    def verified(self, count=1, **more):
        requests = self.provider.take()
        self.assertEqual(len(requests), count)
        for request in requests:
            self.assertIsNone(aws_flaw(request, service=self.service, **more), request)
        return requests

    def test_what_goes_out_is_what_was_signed(self):
        hub = self.start()
        self.call("GET", "/2015-03-31/functions/arn:aws:lambda:eu-west-3:1:function:f/invocations?b=2&a=%20x&a=1&empty&e=%C3%A9+y")
        self.call("POST", "/a%20b/%E9/~x", body=b"\x00\xff binary", headers={"Content-Type": "application/x;  q=1", "X-Amz-Target": "T.Op"})
        self.call("PUT", "/", body={"n": 1}, headers={"x-amz-meta-a": "1   2"})
        self.call("DELETE", "/x")
        _, posted, _, _ = self.verified(4)
        self.assertIn("x-amz-target", posted.all("authorization")[0])
        chunked = (b"POST /proxy/p/c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + hub.admin.encode() +
                   b"\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        self.assertIn(b" 200 ", hub.raw(chunked).split(b"\r\n")[0])
        (whole,) = self.verified()
        self.assertEqual(whole.body, b"hello world")
        self.nothing_kept(SECRET, whole.all("authorization")[0][-64:])

    def test_a_caller_cannot_bring_what_the_signature_sets(self):
        self.start()
        sent = {"X-AMZ-DATE": "20000101T000000Z", "x_amz_date": "20000101T000000Z", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
                "x-amz-SECURITY-token": "mine"}
        self.call("GET", "/", headers=sent)
        (request,) = self.verified()
        self.assertNotIn("20000101", request.raw.decode())
        self.assertNotIn("mine", request.raw.decode())
        told = self.hub_.post("/api/v1/connections/p/call", {"method": "GET", "path": "/", "headers": {"X-Amz-Date": "x"}})
        problem(told, "header_refused")

    def test_a_session_token_goes_along_and_is_signed(self):
        self.start(credentials={"access_key_id": "ASIAEXAMPLE", "secret_access_key": SECRET, "session_token": "IQoJb3JpZ2luX2VjE"})
        self.call("GET", "/")
        self.verified(key_id="ASIAEXAMPLE", token="IQoJb3JpZ2luX2VjE")
        self.nothing_kept("IQoJb3JpZ2luX2VjE")

    def test_redirects_and_retries_are_signed_anew(self):
        self.start(follow_redirects=True)
        seen = []

        def answer(request):
            seen.append(request.target)
            if len(seen) == 1:
                return harness.answer(status="307 Temporary Redirect", headers=["Location: /second%20place?z=1&a=2"])
            if len(seen) == 2:
                return harness.answer(status="503 Service Unavailable")
            return harness.answer()
        self.provider.answer = answer
        self.call("PUT", "/first", body={"x": 1}, headers={"Raccord-Retries": "2"})
        self.verified(3)
        self.assertEqual(seen, ["/first", "/second%20place?z=1&a=2", "/second%20place?z=1&a=2"])

    def test_an_answer_that_repeats_the_signature_does_not_spread_it(self):
        self.start()
        self.provider.answer = lambda r: harness.answer(headers=["X-Echo: " + r.all("authorization")[0], "X-Fine: yes"])
        answer = self.call("GET", "/")
        self.assertIsNone(answer.header("x-echo"))
        self.assertEqual(answer.header("x-fine"), "yes")

    def test_a_body_that_is_too_large_to_be_held_back_is_refused(self):
        self.start()
        self.call("POST", "/", body=b"x" * BODY_LIMIT)
        self.verified()
        try:
            told = problem(self.hub_.post("/proxy/p/", b"x" * (BODY_LIMIT + 1)), "body_too_large")
        except (ConnectionError, BrokenPipeError):
            return  # refused before all of it was taken
        self.assertIn(str(BODY_LIMIT), told["detail"])
        self.assertEqual(self.provider.take(), [])

    def test_a_path_of_s3_is_escaped_once(self):
        self.start(service="s3")
        self.call("GET", "/bucket/a%20key%2Bwith%7Esigns+and//two?list-type=2&prefix=a%2Fb")
        self.verified()


class Roles(Signed):
    base = {}  # for aws_flaw(): what signs the request for a session

    def sts(self, request):
        """The token service and the service itself, as AWS plays both."""
        if request.target != "/sts":
            flaw = aws_flaw(request, key_id="ASIASESSION1", secret="s3ss1on-secret", token="s3ss1on-t0ken")
            return harness.answer(json.dumps({"flaw": flaw}).encode(), status="403 Forbidden" if flaw else "200 OK")
        self.asked.append(request)
        form = dict(pairs(request.body.decode()))
        if aws_flaw(request, service="sts", **self.base) or form["ExternalId"] != self.made["fields"]["external_id"]:
            told = {"Error": {"Code": "InvalidClientTokenId", "Message": "not a key of ours", "Type": "Sender"}}
            return harness.answer(json.dumps(told).encode(), status="403 Forbidden")
        session = {"AccessKeyId": "ASIASESSION1", "SecretAccessKey": "s3ss1on-secret", "SessionToken": "s3ss1on-t0ken",
                   "Expiration": time.time() + 3600}
        return harness.answer(json.dumps({"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": session}}}).encode())

    def assume(self, credentials=None, **more):
        self.asked = []
        self.provider = Provider(self)
        self.hub_ = self.hub(env=self.provider.environment)
        self.provider.answer = self.sts
        self.place = {"region": "eu-west-3", "service": "lambda", "sts_endpoint": self.provider.url + "/sts",
                      "role_arn": "arn:aws:iam::123456789012:role/r"}
        self.made = self.hub_.connection("p", self.provider.url, auth_type="aws_assume_role", allowed_domain="localhost",
                                         credentials=credentials or {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET},
                                         fields=self.place, **more)

    def forget_renewal(self):
        """A refused session is renewed at most once in half a minute: as if that had passed."""
        self.assertEqual(self.hub_.post("/api/v1/connections/p/renew").status, 200)


class AwsRole(Roles):
    def test_the_hub_makes_the_external_id_and_nobody_changes_it(self):
        fields = {"region": "eu-west-3", "service": "lambda", "role_arn": "arn:aws:iam::123456789012:role/r"}
        hub = self.begin("aws_assume_role", fields, {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET})
        external = self.made["fields"]["external_id"]
        self.assertRegex(external, r"^[a-z2-7]{32}$")
        place = "/api/v1/connections/p"
        changed = hub.request("PATCH", place, {"fields": {"region": "us-east-1"}})
        self.assertEqual((changed.status, changed.json["fields"]["external_id"]), (200, external))
        same = hub.request("PATCH", place, {"fields": {"external_id": external}})
        self.assertEqual(same.status, 200, same)
        for other in ("another-one", None):
            told = problem(hub.request("PATCH", place, {"fields": {"external_id": other}}), "field_immutable")
            self.assertEqual(told["errors"][0]["pointer"] if "errors" in told else told.get("pointer"), "/fields/external_id")
        given = hub.post("/api/v1/connections", {"connector": "http", "auth_type": "aws_assume_role", "key": "q", "name": "q",
                                                 "folder": "shared", "allowed_domain": "localhost",
                                                 "fields": {"base_url": self.provider.url, "external_id": "mine", **fields},
                                                 "credentials": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}})
        problem(given, "field_invalid")
        copy = hub.post(place + "/duplicate", {"key": "copy", "credentials": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}})
        self.assertEqual(copy.status, 201, copy)
        self.assertNotEqual(copy.json["fields"]["external_id"], external)

    def test_calls_are_signed_with_one_session_of_the_role(self):
        self.assume()
        for i in range(3):
            self.call("POST", f"/{i}", body={"n": i})
        self.assertEqual(len(self.asked), 1)
        self.assertEqual(dict(pairs(self.asked[0].body.decode())), {
            "Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "raccord",
            "DurationSeconds": "3600", "ExternalId": self.made["fields"]["external_id"]})
        self.nothing_kept(SECRET, "s3ss1on-secret", "s3ss1on-t0ken")

    def test_a_session_that_aws_calls_expired_is_renewed_and_the_caller_sees_none_of_it(self):
        self.assume()
        over = [("403 Forbidden", b'{"message":"The security token included in the request is expired"}'),
                ("400 Bad Request", b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")]
        for status, said in over:
            with self.subTest(said):
                self.call("GET", "/before")
                asked, sts, told = len(self.asked), self.sts, []

                def answer(request):
                    if request.target != "/sts" and not told:
                        told.append(request)
                        return harness.answer(said, status=status)
                    return sts(request)
                self.provider.answer = answer
                self.call("POST", "/now", body={"n": 1})
                self.assertEqual((len(self.asked), len(told)), (asked + 1, 1))
                self.provider.answer = self.sts
                self.forget_renewal()
        self.provider.answer = lambda request: harness.answer(b'{"Message":"not allowed"}', status="403 Forbidden")
        asked = len(self.asked)
        self.call("GET", "/x", status=403)  # another refusal is the caller's, and costs no session
        self.assertEqual(len(self.asked), asked)


class AwsBase(Roles):
    """Base keys that an administrator keeps for connections that have none of their own."""
    CLIENT = {"key": "aws-base", "connector": "http", "client_id": "AKIABASE", "client_secret": "b4se-s3cret", "grant_types": ["aws_assume_role"]}

    def client(self, status=201, **more):
        made = self.hub_.post("/api/v1/oauth-clients", {**self.CLIENT, **more})
        self.assertEqual(made.status, status, made)
        return made

    def role(self, key="p", oauth_client="aws-base", credentials=None, **fields):
        return self.hub_.post("/api/v1/connections", {
            "connector": "http", "auth_type": "aws_assume_role", "key": key, "folder": "shared", "allowed_domain": "localhost",
            "oauth_client": oauth_client, **({"credentials": credentials} if credentials else {}),
            "fields": {"base_url": self.provider.url, **self.place, **fields}})

    def begin_hub(self, **client):
        self.base = {"key_id": "AKIABASE", "secret": "b4se-s3cret"}
        self.asked = []
        self.provider = Provider(self)
        self.provider.answer = self.sts
        self.hub_ = self.hub(env=self.provider.environment)
        self.place = {"region": "eu-west-3", "service": "lambda", "sts_endpoint": self.provider.url + "/sts",
                      "role_arn": "arn:aws:iam::123456789012:role/r"}
        self.client(token_hosts=["localhost"], **client)

    def test_a_clients_key_takes_on_the_role_and_nobody_sees_it(self):
        self.begin_hub()
        made = self.role()
        self.assertEqual(made.status, 201, made)
        self.made = made.json
        self.assertEqual((self.made["state"], self.made["oauth_client"]["key"]), ("active", "aws-base"))
        self.assertEqual(len(self.made["fields"]["external_id"]), 32)
        self.call("POST", "/x", body={"n": 1})
        self.assertEqual(len(self.asked), 1)
        self.nothing_kept("b4se-s3cret", "s3ss1on-secret")
        self.assertEqual(self.hub_.request("DELETE", "/api/v1/oauth-clients/aws-base").status, 409)

    def test_a_wrong_base_key_is_one_alarm_and_goes_on_when_it_is_mended(self):
        self.begin_hub()
        self.made = self.role().json
        self.base = {"key_id": "AKIAOTHER", "secret": "another-s3cret"}
        refused = self.call("GET", "/x", status=502)
        self.assertEqual(refused.json["code"], "oauth_client")
        changed = self.hub_.request("PATCH", "/api/v1/oauth-clients/aws-base", {"client_id": "AKIAOTHER", "client_secret": "another-s3cret"})
        self.assertEqual(changed.status, 200, changed)
        self.call("GET", "/x")

    def test_a_clients_key_signs_for_its_own_doors_only_and_no_other_client_is_a_key(self):
        self.begin_hub()
        away = problem(self.role(sts_endpoint="https://sts.evil.example.com/"), "token_host_not_allowed")
        self.assertEqual(away["errors"][0]["pointer"], "/fields/sts_endpoint")
        made = self.hub_.post("/api/v1/oauth-clients", {"key": "crm", "client_id": "x", "client_secret": "y",
                                                        "token_url": "https://login.example.com/token"})
        self.assertEqual(made.status, 201, made)
        problem(self.role(oauth_client="crm"), "field_invalid")
        both = self.role(credentials={"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET})
        problem(both, "field_invalid")

    def test_without_any_key_it_waits_and_one_of_its_own_may_come_later(self):
        self.begin_hub()
        self.base = {}
        made = self.role(oauth_client=None)
        self.assertEqual((made.status, made.json["state"]), (201, "needs_auth"), made)
        self.made = made.json
        put = self.hub_.request("PUT", "/api/v1/connections/p/credentials", {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET})
        self.assertEqual(put.status, 200, put)
        self.call("GET", "/x")
        self.assertEqual(self.hub_.get("/api/v1/connections/p").json["oauth_client"], None)

    def test_a_policy_gives_the_key_to_all_connections_of_a_connector(self):
        self.begin_hub()
        policy = self.hub_.post("/api/v1/policies", {"name": "aws", "rules": [
            {"rule": "preset", "connectors": ["http"], "part": "oauth_client", "name": "oauth_client", "value": "aws-base", "mode": "enforced"}]})
        self.assertEqual(policy.status, 201, policy)
        made = self.role(oauth_client=None)
        self.assertEqual((made.status, made.json["state"]), (201, "active"), made)
        self.made = made.json
        self.call("GET", "/x")
        own = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}
        self.assertEqual(problem(self.role("own", None, own), "preset_enforced")["errors"][0]["pointer"], "/credentials/access_key_id")
        other = self.hub_.post("/api/v1/connections", {  # a grant of OAuth is none of this policy's business
            "connector": "http", "auth_type": "oauth2_client_credentials", "key": "crm", "folder": "shared",
            "fields": {"base_url": self.provider.url, "token_url": "https://login.example.com/token"},
            "credentials": {"client_id": "own", "client_secret": "of-mine"}})
        self.assertEqual((other.status, other.json.get("oauth_client")), (201, None), other)

    def test_a_policy_that_gives_an_oauth_client_takes_no_role_its_key(self):
        self.begin_hub()
        made = self.hub_.post("/api/v1/oauth-clients", {"key": "crm", "client_id": "x", "client_secret": "y",
                                                        "token_url": "https://login.example.com/token"})
        self.assertEqual(made.status, 201, made)
        rules = [{"rule": "preset", "connectors": ["http"], "part": "oauth_client", "name": "oauth_client", "value": "crm", "mode": "enforced"},
                 {"rule": "managed_only", "connectors": ["http"]}]
        self.assertEqual(self.hub_.post("/api/v1/policies", {"name": "crm", "rules": rules}).status, 201)
        self.base = {}
        made = self.role(oauth_client=None, credentials={"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET})
        self.assertEqual((made.status, made.json["state"], made.json["oauth_client"]), (201, "active", None), made)
        self.made = made.json
        self.call("GET", "/x")


class DigestServer:
    """RFC 7616 by the book: one nonce at a time, counts that only grow."""

    def __init__(self, user="joe", password="s3cr3t: words", algorithm="SHA-256", qop="auth"):
        self.user, self.password, self.algorithm, self.qop = user, password, algorithm, qop
        self.hash = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm.removesuffix("-sess")]
        self.nonces, self.counts, self.stale, self.refused = 0, set(), False, 0
        self.lock = threading.Lock()

    def h(self, *parts):
        return self.hash(":".join(parts).encode()).hexdigest()

    def flaw(self, request):
        values = request.all("authorization")
        if not values or not values[0].startswith("Digest "):
            return "nothing"
        said = {k: v if q is None or not q else q for k, q, v in
                ((m[1], m[2], m[3]) for m in re.finditer(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', values[0]))}
        if said["nonce"] != f"nonce-{self.nonces}":
            return "stale"
        if said["uri"] != request.target or said["username"] != self.user or said["realm"] != "a realm, with comma":
            return f"not what was sent: {said}"
        with self.lock:
            if said["nc"] in self.counts:
                return "replayed"
            self.counts.add(said["nc"])
        a1 = self.h(self.user, said["realm"], self.password)
        if self.algorithm.endswith("-sess"):
            a1 = self.h(a1, said["nonce"], said["cnonce"])
        wanted = self.h(a1, said["nonce"], said["nc"], said["cnonce"], "auth", self.h(request.method, request.target))
        return None if said["response"] == wanted else "wrong response"

    def __call__(self, request):
        flaw = self.flaw(request)
        if flaw is None:
            return harness.answer(request.body or b"{}")
        self.refused += 1
        if flaw in ("nothing", "stale"):
            self.nonces += 1
            self.counts = set()
        stale = ", stale=true" if flaw == "stale" else ""
        return harness.answer(json.dumps({"flaw": flaw}).encode(), status="401 Unauthorized", headers=[
            'WWW-Authenticate: Basic realm="x"',
            f'WWW-Authenticate: Digest realm="a realm, with comma", qop="{self.qop}", algorithm={self.algorithm}, nonce="nonce-{self.nonces}"'
            + stale])


class Digest(Signed):
    def start(self, server, password="s3cr3t: words"):
        self.begin("digest", {"verify_path": "/me"}, {"username": "joe", "password": password})
        self.provider.answer = self.server = server

    def test_one_challenge_serves_many_requests(self):
        for algorithm in ("SHA-256", "MD5", "MD5-sess"):
            with self.subTest(algorithm):
                self.start(DigestServer(algorithm=algorithm))
                self.assertEqual(self.call("POST", "/a?b=c%20d", body={"kept": True}).json, {"kept": True})
                for i in range(5):
                    self.call("GET", f"/{i}")
                self.assertEqual(self.server.refused, 1)
                self.nothing_kept("s3cr3t: words")

    def test_a_stale_nonce_costs_one_more_round_and_the_caller_sees_none_of_it(self):
        self.start(DigestServer())
        self.call("GET", "/")
        self.server.nonces += 1
        self.assertEqual(self.call("PUT", "/x", body={"again": 1}).json, {"again": 1})
        self.assertEqual(self.server.refused, 2)

    def test_a_wrong_password_is_the_providers_401_after_one_try(self):
        self.start(DigestServer(), password="wrong")
        self.assertEqual(self.call("GET", "/", status=401).json, {"flaw": "wrong response"})
        self.assertEqual(len(self.provider.take()), 2)
        self.call("GET", "/", status=401)
        self.assertEqual(len(self.provider.take()), 1)  # a second wrong try could lock the account

    def test_what_cannot_be_answered_is_said(self):
        self.start(DigestServer(qop="auth-int"))
        told = problem(self.hub_.get("/proxy/p/"), "auth_challenge_unsupported")
        self.assertIn("auth-int", told["detail"])

    def test_a_connection_verifies_with_its_password(self):
        self.start(DigestServer())
        verified = self.hub_.post("/api/v1/connections/p/verify")
        self.assertEqual((verified.status, verified.json.get("ok")), (200, True), verified)

    def test_calls_side_by_side_never_count_alike(self):
        self.start(DigestServer())
        self.call("GET", "/")
        outcomes = []

        def many():
            for i in range(10):
                outcomes.append(self.hub_.get(f"/proxy/p/{i}").status)
        threads = [threading.Thread(target=many) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(outcomes, [200] * 40)
        self.assertEqual(self.server.refused, 1)


class Oauth1(Signed):
    CREDENTIALS = {"consumer_key": "ck/1", "consumer_secret": "consumer-s3cret&", "token": "tk", "token_secret": "token-s3cret/"}

    def flaw(self, request, method="HMAC-SHA256", kind="sha256"):
        (authorization,) = request.all("authorization")
        said = {k: urllib.parse.unquote(v) for k, v in re.findall(r'(\w+)="([^"]*)"', authorization.removeprefix("OAuth "))}
        if said.pop("realm") != "1234567_SB1" or said["oauth_signature_method"] != method or said["oauth_consumer_key"] != "ck/1":
            return f"said: {said}"
        signature = said.pop("oauth_signature")
        path, query = split_target(request.target)
        parameters = pairs(query) + list(said.items())
        if request.all("content-type") == ["application/x-www-form-urlencoded"]:
            parameters += pairs(request.body.decode())
        text = "&".join("=".join(p) for p in sorted((quoted(k), quoted(v)) for k, v in parameters))
        (host,) = request.all("host")
        base = "&".join([request.method, quoted(f"https://{host}{path}"), quoted(text)])
        key = quoted(self.CREDENTIALS["consumer_secret"]) + "&" + quoted(self.CREDENTIALS["token_secret"])
        wanted = base64.b64encode(hmac.new(key.encode(), base.encode(), kind).digest()).decode()
        return None if wanted == signature else f"signature over {base}"

    def test_query_and_form_are_signed_with_nonces_of_their_own(self):
        self.begin("oauth1", {"realm": "1234567_SB1"}, self.CREDENTIALS)
        self.call("GET", "/rest?script=1&deploy=2&q=a+b%2Bc&script=0")
        self.call("POST", "/form?x=1", body="c2&a3=2+q%26", headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.call("POST", "/json", body={"a": 1})
        requests = self.provider.take()
        for request in requests:
            self.assertIsNone(self.flaw(request), request)
        nonces = {re.search(r'oauth_nonce="(\w+)"', r.all("authorization")[0])[1] for r in requests}
        self.assertEqual(len(nonces), 3)
        problem(self.hub_.get("/proxy/p/?oauth_token=theirs"), "input_invalid")
        self.assertEqual(self.provider.take(), [])
        self.nothing_kept("consumer-s3cret", "token-s3cret")

    def test_old_services_get_hmac_sha1(self):
        self.begin("oauth1", {"realm": "1234567_SB1", "signature_method": "HMAC-SHA1"}, self.CREDENTIALS)
        self.call("GET", "/x")
        self.assertIsNone(self.flaw(self.provider.one(), "HMAC-SHA1", "sha1"))


class Declared(Signed):
    FIELDS = {"signed": "{{timestamp}}\\n{{method}}\\n{{target}}\\n{{nonce}}\\n{{body}}", "header": "X-Sign", "prefix": "v1=",
              "timestamp_header": "X-Time", "nonce_header": "X-Nonce", "key_header": "X-Key", "encoding": "base64"}

    def flaw(self, request):
        one = {name: request.all(name) for name in ("x-sign", "x-time", "x-nonce", "x-key")}
        if any(len(v) != 1 for v in one.values()) or one["x-key"] != ["k-1"]:
            return f"headers: {one}"
        text = "\n".join([one["x-time"][0], request.method, request.target, one["x-nonce"][0]]).encode() + b"\n" + request.body
        wanted = "v1=" + base64.b64encode(hmac.new(b"sh4red-s3cret", text, "sha256").digest()).decode()
        return None if one["x-sign"] == [wanted] else f"{one['x-sign']} over {text!r}"

    def test_the_declared_text_is_signed_and_its_parts_are_nobody_elses_to_set(self):
        self.begin("hmac", self.FIELDS, {"secret": "sh4red-s3cret", "key_id": "k-1"}, base="/v1")
        self.call("GET", "/things?b=1&a=%20")
        self.call("POST", "/things", body=b"\x00raw", headers={"x-TIME": "0", "X_Nonce": "1", "X-sign": "forged", "x-key": "k-2"})
        for request in self.provider.take():
            self.assertIsNone(self.flaw(request), request)
        self.nothing_kept("sh4red-s3cret")

    def test_a_body_that_is_not_signed_streams_whatever_its_size(self):
        self.begin("hmac", {"signed": "{{method}} {{url}}", "header": "X-Sign"}, {"secret": "sh4red-s3cret"})
        self.call("POST", "/big", body=b"x" * (BODY_LIMIT + 1))
        request = self.provider.one()
        text = f"POST {self.provider.url}/big".encode()
        self.assertEqual(request.all("x-sign"), [hmac.new(b"sh4red-s3cret", text, "sha256").hexdigest()])
        self.assertEqual(len(request.body), BODY_LIMIT + 1)


if __name__ == "__main__":
    unittest.main()
