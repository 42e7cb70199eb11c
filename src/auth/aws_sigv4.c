/* auth/aws_sigv4.c - requests to AWS, signed with an access key (AWS Signature Version 4).
 *
 * Region and service come from the connection's fields or the connector's entry. Host, Content-Type, every X-Amz-* header and the
 * whole body are signed; option `unsigned_payload` leaves the body of S3 requests out, over https only, so that it can stream.
 */
#include <stdlib.h>

#include "auth/methods.h"
#include "auth/sigv4.h"
#include "auth/value.h"

static const struct auth_field fields[] = {
    { "access_key_id", true }, { "secret_access_key", true }, { "session_token", false }, { NULL, false }
};

/* Places of the headers among the injections. */
enum { AT_AUTHORIZATION, AT_DATE, AT_CONTENT, AT_TOKEN };

struct signer {
    struct sigv4_key key;
    struct secret id;
    struct secret token; /* SECRET_NONE: a long-lived key */
    bool s3, unsigned_payload;
};

/* Both stand in the scope between slashes. */
static enum err check_word(const struct auth_input *in, const char *name, const char *rule, struct fault *why)
{
    struct str word = value_option(in, name);
    bool good = word.n <= 64;
    if (!word.n)
        return value_refuse(ERR_FIELD_REQUIRED, str_of(name), why, "/fields/%s", name);
    for (size_t i = 0; good && i < word.n; i++)
        good = (ascii_alpha(word.p[i]) && word.p[i] == ascii_lower(word.p[i])) || ascii_digit(word.p[i]) || word.p[i] == '-';
    return good ? ERR_NONE : value_refuse(ERR_FIELD_INVALID, str_of(rule), why, "/fields/%s", name);
}

enum err aws_check_place(const struct auth_input *in, struct fault *why)
{
    enum err e = check_word(in, "region", "a region is small letters, digits and “-”, such as eu-west-3", why);
    return e ? e : check_word(in, "service", "a service is small letters, digits and “-”, such as lambda", why);
}

enum err aws_check_key(const struct auth_input *in, struct fault *why)
{
    enum err e = value_check_credential(in, "access_key_id", why);
    if (!e)
        e = value_check_credential(in, "secret_access_key", why);
    if (e)
        return e;
    struct str id = secret_str(*auth_secret(in, "access_key_id"));
    for (size_t i = 0; i < id.n; i++)
        if (!ascii_alpha(id.p[i]) && !ascii_digit(id.p[i]) && !strchr("_-.+@", id.p[i]))
            return value_refuse(ERR_FIELD_INVALID, STR("an access key id is letters and digits, such as AKIAIOSFODNN7EXAMPLE"), why,
                                "/credentials/access_key_id");
    return ERR_NONE;
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    const struct secret *token = auth_secret(in, "session_token");
    enum err e = aws_check_place(in, why);
    if (!e)
        e = aws_check_key(in, why);
    return !e && token && token->n ? value_check_credential(in, "session_token", why) : e;
}

enum err aws_prepare(struct injections *out, const struct secret *token)
{
    out->count = 0;
    value_inject(out, INJECT_SIGNED, STR("Authorization"), SECRET_NONE);
    value_inject(out, INJECT_SIGNED, STR("X-Amz-Date"), SECRET_NONE);
    value_inject(out, INJECT_SIGNED, STR("X-Amz-Content-Sha256"), SECRET_NONE);
    /* Without a token the name is taken all the same: a caller's would be read as ours. */
    if (token && token->n)
        value_inject(out, INJECT_HEADER, STR("X-Amz-Security-Token"), secret_copy(*token));
    else
        value_inject(out, INJECT_SIGNED, STR("X-Amz-Security-Token"), SECRET_NONE);
    return ERR_NONE;
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a, (void)why;
    return aws_prepare(out, auth_secret(in, "session_token"));
}

struct signer *aws_signer(struct arena *a, const struct auth_input *in, const struct secret *id, const struct secret *secret,
                          const struct secret *token)
{
    struct signer *s = mem_zero(sizeof *s);
    s->id = secret_copy(*id);
    s->key = (struct sigv4_key){ secret_str(s->id), arena_str(a, value_option(in, "region")),
                                 arena_str(a, value_option(in, "service")), secret_copy(*secret) };
    s->token = token && token->n ? secret_copy(*token) : SECRET_NONE;
    s->s3 = str_is(s->key.service, "s3") || str_is(s->key.service, "s3-object-lambda") || str_is(s->key.service, "s3express");
    s->unsigned_payload = s->s3 && json_is(json_get(in->options, "unsigned_payload"), JSON_TRUE);
    return s;
}

static enum err signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    (void)why;
    *out = aws_signer(a, in, auth_secret(in, "access_key_id"), auth_secret(in, "secret_access_key"),
                      auth_secret(in, "session_token"));
    return ERR_NONE;
}

void aws_signer_free(struct signer *s)
{
    if (!s)
        return;
    secret_end(&s->id);
    secret_end(&s->key.secret);
    secret_end(&s->token);
    free(s);
}

enum sign_body aws_signs_body(const struct signer *s) { return s->unsigned_payload ? SIGN_NO_BODY : SIGN_ANY_BODY; }

static bool is_signed(struct str name) { return str_istarts(name, STR("x-amz-")) || str_ieq(name, STR("content-type")); }

enum err aws_sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                  struct signature *out, struct fault *why)
{
    (void)i;
    char date[SIGV4_DATE_SIZE], hash[SIGV4_HASH_SIZE];
    struct str payload = { hash, sizeof hash };
    bool streams = q->has_body && !q->body.p;
    if (streams && !(s->unsigned_payload && q->https))
        return fault(why, ERR_UNSUPPORTED_MEDIA_TYPE, STR(""), "a body that is signed is streamed");
    if (streams)
        payload = STR("UNSIGNED-PAYLOAD");
    else
        sigv4_hash(q->body, hash);
    sigv4_date(q->now, date);

    struct header *headers = arena_array(a, q->header_count + 4, sizeof *headers);
    size_t n = 0;
    headers[n++] = (struct header){ STR("host"), q->host };
    headers[n++] = (struct header){ STR("x-amz-date"), str_of(date) };
    headers[n++] = (struct header){ STR("x-amz-content-sha256"), payload };
    if (s->token.n)
        headers[n++] = (struct header){ STR("x-amz-security-token"), secret_str(s->token) };
    for (size_t k = 0; k < q->header_count; k++)
        if (is_signed(q->headers[k].name))
            headers[n++] = q->headers[k];
    struct sigv4_request r = { q->method, q->path, q->query, headers, n, payload, s->s3 };
    out->values[AT_AUTHORIZATION] = sigv4_authorization(a, &s->key, &r, date, &out->proof);
    out->values[AT_DATE] = arena_str(a, str_of(date));
    out->values[AT_CONTENT] = arena_str(a, payload);
    return ERR_NONE;
}

const struct auth_method auth_aws_sigv4 = {
    .name = "aws_sigv4", .fields = fields, .check = check, .prepare = prepare, .signer_new = signer_new,
    .signer_free = aws_signer_free, .signs_body = aws_signs_body, .sign = aws_sign,
};
