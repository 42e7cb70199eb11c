/* Digest, OAuth 1.0 and declared HMACs: the bytes of their headers. */
#include "room.h"

#include "auth/challenge.h"
#include "auth/oauth1.h"
#include "base/encode.h"

#define H(name, value) { { name, sizeof name - 1 }, { value, sizeof value - 1 } }

static struct signer *signer_of(struct trial *t)
{
    struct signer *s = NULL;
    if (trial_check(t))
        fail_msg("refused at %s: %s", t->why.pointer, t->why.subject);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->method->signer_new(t->a, &t->in, &s, &t->why), ERR_NONE);
    return s;
}

static struct str signed_value(struct trial *t, struct signer *s, const struct sign_request *q)
{
    struct signature out = { 0 };
    assert_int_equal(t->method->sign(s, t->a, q, &t->out, &out, &t->why), ERR_NONE);
    return out.values[0];
}

/* The value of name=value or name="value" in a header. */
static struct str part(struct str header, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, " %s=", name);
    size_t at = str_find_str(header, str_of(wanted));
    if (at == SIZE_MAX)
        return STR_NONE;
    struct str rest = str_sub(header, at + strlen(wanted), header.n), value, tail;
    if (rest.n && rest.p[0] == '"') {
        str_cut(str_sub(rest, 1, rest.n), '"', &value, &tail);
        return value;
    }
    str_cut(rest, ',', &value, &tail);
    return value;
}

static void expect_part(struct str header, const char *name, const char *value)
{
    if (!str_is(part(header, name), value))
        fail_msg("%s in %.*s is not %s", name, STR_ARG(header), value);
}

/* ---- challenges ---- */

static void several_challenges_in_one_header_are_told_apart(void **state)
{
    (void)state;
    struct str rest =
        STR("Negotiate YII+a/b==, Basic realm=\"a, b=\\\"c\\\"\", NewAuth, Digest  realm = \"x\" ,qop=\"auth,auth-int\",, nonce=n");
    struct challenge c;
    assert_true(challenge_next(&rest, &c) && str_is(c.scheme, "Negotiate") && !c.count);
    assert_true(challenge_next(&rest, &c) && str_is(c.scheme, "Basic"));
    assert_true(str_is(challenge_param(&c, "Realm"), "a, b=\\\"c\\\""));
    assert_true(challenge_next(&rest, &c) && str_is(c.scheme, "NewAuth") && !c.count);
    assert_true(challenge_next(&rest, &c) && str_is(c.scheme, "Digest") && c.count == 3);
    assert_true(str_is(challenge_param(&c, "qop"), "auth,auth-int") && str_is(challenge_param(&c, "nonce"), "n"));
    assert_false(challenge_next(&rest, &c));
    static const char *const broken[] = { "", ",,", "Digest nonce=\"a", "Digest nonce=\"a\\", "=x", "Digest =x" };
    for (size_t i = 0; i < COUNT(broken); i++)
        for (rest = str_of(broken[i]); challenge_next(&rest, &c);)
            assert_null(challenge_param(&c, "nonce").p);
}

/* ---- digest ---- */

static struct trial *digest_trial(const char *user, const char *password)
{
    struct trial *t = trial_new("digest", NULL, NULL);
    trial_secret(t, "username", str_of(user));
    trial_secret(t, "password", str_of(password));
    return t;
}

static enum err challenge(struct trial *t, struct signer *s, const char *value, bool *again)
{
    struct head h = { .status = 401, .count = 1, .headers = { { STR("WWW-Authenticate"), str_of(value) } } };
    const struct signature unsigned_yet = { 0 };
    return t->method->challenged(s, &unsigned_yet, STR("www.example.org"), 401, &h, again, &t->why);
}

static struct str md(struct trial *t, enum digest_kind kind, const char *format, ...)
{
    va_list args;
    unsigned char sum[DIGEST_MAX];
    va_start(args, format);
    struct str text = str_vfmt(t->a, format, args);
    va_end(args);
    char *hex = arena_alloc(t->a, 2 * DIGEST_MAX);
    return (struct str){ hex, hex_write(hex, (struct str){ (const char *)sum, digest(kind, text, sum) }) };
}

