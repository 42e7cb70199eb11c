"""For which APIs a token is (RFC 8707): named on the way to the provider, and to its token endpoint. Against npm oidc-provider, which
grants several at once and gives a token for one of them."""
import base64
import json
import re
import urllib.parse

from flows_test import API, Case
from identity_test import Browser

ORDERS, STOCK = "https://orders.example.com", "https://stock.example.com/v2"


class Resources(Case):
    server = {"RESOURCES": json.dumps([ORDERS, STOCK])}

    def authorized(self, settings, features=None):
        self.start(features=features, grants=("authorization_code", "refresh_token"),
                   settings={"scopes": ["openid", "offline_access", "read"], "authorize_parameters": {"prompt": "consent"}, **settings})
        browser = Browser()
        page = browser.open(self.to_provider(browser, self.authorize()["authorization_url"]))
        self.assertEqual(page.status, 200, page.text)

    def ears(self):
        """For whom the token is that goes out."""
        self.assertEqual(self.hub1.get(f"/proxy/{self.con}/x").status, 200)
        claims = re.search(r"(?i)authorization: bearer [^.]+\.([^.]+)", self.last()).group(1)
        return json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"]

    def test_several_are_granted_and_each_token_is_for_the_one_that_is_named(self):
        self.authorized({"resource": [ORDERS, STOCK], "token_parameters": {"resource": STOCK}, "refresh_parameters": {"resource": ORDERS}})
        self.assertEqual(self.ears(), STOCK)
        self.assertEqual(self.hub1.post(f"{API}/connections/{self.con}/renew").status, 200)
        self.assertEqual(self.ears(), ORDERS)
        self.assertEqual([r["resource"] for r in self.asked("/token")], [STOCK, ORDERS])

    def test_the_browser_is_sent_with_each_of_them(self):
        self.authorized({"resource": [ORDERS, STOCK], "token_parameters": {"resource": STOCK}, "refresh_parameters": {"resource": STOCK}})
        url = self.authorize()["authorization_url"]
        sent = Browser().open(url, follow=False).headers["Location"]
        self.assertEqual(urllib.parse.parse_qs(urllib.parse.urlsplit(sent).query)["resource"], [ORDERS, STOCK])

    def test_they_are_pushed_where_requests_are(self):
        self.authorized({"resource": [ORDERS, STOCK], "token_parameters": {"resource": ORDERS}, "refresh_parameters": {"resource": ORDERS}},
                        {"pushedAuthorizationRequests": {"enabled": True}})
        self.assertEqual(self.asked("/request")[0]["resource"], [ORDERS, STOCK])
        self.assertEqual(self.ears(), ORDERS)

    def test_one_alone_goes_everywhere(self):
        self.authorized({"resource": ORDERS})
        self.assertEqual(self.ears(), ORDERS)
        self.assertEqual(self.hub1.post(f"{API}/connections/{self.con}/renew").status, 200)
        self.assertEqual([r["resource"] for r in self.asked("/token")], [ORDERS, ORDERS])

    def test_one_that_the_server_does_not_know_is_told_in_its_words(self):
        self.start(settings={"scopes": ["openid", "read"], "resource": "https://elsewhere.example.com"})
        browser = Browser()
        back = self.to_provider(browser, self.authorize()["authorization_url"])
        self.refused(browser.open(back), "authorization_refused", "invalid_target")
