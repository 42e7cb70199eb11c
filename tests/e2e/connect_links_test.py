"""Links by which somebody without an account here completes a connection, or changes one: what they enter, when it takes effect, and what
a hostile browser or link may not do."""
import re
import unittest

import harness
from flows_test import API, Case
from identity_test import Browser


class Links(Case):
    def session(self, **body):
        made = self.hub1.post(API + "/connect-sessions", body)
        self.assertEqual(made.status, 201, made)
        return made.json

    def status_of(self, made):
        return self.hub1.get(f"{API}/connect-sessions/{made['id']}").json

    def fill(self, browser, page, fields=None, **credentials):
        form = {"csrf": re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)}
        form.update({"credential-" + k: v for k, v in credentials.items()})
        form.update({"field-" + k: v for k, v in (fields or {}).items()})
        return browser.open(page.url, form, follow=False)


class Completed(Links):
    def test_somebody_without_an_account_authorizes_one_connection(self):
        self.start()
        made = self.session(connection=self.con)
        browser = Browser()
        page = browser.open(made["url"])
        self.assertIn("asks you to connect", page.text)
        self.assertNotIn("<script", page.text)
        page = self.fill(browser, page)
        start = re.search(r'content="0;url=([^"]+)"', page.text).group(1)
        self.refused(Browser().open(made["url"]), "connect_link_invalid")  # it is of this browser now
        self.assertEqual(browser.open(self.to_provider(browser, start)).status, 200)
        self.assertEqual(self.status_of(made)["state"], "done")
        self.works()
        self.refused(browser.open(made["url"]), "connect_link_invalid")

    def test_credentials_are_entered_through_a_page_that_only_its_own_form_can_use(self):
        self.begin()
        self.provider = self.upstream([harness.answer()] * 9)
        made = self.session(connector="http", auth_type="bearer", key="theirs", fields={"base_url": self.provider.url}, expires_in="2h")
        self.assertEqual(self.state(made["connection"]), "needs_auth")
        browser = Browser("fr")
        page = browser.open(made["url"])
        self.assertIn("vous demande de connecter", page.text)
        self.assertIn('type="password"', page.text)
        forged = browser.open(made["url"], {"csrf": "x", "credential-token": "theirs"}, follow=False)
        self.refused(forged, "csrf_token_invalid")
        other = Browser()
        stolen = other.open(made["url"])
        said = self.fill(browser, page, token="canary-5b1")
        self.assertEqual(said.status, 200, said.text + self.hub1.log())
        self.refused(self.fill(other, stolen, token="late"), "connect_link_invalid")
        self.assertEqual(self.status_of(made)["state"], "done")
        self.assertEqual(self.state(made["connection"]), "active")
        called = self.hub1.get(f"/proxy/{made['connection']}/x")
        self.assertEqual(called.status, 200, called)
        self.assertIn("bearer canary-5b1", self.last().lower())
        self.assertNotIn("canary", self.hub1.get(API + "/audit").text + self.hub1.log())

    def test_the_page_says_what_it_is_for_and_where_the_credential_is_found(self):
        self.begin()
        made = self.session(connector="github", auth_type="pat", key="g", name="<b>Code</b>")
        for language, found in (("en", "Where to find it"), ("fr", "Où le trouver")):
            page = Browser(language).open(made["url"])
            self.assertIn(found, page.text)
            self.assertIn("<span>GitHub</span>", page.text)
            self.assertIn("<svg", page.text)
            self.assertRegex(page.text, r"(?s)<details>.*<ol>\n<li>.*</details>")
            self.assertIn("&lt;b&gt;Code&lt;/b&gt;", page.text)
            self.assertNotIn("<b>", page.text)
        role = self.session(connector="aws-lambda", auth_type="aws_assume_role", key="r",
                            fields={"region": "eu-west-3", "role_arn": "arn:aws:iam::123456789012:role/r"})
        external = self.hub1.get(f"{API}/connections/{role['connection']}").json["fields"]["external_id"]
        self.assertIn(f"<dd>{external}</dd>", Browser().open(role["url"]).text)

    def test_a_link_ends_with_the_token_that_made_it_and_may_no_more_than_that(self):
        self.begin()
        token = self.hub1.post(API + "/tokens", {"name": "t", "role": "admin"}).json
        made = [self.hub1.post(API + "/connect-sessions", {"connector": "http", "auth_type": "bearer", "key": key,
                                                           "fields": {"base_url": "https://api.example.com"}}, token=token["secret"]).json for key in "ab"]
        self.assertEqual(Browser().open(made[0]["url"]).status, 200)
        where = f"{API}/tokens/{token['id']}"
        self.assertEqual(self.hub1.request("PATCH", where, {"grants": {"connections": [made[0]["connection"]]}}).status, 200)
        self.assertEqual(Browser().open(made[0]["url"]).status, 200)
        self.refused(Browser().open(made[1]["url"]), "connect_link_invalid")
        self.assertEqual(self.hub1.request("DELETE", where).status, 204)
        self.refused(Browser().open(made[0]["url"]), "connect_link_invalid")

    def test_the_person_with_the_link_enters_the_connections_fields_too(self):
        self.begin()
        self.provider = self.upstream([harness.answer()] * 9)
        made = self.session(connector="http", auth_type="bearer", key="theirs", folder="shared", ask_fields=True)
        self.assertIsNone(made["connection"])
        self.assertIsNone(self.status_of(made)["connection"])
        browser = Browser("fr")
        page = browser.open(made["url"])
        self.assertRegex(page.text, r'<input id="field-base_url" name="field-base_url"[^>]* required')
        self.assertIn('type="password"', page.text)
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)
        wrong = browser.open(made["url"], {"csrf": csrf, "field-base_url": "ftp://<b>", "credential-token": "canary-5b2"}, follow=False)
        self.assertEqual((wrong.status, self.hub1.get(f"{API}/connections/theirs").status), (403, 404), wrong.text)
        self.assertIn('role="alert"', wrong.text)
        self.assertIn('value="ftp://&lt;b&gt;"', wrong.text)  # to be corrected; the secret is not there again
        self.assertNotIn("canary", wrong.text)
        said = browser.open(made["url"], {"csrf": csrf, "field-base_url": self.provider.url, "credential-token": "canary-5b2",
                                          "field-header": "X-Mine"}, follow=False)
        self.assertEqual(said.status, 200, said.text + self.hub1.log())
        status = self.status_of(made)
        self.assertEqual((status["state"], self.state("theirs")), ("done", "active"))
        shown = self.hub1.get(f"{API}/connections/{status['connection']}").json
        self.assertEqual((shown["key"], shown["fields"]["base_url"]), ("theirs", self.provider.url))
        self.assertEqual(self.hub1.get("/proxy/theirs/x").status, 200)
        self.assertIn("canary-5b2", self.last())
        self.refused(browser.open(made["url"], {"csrf": csrf, "field-base_url": self.provider.url, "credential-token": "x"}, follow=False),
                     "connect_link_invalid")
        self.assertEqual({"connection.create", "connection.credentials"} - {a["action"] for a in self.hub1.get(API + "/audit").json["items"]}, set())

    def test_what_a_link_that_asks_may_make_is_looked_at_before_and_after(self):
        self.begin()
        for body, status in (({"connector": "none"}, 404), ({"connector": "http", "auth_type": "none_such"}, 400), ({"connector": "http", "x": 1}, 400),
                             ({"connector": "http", "folder": "shared/nowhere"}, 404), ({"connector": "http", "credentials": {"token": "x"}}, 400)):
            said = self.hub1.post(API + "/connect-sessions", {**body, "ask_fields": True})
            self.assertEqual(said.status, status, said)
        made = self.session(connector="http", auth_type="bearer", ask_fields=True)
        policy = self.hub1.post(API + "/policies", {"name": "no", "rules": [{"rule": "connectors_block", "values": ["http"]}]})
        self.assertEqual(policy.status, 201, policy)
        browser = Browser()
        page = browser.open(made["url"])
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)
        stopped = browser.open(made["url"], {"csrf": csrf, "field-base_url": "https://api.example.com", "credential-token": "x"}, follow=False)
        self.assertEqual((stopped.status, stopped.headers["Raccord-Error"]), (403, "connector_blocked"))
        self.assertEqual(self.hub1.get(API + "/connections").json["items"], [])
        self.assertEqual(self.hub1.request("DELETE", f"{API}/connect-sessions/{made['id']}").status, 204)
        self.refused(browser.open(made["url"]), "connect_link_invalid")

    def test_a_link_that_is_withdrawn_or_unknown_opens_nothing(self):
        self.begin()
        made = self.session(connector="http", auth_type="bearer", key="k", fields={"base_url": "https://api.example.com"})
        self.assertEqual(self.hub1.request("DELETE", f"{API}/connect-sessions/{made['id']}").status, 204)
        self.refused(Browser().open(made["url"]), "connect_link_invalid")
        self.refused(Browser().open(self.hub1.url + "/connect/" + "a" * 52), "connect_link_invalid")
        self.assertEqual(self.status_of(made)["state"], "withdrawn")
        for body in ({"connection": "nothing"}, {"connection": made["connection"], "key": "x"}, {"connector": "http", "expires_in": "8d"},
                     {"connector": "http", "auth_type": "bearer", "credentials": {"token": "x"}}):
            said = self.hub1.post(API + "/connect-sessions", body)
            self.assertIn(said.status, (400, 404), said)


