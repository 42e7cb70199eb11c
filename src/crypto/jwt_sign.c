#include "crypto/jwt_sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "crypto/jwk.h"
#include "crypto/private_key_inside.h"

#define SIGNATURE_MOST 2048 /* bytes: RSA of 8192 bits has 1024 */
#define HEAD_MOST 4096      /* bytes of JSON */

/* RFC 7518 3.2 */
static const struct {
    const char *name, *digest;
} hmacs[] = { { "HS256", "SHA256" }, { "HS384", "SHA384" }, { "HS512", "SHA512" } };

struct jwt_key {
    const char *name;
    const struct jwk_algorithm *with; /* NULL: HMAC */
    EVP_PKEY *key;
    const EVP_MD *hmac;
    struct secret bytes;              /* HMAC */
};

static enum err failed(struct fault *why, const char *step)
{
    char text[120];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    ERR_clear_error();
    return fault(why, ERR_CRYPTO, STR(""), "signing: %s: %s", step, text);
}

/* ---- keys ---- */

static bool key_fits(EVP_PKEY *key, const struct jwk_algorithm *with)
{
    char curve[32] = "";
    switch (with->family) {
    case JWK_RSA_PKCS1:
    case JWK_RSA_PSS: return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    case JWK_ED25519: return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
    default:
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve, NULL);
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EC_curve_nist2nid(with->curve) == OBJ_sn2nid(curve);
    }
}

static enum err open_hmac(struct str algorithm, struct secret key, struct jwt_key **out, struct fault *why)
{
    for (size_t i = 0; i < COUNT(hmacs); i++) {
        if (!str_is(algorithm, hmacs[i].name))
            continue;
        *out = mem_zero(sizeof **out);
        **out = (struct jwt_key){ .name = hmacs[i].name, .hmac = EVP_get_digestbyname(hmacs[i].digest), .bytes = secret_copy(key) };
        return ERR_NONE;
    }
    return fault(why, ERR_FIELD_INVALID,
                 STR("the algorithm is none of RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA, HS256 to HS512"),
                 "algorithm");
}

/* RFC 7518 3.1, RFC 8037 3.1: what a key is used with when nobody says it. */
static const struct jwk_algorithm *usual_of(EVP_PKEY *key)
{
    static const char *const names[] = { "RS256", "ES256", "ES384", "ES512", "EdDSA" };
    for (size_t i = 0; i < COUNT(names); i++)
        if (key_fits(key, jwk_algorithm(str_of(names[i]))))
            return jwk_algorithm(str_of(names[i]));
    return NULL;
}

enum err jwt_key_open(struct str algorithm, struct secret key, struct jwt_key **out, struct fault *why)
{
    const struct jwk_algorithm *with = jwk_algorithm(algorithm);
    EVP_PKEY *private;
    *out = NULL;
    if (!with && algorithm.n)
        return open_hmac(algorithm, key, out, why);
    enum err e = private_key_open(secret_str(key), &private, why);
    if (e)
        return e;
    if (!with)
        with = usual_of(private);
    if (!with || !key_fits(private, with)) {
        EVP_PKEY_free(private);
        return fault(why, ERR_FIELD_INVALID,
                     STR("the private key does not fit the algorithm: RS and PS take RSA, ES takes a curve, EdDSA takes Ed25519"),
                     "%s", with ? with->name : "no algorithm for this kind of key");
    }
    *out = mem_zero(sizeof **out);
    **out = (struct jwt_key){ .name = with->name, .with = with, .key = private };
    return ERR_NONE;
}

void jwt_key_free(struct jwt_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key); /* clears the private number */
    secret_end(&k->bytes);
    free(k);
}

/* ---- the public half ---- */

static struct str number_text(struct arena *a, EVP_PKEY *key, const char *name, size_t size)
{
    unsigned char bytes[1024];
    BIGNUM *n = NULL;
    if (!EVP_PKEY_get_bn_param(key, name, &n))
        bug("a key without %s", name);
    int length = size ? (int)size : BN_num_bytes(n);
    if (length > (int)sizeof bytes || BN_bn2binpad(n, bytes, length) != length)
        bug("a key with a strange %s", name);
    BN_free(n);
    return base64_encode(a, (struct str){ (const char *)bytes, (size_t)length }, BASE64_URL);
}