/* RFC 7616 3.9.1, but for the client nonce, which is ours to draw: the response is computed beside it. */
static void a_challenge_is_answered_as_the_rfc_computes_it(void **state)
{
    (void)state;
    static const struct { const char *name; enum digest_kind kind; bool session; } rows[] = {
        { "MD5", DIGEST_MD5, false }, { "SHA-256", DIGEST_SHA256, false }, { "SHA-512-256", DIGEST_SHA512_256, false },
        { "MD5-sess", DIGEST_MD5, true }, { "sha-256-SESS", DIGEST_SHA256, true },
    };
    static const char nonce[] = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = digest_trial("Mufasa", "Circle of Life");
        struct signer *s = signer_of(t);
        struct sign_request q = {
            .method = STR("GET"), .host = STR("www.example.org"), .path = STR("/dir/index.html"), .query = STR("a=b")
        };
        bool again;
        assert_null(signed_value(t, s, &q).p); /* nobody asked yet */
        struct str asked = str_fmt(t->a,
                                   "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=%s, nonce=\"%s\", "
                                   "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                                   rows[i].name, nonce);
        assert_int_equal(challenge(t, s, arena_cstr(t->a, asked), &again), ERR_NONE);
        assert_true(again);
        for (int count = 1; count <= 2; count++) {
            struct str v = signed_value(t, s, &q), cnonce = part(v, "cnonce");
            struct str a1 = md(t, rows[i].kind, "Mufasa:http-auth@example.org:Circle of Life");
            if (rows[i].session)
                a1 = md(t, rows[i].kind, "%.*s:%s:%.*s", STR_ARG(a1), nonce, STR_ARG(cnonce));
            struct str a2 = md(t, rows[i].kind, "GET:/dir/index.html?a=b");
            struct str response = md(t, rows[i].kind, "%.*s:%s:%08x:%.*s:auth:%.*s", STR_ARG(a1), nonce, (unsigned)count,
                                     STR_ARG(cnonce), STR_ARG(a2));
            assert_true(str_starts(v, STR("Digest username=\"Mufasa\", realm=\"http-auth@example.org\"")));
            expect_part(v, "response", arena_cstr(t->a, response));
            expect_part(v, "nc", count == 1 ? "00000001" : "00000002");
            expect_part(v, "qop", "auth");
            expect_part(v, "uri", "/dir/index.html?a=b");
            expect_part(v, "algorithm", rows[i].name);
            expect_part(v, "opaque", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS");
            assert_int_equal(cnonce.n, 32);
        }
        q.host = STR("other.example.org");
        assert_null(signed_value(t, s, &q).p); /* a nonce of another server says nothing to this one */
        t->method->signer_free(s);
        trial_end(t);
    }
}

static void a_server_of_before_qop_is_answered_as_it_expects(void **state)
{
    (void)state;
    struct trial *t = digest_trial("Mufasa", "CircleOfLife");
    struct signer *s = signer_of(t);
    struct sign_request q = { .method = STR("GET"), .host = STR("www.example.org"), .path = STR("/dir/index.html") };
    bool again;
    assert_int_equal(challenge(t, s, "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"", &again),
                     0);
    struct str v = signed_value(t, s, &q);
    /* RFC 2069 2.4 with the errata's response. */
    expect_part(v, "response", "1949323746fe6a43ef61f9606e7febea");
    assert_null(part(v, "nc").p);
    assert_null(part(v, "algorithm").p);
    t->method->signer_free(s);
    trial_end(t);
}

static void names_are_hashed_or_spelt_out_as_the_server_and_their_letters_want(void **state)
{
    (void)state;
    /* RFC 7616 3.9.2: J U+00E4 s U+00F8 n D o e */
    struct trial *t = digest_trial("J\xc3\xa4s\xc3\xb8n Doe", "Secret, or not?");
    struct signer *s = signer_of(t);
    struct sign_request q = { .method = STR("GET"), .host = STR("www.example.org"), .path = STR("/doe.json") };
    bool again;
    assert_int_equal(challenge(t, s,
                               "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, "
                               "nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", charset=UTF-8, userhash=true",
                               &again),
                     0);
    struct str v = signed_value(t, s, &q);
    expect_part(v, "username", arena_cstr(t->a, md(t, DIGEST_SHA512_256, "J\xc3\xa4s\xc3\xb8n Doe:api@example.org")));
    expect_part(v, "userhash", "true");
    assert_int_equal(challenge(t, s, "Digest realm=\"r\", qop=\"auth\", nonce=\"n\"", &again), 0);
    expect_part(signed_value(t, s, &q), "username*", "UTF-8''J%C3%A4s%C3%B8n%20Doe");
    t->method->signer_free(s);
    trial_end(t);
}

static void the_first_challenge_that_can_be_met_is_met_and_what_cannot_is_said(void **state)
{
    (void)state;
    struct trial *t = digest_trial("u", "p");
    struct signer *s = signer_of(t);
    struct sign_request q = { .method = STR("GET"), .host = STR("www.example.org"), .path = STR("/") };
    bool again;
    assert_int_equal(challenge(t, s,
                               "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-999, Digest realm=\"r\", nonce=\"2\", qop=auth-int, "
                               "Digest realm=\"r\", nonce=\"3\", qop=auth, algorithm=SHA-256, Digest realm=\"r\", nonce=\"4\"",
                               &again),
                     0);
    assert_true(again);
    expect_part(signed_value(t, s, &q), "nonce", "3");
    static const char *const hopeless[] = { "Digest realm=\"r\", nonce=\"1\", qop=\"auth-int\"",
                                            "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-999", "Digest realm=\"r\"" };
    for (size_t i = 0; i < COUNT(hopeless); i++) {
        assert_int_equal(challenge(t, s, hopeless[i], &again), ERR_AUTH_CHALLENGE);
        assert_false(again);
    }
    assert_int_equal(challenge(t, s, "Basic realm=\"r\"", &again), ERR_NONE);
    assert_false(again);
    struct head fine = { .status = 200, .count = 1, .headers = { H("WWW-Authenticate", "Digest realm=\"r\", nonce=\"9\"") } };
    const struct signature sent = { .values = { STR("Digest ...") } };
    assert_int_equal(t->method->challenged(s, &sent, q.host, 200, &fine, &again, &t->why), ERR_NONE);
    assert_false(again);
    /* Answered already: the password is wrong, unless the nonce was only stale. */
    assert_int_equal(t->method->challenged(s, &sent, q.host, 401, &fine, &again, &t->why), ERR_NONE);
    assert_false(again);
    fine.headers[0].value = STR("Digest realm=\"r\", nonce=\"10\", stale=TRUE");
    assert_int_equal(t->method->challenged(s, &sent, q.host, 401, &fine, &again, &t->why), ERR_NONE);
    assert_true(again);
    expect_part(signed_value(t, s, &q), "nonce", "10");
    t->method->signer_free(s);
    trial_end(t);
}

/* ---- oauth1 ---- */

static void expect_base(const struct oauth1 *o, const struct sign_request *q, const char *base)
{
    struct arena *a = arena_new(8192);
    AUTO_BUF out;
    buf_init(&out, 65536);
    oauth1_base(a, o, q, &out);
    if (!str_is(buf_str(&out), base))
        fail_msg("%.*s\ninstead of\n%s", STR_ARG(buf_str(&out)), base);
    arena_free(a);
}

static void the_base_string_is_that_of_the_rfc(void **state)
{
    (void)state;
    /* RFC 5849 3.4.1.1 */
    struct oauth1 o = { STR("9djdj82h48djs9d2"), STR("kkk9d7dh3k39sjv7"), STR("137131201"), STR("7d8f3e4a"), DIGEST_SHA1, false };
    struct sign_request q = { .method = STR("POST"),
                              .host = STR("example.com"),
                              .path = STR("/request"),
                              .query = STR("b5=%3D%253D&a3=a&c%40=&a2=r%20b"),
                              .content_type = STR("application/x-www-form-urlencoded"),
                              .has_body = true,
                              .body = STR("c2&a3=2+q") };
    expect_base(&o, &q,
                "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26"
                "c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
                "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7");
    q.content_type = STR("application/json");
    q.query = STR("");
    q.https = true;
    q.host = STR("example.com:8080");
    expect_base(&o, &q,
                "POST&https%3A%2F%2Fexample.com%3A8080%2Frequest&oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a"
                "%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7");
}

static void signatures_are_those_that_are_published(void **state)
{
    (void)state;
    struct arena *a = arena_new(8192);
    /* RFC 5849 1.2 */
    struct oauth1 o = { STR("dpf43f3p2l4k3l03"), STR("nnch734d00sl2jdk"), STR("137131202"), STR("chapoH"), DIGEST_SHA1, false };
    struct sign_request q = { .method = STR("GET"), .host = STR("photos.example.net"), .path = STR("/photos"),
                              .query = STR("file=vacation.jpg&size=original") };
    assert_true(
        str_is(oauth1_signature(a, &o, &q, STR("kd94hf93k423kf44"), STR("pfkkdhi9sl3r4s00")), "MdpQcU8iPSUjWoN/UDMsK2sui9I="));
    arena_free(a);
}

static struct trial *oauth1_trial(const char *fields)
{
    struct trial *t = trial_new("oauth1", NULL, fields);
    trial_secret(t, "consumer_key", STR("ck+1"));
    trial_secret(t, "consumer_secret", STR("cs&2"));
    trial_secret(t, "token", STR("tk"));
    trial_secret(t, "token_secret", STR("ts"));
    return t;
}

static void a_request_carries_realm_and_parameters_and_a_fresh_nonce(void **state)
{
    (void)state;
    struct trial *t = oauth1_trial("{\"realm\":\"1234567_SB1\"}");
    struct signer *s = signer_of(t);
    struct sign_request q = { .method = STR("GET"), .host = STR("h"), .path = STR("/"), .https = true, .now = 1700000000123 };
    struct str one = signed_value(t, s, &q), two = signed_value(t, s, &q);
    assert_true(str_starts(one, STR("OAuth realm=\"1234567_SB1\", oauth_consumer_key=\"ck%2B1\", oauth_token=\"tk\"")));
    expect_part(one, "oauth_signature_method", "HMAC-SHA256");
    expect_part(one, "oauth_timestamp", "1700000000");
    expect_part(one, "oauth_version", "1.0");
    assert_false(str_eq(part(one, "oauth_nonce"), part(two, "oauth_nonce")));
    assert_int_equal(t->method->signs_body(s), SIGN_FORM_BODY);
    struct oauth1 o = { STR("ck+1"), STR("tk"), STR("1700000000"), part(one, "oauth_nonce"), DIGEST_SHA256, true };
    struct str plain;
    assert_true(percent_decode(t->a, part(one, "oauth_signature"), &plain));
    assert_true(str_eq(plain, oauth1_signature(t->a, &o, &q, STR("cs&2"), STR("ts"))));
    t->method->signer_free(s);
    trial_end(t);
}

static void a_caller_cannot_bring_parameters_of_the_protocol(void **state)
{
    (void)state;
    struct trial *t = oauth1_trial(NULL);
    struct signer *s = signer_of(t);
    struct signature out = { 0 };
    struct sign_request q = { .method = STR("POST"), .host = STR("h"), .path = STR("/"), .query = STR("a=1&oauth%5Ftoken=x") };
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_INPUT_INVALID);
    q.query = STR("");
    q.body = STR("oauth_nonce=1");
    q.content_type = STR("Application/X-WWW-form-urlencoded; charset=utf-8");
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_INPUT_INVALID);
    q.content_type = STR("text/plain");
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_NONE);
    t->method->signer_free(s);
    trial_end(t);
    t = oauth1_trial("{\"signature_method\":\"PLAINTEXT\"}");
    trial_refused(t, ERR_FIELD_INVALID, "/fields/signature_method");
    trial_end(t);
    t = oauth1_trial("{\"realm\":\"a\\\"b\"}");
    trial_refused(t, ERR_FIELD_INVALID, "/fields/realm");
    trial_end(t);
}

