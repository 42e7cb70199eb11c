"""base/phrases.def: what the rooms say to people as a fault's subject has its French, and is said only once.

A source is read as tokens. A text counts as said to people unless it stands where only the log, a program or the wire reads it
(SILENT), so that a new sentence is missed by no one who forgets about this file: it fails here until it has a row.
"""
import glob
import os
import re
import unittest

import place

ROOMS = ("access", "auth", "call", "http", "proxy", "vault", "web")
FILES = ("catalog/setup.c", "base/json.c", "base/template.c", "crypto/password.c", "crypto/jwk.c", "crypto/jwt.c", "crypto/pair.c", "crypto/private_key.c", "crypto/jwt_sign.c",
         "cmd/terminal.c")

# Calls whose texts nobody is shown: all of them, or from the given argument on (counted from 0).
SILENT = {
    "fault": 3, "upstream_fail_with": 3, "refuse_with": 3, "line_broken": 2, "next_address": 1, "unusable": 2, "report": 0, "log_fault": 0,
    "log_debug": 0, "log_info": 0, "log_warn": 0, "log_error": 0, "log_line": 0, "log_text": 0, "rate_limited": 1, "run": 1, "bug": 0, "_Static_assert": 0,
    "query_begin": 1, "many_begin": 1, "many_texts": 2, "text_link_query": 1, "block_column": 1, "query_number": 1, "where_text": 1, "where_among": 1, "where_number": 1,
    "buf_add": 1, "buf_fmt": 1, "str_starts": 1, "str_istarts": 1, "str_is": 1, "strlen": 0, "strftime": 2, "json_only": 2,
    "reply_header": 1, "exchange_header": 1, "stream_put": 1, "ask": 0, "keyring_derive": 1,
}
# Notes that a room's own helper of a common name takes.
SILENT_IN = {"vault/domain.c": {"refuse": 2}, "call/run_block.c": {"broken": 1}, "vault/backup.c": {"damaged": 2}, "crypto/jwt.c": {"jwt_refused": 2, "malformed": 1},
             "crypto/jwk.c": {"jwt_refused": 2}, "auth/identity_person.c": {"refused": 2}, "auth/jwt_caller.c": {"refused": 2}, "web/idempotency.c": {"lost": 1, "json_str": 1},
             "auth/oidc.c": {"refused": 2}, "auth/identity_groups.c": {"delete_by": 1},
             "auth/identity_provider.c": {"finds_owner": 1}, "auth/oauth_client.c": {"count": 1},
             # log events, thread names, notes
             "auth/answer_journal.c": {"disk_fault": 1}, "auth/renewal.c": {"pthread_setname_np": 1},
             "auth/authorization.c": {"over": 1, "forget_codes": 1, "run_i64": 1}, "auth/authorization_url.c": {"odd": 3},
             "auth/connect_session.c": {"refused": 1, "end": 2}, "auth/device_flow.c": {"pthread_setname_np": 1},
             "auth/renewal_run.c": {"renewal_report": 1}, "auth/renewal_end.c": {"renewal_report": 1},
             "auth/renewal_left.c": {"renewal_report": 1}, "auth/renewal_introspect.c": {"renewal_report": 1}, "auth/renewal_upkeep.c": {"renewal_report": 1}, "auth/revocation.c": {"renewal_report": 1}}
# Calls whose texts are shown even when they are one word.
SPEAKING = {("fault", 2), ("upstream_fail_with", 2), ("refuse_with", 2), ("value_refuse", 1), ("body_fault", 3)}

# Names: the same in every language. Fields of the API, and what stands for an empty or unreadable one.
NAMES = {"email", "header", "username", "allowed_domain", "auth_type", "?", "genesys", "value", "client_email", "subject_token", "private_key", "login_url",
         "login_values", "headers", "role_arn", "timestamp_header", "nonce_header", "signed"}

