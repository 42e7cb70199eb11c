/* auth/aws_role.c - a role of another AWS account: an access key asks the Security Token Service for a session of the role
 * (AssumeRole), and the session's key signs the calls.
 *
 * The external id is made by the hub when the connection is made, and stands in the role's trust policy: nobody who knows the
 * role's name alone can have us take it on for him. The key is the connection's own, or that of a client that an administrator
 * keeps (auth/oauth_client.h: access key id and secret access key); that of the machine the hub runs on is never looked for.
 */
#include "auth/aws_role.h"

#include <stdlib.h>

#include "auth/methods.h"
#include "auth/obtain_inside.h"
#include "auth/sigv4.h"
#include "auth/value.h"
#include "auth/told.h"
#include "base/encode.h"
#include "http/url.h"

#define DURATION_PRESET "3600"
#define BODY_MAX (16 * 1024)

static const struct auth_field fields[] = { { "access_key_id", false }, { "secret_access_key", false }, { NULL, false } };

/* ---- what was typed ---- */

/* arn:PARTITION:iam::123456789012:role/PATH/NAME */
static bool is_role(struct str arn)
{
    struct str part[5], rest = arn;
    for (size_t i = 0; i < COUNT(part); i++)
        if (!str_cut(rest, ':', &part[i], &rest))
            return false;
    bool good = arn.n <= 2048 && str_is(part[0], "arn") && str_starts(part[1], STR("aws")) && str_is(part[2], "iam") &&
                !part[3].n && part[4].n == 12 && str_starts(rest, STR("role/")) && rest.n > sizeof "role/" - 1;
    for (size_t i = 0; good && i < part[4].n; i++)
        good = ascii_digit(part[4].p[i]);
    for (size_t i = 0; good && i < arn.n; i++)
        good = (unsigned char)arn.p[i] > 0x20 && (unsigned char)arn.p[i] < 0x7f;
    return good;
}

static bool made_of(struct str s, const char *signs, size_t least, size_t most)
{
    bool good = s.n >= least && s.n <= most;
    for (size_t i = 0; good && i < s.n; i++)
        good = ascii_alpha(s.p[i]) || ascii_digit(s.p[i]) || (s.p[i] && strchr(signs, s.p[i]));
    return good;
}

/* A text field, or a number's text. */
static struct str duration_of(const struct auth_input *in)
{
    const struct json *v = json_get(in->fields, "duration");
    return v && v->text.n ? v->text : STR(DURATION_PRESET);
}

static struct str session_name(const struct auth_input *in)
{
    struct str name = value_option(in, "session_name");
    return name.n ? name : STR("raccord");
}

static enum err check_role(const struct auth_input *in, struct fault *why)
{
    uint64_t seconds;
    struct str id = json_str(in->fields, "external_id");
    if (!value_option(in, "role_arn").n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("role_arn"), why, "/fields/role_arn");
    if (!is_role(value_option(in, "role_arn")))
        return value_refuse(ERR_FIELD_INVALID, STR("a role is written arn:aws:iam::123456789012:role/NAME"), why,
                            "/fields/role_arn");
    if (!made_of(session_name(in), "_=,.@-", 2, 64))
        return value_refuse(ERR_FIELD_INVALID, STR("a session name is 2 to 64 letters, digits and _ = , . @ -"), why,
                            "/fields/session_name");
    if (id.n && !made_of(id, "_=,.@:/-", 2, 1224))
        return value_refuse(ERR_FIELD_INVALID, STR("an external id is 2 to 1224 letters, digits and _ = , . @ : / -"), why,
                            "/fields/external_id");
    if (!str_u64(duration_of(in), &seconds) || seconds < 900 || seconds > 43200)
        return value_refuse(ERR_FIELD_INVALID, STR("a session lasts 900 to 43200 seconds"), why, "/fields/duration");
    return ERR_NONE;
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    enum err e = aws_check_place(in, why);
    if (!e)
        e = check_role(in, why);
    return e || !(auth_secret(in, "access_key_id") || auth_secret(in, "secret_access_key")) ? e : aws_check_key(in, why);
}

/* ---- calls, with what STS gave ---- */

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a;
    if (!auth_granted(in, "role_access_key_id") || !auth_granted(in, "role_secret_access_key"))
        return fault(why, ERR_NEEDS_AUTH, STR(""), "no session of the role yet");
    return aws_prepare(out, auth_granted(in, "role_session_token"));
}

