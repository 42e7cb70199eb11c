/* auth/oauth1.c - OAuth 1.0 (RFC 5849) with the tokens that a person or an administrator was given: HMAC-SHA256 or HMAC-SHA1 over
 * method, URL and parameters, those of a form body included.
 *
 * Options: `signature_method`, HMAC-SHA256 unless the other is named; `realm` (NetSuite: the account). PLAINTEXT sends the secrets
 * themselves and is not offered.
 */
#include "auth/oauth1.h"

#include <stdlib.h>

#include "auth/methods.h"
#include "auth/sorted_form.h"
#include "auth/value.h"
#include "base/encode.h"
#include "crypto/hash.h"

static const struct auth_field fields[] = {
    { "consumer_key", true }, { "consumer_secret", true }, { "token", false }, { "token_secret", false }, { NULL, false }
};

struct signer {
    struct secret consumer_key, consumer_secret, token, token_secret;
    struct str realm;
    enum digest_kind kind;
};

struct str oauth1_method_name(enum digest_kind kind) { return kind == DIGEST_SHA1 ? STR("HMAC-SHA1") : STR("HMAC-SHA256"); }

static bool parse_method(struct str name, enum digest_kind *out)
{
    *out = str_is(name, "HMAC-SHA1") ? DIGEST_SHA1 : DIGEST_SHA256;
    return !name.n || str_eq(name, oauth1_method_name(*out));
}

static bool is_form(struct str content_type)
{
    struct str type, rest;
    str_cut(content_type, ';', &type, &rest);
    return str_ieq(str_trim(type), STR("application/x-www-form-urlencoded"));
}

/* ---- the signature ---- */

static void add_protocol(struct sorted_form *f, const struct oauth1 *o)
{
    sorted_form_add(f, STR("oauth_consumer_key"), o->consumer_key);
    sorted_form_add(f, STR("oauth_nonce"), o->nonce);
    sorted_form_add(f, STR("oauth_signature_method"), oauth1_method_name(o->kind));
    sorted_form_add(f, STR("oauth_timestamp"), o->timestamp);
    if (o->token.p)
        sorted_form_add(f, STR("oauth_token"), o->token);
    if (o->version)
        sorted_form_add(f, STR("oauth_version"), STR("1.0"));
}

void oauth1_base(struct arena *a, const struct oauth1 *o, const struct sign_request *q, struct buf *out)
{
    struct sorted_form form;
    AUTO_BUF parameters;
    sorted_form_init(&form, a);
    sorted_form_read(&form, q->query);
    if (q->body.p && is_form(q->content_type))
        sorted_form_read(&form, q->body);
    add_protocol(&form, o);
    buf_init(&parameters, SIZE_MAX / 2);
    sorted_form_put(&form, &parameters);

    /* 3.4.1.2: scheme and host in small letters, no port that is the scheme's own; Host is written so. */
    buf_add(out, q->method);
    buf_char(out, '&');
    percent_encode(out, q->https ? STR("https://") : STR("http://"));
    percent_encode(out, q->host);
    percent_encode(out, q->path);
    buf_char(out, '&');
    percent_encode(out, buf_str(&parameters));
}

struct str oauth1_signature(struct arena *a, const struct oauth1 *o, const struct sign_request *q, struct str consumer_secret,
                            struct str token_secret)
{
    unsigned char sum[DIGEST_MAX];
    AUTO_BUF base, key;
    buf_init(&base, SIZE_MAX / 2);
    oauth1_base(a, o, q, &base);
    buf_init(&key, 3 * (consumer_secret.n + token_secret.n) + 1);
    buf_room(&key, key.max); /* all at once, so that no outgrown copy stays */
    percent_encode(&key, consumer_secret);
    buf_char(&key, '&');
    percent_encode(&key, token_secret);
    size_t n = digest_hmac(o->kind, buf_str(&key), buf_str(&base), sum);
    secret_wipe(key.p, key.n);
    return base64_encode(a, (struct str){ (const char *)sum, n }, BASE64_STANDARD);
}

/* ---- the method ---- */

static enum err check(const struct auth_input *in, struct fault *why)
{
    enum digest_kind kind;
    const struct secret *token = auth_secret(in, "token"), *token_secret = auth_secret(in, "token_secret");
    struct str realm = value_option(in, "realm");
    if (!parse_method(value_option(in, "signature_method"), &kind))
        return value_refuse(ERR_FIELD_INVALID, STR("the signature method is HMAC-SHA256 or HMAC-SHA1"), why,
                            "/fields/signature_method");
    if (realm.n > 256 || str_find(realm, '"') != SIZE_MAX || str_find(realm, '\\') != SIZE_MAX)
        return value_refuse(ERR_FIELD_INVALID, STR("a realm is up to 256 characters without quotes and backslashes"), why,
                            "/fields/realm");
    enum err e = value_check_credential(in, "consumer_key", why);
    if (!e)
        e = value_check_credential(in, "consumer_secret", why);
    if (!e && token && token->n)
        e = value_check_credential(in, "token", why);
    if (!e && ((token && token->n) || (token_secret && token_secret->n)))
        e = value_check_credential(in, token && token->n ? "token_secret" : "token", why);
    return e;
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a, (void)in, (void)why;
    out->count = 0;
    value_inject(out, INJECT_SIGNED, STR("Authorization"), SECRET_NONE);
    return ERR_NONE;
}

