#include "auth/token_request.h"

#include "auth/assertion.h"
#include "auth/dpop.h"
#include "auth/parameters.h"
#include "auth/value.h"

#define BODY_MAX (256 * 1024) /* bytes of JSON */
#define ANSWER_MAX (1024 * 1024) /* requirement 9.3 */
#define ASSERTION_TYPE STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")

/* ---- the client's proof of itself: one, never two (RFC 6749 2.3) ---- */

/* *assertion holds what one of the parameters points to. */
static enum err prove_by_jwt(const struct oauth_profile *p, bool by_secret, wall_ms now, struct parameters *params,
                             struct secret *assertion, struct fault *why)
{
    bool hmac = str_starts(p->algorithm, STR("HS"));
    struct assertion x = {
        .algorithm = by_secret != hmac ? (by_secret ? STR("HS256") : STR("")) : p->algorithm,
        .kid = by_secret ? STR("") : p->key_id,
        .thumbprint = by_secret ? STR("") : p->thumbprint,
        .issuer = p->client_id, .subject = p->client_id,
        .audience = p->issuer.n ? p->issuer : p->token_url, /* requirement 9.2; RFC 7523 3: it names the server */
        .lifetime_s = assertion_lifetime(p->assertion),
    };
    enum err e = assertion_sign(&x, by_secret ? p->client_secret : p->private_key, now, assertion, why);
    parameters_put(params, STR("client_id"), p->client_id); /* RFC 7521 4.2: optional; some servers want it */
    parameters_put(params, STR("client_assertion_type"), ASSERTION_TYPE);
    parameters_put(params, STR("client_assertion"), secret_str(*assertion));
    return e;
}

static enum err prove(const struct oauth_profile *p, enum client_auth how, wall_ms now, struct parameters *params,
                      struct token_request *out, struct fault *why)
{
    switch (how) {
    case CLIENT_AUTH_BASIC:
        parameters_put(params, STR("client_id"), STR(""));
        parameters_put(params, STR("client_secret"), STR(""));
        out->authorization = form_basic(p->client_id, secret_str(p->client_secret));
        return ERR_NONE;
    case CLIENT_AUTH_POST: parameters_put(params, STR("client_secret"), secret_str(p->client_secret)); break;
    case CLIENT_AUTH_SECRET_JWT: return prove_by_jwt(p, true, now, params, &out->more[0], why);
    case CLIENT_AUTH_PRIVATE_KEY_JWT: return prove_by_jwt(p, false, now, params, &out->more[0], why);
    default: parameters_put(params, STR("client_secret"), STR("")); break;
    }
    parameters_put(params, STR("client_id"), p->client_id);
    return ERR_NONE;
}

/* ---- the request ---- */

/* What is repeated is a list in JSON. */
static bool repeated(const struct parameters *p, size_t at, bool *later)
{
    bool before = false, after = false;
    for (size_t i = 0; i < p->n; i++) {
        bool same = i != at && str_eq(p->at[i].name, p->at[at].name);
        before |= same && i < at;
        after |= same && i > at;
    }
    *later = before;
    return before || after;
}

static void write_value(struct json_out *o, const struct parameters *p, size_t at)
{
    bool later;
    if (!repeated(p, at, &later)) {
        json_put_str(o, p->at[at].value);
        return;
    }
    json_open(o, '[');
    for (size_t i = at; i < p->n; i++)
        if (str_eq(p->at[i].name, p->at[at].name))
            json_put_str(o, p->at[i].value);
    json_close(o, ']');
}

static enum err as_json(const struct parameters *p, struct secret *out, struct fault *why)
{
    size_t size = 16;
    struct buf text;
    for (size_t i = 0; i < p->n; i++)
        size += 6 * (p->at[i].name.n + p->at[i].value.n) + 8;
    buf_init(&text, BODY_MAX);
    (void)buf_room(&text, size); /* at once: growing would leave copies behind */
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    for (size_t i = 0; i < p->n; i++) {
        char name[128];
        bool later;
        if (repeated(p, i, &later) && later)
            continue;
        json_key(&o, str_copy(name, sizeof name, p->at[i].name));
        write_value(&o, p, i);
    }
    json_close(&o, '}');
    bool failed = buf_failed(&text);
    *out = value_take(&text);
    return failed ? fault(why, ERR_LIMIT, STR("256 KiB of parameters"), "token request") : ERR_NONE;
}

static void add_header(struct fetch_request *q, struct str name, struct str value)
{
    q->headers[q->header_count][0] = name;
    q->headers[q->header_count++][1] = value;
}

static enum err add_proof(struct arena *a, struct token_request *r, struct secret dpop_key, struct str nonce, wall_ms now,
                          struct fault *why)
{
    struct jwt_key *key;
    enum err e = dpop_key_open(dpop_key, &key, why);
    if (e)
        return e;
    e = dpop_proof(a, key, r->http.method, r->http.url, nonce, STR(""), now, &r->proof, why);
    jwt_key_free(key);
    add_header(&r->http, STR("DPoP"), secret_str(r->proof));
    return e;
}

static void gather(const struct oauth_profile *p, struct str url, enum token_step step, const struct token_param *given, size_t n,
                   struct parameters *out)
{
    for (size_t i = 0; i < n; i++)
        parameters_add(out, given[i].name, given[i].value);
    if (!str_eq(url, p->token_url))
        return; /* the profile's parameters are the token endpoint's */
    if (!parameters_have(out, STR("resource"))) /* RFC 8707 2.2; who names one himself means that */
        json_each(v, p->resources)
            parameters_add(out, STR("resource"), v->text);
    parameters_lay(out, step == TOKEN_REFRESH ? p->refresh_parameters : p->token_parameters);
}

enum err token_request_build(struct arena *a, const struct oauth_profile *p, struct str url, enum token_step step,
                             const struct token_param *params, size_t n, struct secret dpop_key, struct str nonce, wall_ms now,
                             struct token_request *out, struct fault *why)
{
    struct parameters all = { .n = 0 };
    *out = (struct token_request){ 0 };
    gather(p, url, step, params, n, &all);
    enum err e = prove(p, step == TOKEN_REFRESH ? p->refresh_auth : p->client_auth, now, &all, out, why);
    if (e)
        return e;
    if (p->par_url.n && str_eq(url, p->par_url))
        parameters_put(&all, STR("client_id"),
            p->client_id); /* a part of the request there (RFC 9126 2.1), however the client proves itself */
    parameters_leave_out_empty(&all);
    if (!p->quirks.json_body)
        out->body = form_encode(all.at, all.n);
    else if ((e = as_json(&all, &out->body, why)))
        return e;
    out->http =
        (struct fetch_request){ .method = STR("POST"), .url = url, .body = secret_str(out->body), .response_max = ANSWER_MAX };
    add_header(&out->http, STR("Accept"), STR("application/json"));
    add_header(&out->http, STR("Content-Type"),
               p->quirks.json_body ? STR("application/json") : STR("application/x-www-form-urlencoded"));
    if (out->authorization.n)
        add_header(&out->http, STR("Authorization"), secret_str(out->authorization));
    return dpop_key.n ? add_proof(a, out, dpop_key, nonce, now, why) : ERR_NONE;
}

void token_request_end(struct token_request *r)
{
    struct secret *const all[] = { &r->body, &r->authorization, &r->proof, &r->url };
    for (size_t i = 0; i < COUNT(all); i++)
        secret_end(all[i]);
    for (size_t i = 0; i < COUNT(r->more); i++)
        secret_end(&r->more[i]);
}
