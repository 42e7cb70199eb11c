#include "auth/obtain.h"

#include "auth/aws_role.h"
#include "auth/obtain_inside.h"
#include "auth/told.h"

static const struct obtain *const rows[] = {
    &obtain_authorization_code, &obtain_client_credentials, &obtain_password,   &obtain_device_code,
    &obtain_jwt_bearer,         &obtain_token_exchange,     &obtain_google,     &obtain_github_app,
    &obtain_custom,             &obtain_aws_role,
};

const struct obtain *obtain_find(struct str auth_type)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (str_is(auth_type, rows[i]->auth_type))
            return rows[i];
    return NULL;
}

const struct secret *obtain_value(const struct obtain_input *q, const char *name)
{
    for (size_t i = 0; i < q->value_count; i++)
        if (str_is(q->values[i].name, name))
            return &q->values[i].value;
    return NULL;
}

void obtained_end(struct obtained *o)
{
    token_answer_end(&o->answer);
    for (size_t i = 0; i < o->count; i++)
        secret_end(&o->values[i].value);
    o->count = 0;
}

struct str obtain_field(const struct obtain_input *q, const char *name) { return json_str(q->in->fields, name); }

struct str obtain_secret(const struct obtain_input *q, const char *name)
{
    const struct secret *s = auth_secret(q->in, name);
    return s ? secret_str(*s) : STR_NONE;
}

struct str obtain_scope(struct arena *a, const struct obtain_input *q)
{
    AUTO_BUF text;
    buf_init(&text, OAUTH_SCOPE_MAX);
    for (size_t i = 0; i < q->profile->scope_count; i++) {
        if (i)
            buf_char(&text, q->profile->scope_separator ? q->profile->scope_separator : ' ');
        buf_add(&text, q->profile->scopes[i]);
    }
    return arena_str(a, buf_str(&text));
}

enum err obtain_send(struct arena *a, const struct obtain_input *q, enum token_step step, const struct token_param *params,
                     size_t n, struct token_request *out, struct fault *why)
{
    const struct secret *key = q->profile->dpop ? obtain_value(q, "dpop_key") : NULL;
    return token_request_build(a, q->profile, q->profile->token_url, step, params, n, key ? *key : SECRET_NONE, q->nonce, q->now,
                               out, why);
}

bool obtain_again(struct arena *a, const struct obtain_input *q, struct token_request *out, enum err *e, struct fault *why)
{
    const struct secret *refresh = obtain_value(q, "refresh_token");
    if (q->params) {
        *e = obtain_send(a, q, TOKEN_FIRST, q->params, q->param_count, out, why);
        return true;
    }
    if (!refresh)
        return false;
    const struct token_param params[] = { { STR("grant_type"), STR("refresh_token") },
                                          { STR("refresh_token"), secret_str(*refresh) } };
    *e = obtain_send(a, q, TOKEN_REFRESH, params, COUNT(params), out, why);
    return true;
}

void obtain_put(struct obtained *out, struct str name, struct secret value)
{
    if (out->count == GRANT_VALUES)
        bug("a grant of more than %d values", GRANT_VALUES);
    out->values[out->count++] = (struct grant_value){ name, value };
}

static bool shows(const struct token_answer *t, struct secret s)
{
    return told_shows(t->description, s) || told_shows(t->error, s);
}

/* Of what a person just made: the other parameters are names and addresses. */
static bool is_secret_param(struct str name)
{
    static const char *const names[] = { "code", "code_verifier", "device_code", "refresh_token", "assertion", "subject_token",
                                         "actor_token", "password" };
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

void obtain_hide_echo(const struct obtain_input *q, struct token_answer *t)
{
    bool echo = false;
    for (size_t i = 0; i < q->in->secret_count; i++)
        echo |= shows(t, q->in->secrets[i].value);
    for (size_t i = 0; i < q->value_count; i++)
        echo |= shows(t, q->values[i].value);
    for (size_t i = 0; i < q->param_count; i++)
        echo |= is_secret_param(q->params[i].name) &&
                shows(t, (struct secret){ (unsigned char *)(uintptr_t)q->params[i].value.p, q->params[i].value.n });
    if (echo) {
        t->error = STR("refused");
        t->description = STR("");
    }
}

void obtain_read(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                 struct obtained *out)
{
    struct token_answer *t = &out->answer;
    const struct secret *before = q->params ? NULL : obtain_value(q, "refresh_token");
    const struct secret *key = q->profile->dpop ? obtain_value(q, "dpop_key") : NULL;
    *out = (struct obtained){ .count = 0 };
    token_answer_read(a, q->profile, f, received, t);
    obtain_hide_echo(q, t);
    if (t->outcome != TOKEN_GIVEN)
        return;
    if (t->expires_in_ms < 0 && q->profile->lifetime_ms > 0)
        t->expires_in_ms = q->profile->lifetime_ms;
    obtain_put(out, STR("access_token"), t->access_token);
    if (t->refresh_token.n)
        obtain_put(out, STR("refresh_token"), t->refresh_token);
    else if (before)
        obtain_put(out, STR("refresh_token"), secret_copy(*before));
    if (key)
        obtain_put(out, STR("dpop_key"), secret_copy(*key));
    t->access_token = t->refresh_token = SECRET_NONE;
}