/* ---- hmac ---- */

static struct trial *hmac_trial(const char *fields)
{
    struct trial *t = trial_new("hmac", NULL, fields);
    trial_secret(t, "secret", STR("4a656665")); /* "Jefe" in hex: RFC 4231 4.3 */
    trial_secret(t, "key_id", STR("k1"));
    return t;
}

static void a_declared_text_is_signed_as_rfc_4231_does(void **state)
{
    (void)state;
    static const struct { const char *fields, *value;
    } rows[] = {
        { "{\"key_encoding\":\"hex\",\"signed\":\"{{body}}\",\"header\":\"X-Sign\",\"prefix\":\"sha256=\"}",
          "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { "{\"key_encoding\":\"hex\",\"signed\":\"{{body}}\",\"header\":\"X-Sign\",\"encoding\":\"base64\"}",
          "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=" },
        { "{\"key_encoding\":\"hex\",\"signed\":\"what do ya {{method}} for "
          "nothing?\",\"header\":\"X-Sign\",\"algorithm\":\"sha512\"}",
          "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a"
          "38bce737" },
        { "{\"key_encoding\":\"hex\",\"signed\":\"{{body}}\",\"header\":\"X-Sign\",\"value\":\"id={{credentials.key_id}};s={{"
          "signature}}\"}",
          "id=k1;s=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = hmac_trial(rows[i].fields);
        struct signer *s = signer_of(t);
        struct sign_request q = { .method = STR("want"), .host = STR("h"), .path = STR("/"), .has_body = true,
                                  .body = STR("what do ya want for nothing?") };
        struct str v = signed_value(t, s, &q);
        if (!str_is(v, rows[i].value))
            fail_msg("row %zu: %.*s", i, STR_ARG(v));
        t->method->signer_free(s);
        trial_end(t);
    }
}

static void every_placeholder_stands_for_what_goes_out(void **state)
{
    (void)state;
    struct trial *t = hmac_trial(
        "{\"key_encoding\":\"hex\",\"header\":\"X-Sign\",\"timestamp_header\":\"X-Time\",\"nonce_header\":\"X-Nonce\","
        "\"body_hash_header\":\"X-Hash\",\"key_header\":\"X-Key\",\"timestamp_format\":\"iso8601\","
        "\"signed\":\"{{method}}\\\\n{{host}}|{{path}}|{{query}}|{{target}}|{{url}}|{{content_type}}|{{timestamp}}|{{nonce}}|"
        "{{body_hash}}|{{credentials.key_id}}\"}");
    struct signer *s = signer_of(t);
    struct sign_request q = { .method = STR("PUT"), .host = STR("h:8"), .path = STR("/p"), .query = STR("a=b"), .https = true,
                              .content_type = STR("text/plain"), .has_body = true, .body = STR("abc"), .now = 1700000000123 };
    struct signature out = { 0 };
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_NONE);
    static const char *const names[] = { "X-Sign", "X-Time", "X-Nonce", "X-Hash", "X-Key" };
    assert_int_equal(t->out.count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(str_is(t->out.at[i].name, names[i]));
    assert_true(str_is(out.values[1], "2023-11-14T22:13:20Z"));
    assert_int_equal(out.values[2].n, 32);
    assert_true(str_is(out.values[3], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_true(t->out.at[4].where == INJECT_HEADER && str_is(secret_str(t->out.at[4].value), "k1"));
    struct str text = str_fmt(t->a, "PUT\nh:8|/p|a=b|/p?a=b|https://h:8/p?a=b|text/plain|2023-11-14T22:13:20Z|%.*s|%.*s|k1",
                              STR_ARG(out.values[2]), STR_ARG(out.values[3]));
    unsigned char sum[DIGEST_MAX];
    char hex[2 * DIGEST_MAX];
    size_t n = hex_write(hex, (struct str){ (const char *)sum, digest_hmac(DIGEST_SHA256, STR("Jefe"), text, sum) });
    assert_int_equal(out.values[0].n, n);
    assert_memory_equal(out.values[0].p, hex, n);
    t->method->signer_free(s);
    trial_end(t);
}

static void a_declaration_that_cannot_work_is_refused_where_it_is_wrong(void **state)
{
    (void)state;
    static const struct { const char *fields; enum err e; const char *pointer;
    } rows[] = {
        { "{\"header\":\"X-S\"}", ERR_FIELD_REQUIRED, "/fields/signed" },
        { "{\"signed\":\"{{method}}\"}", ERR_FIELD_REQUIRED, "/fields/header" },
        { "{\"signed\":\"{{metod}}\",\"header\":\"X-S\"}", ERR_FIELD_INVALID, "/fields/signed" },
        { "{\"signed\":\"{{signature}}\",\"header\":\"X-S\"}", ERR_FIELD_INVALID, "/fields/signed" },
        { "{\"signed\":\"{{timestamp}}\",\"header\":\"X-S\"}", ERR_FIELD_REQUIRED, "/fields/timestamp_header" },
        { "{\"signed\":\"{{nonce}}\",\"header\":\"X-S\"}", ERR_FIELD_REQUIRED, "/fields/nonce_header" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"value\":\"none\"}", ERR_FIELD_INVALID, "/fields/value" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"value\":\"{{signature}}{{credentials.secret}}\"}", ERR_FIELD_INVALID,
          "/fields/value" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"value\":\"{{signature}}{{body}}\"}", ERR_FIELD_INVALID, "/fields/value" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"key_header\":\"x_s\"}", ERR_FIELD_INVALID, "/fields/key_header" },
        { "{\"signed\":\"x\",\"header\":\"Host\"}", ERR_HEADER_NAME_INVALID, "/fields/header" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"algorithm\":\"crc\"}", ERR_FIELD_INVALID, "/fields/algorithm" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"encoding\":\"text\"}", ERR_FIELD_INVALID, "/fields/encoding" },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"key_encoding\":\"base64\"}", ERR_NONE, "" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = hmac_trial(rows[i].fields);
        enum err e = trial_check(t);
        if (e != rows[i].e || strcmp(t->why.pointer, rows[i].pointer))
            fail_msg("%s: %d at %s", rows[i].fields, e, t->why.pointer);
        trial_end(t);
    }
    expect_refused("hmac", NULL, "{\"signed\":\"x\",\"header\":\"X-S\",\"key_encoding\":\"hex\"}", "secret", STR("not hex!"),
                   ERR_FIELD_INVALID, "/credentials/secret");
}

static void bodies_are_held_back_only_where_they_are_signed(void **state)
{
    (void)state;
    static const struct { const char *fields; enum sign_body wants; } rows[] = {
        { "{\"signed\":\"{{method}}{{target}}\",\"header\":\"X-S\"}", SIGN_NO_BODY },
        { "{\"signed\":\"{{body_hash}}\",\"header\":\"X-S\"}", SIGN_ANY_BODY },
        { "{\"signed\":\"x\",\"header\":\"X-S\",\"body_hash_header\":\"X-H\"}", SIGN_ANY_BODY },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = hmac_trial(rows[i].fields);
        struct signer *s = signer_of(t);
        assert_int_equal(t->method->signs_body(s), rows[i].wants);
        t->method->signer_free(s);
        trial_end(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_challenges_in_one_header_are_told_apart),
        cmocka_unit_test(a_challenge_is_answered_as_the_rfc_computes_it),
        cmocka_unit_test(a_server_of_before_qop_is_answered_as_it_expects),
        cmocka_unit_test(names_are_hashed_or_spelt_out_as_the_server_and_their_letters_want),
        cmocka_unit_test(the_first_challenge_that_can_be_met_is_met_and_what_cannot_is_said),
        cmocka_unit_test(the_base_string_is_that_of_the_rfc),
        cmocka_unit_test(signatures_are_those_that_are_published),
        cmocka_unit_test(a_request_carries_realm_and_parameters_and_a_fresh_nonce),
        cmocka_unit_test(a_caller_cannot_bring_parameters_of_the_protocol),
        cmocka_unit_test(a_declared_text_is_signed_as_rfc_4231_does),
        cmocka_unit_test(every_placeholder_stands_for_what_goes_out),
        cmocka_unit_test(a_declaration_that_cannot_work_is_refused_where_it_is_wrong),
        cmocka_unit_test(bodies_are_held_back_only_where_they_are_signed),
    };
    return cmocka_run_group_tests_name("auth/signing", tests, NULL, NULL);
}
