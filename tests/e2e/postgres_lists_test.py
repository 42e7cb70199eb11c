"""A page of connections on PostgreSQL: every statement is a way there and back."""
import re

import harness
import postgres

# Of a page, with all that stands beside its rows.
MOST = {"": 13, "search=night": 15, "connector=http&search=night": 15}


class Statements(harness.Case):
    def setUp(self):
        super().setUp()
        self.pg = postgres.Postgres("fsync=off", "log_statement=all")
        self.addCleanup(self.pg.close)
        self.one = self.hub(env={"RACCORD_DATABASE_URL": self.pg.create()})
        for key in ("night-market", "night-order"):
            made = self.one.post("/api/v1/connections", {"connector": "http", "auth_type": "bearer", "key": key, "credentials": {"token": "t"},
                                                         "fields": {"base_url": "https://api.example.com"}})
            self.assertEqual(made.status, 201, made)

    def asked(self, query):
        """The statements that the server was sent by whoever looked at the caller's token."""
        before = len(self.pg.log())
        page = self.one.get("/api/v1/connections?" + query)
        self.assertEqual([item["key"] for item in page.json["items"]], ["night-market", "night-order"])
        said = re.findall(r"\[(\d+)\] LOG:  (?:execute [^:]*|statement): (.*)", self.pg.log()[before:])
        pid = next(pid for pid, text in said if "FROM token t" in text)
        return [text for said_by, text in said if said_by == pid]

    def test_a_page_takes_no_more_statements_than_it_has_subjects(self):
        for query, most in MOST.items():
            with self.subTest(query):
                asked = min((self.asked(query) for _ in range(3)), key=len)
                self.assertLessEqual(len(asked), most, "\n".join(asked))
