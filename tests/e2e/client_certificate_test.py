"""Client certificates: the hub shows one to nginx, which asks for it (`ssl_verify_client on`), and turns to the next one live."""
import base64
import json
import os
import re
import ssl
import subprocess
import threading
import unittest

import harness

API = "/api/v1"
PASSPHRASE = "passphrase-9f1c33a1e7"

SERVER = """
    ssl_session_cache shared:tls:1m;
    server {
        listen 127.0.0.1:{port} ssl;
        ssl_certificate %(certificate)s;
        ssl_certificate_key %(key)s;
        ssl_client_certificate %(clients)s;
        ssl_verify_client on;
        %(more)s
        location / {
            add_header X-Verify $ssl_client_verify always;
            add_header X-Subject $ssl_client_s_dn always;
            add_header X-Serial $ssl_client_serial always;
            add_header X-Reused $ssl_session_reused always;
            return 200 "{}";
        }
    }
"""


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more).stdout


class Mtls(harness.Case):
    def start(self, **env):
        """A hub that may reach one port of localhost and trusts the test's root; nginx is started with serve()."""
        self.servers, self.clients = self.pki("servers"), self.pki("clients")
        self.port = harness.free_port()
        self.url = f"https://localhost:{self.port}"
        self.env = {"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_CA_FILE": self.servers.ca, **env}
        return self.hub(env=self.env)

    def serve(self, hub=None, more="", root=None, name="nginx"):
        """nginx, which takes the clients of the test's root, and those of the hub's authority."""
        trusted = read(self.clients.ca)
        if hub:
            trusted += hub.get(API + "/certificates/ca.pem").text
        clients = self.file(name + "-clients.pem", trusted)
        certificate, key = (root or self.servers).issue(name)
        n = self.nginx(SERVER % {"certificate": certificate, "key": key, "clients": clients, "more": more}, name=name)
        self.url = f"https://localhost:{n.port}"
        return n

    def pair(self, name="hub", pki=None, **more):
        certificate, key = (pki or self.clients).issue(name, **more)
        return {"certificate": read(certificate), "private_key": read(key)}

    def connection(self, hub, key, certificate, **more):
        return hub.connection(key, self.url, auth_type="none", credentials={"client_certificate": certificate}, **more)

    def call(self, hub, key, status=200):
        answer = hub.get(f"/proxy/{key}/")
        self.assertEqual(answer.status, status, f"{answer!r} {answer.headers}\n{hub.log()[-2000:]}")
        return answer

    def put(self, hub, key, certificate, status=200):
        answer = hub.request("PUT", f"{API}/connections/{key}/credentials", {"credentials": {"client_certificate": certificate}})
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def subject(self, hub, key):
        return re.sub(r".*CN=", "", self.call(hub, key).header("x-subject"))

    # --- the three kinds ---

    def test_a_pair_of_ones_own_is_shown_and_its_facts_are_public(self):
        hub = self.start()
        self.serve()
        made = self.connection(hub, "own", self.pair("own-client"))
        self.assertEqual(self.subject(hub, "own"), "own-client")
        facts = made["client_certificate"]
        self.assertEqual((facts["source"], facts["subject"], facts["state"]), ("own", "CN=own-client", "current"))
        self.assertEqual(made["credentials"]["client_certificate"]["set"], True)
        self.assertIn(facts["expires_in_days"], (29, 30))
        listed = hub.get(f"{API}/certificates?connection=own").json["items"]
        self.assertEqual([c["id"] for c in listed], [facts["id"]])
        digest = openssl("x509", "-noout", "-fingerprint", "-sha256", input=listed[0]["chain"].encode()).decode()
        self.assertEqual(digest.split("=")[1].strip().replace(":", "").lower(), facts["fingerprint"])
        self.assertEqual(listed[0]["connection"]["key"], "own")

    def test_every_form_of_key_reaches_nginx(self):
        hub = self.start()
        self.serve()
        certificate, key = self.clients.issue("forms")
        chain = read(certificate)
        forms = {
            "pkcs8": ("pkcs8", "-topk8", "-nocrypt", "-in", key),
            "sec1": ("ec", "-in", key),
            "encrypted": ("pkcs8", "-topk8", "-in", key, "-passout", "pass:" + PASSPHRASE),
            "legacy": ("ec", "-aes128", "-in", key, "-passout", "pass:" + PASSPHRASE),
        }
        for name, command in forms.items():
            given = {"certificate": chain, "private_key": openssl(*command).decode()}
            if name in ("encrypted", "legacy"):
                given["passphrase"] = PASSPHRASE
            self.connection(hub, name, given)
            self.assertEqual(self.subject(hub, name), "forms", name)
        file = openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:" + PASSPHRASE)
        self.connection(hub, "p12", {"pkcs12": base64.b64encode(file).decode(), "passphrase": PASSPHRASE})
        self.assertEqual(self.subject(hub, "p12"), "forms")

    def test_issued_certificates_are_taken_by_who_trusts_the_authority(self):
        hub = self.start()
        self.assertEqual(hub.get(API + "/certificates/ca.pem").status, 404)
        self.assertEqual(hub.post(API + "/certificates", {"issue": "authority"}).status, 201)
        self.serve(hub)
        self.connection(hub, "first", {"issue": "connection"})
        self.connection(hub, "second", {"issue": "connection", "common_name": "second client", "days": 10})
        for key in ("shared-1", "shared-2"):
            self.connection(hub, key, {"issue": "instance"})
        self.assertEqual([self.subject(hub, k) for k in ("first", "second", "shared-1", "shared-2")],
                         ["first", "second client", "Raccord", "Raccord"])
        serials = {k: self.call(hub, k).header("x-serial") for k in ("first", "second", "shared-1", "shared-2")}
        self.assertEqual(serials["shared-1"], serials["shared-2"])
        self.assertEqual(len(set(serials.values())), 3)
        shared = [c for c in hub.get(API + "/certificates").json["items"] if c["source"] == "instance"]
        self.assertEqual([(c["connections"], c["connection"]) for c in shared], [(2, None)])
        leaf, root = self.file("leaf.pem", shared[0]["chain"]), self.file("root.pem", hub.get(API + "/certificates/ca.pem").text)
        self.assertIn(b"OK", openssl("verify", "-purpose", "sslclient", "-CAfile", root, leaf))
        # After a restart, from what is stored.
        hub.stop()
        hub.start()
        self.assertEqual(self.subject(hub, "first"), "first")

    def test_its_key_survives_a_rotation_of_keys(self):
        hub = self.start()
        hub.post(API + "/certificates", {"issue": "authority"})
        self.serve(hub)
        self.connection(hub, "crm", {"issue": "connection"})
        self.assertEqual(hub.cli("keys", "rotate", "--wait", "--yes").code, 0)
        hub.stop()
        hub.start()
        self.assertEqual(self.subject(hub, "crm"), "crm")
        self.connection(hub, "second", {"issue": "connection"})  # the authority's opens, too
        self.assertEqual(self.subject(hub, "second"), "second")

    # --- refused ---

    def test_a_certificate_of_another_authority_is_refused(self):
        hub = self.start()
        self.serve()
        self.connection(hub, "stranger", self.pair("stranger", pki=self.pki("others")))
        answer = self.call(hub, "stranger", 400)  # nginx finishes the handshake and says it in HTTP
        self.assertIsNone(answer.header("raccord-error"))
        self.assertIn("SSL certificate error", answer.text)
        hub.connection("without", self.url, auth_type="none", credentials={})
        self.assertIn("No required SSL certificate", self.call(hub, "without", 400).text)

    def test_an_alert_about_the_certificate_is_told_from_other_trouble(self):
        hub = self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            provider = self.upstream([harness.answer()], pki=self.servers)
            provider.context.load_verify_locations(self.clients.ca)
            provider.context.verify_mode = ssl.CERT_REQUIRED
            provider.context.maximum_version = version
            self.url = provider.url
            key = version.name.lower()
            hub.connection(key + "-without", self.url, auth_type="none", credentials={})
            self.connection(hub, key + "-stranger", self.pair("stranger", pki=self.pki("others")))
            for name in ("-without", "-stranger"):
                answer = self.call(hub, key + name, 502)
                self.assertIn(answer.json["code"], ("client_certificate_refused", "upstream_tls"), key + name)
                self.assertEqual(answer.json["code"] == "upstream_tls", version == ssl.TLSVersion.TLSv1_2 and name == "-without", answer)
            self.connection(hub, key + "-good", self.pair("good"))
            self.call(hub, key + "-good")

    def test_what_cannot_be_used_is_refused_when_it_is_saved(self):
        hub = self.start()
        good, other = self.pair("good"), self.pair("other")
        expired = self.pair("expired", days=-1)
        locked = openssl("pkcs8", "-topk8", "-in", self.clients._path("good.key"), "-passout", "pass:" + PASSPHRASE).decode()
        chain = good["certificate"] + read(self.clients.ca)
        at = "/credentials/client_certificate"
        cases = [
            ({**good, "private_key": other["private_key"]}, "/private_key"),
            ({**good, "certificate": read(self.clients.ca) + good["certificate"]}, "/private_key"),
            ({**good, "certificate": good["certificate"] + other["certificate"]}, "/certificate"),
            ({**good, "certificate": "nothing"}, "/certificate"),
            ({**good, "private_key": "nothing"}, "/private_key"),
            ({"certificate": good["certificate"]}, "/private_key"),
            ({**good, "private_key": locked}, "/passphrase"),
            ({**good, "private_key": locked, "passphrase": "wrong one"}, "/passphrase"),
            (expired, "/certificate"),
            ({"issue": "everything"}, "/issue"),
            ({"issue": "connection", "days": 0}, "/days"),
            ({"issue": "connection", "passphrase": "x"}, "/passphrase"),
            ({"pkcs12": base64.b64encode(b"nothing").decode()}, "/pkcs12"),
            ({**good, "extra": 1}, "/extra"),
        ]
        for i, (given, pointer) in enumerate(cases):
            answer = hub.post(API + "/connections", {"connector": "http", "auth_type": "none", "key": f"bad-{i}", "folder": "shared",
                                                     "fields": {"base_url": "https://localhost"},
                                                     "credentials": {"client_certificate": given}})
            self.assertEqual((answer.status, answer.json["errors"][0]["pointer"]), (400, at + pointer), (i, answer))
            self.assertNotIn("PRIVATE KEY", answer.text)
        self.assertEqual(hub.get(API + "/connections").json["items"], [])
        self.assertEqual(hub.get(API + "/certificates").json["items"], [])
        self.url = "https://localhost"
        self.connection(hub, "chain", {**good, "certificate": chain})

    # --- the server is verified all the same ---

    def test_the_server_is_verified_and_a_private_root_is_trusted_by_one_connection_only(self):
        hub = self.start()
        private = self.pki("private")
        self.serve(root=private)
        self.connection(hub, "plain", self.pair("plain"))
        self.assertEqual(self.call(hub, "plain", 502).json["code"], "upstream_tls")
        made = self.connection(hub, "private", self.pair("private-client"), tls_ca=read(private.ca))
        self.assertEqual(made["tls_ca"].strip(), read(private.ca).strip())
        self.assertEqual(self.subject(hub, "private"), "private-client")
        self.call(hub, "plain", 502)
        # Laid on and taken away later; roots of the hub stay trusted beside it.
        patch = lambda key, pem: self.assertEqual(hub.request("PATCH", f"{API}/connections/{key}", {"tls_ca": pem}).status, 200)
        patch("plain", read(private.ca))
        self.assertEqual(self.subject(hub, "plain"), "plain")
        patch("private", None)
        self.assertEqual(self.call(hub, "private", 502).json["code"], "upstream_tls")
        self.serve(name="public")
        self.connection(hub, "public", self.pair("public-client"), tls_ca=read(private.ca))
        self.assertEqual(self.subject(hub, "public"), "public-client")
        for bad in ("nothing", 7, read(private.ca)[:200]):
            answer = hub.request("PATCH", f"{API}/connections/plain", {"tls_ca": bad})
            self.assertEqual((answer.status, answer.json["errors"][0]["pointer"]), (400, "/tls_ca"), answer)

    def test_a_session_is_resumed_with_its_own_certificate_only(self):
        hub = self.start(RACCORD_THREADS="1")
        self.serve(more="keepalive_timeout 0;")
        for key in ("one", "two"):
            self.connection(hub, key, self.pair(key))
        first = [(key, self.call(hub, key)) for key in ("one", "two", "one", "two")]
        self.assertEqual([a.header("x-reused") for _, a in first], [".", ".", "r", "r"])
        self.assertEqual([a.header("x-subject") for k, a in first], ["CN=" + k for k, _ in first])
        self.put(hub, "one", self.pair("one-renewed"))
        renewed = self.call(hub, "one")
        self.assertEqual((renewed.header("x-reused"), renewed.header("x-subject")), (".", "CN=one-renewed"))

    # --- from one to the next ---

    def test_turning_to_the_next_certificate_under_load_fails_no_call(self):
        hub = self.start()
        hub.post(API + "/certificates", {"issue": "authority"})
        self.serve(hub)
        kinds = {"own": self.pair("own-0"), "issued": {"issue": "connection"}, "shared": {"issue": "instance"}}
        for key, given in kinds.items():
            self.connection(hub, key, given)
        token, done, failures, seen, counts = hub.admin, threading.Event(), [], {k: set() for k in kinds}, []

        def ask(key):
            kept, n = hub.connect(), 0
            while not done.is_set():
                answer = hub.get(f"/proxy/{key}/", connection=kept, token=token)
                if answer.status != 200 or answer.header("x-verify") != "SUCCESS":
                    failures.append((key, answer.status, answer.text[:200]))
                seen[key].add(answer.header("x-serial"))
                n += 1
            kept.close()
            counts.append(n)

        askers = [threading.Thread(target=ask, args=(key,)) for key in kinds for _ in range(2)]
        for t in askers:
            t.start()
        try:
            for i in range(1, 11):
                self.put(hub, "own", self.pair(f"own-{i}"))
                for issue in ({"issue": "connection", "connection": "issued"}, {"issue": "instance"}):
                    made = hub.post(API + "/certificates", issue)
                    self.assertEqual((made.status, made.json["state"]), (201, "next"), made)
                    live = hub.post(f"{API}/certificates/{made.json['id']}/activate")
                    self.assertEqual((live.status, live.json["state"]), (200, "current"), live)
                for key in kinds:
                    last = hub.get(f"/proxy/{key}/")
                    self.assertEqual(last.header("x-serial").lower().lstrip("0"),
                                     hub.get(f"{API}/connections/{key}").json["client_certificate"]["serial"].lstrip("0"))
        finally:
            done.set()
            for t in askers:
                t.join()
        self.assertEqual(failures, [])
        self.assertGreater(min(counts), 10)
        for key in kinds:
            self.assertGreater(len(seen[key]), 3, key)

    def test_the_next_certificate_is_published_before_it_is_used_and_may_be_taken_back(self):
        hub = self.start()
        hub.post(API + "/certificates", {"issue": "authority"})
        self.serve(hub)
        self.connection(hub, "crm", self.pair("old"))
        first = hub.get(f"{API}/connections/crm").json["client_certificate"]["id"]
        bring = lambda tag, token=None: hub.post(API + "/certificates", {"connection": "crm", **self.pair("new")}, headers={"If-Match": tag},
                                                 token=token)
        self.assertEqual([bring('"0"', hub.token("looks-only", "viewer")).status, bring('"0"').status], [403, 412])
        made = bring(hub.get(f"{API}/connections/crm").header("etag"))
        self.assertEqual((made.status, made.json["state"], made.json["activated_at"]), (201, "next", None))
        self.assertIn("BEGIN CERTIFICATE", made.json["chain"])
        self.assertEqual(self.subject(hub, "crm"), "old")
        tag = hub.get(f"{API}/certificates/{made.json['id']}").header("etag")
        activate = lambda id_, **h: hub.post(f"{API}/certificates/{id_}/activate", headers=h)
        self.assertEqual(activate(made.json["id"], **{"If-Match": '"1"'}).status, 412)
        self.assertEqual(activate(made.json["id"], **{"If-Match": tag}).status, 200)
        self.assertEqual(self.subject(hub, "crm"), "new")
        self.assertEqual(hub.get(f"{API}/certificates/{first}").json["state"], "retired")
        self.assertEqual(activate(first).status, 200)
        self.assertEqual(self.subject(hub, "crm"), "old")
        # From a pair of one's own to an issued one, to none.
        self.put(hub, "crm", {"issue": "connection"})
        self.assertEqual(self.subject(hub, "crm"), "crm")
        gone = self.put(hub, "crm", None)
        self.assertIsNone(gone["client_certificate"])
        self.assertIn("No required SSL certificate", self.call(hub, "crm", 400).text)
        self.assertEqual(hub.get(f"{API}/certificates?connection=crm").json["items"], [])

    def test_a_certificate_alone_is_replaced_alone(self):
        hub = self.start()
        self.serve(more="add_header X-Authorization $http_authorization always;")
        provider = hub.connection("both", self.url, credentials={"token": "t0k-both", "client_certificate": self.pair("one")})
        self.assertEqual(sorted(provider["credentials"]), ["client_certificate", "token"])
        self.assertEqual(self.subject(hub, "both"), "one")
        after = self.put(hub, "both", self.pair("two"))
        self.assertEqual(after["credentials"]["token"], provider["credentials"]["token"])
        self.assertEqual(self.subject(hub, "both"), "two")
        hub.request("PUT", f"{API}/connections/both/credentials", {"token": "t0k-other"})
        self.assertEqual(self.subject(hub, "both"), "two")
        self.assertEqual(hub.request("DELETE", f"{API}/connections/both").status, 204)
        self.assertEqual(hub.get(API + "/certificates").json["items"], [])

    # --- copies, and the end of a connection ---

    def test_a_copy_never_gets_a_certificate_of_the_first_ones_own(self):
        hub = self.start()
        hub.post(API + "/certificates", {"issue": "authority"})
        private = self.pki("private")
        self.serve(hub, root=private)
        self.connection(hub, "own", self.pair("own-client"), tls_ca=read(private.ca), tags=["eu"])
        self.connection(hub, "issued", {"issue": "connection"}, tls_ca=read(private.ca))
        self.connection(hub, "shared", {"issue": "instance"}, tls_ca=read(private.ca))
        duplicate = lambda which, **body: hub.post(f"{API}/connections/{which}/duplicate", body).json
        for key, certificate in (("own", None), ("issued", None), ("shared", "instance")):
            plan = duplicate(key, dry_run=True)
            self.assertEqual((plan["would_create"]["client_certificate"], plan["missing_client_certificate"]), (certificate, not certificate), key)
            self.assertEqual(plan["would_create"]["tls_ca"].strip(), read(private.ca).strip())
            copy = duplicate(key, key=key + "-2")
            self.assertEqual((copy["state"], copy["missing_client_certificate"]), ("active", not certificate), copy)
            self.assertEqual((copy["client_certificate"] or {}).get("source"), certificate, key)
        self.assertEqual(duplicate("own", dry_run=True)["would_create"]["tags"], ["eu"])
        for key in ("own-2", "issued-2"):
            self.assertIn("No required SSL certificate", self.call(hub, key, 400).text)  # the private root is trusted, and nothing shown
            self.assertEqual(hub.get(f"{API}/certificates?connection={key}").json["items"], [])
        self.assertEqual(self.subject(hub, "shared-2"), "Raccord")
        # What is sent decides; a pair that was sent is not shown back.
        given = {"client_certificate": self.pair("given")}
        plan = hub.post(f"{API}/connections/own/duplicate", {"dry_run": True, "credentials": given})
        self.assertEqual((plan.json["would_create"]["client_certificate"], plan.json["missing_client_certificate"]), ("own", False))
        self.assertNotIn("PRIVATE KEY", plan.text)
        self.assertFalse(duplicate("own", key="own-3", credentials=given)["missing_client_certificate"])
        self.assertEqual(self.subject(hub, "own-3"), "given")
        self.assertIsNone(duplicate("shared", key="shared-3", credentials={"client_certificate": None})["client_certificate"])
        self.assertEqual(hub.cli("connections", "duplicate", "own", "--key", "own-4", "--issue", "connection").code, 0)
        self.assertEqual(self.subject(hub, "own-4"), "own-4")
        self.assertEqual(self.subject(hub, "own"), "own-client")

    def kept(self, hub):
        """Certificates of connections in the database, and the sealed keys of certificates."""
        with harness.database(hub.data) as db:
            return [db.execute(q).fetchone()[0] for q in ("SELECT count(*) FROM certificate WHERE connection_id IS NOT NULL",
                                                          "SELECT count(*) FROM sealed_value WHERE kind = 'certificate'",
                                                          "SELECT count(*) FROM data_key WHERE kind = 'certificate'")]

    def test_a_certificate_goes_with_its_connection_for_good_and_comes_back_with_it_before(self):
        hub = self.start()
        self.serve()
        made = self.connection(hub, "crm", self.pair("crm-client"))
        door = f"{API}/connections/{made['id']}"
        self.assertEqual(self.subject(hub, "crm"), "crm-client")
        self.assertEqual(hub.request("DELETE", door).status, 204)
        self.assertEqual(self.kept(hub), [1, 1, 1])
        self.assertEqual(hub.post(door + "/restore").json["client_certificate"]["source"], "own")
        self.assertEqual(self.subject(hub, "crm"), "crm-client")
        self.assertEqual(hub.request("DELETE", door + "?purge=true").status, 204)
        self.assertEqual(self.kept(hub), [0, 0, 0])
        # One that is in the trash already.
        made = self.connection(hub, "crm", self.pair("crm-client"))
        door = f"{API}/connections/{made['id']}"
        hub.request("DELETE", door)
        self.assertEqual(hub.request("DELETE", door + "?purge=true").status, 204)
        self.assertEqual(self.kept(hub), [0, 0, 0])

    def test_where_secrets_are_destroyed_at_once_a_certificate_is_too(self):
        hub = self.start(RACCORD_RETENTION_DELETED_SECRETS="0s")
        self.serve()
        made = self.connection(hub, "crm", self.pair("crm-client"))
        door = f"{API}/connections/{made['id']}"
        hub.request("DELETE", door)
        self.assertEqual(self.kept(hub), [0, 0, 0])
        back = hub.post(door + "/restore").json
        self.assertEqual((back["state"], back["client_certificate"]), ("needs_auth", None))
        self.put(hub, "crm", self.pair("again"))
        hub.request("PUT", door + "/credentials", {"client_certificate": self.pair("again")})
        self.assertEqual(hub.get(door).json["client_certificate"]["subject"], "CN=again")

    def damage(self, hub, table, which):
        """One bit of what is sealed of these certificates' keys, while the hub is off."""
        hub.stop()
        with harness.database(hub.data) as db:
            for owner, in db.execute("SELECT id FROM certificate WHERE " + which).fetchall():
                sealed, = db.execute(f"SELECT sealed FROM {table} WHERE kind = 'certificate' AND owner_id = ?", (owner,)).fetchone()
                flipped = bytearray(base64.b64decode(sealed))
                flipped[40] ^= 1
                db.execute(f"UPDATE {table} SET sealed = ? WHERE owner_id = ?", (base64.b64encode(flipped).decode(), owner))
        hub.start()

    def test_turning_keys_tells_of_a_certificate_whose_key_is_lost(self):
        hub = self.start()
        self.serve()
        for key in ("bad", "good"):
            self.connection(hub, key, self.pair(key, days=300))
        self.damage(hub, "data_key", "subject = 'CN=bad'")
        self.assertEqual(hub.cli("keys", "rotate", "--wait", "--yes").code, 0)
        shown = {c["key"]: c["health"] for c in hub.get(API + "/connections").json["items"]}
        self.assertEqual(shown, {"bad": "reconnect_required", "good": "unknown"})
        self.assertEqual(self.subject(hub, "good"), "good")

    def test_a_key_that_does_not_open_stops_the_connections_that_show_it_and_no_other(self):
        hub = self.start()
        hub.post(API + "/certificates", {"issue": "authority"})
        self.serve(hub)
        for key, given in (("bad", self.pair("bad")), ("good", self.pair("good", days=300)), ("shared", {"issue": "instance"})):
            self.connection(hub, key, given)
        self.damage(hub, "sealed_value", "subject = 'CN=bad' OR owner = 'instance'")
        health = lambda key: hub.get(f"{API}/connections/{key}").json["health"]
        for key in ("bad", "shared"):
            self.assertEqual(self.call(hub, key, 409).json["code"], "reconnect_required")
            self.assertEqual(health(key), "reconnect_required", key)
            told = hub.get(f"{API}/connections/{key}/history").json["items"]
            self.assertEqual([h["action"] for h in told].count("connection.unreadable"), 1, told)
        self.assertEqual(self.subject(hub, "good"), "good")
        self.assertEqual(health("good"), "unknown")
        self.put(hub, "bad", self.pair("anew"))
        self.assertEqual(self.subject(hub, "bad"), "anew")
        self.assertEqual(hub.post(API + "/certificates", {"issue": "instance", "activate": True}).status, 201)
        self.assertEqual((self.subject(hub, "shared"), health("shared")), ("Raccord", "unknown"))

    # --- the command line ---

    def test_the_command_line_does_all_of_it(self):
        hub = self.start()
        cli = lambda *words, code=0, **more: self.check(hub.cli(*words, **more), code)
        self.assertIn("There is no certificate authority", cli("certificates", "ca", code=3).err)
        cli("certificates", "issue", "--issue", "authority", "--name", "Our authority", "--expires", "1000d")
        root = self.file("root.pem", cli("certificates", "ca").out)
        self.assertIn(b"Our authority", openssl("x509", "-noout", "-subject", "-in", root))
        private = self.pki("private")
        self.serve(hub, root=private)
        certificate, key = self.clients.issue("cli")
        locked = self.file("locked.key", openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:" + PASSPHRASE))
        cli("connections", "create", "--connector", "http", "--auth-type", "none", "--key", "crm", "--folder", "shared", "--field",
            "base_url=" + self.url, "--client-certificate", certificate, "--client-key", locked, "--client-passphrase-file",
            self.file("passphrase", PASSPHRASE + "\n"), "--tls-ca", private.ca)
        self.assertEqual(self.subject(hub, "crm"), "cli")
        self.assertIn("--client-key is missing", cli("connections", "credentials", "crm", "--client-certificate", certificate, code=2).err)
        self.assertIn("renew what it did not issue",
                      cli("certificates", "renew", hub.get(API + "/certificates?connection=crm").json["items"][0]["id"], code=2).err)
        cli("connections", "credentials", "crm", "--issue", "connection")
        self.assertEqual(self.subject(hub, "crm"), "crm")
        first = json.loads(cli("certificates", "list", "--connection", "crm", "--state", "current", "--json").out)["items"][0]
        following = json.loads(cli("certificates", "renew", first["id"], "--json").out)
        self.assertEqual((following["state"], following["subject"]), ("next", first["subject"]))
        before = self.call(hub, "crm").header("x-serial")
        cli("certificates", "activate", following["id"])
        self.assertNotEqual(self.call(hub, "crm").header("x-serial"), before)
        self.assertRegex(cli("certificates", "list").out, r"crm +connection +current +CN=crm")
        self.assertIn(following["id"], cli("certificates", "get", following["id"]).out)
        file = self.file("pair.p12", openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:"))
        cli("certificates", "issue", "--connection", "crm", "--client-certificate", file, "--activate")
        self.assertEqual(self.subject(hub, "crm"), "cli")

    def check(self, done, code):
        self.assertEqual(done.code, code, done)
        return done

    # --- the end of a certificate ---

    def test_a_certificate_that_ends_soon_is_told_everywhere(self):
        hub = self.start()
        self.serve()
        self.connection(hub, "soon", self.pair("soon", days=5))
        self.connection(hub, "fine", self.pair("fine", days=300))
        hub.stop()
        hub.start()  # upkeep has a first look at the start
        deadline = harness.Deadline()
        while hub.get(f"{API}/connections/soon").json["health"] != "expiring":
            self.assertTrue(deadline.left(), hub.log())
        self.assertRegex(hub.log(), r"warn client certificate expires .*CN=soon.* days=[45] ")
        self.assertNotIn("CN=fine", hub.log())
        self.assertEqual(hub.get(f"{API}/connections/fine").json["health"], "unknown")
        warned = {c["subject"]: c["warning"] for c in hub.get(API + "/certificates").json["items"]}
        self.assertEqual(warned, {"CN=soon": "expiring", "CN=fine": None})
        found = re.search(r'raccord_certificate_expiry_seconds{certificate="crt_\w+",for="con_\w+",state="current"} (\d+)',
                          hub.get("/metrics").text)
        self.assertTrue(4 * 86400 < int(found.group(1)) <= 5 * 86400)
        self.assertEqual([c["key"] for c in hub.get(API + "/connections?health=expiring").json["items"]], ["soon"])
        self.put(hub, "soon", self.pair("later", days=300))
        self.assertEqual(hub.get(f"{API}/connections/soon").json["health"], "unknown")

    # --- who may ---

    def test_the_hubs_own_certificates_are_the_administrators_to_turn(self):
        hub = self.start()
        user = hub.token("someone", "user")
        self.url = "https://localhost"
        self.connection(hub, "crm", {"issue": "instance"})
        shared = [c for c in hub.get(API + "/certificates", token=user).json["items"] if c["source"] == "instance"]
        self.assertEqual(len(shared), 1)
        for issue in ({"issue": "instance"}, {"issue": "authority"}, {"issue": "connection", "connection": "crm"}):
            self.assertIn(hub.post(API + "/certificates", issue, token=user).status, (403, 409), issue)
        self.assertEqual(hub.post(f"{API}/certificates/{shared[0]['id']}/activate", token=user).status, 403)
        self.assertEqual(hub.get(API + "/certificates/ca.pem", token=user).status, 200)
        self.assertEqual(hub.get(API + "/certificates", token="").status, 401)

    # --- secrets ---

    def test_no_key_and_no_passphrase_is_seen_anywhere(self):
        hub = self.start(RACCORD_LOG_LEVEL="debug")
        self.serve()
        certificate, key = self.clients.issue("sweep")
        locked = openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:" + PASSPHRASE).decode()
        self.connection(hub, "sweep", {"certificate": read(certificate), "private_key": locked, "passphrase": PASSPHRASE})
        self.put(hub, "sweep", self.pair("sweep-2"))
        self.connection(hub, "issued", {"issue": "connection"})
        self.put(hub, "sweep", {"certificate": read(certificate), "private_key": locked, "passphrase": "not " + PASSPHRASE}, 400)
        self.subject(hub, "sweep")
        needles = [PASSPHRASE.encode(), b"PRIVATE KEY"]
        for path in (key, self.clients._path("sweep-2.key")):
            der = openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", path)
            number = re.search(rb"\x02\x01\x01\x04\x20(.{32})", der, re.S).group(1)  # RFC 5915: the private number itself
            needles += [number, number.hex().encode(), base64.b64encode(der)[60:100], base64.b64encode(number)[:40]]
        shown = [hub.get(API + p).body for p in ("/connections", "/connections/sweep", "/certificates", "/certificates/ca.pem", "/runs")]
        shown.append(hub.get("/metrics").body)
        hub.stop()
        shown.append(hub.log().encode())
        for place, _, names in os.walk(hub.data):
            for name in names:
                with open(os.path.join(place, name), "rb") as f:
                    shown.append(f.read())
        for needle in needles:
            for text in shown:
                self.assertNotIn(needle, text)


if __name__ == "__main__":
    unittest.main()
