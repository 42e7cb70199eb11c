#include "crypto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *algorithm(enum digest_kind kind)
{
    switch (kind) {
    case DIGEST_MD5: return EVP_md5();
    case DIGEST_SHA1: return EVP_sha1();
    case DIGEST_SHA384: return EVP_sha384();
    case DIGEST_SHA512: return EVP_sha512();
    case DIGEST_SHA512_256: return EVP_sha512_256();
    case DIGEST_SHA256: break;
    }
    return EVP_sha256();
}

_Static_assert(DIGEST_MAX == EVP_MAX_MD_SIZE, "OpenSSL's longest digest");

static const char *never_null(struct str s) { return s.n ? s.p : ""; }

size_t digest(enum digest_kind kind, struct str in, unsigned char out[DIGEST_MAX])
{
    unsigned n = 0;
    return EVP_Digest(never_null(in), in.n, out, &n, algorithm(kind), NULL) ? n : 0;
}

size_t digest_hmac(enum digest_kind kind, struct str key, struct str in, unsigned char out[DIGEST_MAX])
{
    unsigned n = 0;
    const unsigned char *text = (const unsigned char *)never_null(in);
    return HMAC(algorithm(kind), never_null(key), (int)key.n, text, in.n, out, &n) ? n : 0;
}

bool digest_parse(struct str name, enum digest_kind *out)
{
    static const struct {
        const char *name;
        enum digest_kind kind;
    } names[] = {
        { "md5", DIGEST_MD5 },         { "sha1", DIGEST_SHA1 },       { "sha-1", DIGEST_SHA1 },
        { "sha256", DIGEST_SHA256 },   { "sha-256", DIGEST_SHA256 },  { "sha384", DIGEST_SHA384 },
        { "sha-384", DIGEST_SHA384 },  { "sha512", DIGEST_SHA512 },   { "sha-512", DIGEST_SHA512 },
        { "sha-512-256", DIGEST_SHA512_256 },
    };
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_ieq(name, str_of(names[i].name))) {
            *out = names[i].kind;
            return true;
        }
    return false;
}
