/* auth/hmac.c - requests signed with a shared secret, as the provider declares it: which text is signed, with which HMAC, how it is
 * spelled, and which headers carry it.
 *
 * Options, of the connector's entry or fields of the connection:
 *   signed            template of the text; `\n` in it is a line end
 *   algorithm         sha256 (preset), sha1, sha384, sha512, md5; encoding: hex (preset) or base64
 *   header            carries the signature: `prefix` and it, or the template `value`
 *   key_encoding      how the secret is written: text (preset), hex or base64
 *   timestamp_header, timestamp_format (seconds, milliseconds, iso8601, http_date), nonce_header, key_header, body_hash_header
 * Placeholders are the rows of `words` below, and {{credentials.NAME}}.
 */
#include <stdlib.h>
#include <time.h>

#include "auth/methods.h"
#include "auth/value.h"
#include "base/encode.h"
#include "base/template.h"
#include "crypto/digest.h"
#include "crypto/hash.h"
#include "vault/header_name.h"

#define TEXT_MAX (2 * SIGN_BODY_MAX) /* bytes of the signed text */

static const struct auth_field fields[] = { { "secret", true }, { "key_id", false }, { NULL, false } };

enum word { WORD_METHOD, WORD_HOST, WORD_PATH, WORD_QUERY, WORD_TARGET, WORD_URL, WORD_CONTENT_TYPE, WORD_TIMESTAMP, WORD_NONCE,
            WORD_BODY, WORD_BODY_HASH, WORD_SIGNATURE, WORDS };
static const char *const words[WORDS] = { "method", "host", "path", "query", "target", "url", "content_type", "timestamp", "nonce",
                                          "body", "body_hash", "signature" };

enum time_format { TIME_SECONDS, TIME_MILLISECONDS, TIME_ISO8601, TIME_HTTP_DATE, TIME_FORMATS };
static const char *const time_formats[TIME_FORMATS] = { "seconds", "milliseconds", "iso8601", "http_date" };

enum spelling { SPELLING_TEXT, SPELLING_HEX, SPELLING_BASE64, SPELLINGS };
static const char *const spellings[SPELLINGS] = { "text", "hex", "base64" };

/* Headers that are made for each request, and the placeholder each of them holds. */
static const struct { const char *option; enum word word; } places[] = {
    { "header", WORD_SIGNATURE }, { "timestamp_header", WORD_TIMESTAMP }, { "nonce_header", WORD_NONCE },
    { "body_hash_header", WORD_BODY_HASH },
};

struct signer {
    struct str text, value;       /* templates; value empty: prefix and signature */
    struct str prefix;
    enum digest_kind kind;
    enum spelling encoding;
    enum time_format time;
    struct secret key, secret, id; /* key: the secret's bytes */
    enum word words[COUNT(places)]; size_t count; /* of the signed headers, in the order of their injections */
    enum sign_body body;
};

/* ---- what is asked for ---- */

static bool parse_word(struct str name, enum word *out)
{
    for (size_t i = 0; i < WORDS; i++)
        if (str_is(name, words[i])) {
            *out = (enum word)i;
            return true;
        }
    return false;
}

static int one_of(struct str name, const char *const *names, size_t count, int preset)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(name, names[i]))
            return (int)i;
    return name.n ? -1 : preset;
}

/* `\n` typed as two characters: a field holds no line ends. */
static struct str with_lines(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        bool line = text.p[i] == '\\' && i + 1 < text.n && text.p[i + 1] == 'n';
        out[n++] = line ? '\n' : text.p[i];
        i += line;
    }
    return (struct str){ out, n };
}

struct seen {
    bool words[WORDS];
    bool key_id;
    bool signature_ok; /* it is the header's value, not the text that is signed */
};

static bool see(void *context, struct str name)
{
    struct seen *seen = context;
    enum word w;
    if (str_is(name, "credentials.key_id"))
        return seen->key_id = true;
    if (str_is(name, "credentials.secret"))
        return !seen->signature_ok; /* never on the wire */
    if (!parse_word(name, &w) || (w == WORD_SIGNATURE && !seen->signature_ok) || (w == WORD_BODY && seen->signature_ok))
        return false;
    seen->words[w] = true;
    return true;
}

