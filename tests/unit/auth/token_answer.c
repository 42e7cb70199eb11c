/* What each answer of a token endpoint means: a table of them (requirements 9.3, 9.4). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth/token_answer.h"
#include "crypto/hash.h"

#define NOW INT64_C(1790000000000)
#define JSON "application/json"
#define FORM "application/x-www-form-urlencoded"
#define AT "\"access_token\":\"at-1\",\"token_type\":\"Bearer\""
#define NONE INT64_C(-1)
#define H INT64_C(3600000)

/* What a provider does otherwise, for one row. */
enum { TYPE_OPTIONAL = 1, ANY_CONTENT = 2, ENVELOPE = 4, OK_MARK = 8, DPOP = 16, COMMA = 32, DATE_MEMBER = 64, ERROR_PLACE = 128,
       PATHS = 256 };

static const struct row {
    int status, quirks;
    const char *type, *body;
    enum token_outcome outcome;
    const char *access, *refresh, *scope; /* NULL: not given */
    int64_t expires_ms;
    const char *error;
} rows[] = {
    /* what RFC 6749 5.1 shows, and what it allows */
    { 200, 0, JSON, "{\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\"token_type\":\"example\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL,
      NONE, "token_type" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":3600,\"refresh_token\":\"tGzv3JOkF0XG5Qx2TlKWIA\",\"example_parameter\":\"x\"}",
      TOKEN_GIVEN, "at-1", "tGzv3JOkF0XG5Qx2TlKWIA", NULL, H, "" },
    { 200, 0, "application/json;charset=UTF-8", "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, "Application/JSON", "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, "application/vnd.acme+json", "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 201, 0, JSON, "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "\xef\xbb\xbf{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, " \r\n{" AT "}\n", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"x\":{\"access_token\":\"other\"}}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    /* token_type */
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"bearer\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"bEARER\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "token_type" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_type\":null}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "token_type" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"mac\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "token_type" },
    { 200, TYPE_OPTIONAL, JSON, "{\"access_token\":\"at-1\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, TYPE_OPTIONAL, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"bot\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, DPOP, JSON, "{" AT "}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "token_type" },
    { 200, DPOP | TYPE_OPTIONAL, JSON, "{\"access_token\":\"at-1\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "token_type" },
    { 200, DPOP, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"dpop\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_type\":\"DPoP\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE,
      "token_type" },
    /* expires_in */
    { 200, 0, JSON, "{" AT ",\"expires_in\":\"3600\"}", TOKEN_GIVEN, "at-1", NULL, NULL, H, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":3600.9}", TOKEN_GIVEN, "at-1", NULL, NULL, H, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":-1}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":\"-3600\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":0}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":null}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":\"\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":\"soon\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":3e3}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":[3600]}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":316224000}", TOKEN_GIVEN, "at-1", NULL, NULL, INT64_C(316224000000), "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":316224001}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"expires_in\":99999999999999999999999}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, DATE_MEMBER, JSON, "{" AT ",\"expires_at\":\"2026-09-21T15:13:20Z\"}", TOKEN_GIVEN, "at-1", NULL, NULL,
      INT64_C(1790003600000) - NOW, "" },
    { 200, DATE_MEMBER, JSON, "{" AT ",\"expires_at\":\"2001-01-01T00:00:00Z\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    /* refresh_token, scope */
    { 200, 0, JSON, "{" AT ",\"refresh_token\":null}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"refresh_token\":\"\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"refresh_token\":\"a\\nb\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{" AT ",\"refresh_token\":\"a\\/b\"}", TOKEN_GIVEN, "at-1", "a/b", NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"scope\":\"read write\"}", TOKEN_GIVEN, "at-1", NULL, "read write", NONE, "" },
    { 200, 0, JSON, "{" AT ",\"scope\":\"\"}", TOKEN_GIVEN, "at-1", NULL, "", NONE, "" },
    { 200, 0, JSON, "{" AT ",\"scope\":null}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{" AT ",\"scope\":[\"read\",\"write\"]}", TOKEN_GIVEN, "at-1", NULL, "read write", NONE, "" },
    { 200, COMMA, JSON, "{" AT ",\"scope\":[\"read\",\"write\"]}", TOKEN_GIVEN, "at-1", NULL, "read,write", NONE, "" },
    /* content types */
    { 200, 0, "text/html", "<html>Sign in</html>", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, "text/plain", "{" AT "}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "content_type" },
    { 200, 0, NULL, "{" AT "}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "content_type" },
    { 200, 0, "text/plain", "{" AT ",\"refresh_token\":\"rt-2\"}", TOKEN_ASKED_WRONG, NULL, "rt-2", NULL, NONE, "content_type" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"refresh_token\":\"rt-2\"}", TOKEN_ASKED_WRONG, NULL, "rt-2", NULL, NONE,
      "token_type" },
    { 200, ANY_CONTENT, "text/plain", "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, ANY_CONTENT, NULL, "{" AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, FORM, "access_token=at-1&token_type=bearer", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, ANY_CONTENT, FORM, "access_token=at%2D1&token_type=bearer&scope=read+write&expires_in=3600", TOKEN_GIVEN, "at-1", NULL,
      "read write", H, "" },
    { 200, ANY_CONTENT, FORM, "access_token=at%zz&token_type=bearer", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    /* cut off, garbled, twice */
    { 200, 0, JSON, "", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 204, 0, NULL, "", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_204" },
    { 200, 0, JSON, "{\"access_token\":\"at-1\",\"token_ty", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{" AT "} trailing", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "[{" AT "}]", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "\"at-1\"", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{\"access_token\":\"\",\"token_type\":\"Bearer\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{\"access_token\":12345,\"token_type\":\"Bearer\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{\"access_token\":\"a\\r\\nX: y\",\"token_type\":\"Bearer\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE,
      "http_200" },
    { 200, 0, JSON, "{" AT ",\"access_token\":\"at-2\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{" AT ",\"refresh_token\":\"a\",\"refresh_token\":\"a\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, 0, JSON, "{" AT ",\"other\":1,\"other\":2}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, 0, JSON, "{\"access_token\":\"at-\xff\",\"token_type\":\"Bearer\"}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    /* envelopes */
    { 200, ENVELOPE, JSON,
      "{\"data\":{\"token\":\"at-1\",\"renew\":\"rt-1\",\"ttl\":\"3600\",\"scopes\":\"read\"},\"token_type\":\"Bearer\"}",
      TOKEN_GIVEN, "at-1", "rt-1", "read", H, "" },
    { 200, ENVELOPE, JSON, "{" AT "}", TOKEN_UNKNOWN, NULL, NULL, NULL, NONE, "http_200" },
    { 200, PATHS, JSON, "{\"list\":[{\"the.token\":\"at-1\"}],\"token_type\":\"Bearer\"}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE,
      "" },
    { 200, OK_MARK, JSON, "{\"ok\":true," AT "}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    { 200, OK_MARK, JSON, "{\"ok\":false,\"error\":\"invalid_refresh_token\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE,
      "invalid_refresh_token" },
    { 200, OK_MARK, JSON, "{\"ok\":false," AT ",\"error\":\"ratelimited\"}", TOKEN_LATER, NULL, NULL, NULL, NONE, "ratelimited" },
    { 200, OK_MARK, JSON, "{" AT "}", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_200" },
    /* errors in a 200 */
    { 200, 0, JSON, "{\"error\":\"bad_refresh_token\",\"error_description\":\"x\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE,
      "bad_refresh_token" },
    { 200, 0, JSON, "{\"error\":\"incorrect_client_credentials\"}", TOKEN_CLIENT_WRONG, NULL, NULL, NULL, NONE,
      "incorrect_client_credentials" },
    { 200, 0, JSON, "{\"error\":\"authorization_pending\"}", TOKEN_PENDING, NULL, NULL, NULL, NONE, "authorization_pending" },
    { 200, 0, JSON, "{\"error\":\"something\"}", TOKEN_ODD, NULL, NULL, NULL, NONE, "something" },
    { 200, ERROR_PLACE, JSON, "{\"status\":{\"code\":\"invalid_grant\"}}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE,
      "invalid_grant" },
    { 200, 0, JSON, "{\"error\":{\"code\":190,\"message\":\"expired\"}}", TOKEN_ODD, NULL, NULL, NULL, NONE, "190" },
    { 200, 0, JSON, "{" AT ",\"error\":null}", TOKEN_GIVEN, "at-1", NULL, NULL, NONE, "" },
    /* the state table: status by status, word by word */
    { 400, 0, JSON, "{\"error\":\"invalid_grant\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 401, 0, JSON, "{\"error\":\"invalid_grant\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 400, 0, "text/plain", "{\"error\":\"invalid_grant\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 400, 0, JSON, "{\"error\":\"invalid_client\"}", TOKEN_CLIENT_WRONG, NULL, NULL, NULL, NONE, "invalid_client" },
    { 401, 0, JSON, "{\"error\":\"invalid_client\"}", TOKEN_CLIENT_WRONG, NULL, NULL, NULL, NONE, "invalid_client" },
    { 401, 0, "text/html", "<h1>Unauthorized</h1>", TOKEN_CLIENT_WRONG, NULL, NULL, NULL, NONE, "http_401" },
    { 400, 0, JSON, "{\"error\":\"unauthorized_client\"}", TOKEN_CLIENT_WRONG, NULL, NULL, NULL, NONE, "unauthorized_client" },
    { 400, 0, JSON, "{\"error\":\"invalid_scope\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "invalid_scope" },
    { 400, 0, JSON, "{\"error\":\"invalid_request\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "invalid_request" },
    { 400, 0, JSON, "{\"error\":\"unsupported_grant_type\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "unsupported_grant_type" },
    { 400, 0, JSON, "", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_400" },
    { 400, 0, "text/html", "<h1>Bad</h1>", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_400" },
    { 400, 0, JSON, "{\"error\":\"", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_400" },
    { 400, 0, JSON, "{\"message\":\"no\"}", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_400" },
    { 400, 0, JSON, "{\"error\":\"a word of theirs\"}", TOKEN_ODD, NULL, NULL, NULL, NONE, "a word of theirs" },
    { 400, 0, JSON, "{" AT "}", TOKEN_ODD, NULL, NULL, NULL, NONE, "http_400" },
    { 400, 0, JSON, "{\"error\":\"authorization_pending\"}", TOKEN_PENDING, NULL, NULL, NULL, NONE, "authorization_pending" },
    { 429, 0, JSON, "{\"error\":\"slow_down\"}", TOKEN_SLOW_DOWN, NULL, NULL, NULL, NONE, "slow_down" },
    { 400, 0, JSON, "{\"error\":\"access_denied\"}", TOKEN_DENIED, NULL, NULL, NULL, NONE, "access_denied" },
    { 400, 0, JSON, "{\"error\":\"expired_token\"}", TOKEN_CODE_EXPIRED, NULL, NULL, NULL, NONE, "expired_token" },
    { 400, 0, JSON, "{\"error\":\"use_dpop_nonce\"}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "use_dpop_nonce" },
    { 400, 0, JSON, "{\"error\":\"temporarily_unavailable\"}", TOKEN_LATER, NULL, NULL, NULL, NONE, "temporarily_unavailable" },
    { 403, 0, "text/html", "<h1>Blocked</h1>", TOKEN_LATER, NULL, NULL, NULL, NONE, "http_403" },
    { 403, 0, JSON, "{\"error\":\"invalid_grant\"}", TOKEN_GRANT_OVER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 404, 0, "text/html", "<h1>Not found</h1>", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "http_404" },
    { 405, 0, JSON, "{}", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "http_405" },
    { 301, 0, "text/html", "", TOKEN_ASKED_WRONG, NULL, NULL, NULL, NONE, "http_301" },
    { 408, 0, JSON, "", TOKEN_LATER, NULL, NULL, NULL, NONE, "http_408" },
    { 429, 0, JSON, "{\"error\":\"invalid_grant\"}", TOKEN_LATER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 500, 0, JSON, "{\"error\":\"invalid_grant\"}", TOKEN_LATER, NULL, NULL, NULL, NONE, "invalid_grant" },
    { 500, 0, "text/html", "<h1>Oops</h1>", TOKEN_LATER, NULL, NULL, NULL, NONE, "http_500" },
    { 502, 0, "text/html", "", TOKEN_LATER, NULL, NULL, NULL, NONE, "http_502" },
    { 503, 0, JSON, "{\"error\":\"temporarily_unavailable\"}", TOKEN_LATER, NULL, NULL, NULL, NONE, "temporarily_unavailable" },
    { 503, 0, JSON, "{" AT "}", TOKEN_LATER, NULL, NULL, NULL, NONE, "http_503" },
};

struct trial {
    struct arena *a;
    struct oauth_profile p;
    struct fetch_answer f;
    struct str headers[4][2];
    struct token_answer t;
};

static void begin(struct trial *t, int status, const char *type, struct str body)
{
    *t = (struct trial){ .a = arena_new(16 * 1024) };
    t->p.scope_separator = ' ';
    t->f = (struct fetch_answer){ .status = status, .headers = t->headers, .body = arena_str(t->a, body) };
    if (type) {
        t->headers[0][0] = STR("content-type");
        t->headers[0][1] = str_of(type);
        t->f.header_count = 1;
    }
}

static void header(struct trial *t, const char *name, const char *value)
{
    t->headers[t->f.header_count][0] = str_of(name);
    t->headers[t->f.header_count++][1] = str_of(value);
}

static void end(struct trial *t)
{
    token_answer_end(&t->t);
    arena_free(t->a);
}

static void read_it(struct trial *t) { token_answer_read(t->a, &t->p, &t->f, NOW, &t->t); }

static void apply(struct trial *t, int quirks)
{
    struct token_quirks *k = &t->p.quirks;
    k->token_type_optional = quirks & TYPE_OPTIONAL;
    k->any_content_type = quirks & ANY_CONTENT;
    t->p.dpop = quirks & DPOP;
    t->p.scope_separator = quirks & COMMA ? ',' : ' ';
    k->ok = quirks & OK_MARK ? STR("/ok") : STR("");
    k->expires_in = quirks & DATE_MEMBER ? STR("/expires_at") : STR("");
    k->error = quirks & ERROR_PLACE ? STR("/status/code") : STR("");
    if (quirks & PATHS)
        k->access_token = STR("$.list[0]['the.token']");
    if (quirks & ENVELOPE) {
        k->access_token = STR("/data/token");
        k->refresh_token = STR("/data/renew");
        k->expires_in = STR("/data/ttl");
        k->scope = STR("/data/scopes");
    }
}

static bool is(struct str got, const char *wanted) { return wanted ? str_is(got, wanted) : !got.n; }

static void each_answer_of_the_table_means_what_it_says(void **state)
{
    (void)state;
    assert_true(COUNT(rows) >= 60);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        struct trial t;
        begin(&t, r->status, r->type, str_of(r->body));
        apply(&t, r->quirks);
        read_it(&t);
        if (t.t.outcome != r->outcome || !is(secret_str(t.t.access_token), r->access) ||
            !is(secret_str(t.t.refresh_token), r->refresh) || t.t.scope_given != (r->scope != NULL) || !is(t.t.scope, r->scope) ||
            t.t.expires_in_ms != r->expires_ms || !is(t.t.error, r->error))
            fail_msg("row %zu, %d %s: outcome %d, access '%.*s', refresh '%.*s', scope '%.*s', expires %lld, error '%.*s'", i,
                     r->status, r->body, t.t.outcome, STR_ARG(secret_str(t.t.access_token)), STR_ARG(secret_str(t.t.refresh_token)),
                     STR_ARG(t.t.scope), (long long)t.t.expires_in_ms, STR_ARG(t.t.error));
        end(&t);
    }
}

static struct str body_with(struct arena *a, const char *before, size_t n, const char *after)
{
    char *fill = arena_alloc(a, n);
    memset(fill, 'x', n);
    return arena_join(a, arena_join(a, str_of(before), (struct str){ fill, n }), str_of(after));
}

static enum token_outcome outcome_of(const char *before, size_t n, const char *after)
{
    AUTO_ARENA a = arena_new(4096);
    struct trial t;
    begin(&t, 200, JSON, body_with(a, before, n, after));
    read_it(&t);
    enum token_outcome outcome = t.t.outcome;
    end(&t);
    return outcome;
}

static void what_is_too_large_is_not_a_token(void **state)
{
    (void)state;
    assert_int_equal(outcome_of("{\"token_type\":\"Bearer\",\"access_token\":\"", 16 * 1024, "\"}"), TOKEN_GIVEN);
    assert_int_equal(outcome_of("{\"token_type\":\"Bearer\",\"access_token\":\"", 16 * 1024 + 1, "\"}"), TOKEN_UNKNOWN);
    assert_int_equal(outcome_of("{" AT ",\"scope\":\"", OAUTH_SCOPE_MAX, "\"}"), TOKEN_GIVEN);
    assert_int_equal(outcome_of("{" AT ",\"scope\":\"", OAUTH_SCOPE_MAX + 1, "\"}"), TOKEN_ASKED_WRONG);
    assert_int_equal(outcome_of("{" AT ",\"x\":\"", 1000 * 1000, "\"}"), TOKEN_GIVEN);
    assert_int_equal(outcome_of("{" AT ",\"x\":\"", 1024 * 1024, "\"}"), TOKEN_UNKNOWN);
}

/* Requirement 9.6: for those who want the limit of others. */
static void a_smaller_limit_of_scopes_holds_to_the_byte(void **state)
{
    (void)state;
    token_answer_limit_scopes(255);
    assert_int_equal(outcome_of("{" AT ",\"scope\":\"", 255, "\"}"), TOKEN_GIVEN);
    assert_int_equal(outcome_of("{" AT ",\"scope\":\"", 256, "\"}"), TOKEN_ASKED_WRONG);
    token_answer_limit_scopes(OAUTH_SCOPE_MAX);
}

static int64_t retry_of(const char *value)
{
    struct trial t;
    begin(&t, 429, NULL, STR(""));
    header(&t, "Retry-After", value);
    read_it(&t);
    int64_t ms = t.t.retry_after_ms;
    end(&t);
    return ms;
}

static void retry_after_is_seconds_or_a_date_and_at_most_an_hour(void **state)
{
    (void)state;
    assert_int_equal(retry_of("120"), 120000);
    assert_int_equal(retry_of("0"), 0);
    assert_int_equal(retry_of("7200"), 3600000);
    assert_int_equal(retry_of("99999999999999999999"), 0);
    assert_int_equal(retry_of("-5"), 0);
    assert_int_equal(retry_of("soon"), 0);
    assert_int_equal(retry_of("Mon, 21 Sep 2026 14:15:00 GMT"), 100000);
    assert_int_equal(retry_of("Mon, 21 Sep 2026 23:00:00 GMT"), 3600000);
    assert_int_equal(retry_of("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    assert_int_equal(retry_of("Mon, 31 Feb 2026 14:15:00 GMT"), 0);
}

static void the_servers_clock_is_told_by_its_date(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, 200, JSON, STR("{" AT "}"));
    read_it(&t);
    assert_true(t.t.skew_ms == INT64_MIN);
    end(&t);
    begin(&t, 200, JSON, STR("{" AT "}"));
    header(&t, "Date", "Mon, 21 Sep 2026 14:14:20 GMT"); /* a minute ahead of NOW */
    read_it(&t);
    assert_int_equal(t.t.skew_ms, 60000);
    end(&t);
}

static void a_nonce_is_kept_of_any_answer_and_asks_for_another_try_where_it_is_wanted(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, 200, JSON, STR("{" AT "}"));
    header(&t, "DPoP-Nonce", "n-1");
    read_it(&t);
    assert_int_equal(t.t.outcome, TOKEN_GIVEN);
    assert_true(str_is(t.t.nonce, "n-1"));
    end(&t);
    begin(&t, 400, JSON, STR("{\"error\":\"use_dpop_nonce\"}"));
    header(&t, "DPoP-Nonce", "n-2");
    read_it(&t);
    assert_int_equal(t.t.outcome, TOKEN_NONCE);
    assert_true(str_is(t.t.nonce, "n-2"));
    end(&t);
}

static void what_a_server_says_is_cut_and_cleaned(void **state)
{
    (void)state;
    struct trial t;
    AUTO_ARENA a = arena_new(4096);
    begin(&t, 400, JSON,
          STR("{\"error\":\"a\\u0007b\\n\",\"error_description\":\"<b>x<\\/b>\\u0085\\u001b[0m caf\\u00e9\"}"));
    read_it(&t);
    assert_true(str_is(t.t.error, "a b"));
    assert_true(str_is(t.t.description, "<b>x</b>  [0m caf\xc3\xa9"));
    end(&t);
    begin(&t, 400, JSON, body_with(a, "{\"error_description\":\"", 511, "\xc3\xa9\xc3\xa9\"}"));
    read_it(&t);
    assert_int_equal(t.t.description.n, 511 + 2); /* 512 characters */
    end(&t);
}

static void a_description_that_repeats_the_clients_secret_is_dropped(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, 401, JSON, STR("{\"error\":\"invalid_client\",\"error_description\":\"wrong secret s3cr3t!\"}"));
    t.p.client_secret = secret_from(STR("s3cr3t!"));
    read_it(&t);
    assert_true(str_is(t.t.error, "invalid_client"));
    assert_int_equal(t.t.description.n, 0);
    secret_end(&t.p.client_secret);
    end(&t);
}

static void nothing_of_a_token_stays_behind(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, 200, JSON, STR("{\"access_token\":\"super\\/secret\",\"token_type\":\"Bearer\",\"refresh_token\":\"also-secret\"}"));
    read_it(&t);
    struct str decoded = json_str(t.t.body, "access_token"), plain = json_str(t.t.body, "refresh_token");
    assert_true(str_is(decoded, "super/secret"));
    token_answer_end(&t.t);
    for (size_t i = 0; i < decoded.n; i++)
        assert_int_equal(decoded.p[i], 0);
    for (size_t i = 0; i < plain.n; i++)
        assert_int_equal(plain.p[i], 0);
    assert_null(t.t.body);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_of_the_table_means_what_it_says),
        cmocka_unit_test(what_is_too_large_is_not_a_token),
        cmocka_unit_test(a_smaller_limit_of_scopes_holds_to_the_byte),
        cmocka_unit_test(retry_after_is_seconds_or_a_date_and_at_most_an_hour),
        cmocka_unit_test(the_servers_clock_is_told_by_its_date),
        cmocka_unit_test(a_nonce_is_kept_of_any_answer_and_asks_for_another_try_where_it_is_wanted),
        cmocka_unit_test(what_a_server_says_is_cut_and_cleaned),
        cmocka_unit_test(a_description_that_repeats_the_clients_secret_is_dropped),
        cmocka_unit_test(nothing_of_a_token_stays_behind),
    };
    return cmocka_run_group_tests_name("auth/token_answer", tests, NULL, NULL);
}
