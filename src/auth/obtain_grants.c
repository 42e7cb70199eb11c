/* The grants of RFC 6749 and RFC 8628: what is sent the first time, and again. */
#include "auth/obtain_inside.h"
#include "auth/value.h"

static enum err only_a_person(struct fault *why) { return fault(why, ERR_NEEDS_AUTH, STR(""), "no refresh token"); }

/* ---- authorization code (4.1), device code (RFC 8628) ---- */

static enum err build_by_person(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    enum err e;
    *out = (struct token_request){ 0 };
    return obtain_again(a, q, out, &e, why) ? e : only_a_person(why);
}

const struct obtain obtain_authorization_code = {
    .auth_type = "oauth2_authorization_code", .oauth = true, .by_person = true, .build = build_by_person, .read = obtain_read,
};
const struct obtain obtain_device_code = {
    .auth_type = "oauth2_device_code", .oauth = true, .by_person = true, .build = build_by_person, .read = obtain_read,
};

/* ---- client credentials (4.4): simply fetched again, never refreshed (requirement 9.5) ---- */

static enum err build_client_credentials(struct arena *a, const struct obtain_input *q, struct token_request *out,
                                         struct fault *why)
{
    const struct token_param params[] = { { STR("grant_type"), STR("client_credentials") }, { STR("scope"), obtain_scope(a, q) } };
    return obtain_send(a, q, TOKEN_FIRST, params, COUNT(params), out, why);
}

const struct obtain obtain_client_credentials = {
    .auth_type = "oauth2_client_credentials", .oauth = true, .build = build_client_credentials, .read = obtain_read,
};

/* ---- password (4.3): legacy. Salesforce wants the user's security token right behind the password ---- */

static enum err build_password(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    enum err e;
    *out = (struct token_request){ 0 };
    if (obtain_again(a, q, out, &e, why))
        return e;
    AUTO_SECRET password = value_join((struct str[]){ obtain_secret(q, "password"), obtain_secret(q, "security_token") }, 2);
    const struct token_param params[] = { { STR("grant_type"), STR("password") },
                                          { STR("username"), obtain_secret(q, "username") },
                                          { STR("password"), secret_str(password) },
                                          { STR("scope"), obtain_scope(a, q) } };
    return obtain_send(a, q, TOKEN_FIRST, params, COUNT(params), out, why);
}

const struct obtain obtain_password = {
    .auth_type = "oauth2_password", .oauth = true, .build = build_password, .read = obtain_read,
};
