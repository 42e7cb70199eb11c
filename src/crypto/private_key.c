#include "crypto/private_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/json.h"
#include "crypto/private_key_inside.h"

#define RSA_BITS_LEAST 2048 /* RFC 7518 3.3 */
#define RSA_BITS_MOST 8192
#define LINE 64             /* characters of base64 (RFC 7468 2) */
#define BEGIN "-----BEGIN "
#define END "-----END "

static enum err refused(struct fault *why, const char *say)
{
    ERR_clear_error();
    return fault(why, ERR_FIELD_INVALID, str_of(say), "private key");
}

/* ---- what stands around it ---- */

static int hex_value(char c)
{
    return ascii_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : -1;
}

/* RFC 8259 7, of ASCII; 0: none. */
static char unicode_escape(struct str s)
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < s.n ? hex_value(s.p[i]) : -1;
        if (digit < 0)
            return 0;
        value = value * 16 + digit;
    }
    return value < 0x80 ? (char)value : 0;
}

/* Out of a program or a JSON file: \n, \r, \t, \/, \", \u003d, and backslashes that were doubled on the way. */
static struct secret unescape(struct str s)
{
    struct secret out = secret_new(s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\') {
            while (i < s.n && s.p[i] == '\\')
                i++;
            if (i == s.n)
                break;
            char u = s.p[i] == 'u' ? unicode_escape(str_sub(s, i + 1, s.n)) : 0;
            c = s.p[i] == 'n' || s.p[i] == 'r' || s.p[i] == 't' ? '\n' : u ? u : s.p[i];
            i += u ? 4 : 0;
        }
        out.p[n++] = (unsigned char)c;
    }
    out.n = n;
    return out;
}

/* By what stands behind BEGIN; NULL: this is a key that may be read. */
static const struct {
    const char *label, *flaw;
} labels[] = {
    { "PRIVATE KEY", NULL },
    { "RSA PRIVATE KEY", NULL },
    { "EC PRIVATE KEY", NULL },
    { "ENCRYPTED PRIVATE KEY",
      "the private key is encrypted with a passphrase; decrypt it first (openssl pkey -in key.pem), then paste the result" },
    { "OPENSSH PRIVATE KEY", "this is a key in OpenSSH's own form; convert it first (ssh-keygen -p -m PKCS8 -f FILE)" },
    { "DSA PRIVATE KEY", "this is a DSA key; an RSA, EC or Ed25519 key is needed" },
    { "PUBLIC KEY", "this is a public key; the private key is needed" },
    { "RSA PUBLIC KEY", "this is a public key; the private key is needed" },
    { "CERTIFICATE", "this is a certificate; the private key that belongs to it is needed" },
    { "CERTIFICATE REQUEST", "this is a certificate request; the private key that belongs to it is needed" },
};

/* What stands between the lines of one block. */
struct block {
    struct str label, body;
    bool ended;
};

static bool next_block(struct str *rest, struct block *out)
{
    size_t at = str_find_str(*rest, STR(BEGIN));
    if (at == SIZE_MAX)
        return false;
    struct str from = str_sub(*rest, at + strlen(BEGIN), rest->n);
    size_t end = str_find_str(from, STR("-----"));
    if (end == SIZE_MAX)
        return false;
    out->label = str_trim(str_sub(from, 0, end));
    out->body = str_sub(from, end + 5, from.n);
    size_t stop = str_find_str(out->body, STR(END));
    out->ended = stop != SIZE_MAX;
    *rest = out->ended ? str_sub(out->body, stop + strlen(END), out->body.n) : str_sub(*rest, rest->n, rest->n);
    if (out->ended)
        out->body = str_sub(out->body, 0, stop);
    return true;
}

static const char *flaw_of(struct str label)
{
    for (size_t i = 0; i < COUNT(labels); i++)
        if (str_is(label, labels[i].label))
            return labels[i].flaw;
    return "the private key is of an unknown kind; PEM of PKCS#8, PKCS#1 or SEC1 is needed";
}

/* The first block that is a private key; without any, what is wrong with the last. */
static const char *find_block(struct str text, struct block *out)
{
    const char *flaw = NULL;
    bool any = false;
    while (next_block(&text, out)) {
        any = true;
        if (!(flaw = flaw_of(out->label)))
            break;
    }
    if (!any)
        *out = (struct block){ .body = text, .ended = true }; /* its base64 alone, perhaps */
    if (flaw)
        return flaw;
    /* RFC 1421 4.6: how PKCS#1 and SEC1 keys say that they are encrypted. */
    if (str_find_str(out->body, STR("ENCRYPTED")) != SIZE_MAX && str_find(out->body, ':') != SIZE_MAX)
        return flaw_of(STR("ENCRYPTED PRIVATE KEY"));
    return out->ended ? NULL : "the private key is cut off: its last line, -----END ...-----, is missing";
}

