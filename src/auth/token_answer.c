#include "auth/token_answer.h"

#include "auth/told.h"
#include "base/encode.h"
#include "base/json_path.h"

#define NONCE_MAX 512 /* bytes */
#define ANSWER_MAX (1024 * 1024)
#define TOKEN_TEXT_MAX (16 * 1024) /* bytes of one token */
#define TEN_YEARS_S (10ll * 366 * 86400)
#define RETRY_MOST_MS (3600 * 1000)
#define FORM_MEMBERS_MOST 64

struct reading {
    struct arena *a;
    const struct oauth_profile *p;
    const struct fetch_answer *f;
    wall_ms received;
    struct token_answer *out;
};

/* ---- what an error's word means ---- */

/* RFC 6749 5.2, 8628 3.5, 8707 2, 9449 5, OpenID Connect Core 3.1.2.6; the last of each are words of servers that have their own
 * (GitHub, Slack). */
static const struct { const char *word; enum token_outcome outcome; } words[] = {
    { "invalid_grant", TOKEN_GRANT_OVER },
    { "interaction_required", TOKEN_GRANT_OVER },
    { "login_required", TOKEN_GRANT_OVER },
    { "consent_required", TOKEN_GRANT_OVER },
    { "bad_refresh_token", TOKEN_GRANT_OVER },
    { "invalid_refresh_token", TOKEN_GRANT_OVER },
    { "bad_verification_code", TOKEN_GRANT_OVER },
    { "token_expired", TOKEN_GRANT_OVER },
    { "token_revoked", TOKEN_GRANT_OVER },
    { "account_inactive", TOKEN_GRANT_OVER },
    { "invalid_client", TOKEN_CLIENT_WRONG },
    { "unauthorized_client", TOKEN_CLIENT_WRONG },
    { "incorrect_client_credentials", TOKEN_CLIENT_WRONG },
    { "invalid_client_id", TOKEN_CLIENT_WRONG },
    { "bad_client_secret", TOKEN_CLIENT_WRONG },
    { "invalid_request", TOKEN_ASKED_WRONG },
    { "invalid_scope", TOKEN_ASKED_WRONG },
    { "invalid_target", TOKEN_ASKED_WRONG },
    { "unsupported_grant_type", TOKEN_ASKED_WRONG },
    { "unsupported_token_type", TOKEN_ASKED_WRONG },
    { "invalid_dpop_proof", TOKEN_ASKED_WRONG },
    { "redirect_uri_mismatch", TOKEN_ASKED_WRONG },
    { "bad_redirect_uri", TOKEN_ASKED_WRONG },
    { "device_flow_disabled", TOKEN_ASKED_WRONG },
    { "temporarily_unavailable", TOKEN_LATER },
    { "server_error", TOKEN_LATER },
    { "ratelimited", TOKEN_LATER },
    { "internal_error", TOKEN_LATER },
    { "authorization_pending", TOKEN_PENDING },
    { "slow_down", TOKEN_SLOW_DOWN },
    { "access_denied", TOKEN_DENIED },
    { "authorization_declined", TOKEN_DENIED },
    { "expired_token", TOKEN_CODE_EXPIRED },
};

/* Without a word that is known; the first row that fits. 3xx: redirects are not followed, so the URL is wrong. 403 is what a
 * firewall in front says: nothing is known of the grant. */
static const struct { int from, to; enum token_outcome outcome; } statuses[] = {
    { 200, 299, TOKEN_ODD },   { 300, 399, TOKEN_ASKED_WRONG }, { 400, 400, TOKEN_ODD },         { 401, 401, TOKEN_CLIENT_WRONG },
    { 403, 403, TOKEN_LATER }, { 408, 408, TOKEN_LATER },       { 425, 425, TOKEN_LATER },       { 429, 429, TOKEN_LATER },
    { 500, 599, TOKEN_LATER }, { 402, 499, TOKEN_ASKED_WRONG }, { 0, 999, TOKEN_UNKNOWN },
};

