#include "auth/oidc.h"

#include <stdio.h>

#include "auth/form.h"
#include "base/encode.h"
#include "crypto/hash.h"

#define TEXT_MOST 512 /* bytes of a subject, an address, a name */
#define FORM_MAX (32 * 1024)
#define CODE_MAX 4096
#define MINUTE_MS ((wall_ms)60 * 1000)
#define LEEWAY_MS MINUTE_MS /* between the provider's clock and ours */

static enum err refused(struct fault *why, struct str reason, const char *note)
{
    return fault(why, ERR_SIGN_IN_REFUSED, reason, "%s", note);
}

/* ---- attempts ---- */

#define HASH 64

static struct str hashed(struct str text, char out[HASH])
{
    unsigned char digest[SHA256_SIZE];
    sha256(text, digest);
    hex_write(out, (struct str){ (const char *)digest, sizeof digest });
    return (struct str){ out, HASH };
}

static enum err make_room(struct db *db, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM identity_attempt WHERE expires_ms <= $1");
    query_i64(q, now);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "DELETE FROM identity_attempt WHERE state IN"
                        " (SELECT state FROM identity_attempt ORDER BY expires_ms DESC, state LIMIT 1000 OFFSET $1)");
    query_i64(q, OIDC_ATTEMPTS_MOST - 1);
    return query_end(q, why);
}

/* What ended in a sign-in is gone; what came back and was wrong is kept for its time, and counts on. */
static enum err check_pace(struct db *db, const struct oidc_attempt *t, wall_ms now, struct fault *why)
{
    char network[HASH], said[32];
    struct query *q = query_begin(db, "SELECT expires_ms FROM identity_attempt WHERE network = $1 AND expires_ms > $2"
                                      " ORDER BY expires_ms DESC LIMIT 1 OFFSET $3");
    query_text(q, hashed(t->network, network));
    query_i64(q, now + OIDC_ATTEMPT_MS - MINUTE_MS);
    query_i64(q, OIDC_ATTEMPTS_A_MINUTE - 1);
    wall_ms wait = query_next(q) ? query_get_i64(q, 0) - OIDC_ATTEMPT_MS + MINUTE_MS - now : 0;
    enum err e = query_end(q, why);
    if (e || wait <= 0)
        return e;
    snprintf(said, sizeof said, "%lld s", (long long)(wait + 999) / 1000);
    return fault(why, ERR_RATE_LIMITED, str_of(said), "20 attempts in a minute");
}

enum err oidc_begin(struct db *db, struct oidc_attempt *t, struct fault *why)
{
    char state[HASH], browser[HASH], network[HASH];
    wall_ms now = t->begun = clock_wall();
    enum err e;
    if ((e = check_pace(db, t, now, why)) || (e = make_room(db, now, why)))
        return e;
    random_text(t->state, OIDC_TEXT - 1);
    random_text(t->browser, OIDC_TEXT - 1);
    t->state[OIDC_TEXT - 1] = t->browser[OIDC_TEXT - 1] = 0;
    struct query *q = query_begin(db, "INSERT INTO identity_attempt (state, browser, provider_id, return_path, expires_ms, network,"
                                      " session) VALUES ($1, $2, $3, $4, $5, $6, $7)");
    query_text(q, hashed(str_of(t->state), state));
    query_text(q, hashed(str_of(t->browser), browser));
    query_text(q, t->provider);
    query_text(q, t->return_path);
    query_i64(q, now + OIDC_ATTEMPT_MS);
    query_text(q, hashed(t->network, network));
    query_text(q, t->session.p ? t->session : STR(""));
    return query_end(q, why);
}

