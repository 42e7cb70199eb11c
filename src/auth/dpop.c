#include "auth/dpop.h"

#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "crypto/private_key.h"

#define PROOF_MAX (20 * 1024) /* bytes of claims: a URL and a nonce */
#define JTI 26                /* characters of base32: 130 bits */

enum err dpop_key_new(struct secret *pem, struct fault *why) { return private_key_new(pem, why); }

enum err dpop_key_open(struct secret pem, struct jwt_key **out, struct fault *why)
{
    return jwt_key_open(STR("ES256"), pem, out, why);
}

struct str dpop_thumbprint(struct arena *a, const struct jwt_key *key) { return jwt_thumbprint(a, jwt_key_public(key, a)); }

struct str dpop_ath(struct arena *a, struct str access_token)
{
    unsigned char digest[SHA256_SIZE];
    sha256(access_token, digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}

static struct str without_query(struct str url)
{
    size_t at = 0;
    while (at < url.n && url.p[at] != '?' && url.p[at] != '#')
        at++;
    return str_sub(url, 0, at);
}

enum err dpop_proof(struct arena *a, const struct jwt_key *key, struct str method, struct str url, struct str nonce,
                    struct str ath, wall_ms now, struct secret *out, struct fault *why)
{
    char jti[JTI];
    AUTO_BUF claims;
    buf_init(&claims, PROOF_MAX);
    random_text(jti, sizeof jti);
    struct json_out o = json_out(&claims);
    json_open(&o, '{');
    json_member_str(&o, "jti", (struct str){ jti, sizeof jti });
    json_member_str(&o, "htm", method);
    json_member_str(&o, "htu", without_query(url));
    json_member_i64(&o, "iat", now / 1000);
    if (nonce.n)
        json_member_str(&o, "nonce", nonce);
    if (ath.n)
        json_member_str(&o, "ath", ath);
    json_close(&o, '}');
    *out = SECRET_NONE;
    if (buf_failed(&claims))
        return fault(why, ERR_LIMIT, STR("20 KiB of URL and nonce"), "DPoP proof");
    struct jwt_head head = { .type = STR("dpop+jwt"), .jwk = jwt_key_public(key, a) };
    return jwt_sign(key, &head, buf_str(&claims), out, why);
}