static enum token_outcome by_status(int status)
{
    size_t i = 0;
    while (status < statuses[i].from || status > statuses[i].to)
        i++;
    return statuses[i].outcome;
}

static bool by_word(const struct reading *r, enum token_outcome *out)
{
    if (str_is(r->out->error, "use_dpop_nonce")) {
        *out = r->out->nonce.n ? TOKEN_NONCE : TOKEN_ASKED_WRONG;
        return true;
    }
    for (size_t i = 0; i < COUNT(words); i++)
        if (str_is(r->out->error, words[i].word)) {
            *out = words[i].outcome;
            return true;
        }
    return false;
}

/* Whatever an answer of 429 or 5xx says of the grant is not believed: the server is not well. */
static enum token_outcome outcome_of_error(const struct reading *r)
{
    int status = r->f->status;
    enum token_outcome word;
    bool known = by_word(r, &word), unwell = status == 429 || status >= 500;
    if (known && (!unwell || word == TOKEN_SLOW_DOWN || word == TOKEN_PENDING))
        return word;
    return by_status(status);
}

/* ---- texts for people ---- */

static struct str text_of(const struct json *v)
{
    return json_is(v, JSON_STRING) || json_is(v, JSON_NUMBER) ? v->text : STR("");
}

static void read_error(struct reading *r)
{
    const struct json *body = r->out->body;
    const struct json *v = r->p->quirks.error.n ? json_path(body, r->p->quirks.error) : json_get(body, "error");
    struct str description = json_str(body, "error_description");
    struct str code = text_of(v);
    if (json_is(v, JSON_OBJECT)) { /* {"error": {"code": ..., "message": ...}} */
        static const char *const names[] = { "code", "type", "status" };
        for (size_t i = 0; i < COUNT(names) && !code.n; i++)
            code = text_of(json_get(v, names[i]));
        description = json_str(v, "message");
    }
    if (!description.n)
        description = json_str(body, "message");
    r->out->error = told_text(r->a, code);
    r->out->description = oauth_profile_shown(r->p, description) ? STR("") : told_text(r->a, description);
    if (oauth_profile_shown(r->p, r->out->error))
        r->out->error = STR("refused");
}

/* ---- the envelope ---- */

static int64_t retry_after(const struct reading *r)
{
    int64_t ms = head_retry_after(fetch_header(r->f, "Retry-After"), r->received);
    return ms > RETRY_MOST_MS ? RETRY_MOST_MS : ms;
}

static struct str media_type(const struct fetch_answer *f)
{
    struct str type, rest;
    str_cut(fetch_header(f, "Content-Type"), ';', &type, &rest);
    return str_trim(type);
}

static bool is_json_type(struct str type)
{
    struct str tail = STR("+json");
    return str_ieq(type, STR("application/json")) ||
           (type.n > tail.n && str_ieq(str_sub(type, type.n - tail.n, type.n), tail));
}

static bool is_form_type(struct str type)
{
    return str_ieq(type, STR("application/x-www-form-urlencoded")) || str_ieq(type, STR("text/plain"));
}

static bool decode_piece(struct arena *a, struct str piece, struct str *out)
{
    char *copy = arena_cstr(a, piece);
    for (size_t i = 0; i < piece.n; i++)
        copy[i] = copy[i] == '+' ? ' ' : copy[i];
    bool ok = percent_decode(a, (struct str){ copy, piece.n }, out);
    secret_wipe(copy, piece.n);
    return ok;
}

/* access_token=...&token_type=...: what some servers of the early days answer. NULL: not one. */
static const struct json *read_form(struct arena *a, struct str text)
{
    struct json *object = json_new(a, JSON_OBJECT), *last = NULL;
    struct str pair, name, value;
    text = str_trim(text);
    while (text.n && str_piece(&text, '&', &pair)) {
        struct json *v = json_new(a, JSON_STRING);
        if (!str_cut(pair, '=', &name, &value) || !decode_piece(a, name, &v->key) || !decode_piece(a, value, &v->text) ||
            !utf8_valid(v->key) || !utf8_valid(v->text) || object->count == FORM_MEMBERS_MOST)
            return NULL;
        json_link(a, object, &last, v);
    }
    return object->count ? object : NULL;
}