enum err oidc_look(struct db *db, struct str state, struct str browser, struct fault *why)
{
    char hash[HASH], browser_hash[HASH];
    if (state.n != OIDC_TEXT - 1 || browser.n != OIDC_TEXT - 1)
        return fault(why, ERR_SIGN_IN_OVER, STR(""), "state or cookie is missing");
    struct query *q = query_begin(db, "SELECT 1 FROM identity_attempt WHERE state = $1 AND browser = $2 AND expires_ms > $3"
                                      " AND used_ms = 0");
    query_text(q, hashed(state, hash));
    query_text(q, hashed(browser, browser_hash));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : fault(why, ERR_SIGN_IN_OVER, STR(""), "no such attempt of this browser");
}

enum err oidc_settle(struct db *db, const struct oidc_attempt *t, struct fault *why)
{
    char hash[HASH];
    struct query *q = query_begin(db, "DELETE FROM identity_attempt WHERE state = $1");
    query_text(q, hashed(str_of(t->state), hash));
    return query_end(q, why);
}

enum err oidc_take(struct db *db, struct arena *a, struct str state, struct str browser, struct oidc_attempt *out,
                   struct fault *why)
{
    char hash[HASH], browser_hash[HASH];
    if (state.n != OIDC_TEXT - 1 || browser.n != OIDC_TEXT - 1)
        return fault(why, ERR_SIGN_IN_OVER, STR(""), "state or cookie is missing");
    struct query *q = query_begin(db, "UPDATE identity_attempt SET used_ms = $3 WHERE state = $1 AND browser = $2"
                                      " AND expires_ms > $3 AND used_ms = 0"
                                      " RETURNING provider_id, return_path, session, expires_ms");
    query_text(q, hashed(state, hash));
    query_text(q, hashed(browser, browser_hash));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    out->provider = query_get_text(q, 0, a);
    out->return_path = query_get_text(q, 1, a);
    out->session = query_get_text(q, 2, a);
    out->begun = query_get_i64(q, 3) - OIDC_ATTEMPT_MS;
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_SIGN_IN_OVER, STR(""), "no such attempt of this browser");
    str_copy(out->state, sizeof out->state, state);
    str_copy(out->browser, sizeof out->browser, browser);
    return ERR_NONE;
}

/* 43 characters: RFC 7636 4.1 asks for at least as many of a verifier. */
static struct str derived(struct arena *a, const struct oidc_attempt *t, struct str what)
{
    unsigned char digest[SHA256_SIZE];
    hmac_sha256(str_of(t->browser), arena_join(a, what, str_of(t->state)), digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}

static struct str nonce_of(struct arena *a, const struct oidc_attempt *t) { return derived(a, t, STR("nonce|")); }
static struct str verifier_of(struct arena *a, const struct oidc_attempt *t) { return derived(a, t, STR("verifier|")); }

/* ---- out ---- */

static void parameter(struct buf *b, const char *name, struct str value)
{
    buf_fmt(b, b->n ? "&%s=" : "%s=", name);
    percent_encode(b, value);
}

enum err oidc_url(struct issuers *s, struct arena *a, const struct identity_provider *p, const struct oidc_attempt *t,
                  struct str redirect_uri, struct str *url, struct fault *why)
{
    struct issuer_doors doors;
    unsigned char digest[SHA256_SIZE];
    AUTO_BUF b;
    buf_init(&b, FORM_MAX);
    enum err e = issuer_discover(s, a, p->issuer, &doors, why);
    if (e)
        return e;
    if (!doors.authorization.n || !doors.token.n)
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its discovery document is not valid"), "no authorization or token endpoint");
    sha256(verifier_of(a, t), digest);
    parameter(&b, "response_type", STR("code"));
    parameter(&b, "client_id", p->sign_in.client_id);
    parameter(&b, "redirect_uri", redirect_uri);
    parameter(&b, "scope", p->sign_in.scopes);
    parameter(&b, "state", str_of(t->state));
    parameter(&b, "nonce", nonce_of(a, t));
    parameter(&b, "code_challenge", base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL));
    parameter(&b, "code_challenge_method", STR("S256"));
    if (t->session.n) { /* OpenID Connect Core 3.1.2.1: with max_age the ID token says when it was asked */
        parameter(&b, "prompt", STR("login"));
        parameter(&b, "max_age", STR("0"));
    }
    *url = str_fmt(a, "%.*s%c%.*s", STR_ARG(doors.authorization), str_find(doors.authorization, '?') == SIZE_MAX ? '?' : '&',
                   STR_ARG(buf_str(&b)));
    return ERR_NONE;
}