# Said by tables that hold both languages, read by programs, or about the configuration (to who runs the hub, in English).
ELSEWHERE = {
    "access/departure.c": r"(SELECT|UPDATE|DELETE) .*",
    "access/folder_tree.c": r"SELECT .*",
    "vault/connection_walk.c": r"connection.* c( .*)?",  # SQL
    "vault/connection_words.c": r"(INSERT|DELETE) .*| (AND|OR) .*",  # SQL
    "vault/trash.c": r"SELECT .*",                 # SQL
    "web/probe.c": r"SELECT .*",                   # SQL
    "web/dependants.c": r"SELECT .*|  ?(ORDER|LIMIT) .*",  # SQL
    "access/role.c": r"[A-Z].*\.",                 # what docs/access.md says of roles and rights
    "access/guard.c": r"\{\} min|.* failures in .*",   # a unit's symbol; notes
    "access/policy.c": r"values?: .*|connectors, part: .*|[A-Z].*\.|\[\{.*",  # what docs/policies.md says of rules; shipped rules
    "web/policy_explain.c": r"role \{\}|limited to connections",               # a trace, for programs
    "auth/basic.c": r"Basic ",
    "auth/form.c": r"Basic ",
    "auth/dpop_signer.c": r"DPoP ",
    "auth/obtain_assertion.c": r"Bearer ",
    "crypto/private_key.c": r"-----.*|[A-Z ]+(-----.*)?",    # the lines around PEM
    "auth/identity_settings.c": r"openid profile email|auto, client_secret_basic, .*",
    "auth/oidc.c": r"Bearer |no error code",
    "cmd/terminal.c": r"standard input",           # has a row with what is said of it
    "http/address.c": r".*",                       # the egress settings
    "http/server.c": r"cannot (open a socket|listen) .*",
    "http/server_exchange.c": r"HTTP/1\.1 000 ",
    "http/status.c": r".*",                        # reason phrases of RFC 9110
    "http/upstream_line.c": r"closed or reset",    # a note
    "crypto/pair.c": r"P-\d+|a stored certificate .*|.*client certificate|private key|RSA.*",  # curves; notes
    "vault/certificate.c": r"Raccord client authority .*",  # a name in a certificate
    "vault/certificate_upkeep.c": r"(SELECT|UPDATE) .*|(=|<>) 'authority'",
    "web/certificates.c": r"state: next, current, retired",
    "vault/connection_secret.c": r"it has more secrets .*|one of its secrets .*|DELETE .*",  # notes; SQL
    "web/limits.c": r"SELECT .*",                  # SQL
    "web/limit_hits.c": r"\d+ .*",                 # how sentences begin that are said elsewhere
    "vault/domain.c": r"public_suffix_file is .*|no Public Suffix List; .*|built into libpsl, .*",
    "auth/aws_role.c": r"application/x-www-form-urlencoded; .*",
    "auth/sigv4.c": r"AWS4-HMAC-SHA256 .*", # a header
    "web/connection_call.c": r"text/plain; .*",
    "web/verify.c": r"(The|Le|L') ?.*",
    "web/connection_grant.c": r"[A-Z].*\.",        # what to do about a grant, both languages
    "web/connection_view.c": r"Another connection .*|Une autre connexion .*|Authorize the .*|Autorisez à .*",
    "web/doorman.c": r"default-src .*|hosts takes .*", # a header; a setting
    "web/cookie.c": r"; .*|.*Path=/;.*",
    "web/health.c": r"text/plain; .*",
    "web/oidc.c": r"Signed in|Connexion réussie|You are .*|Vous allez .*|Go on",
    "web/authorize.c": r"Le fournisseur dit .*|The provider says.*|Recommencez .*|Start again .*|Connexion autorisée|You are .*|Vous allez .*"
                       r"|It is done.*|C'est fait.*|Go on",
    "web/doctor.c": r".*",                         # likewise
    "web/connect_page.c": r".*",                   # a page whose texts stand in both languages side by side
    "web/pages.c": r"text/\w+; charset=utf-8",
}

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\w+|\s+|.', re.S)
ROW = re.compile(r'^P(?:_OF\((\w+), |\()"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\)$', re.M)
CONVERSION = re.compile(r"%(?:\.\*)?[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")