static enum err signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    (void)why;
    const struct secret *id = auth_granted(in, "role_access_key_id"), *secret = auth_granted(in, "role_secret_access_key");
    if (id && secret)
        *out = aws_signer(a, in, id, secret, auth_granted(in, "role_session_token"));
    return ERR_NONE;
}

const struct auth_method auth_aws_assume_role = {
    .name = "aws_assume_role", .fields = fields, .check = check, .prepare = prepare, .signer_new = signer_new,
    .signer_free = aws_signer_free, .signs_body = aws_signs_body, .sign = aws_sign,
};

/* ---- the request to STS ---- */

/* The region's own endpoint, never the global one: it goes on when another region does not. */
static struct str endpoint(struct arena *a, const struct auth_input *in)
{
    struct str own = value_option(in, "sts_endpoint"), region = value_option(in, "region");
    if (own.n)
        return own;
    return str_fmt(a, "https://sts.%.*s.amazonaws.com%s/", STR_ARG(region), str_starts(region, STR("cn-")) ? ".cn" : "");
}

static void put_parameter(struct buf *out, const char *name, struct str value)
{
    buf_char(out, '&');
    buf_add(out, str_of(name));
    buf_char(out, '=');
    percent_encode(out, value);
}

static struct secret form_of(const struct auth_input *in)
{
    struct str id = json_str(in->fields, "external_id");
    struct buf form;
    buf_init(&form, BODY_MAX);
    buf_add(&form, STR("Action=AssumeRole&Version=2011-06-15"));
    put_parameter(&form, "RoleArn", value_option(in, "role_arn"));
    put_parameter(&form, "RoleSessionName", session_name(in));
    put_parameter(&form, "DurationSeconds", duration_of(in));
    if (id.n)
        put_parameter(&form, "ExternalId", id);
    return value_take(&form);
}

static enum err build(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    const struct auth_input *in = q->in;
    struct url url;
    char hash[SIGV4_HASH_SIZE], *date = arena_alloc(a, SIGV4_DATE_SIZE);
    struct str text = endpoint(a, in), signature;
    *out = (struct token_request){ 0 };
    if (!auth_secret(in, "access_key_id") || !auth_secret(in, "secret_access_key"))
        return fault(why, ERR_NEEDS_AUTH, STR(""), "neither a key of its own nor a client's");
    enum err e = url_parse(a, text, &url, why);
    if (e)
        return e;
    *out = (struct token_request){ .body = form_of(in) };
    sigv4_date(q->now, date);
    sigv4_hash(secret_str(out->body), hash);

    struct header headers[] = { { STR("host"), url_authority(a, &url) },
                                 { STR("content-type"), STR("application/x-www-form-urlencoded; charset=utf-8") },
                                 { STR("x-amz-date"), str_of(date) } };
    struct sigv4_key key = { secret_str(*auth_secret(in, "access_key_id")), value_option(in, "region"), STR("sts"),
                             *auth_secret(in, "secret_access_key") };
    struct sigv4_request r = { STR("POST"), url.path, STR(""), headers, COUNT(headers), { hash, sizeof hash }, false };
    out->authorization = secret_from(sigv4_authorization(a, &key, &r, date, &signature));

    struct fetch_request *http = &out->http;
    *http = (struct fetch_request){ .method = STR("POST"), .url = text, .body = secret_str(out->body) };
    for (size_t i = 1; i < COUNT(headers); i++) {
        http->headers[http->header_count][0] = headers[i].name;
        http->headers[http->header_count++][1] = headers[i].value;
    }
    http->headers[http->header_count][0] = STR("accept");
    http->headers[http->header_count++][1] = STR("application/json");
    http->headers[http->header_count][0] = STR("authorization");
    http->headers[http->header_count++][1] = secret_str(out->authorization);
    return ERR_NONE;
}

/* ---- its answer ---- */

/* Of JSON, or of the XML that servers like STS answer with whatever one asks for: the text of the first element of that name. */
static struct str element(struct str xml, const char *name)
{
    char open[64], close[64];
    snprintf(open, sizeof open, "<%s>", name);
    snprintf(close, sizeof close, "</%s>", name);
    size_t at = str_find_str(xml, str_of(open));
    if (at == SIZE_MAX)
        return STR_NONE;
    struct str rest = str_sub(xml, at + strlen(open), xml.n);
    size_t end = str_find_str(rest, str_of(close));
    return end == SIZE_MAX ? STR_NONE : str_trim(str_sub(rest, 0, end));
}