/* ---- the token door ---- */

static enum identity_token_auth way_of(const struct identity_provider *p, const struct issuer_doors *doors,
                                       struct secret client_secret)
{
    if (!client_secret.n)
        return TOKEN_AUTH_NONE;
    if (p->sign_in.token_auth != TOKEN_AUTH_AUTO)
        return p->sign_in.token_auth;
    return doors->takes_basic || !doors->takes_post ? TOKEN_AUTH_BASIC : TOKEN_AUTH_POST;
}

static void wipe(struct str s)
{
    if (s.n)
        secret_wipe((void *)(uintptr_t)s.p, s.n);
}

/* What the provider says of itself in an error answer is for the log, and only its `error` code (RFC 6749 5.2). */
static enum err token_refused(struct arena *a, const struct fetch_answer *answer, struct fault *why)
{
    struct json *body;
    struct fault unused;
    struct str code = STR("no error code");
    if (!json_read_lenient_keys(a, answer->body, &body, &unused) && json_str(body, "error").n)
        code = json_str(body, "error");
    if (str_is(code, "invalid_grant"))
        return refused(why, STR("the provider does not take its code back"), "invalid_grant");
    return fault(why, ERR_IDENTITY_PROVIDER, STR("its token endpoint refused the request"), "status %d, %.*s", answer->status,
                 (int)(code.n > 60 ? 60 : code.n), code.p);
}

static enum err exchange(struct issuers *s, struct arena *a, const struct identity_provider *p, const struct issuer_doors *doors,
                         struct secret client_secret, const struct oidc_attempt *t, struct str code, struct str redirect_uri,
                         struct fetch_answer *out, struct fault *why)
{
    enum identity_token_auth way = way_of(p, doors, client_secret);
    struct token_param sent[6] = { { STR("grant_type"), STR("authorization_code") },
                                   { STR("code"), code },
                                   { STR("redirect_uri"), redirect_uri },
                                   { STR("code_verifier"), verifier_of(a, t) } };
    size_t n = 4;
    if (way != TOKEN_AUTH_BASIC)
        sent[n++] = (struct token_param){ STR("client_id"), p->sign_in.client_id };
    if (way == TOKEN_AUTH_POST)
        sent[n++] = (struct token_param){ STR("client_secret"), secret_str(client_secret) };
    AUTO_SECRET form = form_encode(sent, n), header = SECRET_NONE;
    struct fetch_request q = { .method = STR("POST"), .url = doors->token,
                               .headers = { { STR("Accept"), STR("application/json") },
                                            { STR("Content-Type"), STR("application/x-www-form-urlencoded") } },
                               .header_count = 2, .body = secret_str(form) };
    if (way == TOKEN_AUTH_BASIC) {
        header = form_basic(p->sign_in.client_id, secret_str(client_secret));
        q.headers[q.header_count][0] = STR("Authorization");
        q.headers[q.header_count++][1] = secret_str(header);
    }
    enum err e = issuer_fetch(s, a, &q, out, why);
    if (!e && out->status != 200)
        e = token_refused(a, out, why);
    return e;
}

/* ---- the ID token ---- */

static enum err as_refusal(enum err e, struct fault *why)
{
    if (e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED) {
        struct fault was = *why;
        return fault(why, ERR_SIGN_IN_REFUSED, e == ERR_TOKEN_EXPIRED ? STR("its ID token has expired") : str_of(was.subject),
                     "ID token: %s", was.note);
    }
    return e;
}

