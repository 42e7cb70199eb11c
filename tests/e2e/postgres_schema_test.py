"""The schema and the statements on PostgreSQL: all of the program's are taken, both engines have the same tables, and what changes
is announced to other nodes - that, and no bookkeeping."""
import re
import sqlite3

import harness
import postgres

# What is said when something of a table changes (docs/internals/store.md). "c": followed by the connection; the other letters alone.
# Columns that nobody remembers change in silence.
SAID = {
    "connection": ("c", "search notes tags number revision created_ms updated_ms verified_ms probe_ms used_ms due_ms deleted_by state_before health"),
    "connection_secret": ("c", ""),
    "connection_tls": ("c", ""),
    "connection_oauth": ("c", ""),
    "connection_grant": ("c", "state next_ms again_ms refreshable requested granted reason failures client forced_ms skew_ms from_backup fence"
                              " holder beat intent_ms intent_print attempt unknown"),
    "sealed_value": ("c", "updated_ms"),
    "certificate": ("c", "id source name subject issuer serial fingerprint client_auth not_before_ms not_after_ms created_ms activated_ms"
                         " retired_ms warned owner connection_id"),
    "policy": ("C", ""),
    "oauth_client": ("C", "all but key connector client_id settings"),
    "folder": ("CT", "id slug revision created_ms updated_ms"),
    "folder_member": ("T", ""),
    "group_member": ("T", ""),
    "connection_share": ("T", ""),
    "principal": ("T", "id password revision created_ms updated_ms"),
    "token": ("T", "id last4 created_ms last_used_ms"),
    "token_grant": ("T", ""),
    "identity_provider": ("T", ""),
    "identity_link": ("T", "provider_id subject created_ms seen_ms"),
    "identity_group": ("T", ""),
    "wrapping_key": ("K", "id created_ms uses"),
}
ONLY_TOKENS = ("kind", "owner_id", "preset", "inherits")  # of a folder: it lies where it lay

ONLY_SQLITE = r"sqlite_|pragma_|connection_gram\b|connection_search MATCH|\(connection_search[,)]|\(rowid, search\)|connection_search_"

# Rows to change, with what making them says. Of the connection: $c.
ROWS = (
    ("INSERT INTO principal (id, kind, name, role, created_ms, updated_ms) VALUES ('usr_1', 'user', 'a@b', 'user', 1, 1),"
     " ('grp_1', 'group', 'g', 'none', 1, 1)", ""),
    ("INSERT INTO group_member VALUES ('grp_1', 'usr_1')", "T"),
    ("INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld_1', 'x', 'shared/x', 'shared', 1, 1)", ""),
    ("INSERT INTO folder_member VALUES ('fld_1', 'usr_1', 'user')", "T"),
    ("INSERT INTO token (id, hash, last4, name, principal_id, role, created_ms) VALUES ('tok_1', 'h', 'l', 'n', 'usr_1', 'user', 1)", ""),
    ("INSERT INTO token_grant VALUES ('tok_1', 'connection', 'v')", "T"),
    ("INSERT INTO connection_share VALUES ('$c', 'usr_1', 'usr_1', NULL, 0, 'u', 1)", "T"),
    ("INSERT INTO connection_tls VALUES ('$c', 'own', '')", "c"),
    ("INSERT INTO connection_oauth VALUES ('$c', 'cli_1', NULL)", "c"),
    ("INSERT INTO connection_grant (connection_id) VALUES ('$c')", ""),
    ("INSERT INTO sealed_value VALUES ('grant', '$c', 'access', 's', 1)", "c"),
    ("INSERT INTO sealed_value VALUES ('idempotency', 'x', 'answer', 's', 1)", ""),
    ("INSERT INTO certificate VALUES ('crt_1', '$c', '$c', 'own', 'next', 'n', 'c', 's', 'i', 's', 'f', 1, 1, 1, 1, 0, 0, 1, 0)", ""),
    ("UPDATE certificate SET state = 'current'", "c"),
    ("INSERT INTO policy (id, name, rules, created_ms, updated_ms) VALUES ('pol_1', 'n', '{}', 1, 1)", "C"),
    ("INSERT INTO oauth_client (id, key, name, connector, client_id, settings, revision, created_ms, updated_ms)"
     " VALUES ('cli_1', 'k', 'n', '', 'i', '{}', 1, 1, 1)", ""),
    ("INSERT INTO identity_provider (id, key, name, issuer, keys_url, disabled, revision, created_ms, updated_ms)"
     " VALUES ('idp_1', 'k', 'n', 'i', '', 0, 1, 1, 1)", "T"),
    ("INSERT INTO identity_link VALUES ('idp_1', 's', 'usr_1', 1, 1)", "T"),
    ("INSERT INTO identity_group VALUES ('idp_1', 'n', 'grp_1')", "T"),
)
ENDS = (
    ("UPDATE connection SET health = 'ok'; UPDATE connection SET health = 'failing'", ""),
    ("UPDATE connection SET health = 'reconnect_required'", "c"),
    ("UPDATE connection SET health = 'reconnect_required', used_ms = 7", ""),
    ("UPDATE connection_grant SET state = 'failing'", ""),
    ("UPDATE connection_grant SET state = 'over'", "c"),
    ("BEGIN; UPDATE policy SET name = 'y'; UPDATE token SET name = 'y'; UPDATE policy SET name = 'z'; COMMIT", "CT"),
    ("BEGIN; UPDATE policy SET name = 'rolled back'; ROLLBACK", ""),
    ("DELETE FROM identity_provider", "T"),
    ("DELETE FROM oauth_client", "C"),
    ("DELETE FROM policy", "C"),
    ("DELETE FROM certificate", "c"),
    ("DELETE FROM sealed_value WHERE kind = 'grant'", "c"),
    ("DELETE FROM connection_grant", "c"),
    ("DELETE FROM token", "T"),
    ("DELETE FROM principal WHERE id = 'usr_1'", "T"),
    ("DELETE FROM connection", "c"),
    ("INSERT INTO wrapping_key (id, sealed, active, created_ms) VALUES (70, 's', 0, 1)", "K"),
    ("DELETE FROM wrapping_key WHERE id = 70", "K"),
)


