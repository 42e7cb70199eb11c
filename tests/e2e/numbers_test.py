"""Numbers of other people's JSON come through as they were written, in both directions."""
import re

import harness

SOURCE = (b'{ "price": 19.99, "big":9007199254740993,\n\t"huge" : 123456789012345678901234567890, "tiny":1e-400,"e":1E+2,'
          b'"minus":-0,"zero":0.0,"list":[1.10,2.0e0 , 18446744073709551617],"text":"19.990 \\u00e9 \\/ \xc3\xa9","deep":{"n":0.1000000000000000055511151231257827}}')


class Numbers(harness.Case):
    def setUp(self):
        super().setUp()
        self.reply = SOURCE
        self.type = "application/json"
        self.seen = []
        upstream = self.upstream(self.serve)
        self.hub1 = self.hub(env={"RACCORD_EGRESS_ALLOW_PRIVATE": "localhost", "RACCORD_EGRESS_ALLOW_HTTP": "localhost"})
        self.hub1.connection("crm", upstream.url)

    def serve(self, s, number):
        while raw := s.read_request():
            self.seen.append(raw)
            s.sendall(harness.answer(self.reply, content_type=self.type))

    def call(self, body):
        return self.hub1.post("/api/v1/connections/crm/call", body, headers={"Content-Type": "application/json"})

    def test_a_body_reaches_the_provider_byte_for_byte(self):
        for around in (b'{"method":"POST","path":"/x","body":%s}', b'{"body" : %s ,"path":"/x","method":"POST"}',
                       b'{"headers":{"X-Note":"\\"body\\": {"},"method":"POST","path":"/x","body":\n%s\n}'):
            self.assertEqual(self.call(around % SOURCE).status, 200)
            self.assertEqual(self.seen[-1].split(b"\r\n\r\n", 1)[1], SOURCE)

    def test_single_numbers_and_lists_too(self):
        for text in (b"19.99", b"9007199254740993", b"123456789012345678901234567890", b"-0", b"1e400", b"[0.10,1E2]", b'"19.990"',
                     b"true", b"null"):
            self.assertEqual(self.call(b'{"method":"POST","path":"/x","body":' + text + b"}").status, 200)
            self.assertEqual(self.seen[-1].split(b"\r\n\r\n", 1)[1], text)

    def test_an_answer_comes_back_byte_for_byte(self):
        for self.type in ("application/json", "application/json; charset=utf-8", "application/vnd.api+json"):
            said = self.call(b'{"method":"GET","path":"/x"}')
            self.assertEqual(said.status, 200)
            self.assertIn(b'"body":' + SOURCE + b",", said.body)

    def test_query_values_keep_their_digits(self):
        said = self.call(b'{"method":"GET","path":"/x","query":{"a":19.990,"b":9007199254740993,"c":[1.10,1e3],"d":true}}')
        self.assertEqual(said.status, 200)
        self.assertRegex(self.seen[-1], re.escape(b"GET /x?a=19.990&b=9007199254740993&c=1.10&c=1e3&d=true HTTP/1.1"))

    def test_the_proxy_touches_nothing(self):
        said = self.hub1.post("/proxy/crm/x", SOURCE, headers={"Content-Type": "application/json"})
        self.assertEqual((said.body, self.seen[-1].split(b"\r\n\r\n", 1)[1]), (SOURCE, SOURCE))

    def test_the_command_line_prints_what_came(self):
        said = self.hub1.cli("call", "crm", "POST", "/x", "-d", SOURCE.decode())
        self.assertEqual(said.code, 0, said)
        for text in ("19.99,", "9007199254740993,", "123456789012345678901234567890", "1e-400",
                     "0.1000000000000000055511151231257827"):
            self.assertIn(text, said.out)
        self.assertEqual(self.seen[-1].split(b"\r\n\r\n", 1)[1], SOURCE)
