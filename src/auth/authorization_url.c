#include "auth/authorization_url.h"

#include "auth/device_code.h"
#include "auth/parameters.h"
#include "auth/pkce.h"
#include "auth/token_answer.h"
#include "auth/told.h"
#include "auth/token_request.h"
#include "base/encode.h"
#include "http/address.h"
#include "http/url.h"

#define URL_MOST (16 * 1024)
#define CODE_MOST 4096

/* What the connector and the client say. RFC 8707 2.1: where the tokens are to be good. */
static void gather_theirs(struct arena *a, const struct oauth_profile *p, struct parameters *out)
{
    out->n = 0;
    parameters_put(out, STR("scope"), oauth_profile_scope(a, p));
    json_each(v, p->resources)
        parameters_add(out, STR("resource"), v->text);
    parameters_lay(out, p->authorize_parameters);
}

/* The connector's and the client's own first: what the hub itself sends is not theirs to replace (OAU-32). */
static void gather(struct arena *a, const struct oauth_profile *p, const struct authorization_request *r, struct parameters *out)
{
    gather_theirs(a, p, out);
    parameters_put(out, STR("response_type"), STR("code"));
    parameters_put(out, STR("client_id"), p->client_id);
    parameters_put(out, STR("redirect_uri"), r->redirect_uri);
    parameters_put(out, STR("state"), r->state);
    if (p->pkce) {
        parameters_put(out, STR("code_challenge"), pkce_challenge(a, r->verifier));
        parameters_put(out, STR("code_challenge_method"), STR("S256"));
    }
    parameters_leave_out_empty(out);
}

static struct str join(struct arena *a, struct str door, const struct parameters *p)
{
    AUTO_BUF b;
    buf_init(&b, URL_MOST);
    buf_add(&b, door);
    for (size_t i = 0; i < p->n; i++) {
        buf_char(&b, !i && str_find(door, '?') == SIZE_MAX ? '?' : '&');
        percent_encode(&b, p->at[i].name);
        buf_char(&b, '=');
        percent_encode(&b, p->at[i].value);
    }
    return buf_failed(&b) ? STR_NONE : arena_str(a, buf_str(&b));
}

/* ---- asking the server ---- */

static enum err odd(struct arena *a, struct str says, struct fault *why, const char *note)
{
    struct str said = told_text(a, says);
    return fault(why, ERR_AUTHORIZATION_SERVER, said, "%s", note);
}

static enum err send(const struct issuers *s, struct arena *a, const struct oauth_profile *p, struct tls_context *tls,
                     struct str door, const struct parameters *sent, struct fetch_answer *answer, struct fault *why)
{
    struct oauth_profile plain = *p; /* lent: always a form (RFC 9126 2.1, RFC 8628 3.1) */
    struct token_request request;
    plain.quirks.json_body = false;
    enum err e = token_request_build(a, &plain, door, TOKEN_FIRST, sent->at, sent->n, SECRET_NONE, STR(""), clock_wall(), &request,
                                     why);
    request.http.tls = tls;
    if (!e && (e = issuer_fetch(s, a, &request.http, answer, why)) == ERR_IDENTITY_PROVIDER)
        e = odd(a, STR("it cannot be reached"), why, "authorization server");
    token_request_end(&request);
    return e;
}

static bool read_body(struct arena *a, const struct fetch_answer *answer, struct json **body)
{
    struct fault ignored;
    return !json_read_lenient_keys(a, answer->body, body, &ignored) && json_is(*body, JSON_OBJECT);
}

/* A client's proof goes along, as to the token endpoint. *body: its JSON object. */
static enum err ask(const struct issuers *s, struct arena *a, const struct client_door *c, struct str door,
                    const struct parameters *sent, struct fetch_answer *answer, struct json **body, struct fault *why)
{
    const struct oauth_profile *p = c->profile;
    struct oauth_profile next;
    enum err e = send(s, a, p, c->tls, door, sent, answer, why);
    if (!e && token_answer_refuses_client(answer) && oauth_profile_next(p, &next)) /* during rotation (OAU-04) */
        e = send(s, a, &next, c->next_tls ? c->next_tls : c->tls, door, sent, answer, why);
    if (e)
        return e;
    bool read = read_body(a, answer, body);
    if (answer->status / 100 == 2 && read)
        return ERR_NONE;
    struct str code = read ? json_str(*body, "error") : STR_NONE;
    if (str_is(code, "invalid_client") || str_is(code, "unauthorized_client"))
        return fault(why, ERR_OAUTH_CLIENT, code, "status %d", answer->status);
    struct str more = read ? told_text(a, json_str(*body, "error_description")) : STR("");
    struct str said = told_text(a, code.n ? code : STR("its answer cannot be read"));
    if (oauth_profile_shown(p, more) || oauth_profile_shown(p, said)) {
        more = STR("");
        said = STR("refused");
    }
    return fault(why, ERR_AUTHORIZATION_SERVER, said, "status %d: %.*s", answer->status, STR_ARG(more));
}