/* ---- base64 ---- */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Blanks, line ends and quotes stand for nothing. False when anything else but base64 is there. */
static bool decode(struct str body, struct secret *der)
{
    uint32_t bits = 0;
    int have = 0;
    size_t n = 0;
    *der = secret_new(body.n / 4 * 3 + 3);
    for (size_t i = 0; i < body.n; i++) {
        int v = sextet(body.p[i]);
        if (v < 0) {
            if (!body.p[i] || !strchr(" \t\r\n\"'=", body.p[i]))
                return false;
            continue;
        }
        bits = bits << 6 | (uint32_t)v;
        if ((have += 6) < 8)
            continue;
        have -= 8;
        der->p[n++] = (unsigned char)(bits >> have & 0xff);
    }
    der->n = n;
    return n > 0;
}

/* ---- the key itself ---- */

static const char *judge(EVP_PKEY *key)
{
    char curve[32] = "";
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(key) < RSA_BITS_LEAST  ? "the RSA key is too short: 2048 bits at least"
               : EVP_PKEY_get_bits(key) > RSA_BITS_MOST ? "the RSA key is too long: 8192 bits at most"
                                                        : NULL;
    case EVP_PKEY_EC:
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve, NULL);
        return strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0 || strcmp(curve, "secp521r1") == 0
                   ? NULL
                   : "the key's curve is not P-256, P-384 or P-521";
    case EVP_PKEY_ED25519: return NULL;
    default: return "an RSA, EC or Ed25519 key is needed";
    }
}

static enum err open_der(struct secret der, EVP_PKEY **out, struct fault *why)
{
    const unsigned char *at = der.p;
    *out = d2i_AutoPrivateKey(NULL, &at, (long)der.n);
    ERR_clear_error();
    const char *flaw = *out ? judge(*out) : "the private key is damaged: characters of it are missing or wrong";
    if (!flaw)
        return ERR_NONE;
    EVP_PKEY_free(*out);
    *out = NULL;
    return refused(why, flaw);
}

static enum err open_pem(struct str pasted, EVP_PKEY **out, struct fault *why)
{
    struct block block;
    AUTO_SECRET text = unescape(pasted);
    const char *flaw = find_block(secret_str(text), &block);
    if (flaw)
        return refused(why, flaw);
    AUTO_SECRET der = SECRET_NONE;
    bool labelled = block.label.n;
    if (!decode(block.body, &der) || (!labelled && der.n < 32))
        return refused(why, labelled ? "the private key holds characters that belong in no key"
                                     : "this is no private key: it begins with -----BEGIN PRIVATE KEY-----");
    return open_der(der, out, why);
}

/* ---- a JSON key file ---- */

/* Where the reader decoded escapes, it made a copy; the rest points into what was pasted. */
static void wipe_copies(const struct json *v, struct str pasted)
{
    json_each(m, v)
        wipe_copies(m, pasted);
    if (v->type == JSON_STRING && v->text.n && (v->text.p < pasted.p || v->text.p >= pasted.p + pasted.n))
        secret_wipe((void *)(uintptr_t)v->text.p, v->text.n);
}

static enum err open_file(struct str pasted, EVP_PKEY **out, struct fault *why)
{
    AUTO_ARENA a = arena_new(PRIVATE_KEY_MAX);
    struct json *file;
    struct fault unused;
    if (json_read(a, pasted, &file, &unused))
        return refused(why, "this begins as a JSON key file does, but is not valid JSON; paste the whole file");
    struct str key = str_trim(json_str(file, "private_key"));
    enum err e = key.n && key.p[0] != '{'                      ? open_pem(key, out, why)
                 : json_get(file, "installed") || json_get(file, "web")
                     ? refused(why, "this is the file of an OAuth client; the key file of a service account is needed")
                 : json_get(file, "kty") ? refused(why, "this is a JSON web key; PEM is needed")
                                         : refused(why, "the JSON key file has no member private_key");
    wipe_copies(file, pasted);
    return e;
}

enum err private_key_open(struct str pasted, EVP_PKEY **out, struct fault *why)
{
    struct str text = str_trim(pasted);
    *out = NULL;
    if (!text.n)
        return fault(why, ERR_FIELD_REQUIRED, STR("private_key"), "private key");
    if (text.n > PRIVATE_KEY_MAX)
        return refused(why, "a private key has at most 32 KiB");
    return text.p[0] == '{' ? open_file(text, out, why) : open_pem(text, out, why);
}

/* ---- as PKCS#8 ---- */

