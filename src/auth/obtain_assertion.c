/* Grants that a signature gives: JWT bearer (RFC 7523), Google's service accounts, GitHub's apps; and token exchange (RFC 8693),
 * where a token that somebody gave may stand in the signed one's place. What is over is asked for again. */
#include "auth/assertion.h"
#include "auth/json_key.h"
#include "auth/obtain_inside.h"
#include "auth/parameters.h"
#include "auth/value.h"

#define GRANT_JWT_BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"

static struct str first(struct str x, struct str y) { return x.n ? x : y; }

/* The connection's own key, else the OAuth client's. */
static struct secret key_of(const struct obtain_input *q)
{
    const struct secret *own = auth_secret(q->in, "private_key");
    return own ? *own : q->profile->private_key;
}

/* As the connector says it, for the rest as RFC 7523 3 has it. `asked`: scopes that go into the assertion. */
static struct assertion described(const struct obtain_input *q, struct str asked)
{
    const struct oauth_profile *p = q->profile;
    const struct json *x = p->assertion;
    return (struct assertion){
        .algorithm = first(json_str(x, "algorithm"), p->algorithm),
        .kid = first(obtain_secret(q, "private_key_id"), p->key_id),
        .thumbprint = p->thumbprint,
        .issuer = first(json_str(x, "issuer"), p->client_id),
        .subject = json_str(x, "subject"),
        .audience = first(json_str(x, "audience"), p->token_url),
        .scope = json_bool(x, "scope_claim", false) ? asked : STR(""),
        .claims = json_get(x, "claims"),
        .lifetime_s = assertion_lifetime(x),
    };
}

static enum err send_assertion(struct arena *a, const struct obtain_input *q, const struct assertion *x, struct str scope,
                               struct token_request *out, struct fault *why)
{
    AUTO_SECRET assertion = SECRET_NONE;
    *out = (struct token_request){ 0 };
    enum err e = assertion_sign(x, key_of(q), q->now, &assertion, why);
    if (e)
        return value_at(e, why, "/credentials/private_key");
    const struct token_param params[] = { { STR("grant_type"), STR(GRANT_JWT_BEARER) },
                                          { STR("assertion"), secret_str(assertion) },
                                          { STR("scope"), x->scope.n ? STR("") : scope } };
    return obtain_send(a, q, TOKEN_FIRST, params, COUNT(params), out, why);
}

static enum err build_jwt_bearer(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    struct str scope = obtain_scope(a, q);
    struct assertion x = described(q, scope);
    return send_assertion(a, q, &x, scope, out, why);
}

const struct obtain obtain_jwt_bearer = {
    .auth_type = "oauth2_jwt_bearer", .oauth = true, .signs = true, .build = build_jwt_bearer, .read = obtain_read,
};

/* ---- token exchange (RFC 8693): one token for another, for other ears ---- */

#define GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS_TOKEN STR("urn:ietf:params:oauth:token-type:access_token")
#define TYPE_JWT STR("urn:ietf:params:oauth:token-type:jwt")

/* The token that was given, else one that the connection's key, or its client's, signs. */
static enum err subject_of(const struct obtain_input *q, struct secret *signed_one, struct str *out, struct fault *why)
{
    *out = obtain_secret(q, "subject_token");
    if (out->n)
        return ERR_NONE;
    if (!key_of(q).n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("subject_token"), why, "/credentials/subject_token");
    struct assertion x = described(q, STR(""));
    enum err e = assertion_sign(&x, key_of(q), q->now, signed_one, why);
    *out = secret_str(*signed_one);
    return value_at(e, why, "/credentials/private_key");
}

/* 2.1: each may be there several times. What the connection's field says has blanks between. */
static void name_ears(const struct obtain_input *q, const char *name, struct parameters *to)
{
    struct str piece, own = obtain_field(q, name);
    const struct json *option = json_get(q->in->options, name);
    if (!own.n && json_is(option, JSON_STRING))
        parameters_add(to, str_of(name), option->text);
    json_each(v, !own.n && json_is(option, JSON_ARRAY) ? option : NULL)
        parameters_add(to, str_of(name), v->text);
    while (own.n && str_piece(&own, ' ', &piece))
        if (piece.n)
            parameters_add(to, str_of(name), piece);
}