static void read_body(struct reading *r)
{
    struct json *body;
    struct fault unused;
    struct str text = str_trim(r->f->body), mark = STR("\xef\xbb\xbf");
    if (str_starts(text, mark)) /* RFC 8259 8.1: may be passed over */
        text = str_sub(text, mark.n, text.n);
    if (!text.n || text.n > ANSWER_MAX)
        return;
    if (text.p[0] == '{') {
        if (!json_read_lenient_keys(r->a, text, &body, &unused))
            r->out->body = body;
    } else if (r->p->quirks.any_content_type && is_form_type(media_type(r->f))) {
        r->out->body = read_form(r->a, text);
    }
}

/* ---- tokens ---- */

/* What we read may stand there once only (RFC 6749 3.2): of two readers, each might believe another one. */
static bool twice(const struct json *body)
{
    static const char *const names[] = { "access_token", "refresh_token", "token_type", "expires_in", "scope", "error" };
    for (size_t i = 0; i < COUNT(names); i++) {
        int seen = 0;
        json_each(v, body)
            seen += str_is(v->key, names[i]);
        if (seen > 1)
            return true;
    }
    return false;
}

static const struct json *member(const struct reading *r, struct str place, const char *name)
{
    return place.n ? json_path(r->out->body, place) : json_get(r->out->body, name);
}

/* Visible ASCII (RFC 6749 A.12), and of a size that a request can carry. */
static bool usable(const struct json *v)
{
    if (!json_is(v, JSON_STRING) || !v->text.n || v->text.n > TOKEN_TEXT_MAX)
        return false;
    for (size_t i = 0; i < v->text.n; i++)
        if (v->text.p[i] < 0x21 || v->text.p[i] > 0x7e)
            return false;
    return true;
}

int64_t token_duration(const struct json *v, wall_ms received)
{
    struct str whole, fraction, text = text_of(v);
    uint64_t seconds;
    wall_ms at;
    if (clock_parse(text, &at))
        return at > received && at - received <= TEN_YEARS_S * 1000 ? at - received : -1;
    str_cut(text, '.', &whole, &fraction);
    for (size_t i = 0; i < fraction.n; i++)
        if (!ascii_digit(fraction.p[i]))
            return -1;
    return str_u64(whole, &seconds) && seconds && seconds <= TEN_YEARS_S ? (int64_t)seconds * 1000 : -1;
}

static size_t scope_most = OAUTH_SCOPE_MAX;

void token_answer_limit_scopes(size_t bytes) { scope_most = bytes < OAUTH_SCOPE_MAX ? bytes : OAUTH_SCOPE_MAX; }

/* A text, or a list of texts, which are joined as the server separates them. */
static enum token_outcome read_scope(struct reading *r)
{
    const struct json *v = member(r, r->p->quirks.scope, "scope");
    AUTO_BUF text;
    buf_init(&text, scope_most);
    if (json_is(v, JSON_STRING))
        buf_add(&text, v->text);
    json_each(item, json_is(v, JSON_ARRAY) ? v : NULL) {
        if (text.n)
            buf_char(&text, r->p->scope_separator ? r->p->scope_separator : ' ');
        buf_add(&text, text_of(item));
    }
    r->out->scope_given = json_is(v, JSON_STRING) || json_is(v, JSON_ARRAY);
    if (buf_failed(&text)) {
        r->out->error = STR("scope_too_long");
        return TOKEN_ASKED_WRONG;
    }
    r->out->scope = arena_str(r->a, buf_str(&text));
    return TOKEN_GIVEN;
}

/* RFC 6749 7.1: a token of a type that is not known must not be used; RFC 9449 5: one that is not bound when it should be neither.
 */
static bool type_fits(const struct reading *r)
{
    struct str type = r->out->token_type;
    if (r->p->dpop)
        return str_ieq(type, STR("DPoP"));
    return str_ieq(type, STR("Bearer")) || r->p->quirks.token_type_optional ||
           (r->p->quirks.token_type_na && str_ieq(type, STR("N_A")));
}