def statements():
    """The texts of whole statements in the program: the compiler has put their pieces together."""
    with open(harness.binary(), "rb") as f:
        program = f.read()
    found = set()
    for piece in program.split(b"\0"):
        text = re.split(rb"[^\t\n -~]", piece[-8000:])[-1].decode()
        whole = text.count("'") % 2 == 0 and text.count("(") == text.count(")") and not re.search(r"[;%]|\b(AND|OR|WHERE|IN|FROM)\s*$", text)
        if whole and re.match(r"(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM) ", text):
            found.add(text)
    return sorted(found)


class OnBoth(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pg = postgres.Postgres("fsync=off")
        cls.addClassCleanup(cls.pg.close)

    def setUp(self):
        super().setUp()
        self.database = f"d{self._testMethodName[5:40]}"
        self.url = self.pg.create(self.database)

    def ask(self, text):
        return self.pg.sql(text, self.database, postgres.ROLE)

    def on_postgres(self):
        """A database with the schema, and a connection in it."""
        hub = self.hub(env={"RACCORD_DATABASE_URL": self.url})
        made = hub.get("/api/v1/connections").json["items"] or [hub.connection("crm", "https://crm.example")]
        hub.stop()
        return made[0]["id"]

    def told(self, changes):
        """What each of them says, sorted."""
        script = "LISTEN raccord;\n" + "".join(f"\\echo @{i}\n{change};\n" for i, change in enumerate(changes))
        out = self.pg.try_sql("\\unset ON_ERROR_STOP\n" + script, self.database, postgres.ROLE)
        said = []
        for part in re.split(r"^@\d+$", out.out, flags=re.M)[1:]:
            said.append(sorted(re.findall(r'notification "raccord" with payload "([^"]*)"', part)))
        self.assertEqual(len(said), len(changes), out)
        return said, out.err

    def wanted(self, letters):
        return sorted(f"c {self.connection}" if letter == "c" else letter for letter in letters)

    def test_every_statement_of_the_program_is_taken(self):
        self.on_postgres()
        texts = [t for t in statements() if not re.search(ONLY_SQLITE, t)]
        self.assertGreater(len(texts), 300)
        script = ""
        for i, text in enumerate(texts):
            numbers = [int(n) for n in re.findall(r"\$(\d+)", text)]
            text = text.replace("$keys", f"(SELECT key FROM json_each(${max(numbers, default=0) + 1}))")
            script += f"\\echo @{i}\nPREPARE p AS {text};\nSELECT parameter_types FROM pg_prepared_statements; DEALLOCATE ALL;\n"
        out = self.pg.try_sql("\\unset ON_ERROR_STOP\n\\set VERBOSITY terse\n\\o /dev/stdout\n" + script + "\\echo @end\n", self.database, postgres.ROLE)
        parts = re.split(r"^@(?:\d+|end)$", out.out, flags=re.M)[1:-1]
        self.assertEqual(len(parts), len(texts), out.err[-2000:])
        refused = [text for text, part in zip(texts, parts) if "{" not in part]
        self.assertEqual(refused, [], out.err)
        # Our numbers have 64 bits. Where PostgreSQL takes a parameter for 32, a time does not fit: CAST($n AS BIGINT).
        small = [text for text, part in zip(texts, parts) if re.search(r"\binteger\b", part)
                 and not re.search(r"\$\d+ = 1\b|substr\(\w+, \$\d+\)|length\([\w.]+\) > \$\d+", text)]
        self.assertEqual(small, [])

    def test_both_engines_have_the_same_tables(self):
        self.on_postgres()
        hub = self.hub(env={"RACCORD_DATABASE_URL": ""})
        hub.stop()
        db = sqlite3.connect(f"file:{hub.data}/raccord.db?mode=ro", uri=True)
        self.addCleanup(db.close)
        ours = {}
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'connection_search%'"
                                   " AND name <> 'connection_gram'"):
            for _, column, kind, not_null, _, key in db.execute(f"PRAGMA table_info({table})"):
                ours[table, column] = ("bigint" if "INT" in kind else kind.lower(), bool(not_null or key), bool(key))
        theirs = {}
        for line in self.ask("SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a"
                                " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indisprimary AND a.attname = c.column_name AND"
                                " i.indrelid = c.table_name::regclass) FROM information_schema.columns c WHERE c.table_schema = 'public'"
                                " AND c.table_name <> 'connection_search'").splitlines():
            table, column, kind, nullable, key = line.split("|")
            theirs[table, column] = (kind, nullable == "NO", key == "t")
        self.assertGreater(len(ours), 200)
        self.assertEqual(ours, theirs)

    def test_what_nodes_remember_is_announced_and_bookkeeping_is_not(self):
        self.connection = self.on_postgres()
        rows = [(sql.replace("$c", self.connection), wanted) for sql, wanted in ROWS]
        said, errors = self.told([sql for sql, _ in rows])
        self.assertEqual(errors, "")
        for (sql, wanted), got in zip(rows, said):
            self.assertEqual(got, self.wanted(wanted), sql)
        changes, expected = [], []
        for line in self.ask("SELECT c.table_name, c.column_name, c.data_type, EXISTS (SELECT 1 FROM pg_constraint k JOIN pg_attribute a ON"
                                " a.attrelid IN (k.conrelid, k.confrelid) AND a.attnum = ANY(CASE a.attrelid WHEN k.conrelid THEN k.conkey ELSE k.confkey END)"
                                " WHERE k.contype = 'f' AND a.attrelid = c.table_name::regclass AND a.attname = c.column_name)"
                                " FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
                                " WHERE t.table_schema = 'public' ORDER BY 1, 2").splitlines():
            table, column, kind, refers = line.split("|")
            if refers == "t" or table in ("audit", "connection_search", "schema_migration") or (table, column) == ("run_block", "id"):
                continue
            letters, quiet = SAID.get(table, ("", ""))
            letters = "" if quiet.startswith("all but") != (column in quiet.split()) else "T" if table == "folder" and column in ONLY_TOKENS else letters
            where = "id IN ('usr_1', 'fld_1', 'tok_1') OR id LIKE 'c%' OR id LIKE 'p%' OR id LIKE 'i%'" if column != "id" and table in (
                "principal", "folder", "token") else f"kind = 'grant'" if table == "sealed_value" and column not in ("kind", "owner_id") else "true"
            if table == "sealed_value" and column in ("kind", "owner_id"):
                continue
            to = f"{column} + 1" if kind == "bigint" else f"coalesce({column}, '') || 'x'"
            back = f"{column} - 1" if kind == "bigint" else f"left({column}, -1)"
            changes += [f"UPDATE {table} SET {column} = {to} WHERE {where}", f"UPDATE {table} SET {column} = {back} WHERE {where}"]
            expected += [letters, letters]
        said, errors = self.told(changes)
        self.assertEqual(errors, "")
        for sql, wanted, got in zip(changes, expected, said):
            self.assertEqual(got, self.wanted(wanted), sql)
        said, errors = self.told([sql for sql, _ in ENDS])
        self.assertEqual(errors, "")
        for (sql, wanted), got in zip(ENDS, said):
            self.assertEqual(got, self.wanted(wanted), sql)