class Changed(Links):
    """A connection that is there: what its person may change of it."""

    def with_token(self, **more):
        self.begin()
        self.provider = self.upstream(lambda s, n: self.serve(s))
        self.status = "200 OK"
        self.seen = []
        made = self.hub1.post(API + "/connections", {
            "connector": "http", "auth_type": "pat", "key": "crm", "folder": "shared", "allowed_domain": "localhost",
            "fields": {"base_url": self.provider.url + "/v1", "verify_path": "/me", "expires_on": "2030-01-31"},
            "credentials": {"token": "canary-old"}, **more})
        self.assertEqual(made.status, 201, made)
        self.con = made.json["id"]

    def serve(self, s):
        while raw := s.read_request():
            self.seen.append(raw.decode().split("\r\n")[0].split(" ")[1] + " " + re.search(r"(?i)authorization: \w+ (\S+)", raw.decode()).group(1))
            s.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    def stored(self):
        return self.hub1.get(f"{API}/connections/{self.con}").json["fields"]

    def audit(self, action):
        return [a for a in self.hub1.get(f"{API}/audit?action={action}").json["items"] if a["object"]["id"] == self.con]

    def test_the_person_sees_what_there_is_and_changes_what_the_connector_says_with_the_credential(self):
        self.with_token()
        made = self.session(connection="crm", change_fields=True)
        self.assertTrue(made["change_fields"])
        browser = Browser()
        page = browser.open(made["url"])
        self.assertIn(f'value="{self.provider.url}/v1"', page.text)
        self.assertIn('value="2030-01-31"', page.text)
        self.assertIn("<dd>/me</dd>", page.text)  # to be seen, and not theirs to change
        self.assertNotIn('name="field-verify_path"', page.text)
        self.assertNotIn("canary-old", page.text)
        said = self.fill(browser, page, {"base_url": self.provider.url + "/v2", "expires_on": "", "verify_path": "/else"}, token="canary-new")
        self.assertEqual(said.status, 200, said.text + self.hub1.log())
        self.assertEqual(self.seen, ["/v2/me canary-new"])  # it was tried as it would be, before anything was stored
        stored = self.stored()
        self.assertEqual((stored["base_url"], stored["verify_path"], stored.get("expires_on")), (self.provider.url + "/v2", "/me", None))
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.assertEqual(self.seen[1:], ["/v2/x canary-new"])
        (entry,) = self.audit("connection.credentials")
        self.assertEqual((entry["before"]["fields"]["base_url"], entry["after"]["fields"]["base_url"]),
                         (self.provider.url + "/v1", self.provider.url + "/v2"))
        self.assertEqual(entry["actor"]["via"], made["id"])
        self.assertEqual(self.status_of(made)["state"], "done")

    def test_nothing_changes_when_the_new_credential_does_not_work_there(self):
        self.with_token()
        made = self.session(connection="crm", change_fields=True)
        self.status = "401 Unauthorized"
        browser = Browser()
        wrong = self.fill(browser, browser.open(made["url"]), {"base_url": self.provider.url + "/v2"}, token="canary-new")
        self.assertEqual(wrong.headers["Raccord-Error"], "verify_failed", wrong.text)
        self.assertIn(f'value="{self.provider.url}/v2"', wrong.text)  # to be corrected
        self.assertNotIn("canary", wrong.text)
        self.assertEqual(self.stored()["base_url"], self.provider.url + "/v1")
        self.status = "200 OK"
        self.assertEqual(self.hub1.get("/proxy/crm/x").status, 200)
        self.assertEqual(self.seen[-1], "/v1/x canary-old")
        self.assertEqual([a["outcome"] for a in self.audit("connection.credentials") if a["outcome"] == "done"], [])

    def test_no_link_leads_out_of_the_allowed_domain(self):
        self.with_token()
        made = self.session(connection="crm", change_fields=True)
        browser = Browser()
        for url, code in (("https://api.example.com/", "domain_not_allowed"), ("ftp://localhost/", "url_invalid|scheme_not_allowed")):
            wrong = self.fill(browser, browser.open(made["url"]), {"base_url": url}, token="canary-new")
            self.assertRegex(wrong.headers["Raccord-Error"], code)
        self.assertEqual(self.stored()["base_url"], self.provider.url + "/v1")
        self.assertEqual(self.seen, [])

    def test_a_link_that_does_not_say_so_changes_no_field(self):
        self.with_token()
        made = self.session(connection="crm")
        self.assertFalse(made["change_fields"])
        browser = Browser()
        page = browser.open(made["url"])
        self.assertNotIn('name="field-', page.text)
        self.assertEqual(self.fill(browser, page, {"base_url": self.provider.url + "/v2"}, token="canary-new").status, 200)
        self.assertEqual(self.stored()["base_url"], self.provider.url + "/v1")

    def test_fields_and_credentials_change_together_by_the_api_too(self):
        self.with_token()
        where = f"{API}/connections/crm/credentials?verify=true"
        self.status = "403 Forbidden"
        body = {"credentials": {"token": "canary-new"}, "fields": {"base_url": self.provider.url + "/v2"}}
        self.assertEqual(self.hub1.request("PUT", where, body).json["code"], "verify_failed")
        self.assertEqual(self.stored()["base_url"], self.provider.url + "/v1")
        self.status = "200 OK"
        self.assertEqual(self.hub1.request("PUT", where, body).json["fields"]["base_url"], self.provider.url + "/v2")

    def test_with_a_sign_in_in_between_fields_change_when_the_person_comes_back_and_not_before(self):
        self.start()
        path = self.provider.url + "/theirs"
        made = self.session(connection=self.con, change_fields=True)
        browser = Browser()
        page = browser.open(made["url"])
        self.assertIn(f'value="{self.provider.url}"', page.text)
        page = self.fill(browser, page, {"base_url": path})
        start = re.search(r'content="0;url=([^"]+)"', page.text).group(1)
        back = self.to_provider(browser, start)
        self.assertEqual(self.stored()["base_url"], self.provider.url)
        self.assertEqual(browser.open(back).status, 200)
        self.assertEqual(self.stored()["base_url"], path)
        self.works()
        self.assertIn("GET /theirs/x ", self.last())
        (entry,) = self.audit("connection.update")
        self.assertEqual((entry["before"]["fields"]["base_url"], entry["after"]["fields"]["base_url"], entry["actor"]["via"]),
                         (self.provider.url, path, made["id"]))
        self.assertEqual(self.status_of(made)["state"], "done")

    def test_who_says_no_at_the_provider_has_changed_nothing(self):
        self.start()
        made = self.session(connection=self.con, change_fields=True)
        browser = Browser()
        page = self.fill(browser, browser.open(made["url"]), {"base_url": self.provider.url + "/theirs"})
        start = re.search(r'content="0;url=([^"]+)"', page.text).group(1)
        away = browser.open(start, follow=False).headers["Location"]
        state = re.search(r"[?&]state=([^&]+)", away).group(1)
        no = browser.open(f"{self.hub1.url}/oauth/callback?error=access_denied&state={state}&iss={self.issuer}")
        self.refused(no, "authorization_refused")
        self.assertEqual(self.stored()["base_url"], self.provider.url)
        self.assertEqual(self.audit("connection.update"), [])
        self.assertEqual(self.status_of(made)["state"], "open")

    def test_who_may_make_a_link_that_changes_fields(self):
        self.with_token()
        token = self.hub1.post(API + "/tokens", {"name": "t", "role": "user"}).json["secret"]
        self.assertEqual(self.hub1.post(API + "/connect-sessions", {"connection": "crm", "change_fields": True}, token=token).status, 403)
        for body in ({"connector": "http", "auth_type": "pat", "change_fields": True}, {"connection": "crm", "change_fields": "yes"}):
            self.assertEqual(self.hub1.post(API + "/connect-sessions", body).status, 400, body)
        made = self.hub1.cli("connect-sessions", "create", "--connection", "crm", "--change-fields", "--json")
        self.assertIn('"change_fields":true', made.out)


class ChangedByCode(Links):
    TYPE = "oauth2_device_code"

    def test_a_page_with_a_code_has_no_way_back_so_fields_change_when_its_form_comes(self):
        self.start(features={"deviceFlow": {"enabled": True}}, grants=("urn:ietf:params:oauth:grant-type:device_code",), redirect_uris=[])
        made = self.session(connection=self.con, change_fields=True)
        browser = Browser()
        said = self.fill(browser, browser.open(made["url"]), {"base_url": self.provider.url + "/theirs"})
        self.assertEqual(said.status, 303, said.text)
        self.assertRegex(browser.open(made["url"]).text, r"<pre>[A-Z]{4}-[A-Z]{4}</pre>")
        stored = self.hub1.get(f"{API}/connections/{self.con}").json
        self.assertEqual((stored["fields"]["base_url"], stored["state"]), (self.provider.url + "/theirs", "needs_auth"))


if __name__ == "__main__":
    unittest.main()