struct sts { const struct json *credentials, *error; struct str xml; };

static struct str said(const struct sts *s, const struct json *from, const char *name)
{
    return from ? json_str(from, name) : element(s->xml, name);
}

static struct sts parse(struct arena *a, struct str body)
{
    struct json *doc = NULL;
    struct fault unused;
    if (body.n && str_trim(body).n && str_trim(body).p[0] == '<')
        return (struct sts){ .xml = body };
    if (json_read(a, body, &doc, &unused))
        return (struct sts){ 0 };
    const struct json *result = json_get(json_get(doc, "AssumeRoleResponse"), "AssumeRoleResult");
    return (struct sts){ json_get(result, "Credentials"), json_get(doc, "Error"), STR_NONE };
}

/* Seconds since 1970, perhaps with a fraction or an exponent; in XML a date. */
static int64_t expires_in(const struct sts *s, wall_ms received)
{
    wall_ms at = 0;
    const struct json *v = json_get(s->credentials, "Expiration");
    struct str text = s->xml.n ? element(s->xml, "Expiration") : STR_NONE;
    char digits[40];
    if (v && v->type == JSON_NUMBER && v->text.n < sizeof digits)
        at = (wall_ms)(strtod(str_copy(digits, sizeof digits, v->text), NULL) * 1000);
    else if (v && v->type == JSON_STRING)
        text = v->text;
    if (text.n && !clock_parse(text, &at))
        at = 0;
    int64_t ms = at - received;
    return at && ms > 0 && ms < 2 * 43200000LL ? ms : -1;
}

static void refuse(struct arena *a, const struct sts *s, int status, struct token_answer *out)
{
    static const struct { const char *code; enum token_outcome outcome; } codes[] = {
        { "InvalidClientTokenId", TOKEN_CLIENT_WRONG }, { "SignatureDoesNotMatch", TOKEN_CLIENT_WRONG },
        { "IncompleteSignature", TOKEN_CLIENT_WRONG },  { "ExpiredToken", TOKEN_CLIENT_WRONG },
        { "ExpiredTokenException", TOKEN_CLIENT_WRONG }, { "InvalidToken", TOKEN_CLIENT_WRONG },
        { "Throttling", TOKEN_LATER }, { "ThrottlingException", TOKEN_LATER }, { "RequestExpired", TOKEN_LATER },
        { "IDPCommunicationError", TOKEN_LATER },
    };
    struct str code = said(s, s->error, "Code"), message = said(s, s->error, "Message");
    out->outcome = status == 429 || status >= 500 ? TOKEN_LATER : status == 200 ? TOKEN_UNKNOWN : TOKEN_ASKED_WRONG;
    for (size_t i = 0; i < COUNT(codes); i++)
        if (str_is(code, codes[i].code))
            out->outcome = codes[i].outcome;
    out->error = code.n && code.n <= 128 && !str_has_control(code) ? arena_str(a, code) : STR("");
    out->description = told_text(a, message);
}

static void put(struct obtained *out, const char *name, struct str value)
{
    if (value.n)
        obtain_put(out, str_of(name), secret_from(value));
}

static void read(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                 struct obtained *out)
{
    (void)q;
    *out = (struct obtained){ .answer = { .expires_in_ms = -1, .skew_ms = INT64_MIN } };
    struct sts s = parse(a, f->body);
    struct str id = said(&s, s.credentials, "AccessKeyId"), secret = said(&s, s.credentials, "SecretAccessKey");
    if (f->status != 200 || !id.n || !secret.n || id.n > VALUE_MAX || secret.n > VALUE_MAX) {
        refuse(a, &s, f->status, &out->answer);
        return;
    }
    out->answer.outcome = TOKEN_GIVEN;
    out->answer.expires_in_ms = expires_in(&s, received);
    put(out, "role_access_key_id", id);
    put(out, "role_secret_access_key", secret);
    put(out, "role_session_token", said(&s, s.credentials, "SessionToken"));
}

const struct obtain obtain_aws_role = { .auth_type = "aws_assume_role", .keyed = true, .build = build, .read = read };
