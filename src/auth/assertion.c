#include "auth/assertion.h"

#include "crypto/hash.h"
#include "crypto/jwt_sign.h"

#define CLAIMS_MAX (32 * 1024) /* bytes of JSON */
#define JTI 26                 /* characters of base32: 130 bits */

static bool is_ours(const struct assertion *x, struct str name)
{
    return str_is(name, "iat") || str_is(name, "exp") || str_is(name, "nbf") || str_is(name, "jti") ||
           (str_is(name, "iss") && x->issuer.n) || (str_is(name, "sub") && x->subject.n) ||
           (str_is(name, "aud") && x->audience.n) || (str_is(name, "scope") && x->scope.n);
}

static void put_claims(struct buf *text, const struct assertion *x, wall_ms now)
{
    const struct { const char *name; struct str value; } members[] = {
        { "iss", x->issuer }, { "sub", x->subject }, { "aud", x->audience }, { "scope", x->scope },
    };
    int64_t most = ASSERTION_LIFETIME_S - ASSERTION_LEEWAY_S,
            life = x->lifetime_s > 0 && x->lifetime_s < most ? x->lifetime_s : most;
    int64_t iat = now / 1000 - ASSERTION_LEEWAY_S;
    char jti[JTI];
    struct json_out o = json_out(text);
    random_text(jti, sizeof jti);
    json_open(&o, '{');
    for (size_t i = 0; i < COUNT(members); i++)
        if (members[i].value.n)
            json_member_str(&o, members[i].name, members[i].value);
    json_member_i64(&o, "iat", iat);
    json_member_i64(&o, "nbf", iat);
    json_member_i64(&o, "exp", iat + ASSERTION_LEEWAY_S + life);
    json_member_str(&o, "jti", (struct str){ jti, sizeof jti });
    json_each(v, x->claims) {
        if (is_ours(x, v->key))
            continue;
        AUTO_BUF key;
        buf_init(&key, CLAIMS_MAX);
        buf_add(&key, v->key);
        buf_char(&key, 0);
        json_key(&o, key.p);
        json_put(&o, v);
    }
    json_close(&o, '}');
}

int64_t assertion_lifetime(const struct json *setting)
{
    int64_t ms = 0;
    (void)duration_parse(json_str(setting, "lifetime"), &ms);
    return ms / 1000;
}

enum err assertion_sign(const struct assertion *x, struct secret key, wall_ms now, struct secret *out,
                        struct fault *why)
{
    struct jwt_key *with;
    AUTO_BUF claims;
    buf_init(&claims, CLAIMS_MAX);
    *out = SECRET_NONE;
    enum err e = jwt_key_open(x->algorithm, key, &with, why);
    if (e)
        return e;
    put_claims(&claims, x, now);
    struct jwt_head head = { .type = STR("JWT"), .kid = x->kid, .x5t_s256 = x->thumbprint };
    e = buf_failed(&claims) ? fault(why, ERR_LIMIT, STR("32 KiB of claims"), "assertion")
                            : jwt_sign(with, &head, buf_str(&claims), out, why);
    jwt_key_free(with);
    return e;
}