static enum err check_template(const struct auth_input *in, const char *name, struct seen *seen, struct fault *why)
{
    struct str text = value_option(in, name);
    enum err e = template_each(text, see, seen, why);
    if (e && why)
        (void)fault_at(why, "/fields/%s", name);
    return e;
}

static enum err check_choice(const struct auth_input *in, const char *name, const char *const *names, size_t count,
                             const char *rule, struct fault *why)
{
    return one_of(value_option(in, name), names, count, 0) >= 0
               ? ERR_NONE
               : value_refuse(ERR_FIELD_INVALID, str_of(rule), why, "/fields/%s", name);
}

static enum err check_headers(const struct auth_input *in, struct fault *why)
{
    static const char *const all[] = { "header", "timestamp_header", "nonce_header", "body_hash_header", "key_header" };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct str name = value_option(in, all[i]);
        if (!name.n && i)
            continue;
        if (!name.n)
            return value_refuse(ERR_FIELD_REQUIRED, STR("header"), why, "/fields/header");
        enum err e = header_name_check(name, in->digits_ok, why);
        for (size_t k = 0; !e && k < i; k++)
            if (header_name_same(name, value_option(in, all[k])))
                e = fault(why, ERR_FIELD_INVALID, STR("the same name stands twice"), "hmac header");
        if (e) {
            if (why)
                (void)fault_at(why, "/fields/%s", all[i]);
            return e;
        }
    }
    return ERR_NONE;
}

/* Whoever verifies must be told what only we know. */
static enum err check_told(const struct auth_input *in, const struct seen *text, const struct seen *value, struct fault *why)
{
    if (text->words[WORD_TIMESTAMP] && !value->words[WORD_TIMESTAMP] && !value_option(in, "timestamp_header").n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("timestamp_header"), why, "/fields/timestamp_header");
    if (text->words[WORD_NONCE] && !value->words[WORD_NONCE] && !value_option(in, "nonce_header").n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("nonce_header"), why, "/fields/nonce_header");
    if (value_option(in, "value").n && !value->words[WORD_SIGNATURE])
        return value_refuse(ERR_FIELD_INVALID, STR("the header's value must hold the signature"), why, "/fields/value");
    return ERR_NONE;
}

static bool decode_key(struct str text, enum spelling spelling, struct secret *out)
{
    if (spelling == SPELLING_TEXT) {
        *out = secret_from(text);
        return true;
    }
    AUTO_ARENA a = arena_new(64);
    struct str plain;
    bool good = spelling == SPELLING_HEX ? hex_decode(a, text, &plain) : base64_decode(a, text, BASE64_STANDARD, &plain);
    *out = good ? secret_from(plain) : SECRET_NONE;
    if (good)
        secret_wipe((char *)plain.p, plain.n);
    return good && plain.n;
}

static enum err check_key(const struct auth_input *in, bool id_needed, struct fault *why)
{
    const struct secret *id = auth_secret(in, "key_id");
    enum err e = value_check_credential(in, "secret", why);
    if (!e && ((id && id->n) || id_needed || value_option(in, "key_header").n))
        e = value_check_credential(in, "key_id", why);
    if (e)
        return e;
    AUTO_SECRET key = SECRET_NONE;
    int spelling = one_of(value_option(in, "key_encoding"), spellings, SPELLINGS, SPELLING_TEXT);
    return decode_key(secret_str(*auth_secret(in, "secret")), (enum spelling)spelling, &key)
               ? ERR_NONE
               : value_refuse(ERR_FIELD_INVALID, STR("the secret is not written in the encoding that key_encoding names"), why,
                              "/credentials/secret");
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    struct seen text = { 0 }, value = { .signature_ok = true };
    struct str algorithm = value_option(in, "algorithm");
    enum digest_kind kind;
    if (algorithm.n && (!digest_parse(algorithm, &kind) || kind == DIGEST_SHA512_256))
        return value_refuse(ERR_FIELD_INVALID, STR("the algorithm is sha256, sha1, sha384, sha512 or md5"), why,
                            "/fields/algorithm");
    if (!value_option(in, "signed").n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("signed"), why, "/fields/signed");
    enum err e = check_choice(in, "encoding", spellings + 1, 2, "the encoding is hex or base64", why);
    if (!e)
        e = check_choice(in, "key_encoding", spellings, 3, "the key encoding is text, hex or base64", why);
    if (!e)
        e = check_choice(in, "timestamp_format", time_formats, TIME_FORMATS,
                         "the timestamp format is seconds, milliseconds, iso8601 or http_date", why);
    struct str prefix = value_option(in, "prefix");
    if (!e && (prefix.n > 64 || str_has_control(prefix) || (prefix.n && prefix.p[0] == ' ')))
        e = value_refuse(ERR_FIELD_INVALID, STR("a prefix is up to 64 characters and does not begin with a blank"), why,
                         "/fields/prefix");
    if (!e && !(e = check_headers(in, why)) && !(e = check_template(in, "signed", &text, why)) &&
        !(e = check_template(in, "value", &value, why)) && !(e = check_told(in, &text, &value, why)))
        e = check_key(in, text.key_id || value.key_id, why);
    return e;
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)why;
    out->count = 0;
    for (size_t i = 0; i < COUNT(places); i++) {
        struct str name = value_option(in, places[i].option);
        if (name.n)
            value_inject(out, INJECT_SIGNED, arena_str(a, name), SECRET_NONE);
    }
    struct str name = value_option(in, "key_header");
    if (name.n)
        value_inject(out, INJECT_HEADER, arena_str(a, name), secret_copy(*auth_secret(in, "key_id")));
    return ERR_NONE;
}