static enum err write_pem(EVP_PKEY *key, struct secret *pem, struct fault *why)
{
    static const char head[] = BEGIN "PRIVATE KEY-----\n", foot[] = END "PRIVATE KEY-----\n";
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
    if (size <= 0) {
        PKCS8_PRIV_KEY_INFO_free(info);
        ERR_clear_error();
        return fault(why, ERR_CRYPTO, STR(""), "a private key cannot be written");
    }
    AUTO_SECRET der = secret_new((size_t)size);
    unsigned char *at = der.p;
    i2d_PKCS8_PRIV_KEY_INFO(info, &at);
    PKCS8_PRIV_KEY_INFO_free(info); /* clears it */

    size_t lines = (base64_size(der.n) + LINE - 1) / LINE, n = sizeof head - 1;
    *pem = secret_new(sizeof head + sizeof foot + base64_size(der.n) + lines);
    char *out = (char *)pem->p;
    memcpy(out, head, n);
    for (size_t from = 0; from < der.n; from += LINE / 4 * 3) {
        size_t to = from + LINE / 4 * 3 < der.n ? from + LINE / 4 * 3 : der.n;
        n += base64_write(out + n, str_sub(secret_str(der), from, to), BASE64_STANDARD);
        out[n++] = '\n';
    }
    memcpy(out + n, foot, sizeof foot - 1);
    pem->n = n + sizeof foot - 1;
    return ERR_NONE;
}

/* RFC 8017 3.2: how the numbers of an RSA key hang together. OpenSSL's own check also asks whether they are primes, which takes
 * fifty milliseconds and tells nothing of a slip. */
enum { N, E, D, P, Q, DP, DQ, QI, NUMBERS };

static bool product_is_one(BIGNUM *x, BIGNUM *y, BIGNUM *modulus, BIGNUM *room, BN_CTX *context)
{
    return BN_mod_mul(room, x, y, modulus, context) && BN_is_one(room);
}

static bool remainder_is(BIGNUM *x, BIGNUM *modulus, BIGNUM *wanted, BIGNUM *room, BN_CTX *context)
{
    return BN_mod(room, x, modulus, context) && BN_cmp(room, wanted) == 0;
}

static bool numbers_agree(BIGNUM *n[NUMBERS], BN_CTX *context)
{
    BIGNUM *room = BN_CTX_get(context), *p1 = BN_CTX_get(context), *q1 = BN_CTX_get(context);
    return q1 && BN_sub(p1, n[P], BN_value_one()) && BN_sub(q1, n[Q], BN_value_one()) && !BN_is_zero(p1) && !BN_is_zero(q1) &&
           BN_mul(room, n[P], n[Q], context) && BN_cmp(room, n[N]) == 0 && product_is_one(n[E], n[D], p1, room, context) &&
           product_is_one(n[E], n[D], q1, room, context) && remainder_is(n[D], p1, n[DP], room, context) &&
           remainder_is(n[D], q1, n[DQ], room, context) && product_is_one(n[QI], n[Q], n[P], room, context);
}

static bool rsa_sound(EVP_PKEY *key)
{
    static const char *const names[NUMBERS] = {
        [N] = OSSL_PKEY_PARAM_RSA_N,        [E] = OSSL_PKEY_PARAM_RSA_E,
        [D] = OSSL_PKEY_PARAM_RSA_D,        [P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,  [DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2, [QI] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    BIGNUM *numbers[NUMBERS] = { NULL };
    BN_CTX *context = BN_CTX_secure_new();
    bool ok = context != NULL;
    for (int i = 0; ok && i < NUMBERS; i++)
        ok = EVP_PKEY_get_bn_param(key, names[i], &numbers[i]) == 1;
    if (ok) {
        BN_CTX_start(context);
        ok = numbers_agree(numbers, context);
        BN_CTX_end(context);
    }
    for (int i = 0; i < NUMBERS; i++)
        BN_clear_free(numbers[i]);
    BN_CTX_free(context);
    ERR_clear_error();
    return ok;
}

/* Letters that were changed on the way may still be DER: only the numbers tell. */
static bool sound(EVP_PKEY *key)
{
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return rsa_sound(key);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int said = context ? EVP_PKEY_pairwise_check(context) : 0;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return said == 1 || said == -2; /* -2: there is no such check for this type */
}

enum err private_key_read(struct str pasted, struct secret *pem, struct fault *why)
{
    EVP_PKEY *key;
    *pem = SECRET_NONE;
    enum err e = private_key_open(pasted, &key, why);
    if (e)
        return e;
    e = sound(key) ? write_pem(key, pem, why) : refused(why, "the private key is damaged: characters of it are missing or wrong");
    EVP_PKEY_free(key);
    return e;
}

enum err private_key_new(struct secret *pem, struct fault *why)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    *pem = SECRET_NONE;
    enum err e = key ? write_pem(key, pem, why) : fault(why, ERR_CRYPTO, STR(""), "no key of P-256");
    EVP_PKEY_free(key);
    return e;
}
