#include "auth/method.h"

#include "auth/methods.h"

/* A new method is one file, one line in methods.h and one here. */
static const struct auth_method *const methods[] = {
    &auth_none,
    &auth_api_key,
    &auth_basic,
    &auth_bearer,
    &auth_pat,
    &auth_custom_fields,
    &auth_aws_sigv4,
    &auth_aws_assume_role,
    &auth_digest,
    &auth_oauth1,
    &auth_hmac,
    &auth_oauth2_authorization_code,
    &auth_oauth2_client_credentials,
    &auth_oauth2_password,
    &auth_oauth2_jwt_bearer,
    &auth_oauth2_token_exchange,
    &auth_oauth2_device_code,
    &auth_google_service_account,
    &auth_github_app,
    &auth_custom_oauth,
};

const struct auth_method *auth_find(struct str name)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (str_is(name, methods[i]->name))
            return methods[i];
    return NULL;
}

const struct auth_method *auth_at(size_t i)
{
    return i < COUNT(methods) ? methods[i] : NULL;
}

static const struct secret *named(const struct auth_secret *all, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(all[i].name, name))
            return &all[i].value;
    return NULL;
}

const struct secret *auth_secret(const struct auth_input *in, const char *name)
{
    return named(in->secrets, in->secret_count, name);
}

const struct secret *auth_granted(const struct auth_input *in, const char *name)
{
    return named(in->granted, in->granted_count, name);
}

void injections_end(struct injections *i)
{
    for (size_t at = 0; at < i->count; at++)
        secret_end(&i->at[at].value);
    i->count = 0;
}