struct str jwt_key_public(const struct jwt_key *k, struct arena *a)
{
    unsigned char raw[32];
    size_t n = sizeof raw;
    struct str x, y;
    if (!k->with)
        return STR_NONE;
    switch (k->with->family) {
    case JWK_RSA_PKCS1:
    case JWK_RSA_PSS:
        x = number_text(a, k->key, OSSL_PKEY_PARAM_RSA_E, 0);
        y = number_text(a, k->key, OSSL_PKEY_PARAM_RSA_N, 0);
        return str_fmt(a, "{\"e\":\"%.*s\",\"kty\":\"RSA\",\"n\":\"%.*s\"}", STR_ARG(x), STR_ARG(y));
    case JWK_ECDSA:
        x = number_text(a, k->key, OSSL_PKEY_PARAM_EC_PUB_X, k->with->half);
        y = number_text(a, k->key, OSSL_PKEY_PARAM_EC_PUB_Y, k->with->half);
        return str_fmt(a, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", k->with->curve, STR_ARG(x), STR_ARG(y));
    default:
        if (!EVP_PKEY_get_raw_public_key(k->key, raw, &n))
            bug("an Ed25519 key without its public half");
        x = base64_encode(a, (struct str){ (const char *)raw, n }, BASE64_URL);
        return str_fmt(a, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%.*s\"}", STR_ARG(x));
    }
}

struct str jwt_thumbprint(struct arena *a, struct str jwk)
{
    unsigned char digest[SHA256_SIZE];
    sha256(jwk, digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}

/* ---- signatures ---- */

/* RFC 7518 3.4: r and s, each of the curve's size, instead of DER. */
static bool ecdsa_raw(unsigned char *signature, size_t *n, size_t half)
{
    const unsigned char *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)*n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)half) == (int)half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + half, (int)half) == (int)half;
    ECDSA_SIG_free(sig);
    *n = 2 * half;
    return ok;
}

static bool digest_sign(const struct jwt_key *k, struct str input, unsigned char *signature, size_t *n)
{
    EVP_PKEY_CTX *details;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit_ex(context, &details, k->with->digest, NULL, NULL, k->key, NULL) == 1;
    if (ok && k->with->family == JWK_RSA_PSS) /* RFC 7518 3.5 */
        ok = EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(details, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSign(context, signature, n, (const unsigned char *)input.p, input.n) == 1;
    EVP_MD_CTX_free(context);
    return ok && (k->with->family != JWK_ECDSA || ecdsa_raw(signature, n, k->with->half));
}

static bool sign(const struct jwt_key *k, struct str input, unsigned char *signature, size_t *n)
{
    unsigned short_n = 0;
    *n = SIGNATURE_MOST;
    if (k->with)
        return digest_sign(k, input, signature, n);
    bool ok = HMAC(k->hmac, k->bytes.p, (int)k->bytes.n, (const unsigned char *)input.p, input.n, signature, &short_n) != NULL;
    *n = short_n;
    return ok;
}

enum err jws_sign(const struct jwt_key *k, struct str header, struct str payload, struct secret *out, struct fault *why)
{
    unsigned char signature[SIGNATURE_MOST];
    size_t n, m;
    *out = secret_new(base64_size(header.n) + base64_size(payload.n) + base64_size(SIGNATURE_MOST) + 2);
    char *to = (char *)out->p;
    n = base64_write(to, header, BASE64_URL);
    to[n++] = '.';
    n += base64_write(to + n, payload, BASE64_URL);
    if (!sign(k, (struct str){ to, n }, signature, &m)) {
        secret_end(out);
        return failed(why, k->name);
    }
    to[n++] = '.';
    out->n = n + base64_write(to + n, (struct str){ (const char *)signature, m }, BASE64_URL);
    return ERR_NONE;
}

enum err jwt_sign(const struct jwt_key *k, const struct jwt_head *h, struct str claims, struct secret *out, struct fault *why)
{
    const struct { const char *name; struct str value; } members[] = {
        { "typ", h->type }, { "kid", h->kid }, { "x5t#S256", h->x5t_s256 },
    };
    AUTO_BUF text;
    buf_init(&text, HEAD_MOST);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_member_str(&o, "alg", str_of(k->name));
    for (size_t i = 0; i < COUNT(members); i++)
        if (members[i].value.n)
            json_member_str(&o, members[i].name, members[i].value);
    if (h->jwk.n)
        json_member_raw(&o, "jwk", h->jwk);
    json_close(&o, '}');
    if (buf_failed(&text))
        return fault(why, ERR_CRYPTO, STR(""), "a token's header over 4 KiB");
    return jws_sign(k, buf_str(&text), claims, out, why);
}