static struct secret copy_of(const struct auth_input *in, const char *name)
{
    const struct secret *s = auth_secret(in, name);
    return s && s->n ? secret_copy(*s) : SECRET_NONE;
}

static enum err signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    (void)why;
    struct signer *s = mem_zero(sizeof *s);
    s->consumer_key = copy_of(in, "consumer_key");
    s->consumer_secret = copy_of(in, "consumer_secret");
    s->token = copy_of(in, "token");
    s->token_secret = copy_of(in, "token_secret");
    s->realm = arena_str(a, value_option(in, "realm"));
    (void)parse_method(value_option(in, "signature_method"), &s->kind);
    *out = s;
    return ERR_NONE;
}

static void signer_free(struct signer *s)
{
    secret_end(&s->consumer_key);
    secret_end(&s->consumer_secret);
    secret_end(&s->token);
    secret_end(&s->token_secret);
    free(s);
}

static enum sign_body signs_body(const struct signer *s)
{
    (void)s;
    return SIGN_FORM_BODY;
}

/* 3.4.1.3.1: the protocol's own parameters stand once, and they are ours. */
static enum err refuse_protocol(struct arena *a, struct str form, struct fault *why)
{
    struct str pair;
    while (str_piece(&form, '&', &pair)) {
        struct str name, value, plain;
        str_cut(pair, '=', &name, &value);
        if (str_starts(percent_decode(a, name, &plain) ? plain : name, STR("oauth_")))
            return fault(why, ERR_INPUT_INVALID,
                         STR("parameters that begin with “oauth_” are set by the connection; leave them out"), "oauth1");
    }
    return ERR_NONE;
}

static void put_parameter(struct buf *out, const char *name, struct str value)
{
    if (!value.p)
        return;
    if (out->p[out->n - 1] == '"')
        buf_add(out, STR(", "));
    buf_add(out, str_of(name));
    buf_add(out, STR("=\""));
    percent_encode(out, value);
    buf_char(out, '"');
}

static enum err sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                     struct signature *out, struct fault *why)
{
    (void)i;
    unsigned char random[16];
    char nonce[2 * sizeof random], time[STR_U64_MAX];
    enum err e = refuse_protocol(a, q->query, why);
    if (!e && q->body.p && is_form(q->content_type))
        e = refuse_protocol(a, q->body, why);
    if (e)
        return e;
    random_bytes(random, sizeof random);
    hex_write(nonce, (struct str){ (const char *)random, sizeof random });
    struct oauth1 o = { secret_str(s->consumer_key), secret_str(s->token),
                        { time, str_put_u64(time, (uint64_t)q->now / 1000) }, { nonce, sizeof nonce }, s->kind, true };
    struct str signature = oauth1_signature(a, &o, q, secret_str(s->consumer_secret), secret_str(s->token_secret));
    if (!signature.n)
        return fault(why, ERR_CRYPTO, STR(""), "no %.*s here", STR_ARG(oauth1_method_name(s->kind)));

    AUTO_BUF value;
    buf_init(&value, 8 * VALUE_MAX);
    buf_add(&value, STR("OAuth "));
    if (s->realm.n) {
        buf_add(&value, STR("realm=\""));
        buf_add(&value, s->realm);
        buf_char(&value, '"');
    }
    put_parameter(&value, "oauth_consumer_key", o.consumer_key);
    put_parameter(&value, "oauth_token", o.token);
    put_parameter(&value, "oauth_signature_method", oauth1_method_name(o.kind));
    put_parameter(&value, "oauth_timestamp", o.timestamp);
    put_parameter(&value, "oauth_nonce", o.nonce);
    put_parameter(&value, "oauth_version", STR("1.0"));
    put_parameter(&value, "oauth_signature", signature);
    struct str whole = arena_str(a, buf_str(&value));
    out->values[0] = whole;
    out->proof = str_sub(whole, str_find_str(whole, STR("oauth_signature=")) + sizeof "oauth_signature=", whole.n - 1);
    return ERR_NONE;
}

const struct auth_method auth_oauth1 = {
    .name = "oauth1", .fields = fields, .check = check, .prepare = prepare, .signer_new = signer_new, .signer_free = signer_free,
    .signs_body = signs_body, .sign = sign,
};