static enum err signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    (void)why;
    struct seen text = { 0 }, value = { .signature_ok = true };
    const struct secret *id = auth_secret(in, "key_id");
    struct str algorithm = value_option(in, "algorithm");
    struct signer *s = mem_zero(sizeof *s);
    s->text = with_lines(a, value_option(in, "signed"));
    s->value = arena_str(a, value_option(in, "value"));
    s->prefix = arena_str(a, value_option(in, "prefix"));
    s->kind = DIGEST_SHA256;
    if (algorithm.n)
        (void)digest_parse(algorithm, &s->kind);
    s->encoding = (enum spelling)(one_of(value_option(in, "encoding"), spellings + 1, 2, 0) + 1);
    s->time = (enum time_format)one_of(value_option(in, "timestamp_format"), time_formats, TIME_FORMATS, TIME_SECONDS);
    s->secret = secret_copy(*auth_secret(in, "secret"));
    s->id = id ? secret_copy(*id) : SECRET_NONE;
    (void)decode_key(secret_str(s->secret), (enum spelling)one_of(value_option(in, "key_encoding"), spellings, SPELLINGS, 0),
                     &s->key);
    for (size_t i = 0; i < COUNT(places); i++)
        if (value_option(in, places[i].option).n)
            s->words[s->count++] = places[i].word;
    (void)!template_each(s->text, see, &text, NULL);
    (void)!template_each(s->value, see, &value, NULL);
    bool reads_body = text.words[WORD_BODY] || text.words[WORD_BODY_HASH] || value.words[WORD_BODY_HASH] ||
                      value_option(in, "body_hash_header").n;
    s->body = reads_body ? SIGN_ANY_BODY : SIGN_NO_BODY;
    *out = s;
    return ERR_NONE;
}

static void signer_free(struct signer *s)
{
    secret_end(&s->key);
    secret_end(&s->secret);
    secret_end(&s->id);
    free(s);
}

static enum sign_body signs_body(const struct signer *s) { return s->body; }

/* ---- one request ---- */

struct filling { const struct signer *signer; struct str words[WORDS]; };

static bool fill(void *context, struct str name, struct str *value)
{
    const struct filling *f = context;
    enum word w;
    if (str_is(name, "credentials.secret"))
        *value = secret_str(f->signer->secret);
    else if (str_is(name, "credentials.key_id"))
        *value = secret_str(f->signer->id);
    else if (parse_word(name, &w))
        *value = f->words[w];
    else
        return false;
    return true;
}

static struct str spelled(struct arena *a, const struct signer *s, struct str bytes)
{
    if (s->encoding == SPELLING_BASE64)
        return base64_encode(a, bytes, BASE64_STANDARD);
    char *hex = arena_alloc(a, 2 * bytes.n + 1);
    return (struct str){ hex, hex_write(hex, bytes) };
}

