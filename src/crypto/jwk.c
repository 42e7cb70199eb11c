/* The half of crypto/jwt.h that knows keys: JSON web keys become OpenSSL's, and signatures are verified with them. */
#include "crypto/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/encode.h"
#include "crypto/jwt.h"

#define RSA_BITS_LEAST 2048 /* RFC 7518 3.3 */
#define RSA_BITS_MOST 8192  /* verification grows with the size: an issuer's key must not cost seconds */
#define RSA_EXPONENT_MOST 8 /* bytes */
#define TRIES 8             /* keys that a token without a kid is tried with */

static const struct jwk_algorithm algorithms[] = {
    { "RS256", "SHA256", JWK_RSA_PKCS1, NULL, 0 },
    { "RS384", "SHA384", JWK_RSA_PKCS1, NULL, 0 },
    { "RS512", "SHA512", JWK_RSA_PKCS1, NULL, 0 },
    { "PS256", "SHA256", JWK_RSA_PSS, NULL, 0 },
    { "PS384", "SHA384", JWK_RSA_PSS, NULL, 0 },
    { "PS512", "SHA512", JWK_RSA_PSS, NULL, 0 },
    { "ES256", "SHA256", JWK_ECDSA, "P-256", 32 },
    { "ES384", "SHA384", JWK_ECDSA, "P-384", 48 },
    { "ES512", "SHA512", JWK_ECDSA, "P-521", 66 },
    { "EdDSA", NULL, JWK_ED25519, "Ed25519", 0 },
};

struct jwk {
    EVP_PKEY *key;
    const struct jwk_algorithm *pinned; /* by the key's own "alg"; NULL: any of its type */
    bool rsa;
    const char *curve;              /* NULL for RSA */
    char *kid;                      /* NULL: none */
};

struct jwk_set {
    size_t count;
    struct jwk keys[JWK_SET_KEYS];
};