def texts(source):
    """Each run of adjacent string literals: line, text as written, and the calls around it with the argument it is in."""
    source = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: "\n" * m.group().count("\n"), source, flags=re.M)
    around, before, line, text = [], "", 1, None
    for token in TOKEN.findall(source):
        if token[0] == '"':
            if text is None:
                text = [line, "", [tuple(call) for call in around]]
            text[1] += token[1:-1]
        elif not token.isspace() and not token.startswith(("/*", "//")):
            if text is not None:
                yield text
                text = None
            if token in "([{":
                around.append([before if token == "(" else token, 0])
            elif token in ")]}" and around:
                around.pop()
            elif token == "," and around:
                around[-1][1] += 1
            before = token
        line += token.count("\n")


def said_to_people(source, silent=SILENT):
    """The texts that may come out as a subject: line and text, with {} for each conversion."""
    for line, text, around in texts(source):
        calls = [call for call in around if call[0] not in ("{", "STR", "str_of")]
        if any(name in silent and argument >= silent[name] for name, argument in calls):
            continue
        plain = CONVERSION.sub("{}", text)
        sentence = " " in plain and re.search(r"[A-Za-z]{2}", plain.replace("{}", ""))
        if sentence or (plain.strip("{}") and any(call in SPEAKING for call in calls)):
            yield line, plain


def read(path):
    with open(os.path.join(place.ROOT, "src", path), encoding="utf-8") as f:
        return f.read()


def rows():
    return ROW.findall(read("base/phrases.def"))


def said_in(path):
    return said_to_people(read(path), {**SILENT, **SILENT_IN.get(path, {})})


def sources():
    found = [os.path.relpath(p, place.ROOT + "/src") for room in ROOMS for p in glob.glob(f"{place.ROOT}/src/{room}/*.c")]
    return sorted(found) + list(FILES)


def has_row(text, patterns):
    """As it is, behind a name, or behind a path that another text puts in front."""
    return any(p.fullmatch(text) or p.fullmatch(text.partition(": ")[2]) or p.fullmatch("/path " + text) for p in patterns)


class Reader(unittest.TestCase):
    def test_what_is_shown_is_found_and_what_is_logged_is_not(self):
        source = '''
            #define SAID "not this one"
            return fault(why, ERR_LIMIT, STR("two small " "words"), "a note for %s", name); // "no comment"
            const char *flaw = n > 3 ? "holds too much" : NULL; /* "nor this" */
            fault(why, ERR_NOT_FOUND, STR("folder"), "x");
            fault(why, e, n ? str_fmt(a, "at most %zu bytes", n) : STR(""), "x");
            query_begin(db, "SELECT id FROM x");
            bug("never %d", bug_says("oh no no"));'''
        self.assertEqual([text for _, text in said_to_people(source)],
                         ["two small words", "holds too much", "folder", "at most {} bytes"])


class Phrases(unittest.TestCase):
    maxDiff = None

    def test_the_table_is_read_whole(self):
        self.assertEqual(len(rows()), len(re.findall(r"^P(?:_OF)?\(", read("base/phrases.def"), re.M)))
        self.assertGreater(len(rows()), 200)

    def test_every_sentence_that_people_are_told_has_its_french(self):
        patterns = [re.compile(".+".join(map(re.escape, english.split("{}")))) for _, english, _ in rows()]
        missing = []
        for path in sources():
            for line, text in said_in(path):
                if text in NAMES or re.fullmatch(ELSEWHERE.get(path, ""), text) or has_row(text, patterns):
                    continue
                missing.append(f"src/{path}:{line}: {text}")
        self.assertEqual(missing, [])

    def test_every_row_is_still_said_somewhere(self):
        said = set()
        for path in sources() + ["cmd/local_verbs.c"]:
            for _, text, _ in texts(read(path)):
                plain = CONVERSION.sub("{}", text)
                # "name: phrase", or what comes behind a path or the name of a stream
                head, _, tail = plain.partition(": ")
                said |= {plain, head, tail, "{} " + plain, plain.replace("{}", "standard input", 1)}
        self.assertEqual([english for _, english, _ in rows() if english not in said], [])

    def test_what_is_allowed_without_a_row_is_still_there(self):
        for path, pattern in ELSEWHERE.items():
            with self.subTest(path):
                self.assertTrue(any(re.fullmatch(pattern, text) for _, text in said_in(path)))

    def test_a_question_mark_in_a_row_is_not_taken_for_a_query(self):
        for _, english, _ in rows():
            self.assertIsNone(re.search(r"\?[^ \t\"'<>)]", english), english)