static struct str time_text(struct arena *a, enum time_format format, wall_ms now)
{
    struct tm tm;
    char text[40];
    time_t seconds = (time_t)(now / 1000);
    gmtime_r(&seconds, &tm);
    if (format == TIME_MILLISECONDS)
        return str_fmt(a, "%lld", (long long)now);
    if (format == TIME_SECONDS)
        return str_fmt(a, "%lld", (long long)seconds);
    size_t n = strftime(text, sizeof text, format == TIME_ISO8601 ? "%Y-%m-%dT%H:%M:%SZ" : "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return arena_str(a, (struct str){ text, n });
}

static void fill_words(struct arena *a, const struct signer *s, const struct sign_request *q, struct str *w)
{
    unsigned char random[16], sum[DIGEST_MAX];
    random_bytes(random, sizeof random);
    char *nonce = arena_alloc(a, 2 * sizeof random);
    w[WORD_METHOD] = q->method;
    w[WORD_HOST] = q->host;
    w[WORD_PATH] = q->path;
    w[WORD_QUERY] = q->query;
    w[WORD_TARGET] = q->query.n ? str_fmt(a, "%.*s?%.*s", STR_ARG(q->path), STR_ARG(q->query)) : q->path;
    w[WORD_URL] = str_fmt(a, "%s://%.*s%.*s", q->https ? "https" : "http", STR_ARG(q->host), STR_ARG(w[WORD_TARGET]));
    w[WORD_CONTENT_TYPE] = q->content_type;
    w[WORD_TIMESTAMP] = time_text(a, s->time, q->now);
    w[WORD_NONCE] = (struct str){ nonce, hex_write(nonce, (struct str){ (const char *)random, sizeof random }) };
    if (s->body != SIGN_ANY_BODY)
        return;
    w[WORD_BODY] = q->body;
    w[WORD_BODY_HASH] = spelled(a, s, (struct str){ (const char *)sum, digest(s->kind, q->body, sum) });
}

static enum err sign_text(const struct filling *f, struct arena *a, struct str *out, struct fault *why)
{
    const struct signer *s = f->signer;
    unsigned char sum[DIGEST_MAX];
    AUTO_BUF text;
    buf_init(&text, TEXT_MAX);
    enum err e = template_expand(&text, s->text, fill, (void *)(uintptr_t)f, why);
    if (e)
        return e;
    size_t n = digest_hmac(s->kind, secret_str(s->key), buf_str(&text), sum);
    secret_wipe(text.p, text.n);
    *out = spelled(a, s, (struct str){ (const char *)sum, n });
    return n ? ERR_NONE : fault(why, ERR_CRYPTO, STR(""), "the system has this digest switched off");
}

static enum err header_value(const struct filling *f, struct arena *a, struct str *out, struct fault *why)
{
    const struct signer *s = f->signer;
    if (!s->value.n) {
        *out = arena_join(a, s->prefix, f->words[WORD_SIGNATURE]);
        return ERR_NONE;
    }
    AUTO_BUF text;
    buf_init(&text, VALUE_MAX);
    enum err e = template_expand(&text, s->value, fill, (void *)(uintptr_t)f, why);
    if (!e && !head_is_value(buf_str(&text)))
        e = fault(why, ERR_INPUT_INVALID, STR("what is put into the signature's header cannot stand in one"), "hmac header");
    if (!e)
        *out = arena_str(a, buf_str(&text));
    if (text.p)
        secret_wipe(text.p, text.n);
    return e;
}

static enum err sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                     struct signature *out, struct fault *why)
{
    (void)i;
    struct filling f = { .signer = s };
    fill_words(a, s, q, f.words);
    enum err e = sign_text(&f, a, &f.words[WORD_SIGNATURE], why);
    if (!e)
        e = header_value(&f, a, &out->values[0], why);
    for (size_t k = 1; !e && k < s->count; k++)
        out->values[k] = f.words[s->words[k]];
    out->proof = f.words[WORD_SIGNATURE];
    return e;
}

const struct auth_method auth_hmac = {
    .name = "hmac", .fields = fields, .check = check, .prepare = prepare, .signer_new = signer_new, .signer_free = signer_free,
    .signs_body = signs_body, .sign = sign,
};