const struct jwk_algorithm *jwk_algorithm(struct str name)
{
    for (size_t i = 0; i < COUNT(algorithms); i++)
        if (str_is(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

/* ---- keys ---- */

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    if (!context || !params || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *rsa_key(struct arena *a, const struct json *jwk)
{
    struct str n, e;
    if (!base64_decode(a, json_str(jwk, "n"), BASE64_URL, &n) || !base64_decode(a, json_str(jwk, "e"), BASE64_URL, &e) || !n.n ||
        !e.n || e.n > RSA_EXPONENT_MOST || n.n > RSA_BITS_MOST / 8 + 1)
        return NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    bool sound = build && modulus && exponent && BN_num_bits(modulus) >= RSA_BITS_LEAST && BN_num_bits(modulus) <= RSA_BITS_MOST &&
                 BN_is_odd(modulus) && BN_is_odd(exponent) && !BN_is_one(exponent);
    if (sound && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = key_from("RSA", build);
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static const struct jwk_algorithm *algorithm_of_curve(struct str curve)
{
    for (size_t i = 0; i < COUNT(algorithms); i++)
        if (algorithms[i].curve && str_is(curve, algorithms[i].curve))
            return &algorithms[i];
    return NULL;
}

/* OpenSSL checks that the point is on the curve when the key is made. */
static EVP_PKEY *ec_key(struct arena *a, const struct json *jwk, const struct jwk_algorithm *of)
{
    struct str x, y;
    unsigned char point[1 + 2 * 66];
    if (!base64_decode(a, json_str(jwk, "x"), BASE64_URL, &x) || !base64_decode(a, json_str(jwk, "y"), BASE64_URL, &y) ||
        x.n != of->half || y.n != of->half) /* RFC 7518 6.2.1.2: full size, leading zeros included */
        return NULL;
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, x.p, x.n);
    memcpy(point + 1 + x.n, y.p, y.n);
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, of->curve, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * of->half))
        key = key_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *ed25519_key(struct arena *a, const struct json *jwk)
{
    struct str x;
    if (!base64_decode(a, json_str(jwk, "x"), BASE64_URL, &x) || x.n != 32)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
}

/* RFC 7517 4.2, 4.3: a key that says what it is for is used for that only. */
static bool for_signatures(const struct json *jwk)
{
    const struct json *use = json_get(jwk, "use"), *operations = json_get(jwk, "key_ops");
    return (!use || (json_is(use, JSON_STRING) && str_is(use->text, "sig"))) &&
           (!operations || (json_is(operations, JSON_ARRAY) && jwt_claim_is(operations, STR("verify"))));
}

static bool read_material(struct arena *a, const struct json *jwk, struct jwk *out)
{
    struct str type = json_str(jwk, "kty");
    const struct jwk_algorithm *of = algorithm_of_curve(json_str(jwk, "crv"));
    out->rsa = str_is(type, "RSA");
    if (out->rsa) {
        out->key = rsa_key(a, jwk);
    } else if (of && of->family == JWK_ECDSA && str_is(type, "EC")) {
        out->key = ec_key(a, jwk, of);
        out->curve = of->curve;
    } else if (of && of->family == JWK_ED25519 && str_is(type, "OKP")) {
        out->key = ed25519_key(a, jwk);
        out->curve = of->curve;
    }
    ERR_clear_error(); /* a key that is not usable is no error of ours */
    return out->key != NULL;
}

static bool fits(const struct jwk *k, const struct jwk_algorithm *with)
{
    if (k->pinned && k->pinned != with)
        return false;
    bool rsa = with->family == JWK_RSA_PKCS1 || with->family == JWK_RSA_PSS;
    return rsa ? k->rsa : k->curve == with->curve || (k->curve && strcmp(k->curve, with->curve) == 0);
}

static bool read_key(struct arena *a, const struct json *jwk, struct jwk *out)
{
    const struct json *alg = json_get(jwk, "alg"), *kid = json_get(jwk, "kid");
    *out = (struct jwk){ 0 };
    if (!json_is(jwk, JSON_OBJECT) || !for_signatures(jwk))
        return false;
    out->pinned = json_is(alg, JSON_STRING) ? jwk_algorithm(alg->text) : NULL;
    if ((alg && !out->pinned) || !read_material(a, jwk, out))
        return false;
    if (out->pinned && !fits(out, out->pinned)) {
        EVP_PKEY_free(out->key);
        return false;
    }
    if (json_is(kid, JSON_STRING) && kid->text.n)
        out->kid = mem_cstr(kid->text);
    return true;
}

enum err jwk_set_read(struct str text, struct jwk_set **out, struct fault *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct json *document;
    struct fault unused;
    *out = NULL;
    if (text.n > JWK_SET_MAX)
        return fault(why, ERR_RESPONSE_TOO_LARGE, STR("256 KiB"), "key set");
    if (json_read(a, text, &document, &unused) || !json_is(json_get(document, "keys"), JSON_ARRAY))
        return fault(why, ERR_UPSTREAM_INVALID, STR("not a JSON web key set"), "no list of keys");
    struct jwk_set *s = mem_zero(sizeof *s);
    json_each(v, json_get(document, "keys"))
        if (s->count < JWK_SET_KEYS && read_key(a, v, &s->keys[s->count]))
            s->count++;
    *out = s;
    return ERR_NONE;
}

void jwk_set_free(struct jwk_set *s)
{
    for (size_t i = 0; s && i < s->count; i++) {
        EVP_PKEY_free(s->keys[i].key);
        free(s->keys[i].kid);
    }
    free(s);
}

size_t jwk_set_count(const struct jwk_set *s) { return s->count; }

/* ---- signatures ---- */

static bool may_be(const struct jwk *k, const struct jwt *t, const struct jwk_algorithm *with)
{
    return fits(k, with) && (!t->kid.n || (k->kid && str_is(t->kid, k->kid)));
}

bool jwk_set_may_verify(const struct jwk_set *s, const struct jwt *t)
{
    const struct jwk_algorithm *with = jwk_algorithm(t->algorithm);
    for (size_t i = 0; with && i < s->count; i++)
        if (may_be(&s->keys[i], t, with))
            return true;
    return false;
}

/* RFC 7518 3.4: r and s, each of the curve's size, become the DER form that OpenSSL takes. Freed with OPENSSL_free(). */
static unsigned char *ecdsa_der(struct str signature, size_t half, size_t *n)
{
    unsigned char *der = NULL;
    *n = 0;
    if (signature.n != 2 * half)
        return NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)signature.p, (int)half, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)signature.p + half, (int)half, NULL);
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        int length = i2d_ECDSA_SIG(sig, &der);
        *n = length > 0 ? (size_t)length : 0;
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return *n ? der : NULL;
}

static bool digest_verifies(EVP_PKEY *key, const struct jwk_algorithm *with, struct str input, const unsigned char *signature,
                            size_t n)
{
    EVP_PKEY_CTX *details;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestVerifyInit_ex(context, &details, with->digest, NULL, NULL, key, NULL) == 1;
    if (ok && with->family == JWK_RSA_PSS) /* RFC 7518 3.5: the salt is as long as the digest, the mask's digest is the same */
        ok = EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(details, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(context, signature, n, (const unsigned char *)input.p, input.n) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return ok;
}

static bool verifies(const struct jwk *k, const struct jwk_algorithm *with, const struct jwt *t)
{
    if (with->family != JWK_ECDSA)
        return digest_verifies(k->key, with, t->signing_input, (const unsigned char *)t->signature.p, t->signature.n);
    size_t n;
    unsigned char *der = ecdsa_der(t->signature, with->half, &n);
    bool ok = der && digest_verifies(k->key, with, t->signing_input, der, n);
    OPENSSL_free(der);
    return ok;
}

enum err jwt_verify(const struct jwt *t, const struct jwk_set *s, struct fault *why)
{
    const struct jwk_algorithm *with = jwk_algorithm(t->algorithm);
    int tries = 0;
    if (!with)
        return jwt_refused(why, STR("algorithm not accepted"), "none, HMAC or unknown");
    for (size_t i = 0; i < s->count && tries < TRIES; i++) {
        if (!may_be(&s->keys[i], t, with))
            continue;
        tries++;
        if (verifies(&s->keys[i], with, t))
            return ERR_NONE;
    }
    return tries ? jwt_refused(why, STR("signature does not verify"), "signature")
                 : jwt_refused(why, STR("signed with an unknown key"), "no key of that kid and type");
}