/* ---- the browser's address ---- */

static enum err push(const struct issuers *s, struct arena *a, const struct client_door *c, struct parameters *sent,
                     struct fault *why)
{
    const struct oauth_profile *p = c->profile;
    struct fetch_answer answer;
    struct json *body;
    enum err e = ask(s, a, c, p->par_url, sent, &answer, &body, why);
    if (e)
        return e;
    struct str uri = json_str(body, "request_uri");
    if (!uri.n || uri.n > CODE_MOST || str_has_control(uri))
        return odd(a, STR("its answer cannot be read"), why, "no request_uri");
    sent->n = 0;
    parameters_put(sent, STR("client_id"), p->client_id);
    parameters_put(sent, STR("request_uri"), uri);
    return ERR_NONE;
}

enum err authorization_url(const struct issuers *s, struct arena *a, const struct client_door *c,
                           const struct authorization_request *r, struct str *url, struct fault *why)
{
    const struct oauth_profile *p = c->profile;
    struct parameters sent;
    enum err e;
    if (!p->authorization_url.n || !p->client_id.n)
        return fault(why, ERR_OAUTH_CLIENT_MISSING, STR(""), "no authorization URL or client id");
    if (p->par && !p->par_url.n)
        return odd(a, STR("it wants requests pushed, and does not say where"), why, "par");
    gather(a, p, r, &sent);
    if (p->par_url.n && (e = push(s, a, c, &sent, why)))
        return e;
    *url = join(a, p->authorization_url, &sent);
    return url->n ? ERR_NONE : fault(why, ERR_LIMIT, STR("16 KiB of an authorization URL"), "parameters");
}

/* ---- devices ---- */

static bool page_ok(struct arena *a, const struct egress *egress, struct str text)
{
    struct fault ignored;
    struct url url;
    return text.n && !url_parse(a, text, &url, &ignored) && !egress_check_url(egress, url.https, url.host, url.port, &ignored);
}

enum err authorization_device_ask(const struct issuers *s, const struct egress *egress, struct arena *a,
                                  const struct client_door *c, struct authorization *t, struct secret *code, struct fault *why)
{
    const struct oauth_profile *p = c->profile;
    struct parameters sent;
    struct fetch_answer answer;
    struct device_code d;
    struct json *body;
    struct fault odd_answer;
    if (!p->device_url.n || !p->client_id.n)
        return fault(why, ERR_OAUTH_CLIENT_MISSING, STR(""), "no device authorization URL or client id");
    gather_theirs(a, p, &sent);
    parameters_put(&sent, STR("client_id"), p->client_id);
    parameters_leave_out_empty(&sent);
    enum err e = ask(s, a, c, p->device_url, &sent, &answer, &body, why);
    if (e)
        return e;
    if (device_code_read(a, &answer, &d, &odd_answer))
        return odd(a, str_of(odd_answer.subject), why, "device code");
    if (!page_ok(a, egress, d.uri)) {
        device_code_end(&d);
        return odd(a, STR("no address for a person in it"), why, "verification_uri");
    }
    t->user_code = d.user_code;
    t->verification_uri = d.uri;
    t->verification_uri_complete = page_ok(a, egress, d.uri_complete) ? d.uri_complete : STR("");
    t->interval_ms = d.interval_ms;
    wall_ms now = clock_wall();
    t->expires = now + d.expires_in_ms;
    t->next = now + d.interval_ms;
    *code = d.code;
    return ERR_NONE;
}

/* ---- who answers ---- */

enum err authorization_check_issuer(const struct oauth_profile *p, struct str begun_for, struct str iss, struct fault *why)
{
    if (!str_eq(p->issuer.p ? p->issuer : STR(""), begun_for))
        return fault(why, ERR_AUTHORIZATION_INVALID, STR("the OAuth client was changed meanwhile"), "another issuer than begun");
    if (!iss.p)
        return p->names_itself ? fault(why, ERR_AUTHORIZATION_INVALID, STR("iss is missing"), "iss") : ERR_NONE;
    if (begun_for.n && !str_eq(iss, begun_for))
        return fault(why, ERR_AUTHORIZATION_INVALID, STR("iss is of another authorization server"), "iss");
    return ERR_NONE;
}