static enum err verify_id_token(struct issuers *s, struct arena *a, const struct identity_provider *p, const struct oidc_attempt *t,
                                struct str token, struct jwt *out, struct fault *why)
{
    struct jwt_expected x = { .issuer = p->issuer, .audience = p->sign_in.client_id, .authorized_party = p->sign_in.client_id,
                              .nonce = nonce_of(a, t), .now = clock_wall() };
    wall_ms expires;
    enum err e;
    if (!token.n)
        return fault(why, ERR_IDENTITY_PROVIDER, STR("it gave no ID token"), "no id_token");
    if ((e = jwt_read(a, token, out, why)) || (e = issuer_verify(s, p->issuer, p->keys_url, out, why)) ||
        (e = jwt_check(out->claims, &x, &expires, why)))
        return as_refusal(e, why);
    struct str subject = json_str(out->claims, "sub");
    return subject.n && subject.n <= TEXT_MOST ? ERR_NONE : refused(why, STR("its ID token names nobody"), "sub");
}

/* Core 2: auth_time, in seconds. A provider that answers from its own session did not ask. */
static enum err asked_anew(const struct oidc_attempt *t, const struct json *claims, struct fault *why)
{
    int64_t when = 0;
    const struct json *v = json_get(claims, "auth_time");
    if (!t->session.n || (v && json_i64(v, &when) && when >= (t->begun - LEEWAY_MS) / 1000))
        return ERR_NONE;
    return refused(why, STR("the provider did not ask again who it is"), v ? "auth_time is older" : "no auth_time");
}

/* ---- claims ---- */

static bool named(const struct json *claim, const struct str *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jwt_claim_is(claim, values[i]))
            return true;
    return false;
}

/* From the first of both that has the claim as text. */
static struct str text_claim(struct arena *a, const struct json *first, const struct json *second, struct str name)
{
    const struct json *v = jwt_claim(a, first, name);
    if (!json_is(v, JSON_STRING))
        v = second ? jwt_claim(a, second, name) : NULL;
    return json_is(v, JSON_STRING) && v->text.n <= TEXT_MOST && !str_has_control(v->text) ? v->text : STR("");
}

/* A list of texts, or one. */
static void read_groups(struct arena *a, const struct json *v, struct oidc_person *out)
{
    if (json_is(v, JSON_STRING)) {
        out->groups = arena_array(a, 1, sizeof *out->groups);
        out->groups[out->group_count++] = v->text;
    }
    if (!json_is(v, JSON_ARRAY))
        return;
    out->groups = arena_array(a, v->count + 1, sizeof *out->groups);
    json_each(g, v)
        if (json_is(g, JSON_STRING) && out->group_count < OIDC_GROUPS_MOST)
            out->groups[out->group_count++] = g->text;
}

static enum err read_person(struct arena *a, const struct identity_provider *p, const struct json *id, const struct json *info,
                            struct oidc_person *out, struct fault *why)
{
    const struct identity_sign_in *s = &p->sign_in;
    const struct json *groups = jwt_claim(a, id, s->groups), *verified = json_get(id, "email_verified");
    if (!groups && info)
        groups = jwt_claim(a, info, s->groups);
    if (!verified && info)
        verified = json_get(info, "email_verified");
    out->subject = text_claim(a, id, info, s->subject);
    out->email = text_claim(a, id, info, s->email);
    out->name = text_claim(a, id, info, s->name);
    out->email_verified = jwt_claim_is(verified, STR("true"));
    out->second_factor = named(json_get(id, "amr"), s->amr, s->amr_count) || named(json_get(id, "acr"), s->acr, s->acr_count);
    read_groups(a, groups, out);
    return out->subject.n ? ERR_NONE : refused(why, STR("its ID token names nobody"), "claim of the subject");
}