static enum token_outcome refuse(struct reading *r, const char *error)
{
    r->out->error = str_of(error);
    return TOKEN_ASKED_WRONG;
}

static enum token_outcome take_tokens(struct reading *r, const struct json *access)
{
    const struct json *refresh = member(r, r->p->quirks.refresh_token, "refresh_token");
    bool refreshes = json_is(refresh, JSON_STRING) && refresh->text.n;
    r->out->token_type = told_text(r->a, text_of(json_get(r->out->body, "token_type")));
    r->out->refresh_token = refreshes && usable(refresh) ? secret_from(refresh->text) : SECRET_NONE;
    if (!is_json_type(media_type(r->f)) && !r->p->quirks.any_content_type)
        return refuse(r, "content_type");
    if (!type_fits(r))
        return refuse(r, "token_type");
    if (refreshes && !usable(refresh))
        return TOKEN_UNKNOWN;
    enum token_outcome scope = read_scope(r);
    if (scope != TOKEN_GIVEN)
        return scope;
    r->out->expires_in_ms = token_duration(member(r, r->p->quirks.expires_in, "expires_in"), r->received);
    r->out->access_token = secret_from(access->text);
    r->out->error = r->out->description = STR("");
    return TOKEN_GIVEN;
}

/* A 2xx. Some servers say here, too, that they refuse: without a token, or with their own mark of success missing. */
static enum token_outcome outcome_of_success(struct reading *r)
{
    const struct json *body = r->out->body;
    if (!body || twice(body))
        return TOKEN_UNKNOWN;
    const struct json *access = member(r, r->p->quirks.access_token, "access_token");
    bool refused = r->p->quirks.ok.n && !json_is(json_path(body, r->p->quirks.ok), JSON_TRUE);
    if (refused || !usable(access))
        return refused || r->out->error.n ? outcome_of_error(r) : TOKEN_UNKNOWN;
    return take_tokens(r, access);
}

void token_answer_read(struct arena *a, const struct oauth_profile *p, const struct fetch_answer *f, wall_ms received,
                       struct token_answer *out)
{
    struct reading r = { a, p, f, received, out };
    wall_ms date;
    struct str nonce = fetch_header(f, "DPoP-Nonce");
    *out = (struct token_answer){ .expires_in_ms = -1,
                                  .skew_ms = INT64_MIN,
                                  .nonce = nonce.n <= NONCE_MAX ? arena_str(a, nonce) : STR(""),
                                  .retry_after_ms = retry_after(&r),
                                  .token_type = STR(""),
                                  .scope = STR(""),
                                  .error = STR(""),
                                  .description = STR("") };
    if (clock_parse_http(fetch_header(f, "Date"), &date))
        out->skew_ms = date - received;
    read_body(&r);
    read_error(&r);
    out->outcome = f->status / 100 == 2 ? outcome_of_success(&r) : outcome_of_error(&r);
    if (out->outcome != TOKEN_GIVEN && !out->error.n)
        out->error = str_fmt(a, "http_%d", f->status);
}

/* Texts with escapes were decoded to a place of their own; all of them are wiped wherever they are. */
static void wipe(const struct json *v)
{
    json_each(m, v)
        wipe(m);
    if (v->type == JSON_STRING && v->text.n)
        secret_wipe((void *)(uintptr_t)v->text.p, v->text.n);
}

void token_answer_end(struct token_answer *t)
{
    secret_end(&t->access_token);
    secret_end(&t->refresh_token);
    if (t->body)
        wipe(t->body);
    t->body = NULL;
}

bool token_answer_refuses_client(const struct fetch_answer *f)
{
    AUTO_ARENA a = arena_new(4096);
    struct json *body;
    struct fault ignored;
    if (f->status == 401)
        return true;
    return f->status / 100 == 4 && !json_read_lenient_keys(a, f->body, &body, &ignored) &&
           str_is(json_str(body, "error"), "invalid_client");
}