static enum err build_exchange(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    AUTO_SECRET signed_one = SECRET_NONE;
    struct str subject, actor = obtain_secret(q, "actor_token");
    enum err e;
    *out = (struct token_request){ 0 };
    if (obtain_again(a, q, out, &e, why))
        return e;
    if ((e = subject_of(q, &signed_one, &subject, why)))
        return e;
    struct str usual = signed_one.n ? TYPE_JWT : TYPE_ACCESS_TOKEN;
    const struct token_param first_ones[] = {
        { STR("grant_type"), STR(GRANT_EXCHANGE) },
        { STR("subject_token"), subject },
        { STR("subject_token_type"), first(value_option(q->in, "subject_token_type"), usual) },
        { STR("actor_token"), actor },
        { STR("actor_token_type"), actor.n ? first(value_option(q->in, "actor_token_type"), TYPE_ACCESS_TOKEN) : STR("") },
        { STR("requested_token_type"), value_option(q->in, "requested_token_type") },
    };
    struct parameters all = { .n = 0 };
    for (size_t i = 0; i < COUNT(first_ones); i++)
        parameters_put(&all, first_ones[i].name, first_ones[i].value);
    name_ears(q, "audience", &all);
    name_ears(q, "resource", &all);
    parameters_put(&all, STR("scope"), obtain_scope(a, q));
    return obtain_send(a, q, TOKEN_FIRST, all.at, all.n, out, why);
}

/* 2.2.1: what is no access token, and was asked for, is of the type N_A. 2.2.2: a subject that is over is an invalid_request: no
 * setting mends that, another token does. */
static void read_exchange(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                          struct obtained *out)
{
    struct oauth_profile p = *q->profile;
    struct obtain_input with = *q;
    p.quirks.token_type_na = value_option(q->in, "requested_token_type").n > 0;
    with.profile = &p;
    obtain_read(a, &with, f, received, out);
    bool given = obtain_secret(q, "subject_token").n > 0;
    if (given && out->answer.outcome == TOKEN_ASKED_WRONG && str_is(out->answer.error, "invalid_request"))
        out->answer.outcome = TOKEN_GRANT_OVER;
}

const struct obtain obtain_token_exchange = {
    .auth_type = "oauth2_token_exchange", .oauth = true, .build = build_exchange, .read = read_exchange,
};

/* ---- Google ---- */

/* Scopes are a claim there. `sub` only where somebody is to be impersonated (CON-21): without delegation over the domain Google
 * refuses it. */
static enum err build_google(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    struct json_key file;
    json_key_read(a, obtain_secret(q, "private_key"), &file);
    struct assertion x = described(q, STR(""));
    x.scope = obtain_scope(a, q);
    x.issuer = first(json_str(q->profile->assertion, "issuer"), first(obtain_secret(q, "client_email"), file.client_email));
    x.subject = first(x.subject, obtain_field(q, "impersonate"));
    x.kid = first(x.kid, file.private_key_id);
    /* The account's number is in the key file, and in what people copy from it; it is no OAuth client that would have to be proven.
     */
    struct oauth_profile p = *q->profile;
    struct obtain_input with = *q;
    p.client_id = STR("");
    with.profile = &p;
    return send_assertion(a, &with, &x, STR(""), out, why);
}

const struct obtain obtain_google = {
    .auth_type = "google_service_account", .oauth = true, .build = build_google, .read = obtain_read,
};

/* ---- GitHub: the assertion is the credential of one request, whose answer is an installation's token ---- */

static enum err build_github(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    struct assertion x = described(q, STR(""));
    AUTO_SECRET assertion = SECRET_NONE;
    *out = (struct token_request){ 0 };
    x.issuer = first(x.issuer, obtain_field(q, "app_id"));
    x.audience = json_str(q->profile->assertion, "audience");
    (void)a;
    enum err e = assertion_sign(&x, key_of(q), q->now, &assertion, why);
    if (e)
        return value_at(e, why, "/credentials/private_key");
    out->authorization = value_join((struct str[]){ STR("Bearer "), secret_str(assertion) }, 2);
    out->http =
        (struct fetch_request){ .method = STR("POST"),
                                .url = q->profile->token_url,
                                .body = STR(""),
                                .headers = { { STR("Accept"), STR("application/vnd.github+json") },
                                             { STR("X-GitHub-Api-Version"), STR("2022-11-28") },
                                             { STR("User-Agent"), STR("Raccord") }, /* GitHub refuses requests without one */
                                             { STR("Authorization"), secret_str(out->authorization) } },
                                .header_count = 4,
                                .response_max = 1024 * 1024 };
    return ERR_NONE;
}

/* {"token": ..., "expires_at": "2026-01-01T00:00:00Z", ...}, and errors as {"message": ...}: 401 for a wrong key, 404 for an
 * installation that is gone. */
static void read_github(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                        struct obtained *out)
{
    struct oauth_profile p = *q->profile;
    struct obtain_input with = *q;
    p.quirks =
        (struct token_quirks){ .token_type_optional = true, .access_token = STR("/token"), .expires_in = STR("/expires_at") };
    with.profile = &p;
    obtain_read(a, &with, f, received, out);
    if (out->answer.outcome != TOKEN_GIVEN && (f->status == 401 || f->status == 404))
        out->answer.outcome = TOKEN_GRANT_OVER;
}

const struct obtain obtain_github_app = { .auth_type = "github_app", .oauth = true, .build = build_github, .read = read_github };