static bool lacks(struct arena *a, const struct identity_provider *p, const struct json *id)
{
    const struct identity_sign_in *s = &p->sign_in;
    return !jwt_claim(a, id, s->subject) || !jwt_claim(a, id, s->email) || (s->mapping_count && !jwt_claim(a, id, s->groups));
}

/* OpenID Connect Core 5.3. *out stays NULL when there is nothing to ask with. */
static enum err user_info(struct issuers *s, struct arena *a, const struct issuer_doors *doors, struct str access_token,
                          struct str subject, struct json **out, struct fault *why)
{
    struct fetch_answer answer;
    struct fault unused;
    if (!doors->userinfo.n || !access_token.n)
        return ERR_NONE;
    struct str header = arena_join(a, STR("Bearer "), access_token);
    struct fetch_request q = { .method = STR("GET"), .url = doors->userinfo,
                               .headers = { { STR("Accept"), STR("application/json") }, { STR("Authorization"), header } },
                               .header_count = 2 };
    enum err e = issuer_fetch(s, a, &q, &answer, why);
    wipe(header);
    if (e)
        return e;
    if (answer.status != 200 || json_read(a, answer.body, out, &unused) || !json_is(*out, JSON_OBJECT))
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its userinfo endpoint refused the request"), "status %d", answer.status);
    /* 5.3.2: it may be another person's, if the access token was swapped. */
    if (!str_eq(json_str(*out, "sub"), subject))
        return refused(why, STR("its two answers are about different people"), "userinfo sub");
    return ERR_NONE;
}

static enum err person_from(struct issuers *s, struct arena *a, const struct identity_provider *p, const struct issuer_doors *doors,
                            const struct oidc_attempt *t, const struct json *tokens, struct oidc_person *out, struct fault *why)
{
    struct jwt id;
    struct json *info = NULL;
    enum err e = verify_id_token(s, a, p, t, json_str(tokens, "id_token"), &id, why);
    if (!e)
        e = asked_anew(t, id.claims, why);
    if (!e && lacks(a, p, id.claims))
        e = user_info(s, a, doors, json_str(tokens, "access_token"), json_str(id.claims, "sub"), &info, why);
    return e ? e : read_person(a, p, id.claims, info, out, why);
}

enum err oidc_person(struct issuers *s, struct arena *a, const struct identity_provider *p, struct secret client_secret,
                     const struct oidc_attempt *t, struct str code, struct str issuer, struct str redirect_uri,
                     struct oidc_person *out, struct fault *why)
{
    struct issuer_doors doors;
    struct fetch_answer answer;
    struct json *tokens;
    struct fault unused;
    enum err e;
    *out = (struct oidc_person){ 0 };
    if ((e = issuer_discover(s, a, p->issuer, &doors, why)))
        return e;
    /* RFC 9207 2.4: an answer of another issuer is not for this attempt, and one that says who it is must. */
    if (issuer.p ? !str_eq(issuer, p->issuer) : doors.names_itself)
        return refused(why, STR("made by another issuer"), "iss of the answer");
    if (!code.n || code.n > CODE_MAX || str_has_control(code))
        return refused(why, STR("the provider gave no code"), "code");
    if ((e = exchange(s, a, p, &doors, client_secret, t, code, redirect_uri, &answer, why)))
        return e;
    if (json_read_lenient_keys(a, answer.body, &tokens, &unused) || !json_is(tokens, JSON_OBJECT))
        e = fault(why, ERR_IDENTITY_PROVIDER, STR("its token endpoint's answer cannot be read"), "%s", unused.note);
    else
        e = person_from(s, a, p, &doors, t, tokens, out, why);
    struct oidc_person found = *out; /* what points into the answer is copied before that is wiped */
    out->subject = arena_str(a, found.subject);
    out->email = arena_str(a, found.email);
    out->name = arena_str(a, found.name);
    for (size_t i = 0; i < found.group_count; i++)
        out->groups[i] = arena_str(a, found.groups[i]);
    wipe(answer.body);
    return e;
}
