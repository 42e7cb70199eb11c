/* auth/oauth2.c - access tokens on requests, however they were obtained (auth/obtain.h): RFC 6750.
 *
 * `Authorization: Bearer TOKEN`, unless the connector says otherwise: `prefix` is another word, `header` and `query` another place
 * (a header of another name has no word before the token unless `prefix` gives one). A token that is bound to a key goes as RFC
 * 9449 has it.
 */
#include "auth/json_key.h"
#include "auth/methods.h"
#include "auth/value.h"
#include "crypto/private_key.h"

#define TOKEN STR("token")

static bool placed(const struct auth_input *in)
{
    struct str header = value_option(in, "header");
    return value_option(in, "query").n || (header.n && !str_ieq(header, STR("Authorization")));
}

/* What the methods api_key and bearer know of places and words holds for tokens. */
static const struct auth_method *sends(const struct auth_input *in) { return placed(in) ? &auth_api_key : &auth_bearer; }

static struct auth_input with_token(const struct auth_input *in, struct secret token, struct auth_secret *lent)
{
    struct auth_input out = *in;
    *lent = (struct auth_secret){ placed(in) ? STR("value") : TOKEN, token };
    out.secrets = lent;
    out.secret_count = 1;
    return out;
}

static enum err check_key(const struct auth_input *in, const char *name, struct fault *why)
{
    const struct secret *key = auth_secret(in, name);
    if (!key || !key->n)
        return ERR_NONE;
    AUTO_SECRET pem = SECRET_NONE;
    enum err e = private_key_read(secret_str(*key), &pem, why);
    if (e && why)
        (void)fault_at(why, "/credentials/%s", name);
    return e;
}

static enum err check_given(const struct auth_input *in, const struct auth_field *fields, struct fault *why)
{
    for (const struct auth_field *f = fields; f->name; f++) {
        const struct secret *value = auth_secret(in, f->name);
        if (f->required && (!value || !value->n))
            return value_refuse(ERR_FIELD_REQUIRED, str_of(f->name), why, "/credentials/%s", f->name);
    }
    enum err e = check_key(in, "private_key", why);
    return e ? e : check_key(in, "client_private_key", why);
}

/* The place is checked with a token that is fine anywhere. */
static enum err check_all(const struct auth_input *in, const struct auth_field *fields, struct fault *why)
{
    struct auth_secret lent;
    AUTO_SECRET stand_in = secret_from(STR("token"));
    struct auth_input place = with_token(in, stand_in, &lent);
    enum err e = check_given(in, fields, why);
    return e ? e : sends(in)->check(&place, why);
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    struct auth_secret lent;
    const struct secret *token = auth_granted(in, "access_token");
    out->count = 0;
    if (!token || !token->n)
        return fault(why, ERR_NEEDS_AUTH, STR(""), "no access token yet");
    if (dpop_bound(in)) {
        dpop_inject(*token, out);
        return ERR_NONE;
    }
    struct auth_input with = with_token(in, *token, &lent);
    return sends(in)->prepare(a, &with, out, why);
}

/* ---- the rows ---- */

#define BOUND                                                                                                     \
    .signer_new = dpop_signer_new, .signer_free = dpop_signer_free, .signs_body = dpop_signs_body, .sign = dpop_sign, \
    .challenged = dpop_challenged

#define OWN_CLIENT { "client_id", false }, { "client_secret", false }, { "client_private_key", false }
static const struct auth_field by_client[] = { OWN_CLIENT, { NULL, false } };
static const struct auth_field by_password[] = {
    { "username", true }, { "password", true }, { "security_token", false }, OWN_CLIENT, { NULL, false },
};
static const struct auth_field by_assertion[] = {
    { "private_key", false }, { "private_key_id", false }, OWN_CLIENT, { NULL, false }
};
static const struct auth_field by_token[] = {
    { "subject_token", false }, { "actor_token", false }, { "private_key", false }, { "private_key_id", false }, OWN_CLIENT,
    { NULL, false },
};
static const struct auth_field google[] = {
    { "private_key", true }, { "private_key_id", false }, { "client_email", false }, { "client_id", false }, { NULL, false },
};
static const struct auth_field github[] = { { "private_key", true }, { NULL, false } };

static enum err check_by_client(const struct auth_input *in, struct fault *why) { return check_all(in, by_client, why); }
static enum err check_by_password(const struct auth_input *in, struct fault *why) { return check_all(in, by_password, why); }
static enum err check_by_assertion(const struct auth_input *in, struct fault *why) { return check_all(in, by_assertion, why); }
static enum err check_by_token(const struct auth_input *in, struct fault *why) { return check_all(in, by_token, why); }
static enum err check_github(const struct auth_input *in, struct fault *why) { return check_all(in, github, why); }

/* A whole key file says whose the key is; a key alone does not. */
static enum err check_google(const struct auth_input *in, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct json_key file;
    const struct secret *email = auth_secret(in, "client_email");
    enum err e = check_all(in, google, why);
    if (e || (email && email->n))
        return e;
    json_key_read(a, secret_str(*auth_secret(in, "private_key")), &file);
    return file.client_email.n
               ? ERR_NONE
               : value_refuse(ERR_FIELD_REQUIRED, STR("client_email"), why, "/credentials/client_email");
}

const struct auth_method auth_oauth2_authorization_code = {
    .name = "oauth2_authorization_code", .fields = by_client, .check = check_by_client, .prepare = prepare, BOUND,
};
const struct auth_method auth_oauth2_client_credentials = {
    .name = "oauth2_client_credentials", .fields = by_client, .check = check_by_client, .prepare = prepare, BOUND,
};
const struct auth_method auth_oauth2_password = {
    .name = "oauth2_password", .fields = by_password, .check = check_by_password, .prepare = prepare, BOUND,
};
const struct auth_method auth_oauth2_jwt_bearer = {
    .name = "oauth2_jwt_bearer", .fields = by_assertion, .check = check_by_assertion, .prepare = prepare, BOUND,
};
const struct auth_method auth_oauth2_token_exchange = {
    .name = "oauth2_token_exchange", .fields = by_token, .check = check_by_token, .prepare = prepare, BOUND,
};
const struct auth_method auth_oauth2_device_code = {
    .name = "oauth2_device_code", .fields = by_client, .check = check_by_client, .prepare = prepare, BOUND,
};
const struct auth_method auth_google_service_account = {
    .name = "google_service_account", .fields = google, .check = check_google, .prepare = prepare,
};
const struct auth_method auth_github_app = { .name = "github_app", .fields = github, .check = check_github, .prepare = prepare };
