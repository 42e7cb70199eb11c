#include "crypto/jwt.h"

#include <stdlib.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/jwk.h"

#define HEADER_MAX 4096                   /* bytes, encoded */
#define DATE_MAX (INT64_C(100000000000))  /* seconds; the year 5138 */

enum err jwt_refused(struct fault *why, struct str reason, const char *note)
{
    return fault(why, ERR_TOKEN_INVALID, reason, "%s", note);
}

static enum err malformed(struct fault *why, const char *note) { return jwt_refused(why, STR("malformed"), note); }

/* ---- reading ---- */

static bool split(struct str token, struct str part[3])
{
    struct str rest;
    return str_cut(token, '.', &part[0], &rest) && str_cut(rest, '.', &part[1], &part[2]) && part[0].n && part[1].n &&
           part[2].n && str_find(part[2], '.') == SIZE_MAX;
}

bool jwt_looks_like(struct str token)
{
    struct str part[3];
    return token.n <= JWT_MAX && str_starts(token, STR("ey")) && split(token, part);
}

/* RFC 7515 4.1: duplicate names are refused by the reader. */
static enum err read_part(struct arena *a, struct str part, struct json **out, struct fault *why)
{
    struct str text;
    struct fault unused;
    if (!base64_decode(a, part, BASE64_URL, &text))
        return malformed(why, "not base64url");
    if (json_read(a, text, out, &unused) || !json_is(*out, JSON_OBJECT))
        return malformed(why, "a part is not a JSON object");
    return ERR_NONE;
}

static enum err read_header(struct arena *a, struct str part, struct jwt *out, struct fault *why)
{
    struct json *header;
    enum err e;
    if (part.n > HEADER_MAX)
        return malformed(why, "header too long");
    if ((e = read_part(a, part, &header, why)))
        return e;
    if (json_get(header, "crit") || json_get(header, "zip") || json_get(header, "enc"))
        return jwt_refused(why, STR("extensions that are not understood"), "crit, zip or enc in the header");
    const struct json *kid = json_get(header, "kid");
    if (kid && (kid->type != JSON_STRING || !kid->text.n))
        return malformed(why, "kid is no text");
    out->kid = kid ? kid->text : STR_NONE;
    out->algorithm = json_str(header, "alg");
    if (!jwk_algorithm(out->algorithm))
        return jwt_refused(why, STR("algorithm not accepted"), "none, HMAC or unknown");
    return ERR_NONE;
}

enum err jwt_read(struct arena *a, struct str token, struct jwt *out, struct fault *why)
{
    struct str part[3];
    enum err e;
    *out = (struct jwt){ 0 };
    if (token.n > JWT_MAX)
        return malformed(why, "token too long");
    if (!split(token, part))
        return malformed(why, "not three parts");
    if ((e = read_header(a, part[0], out, why)) || (e = read_part(a, part[1], &out->claims, why)))
        return e;
    if (!base64_decode(a, part[2], BASE64_URL, &out->signature))
        return malformed(why, "signature is not base64url");
    out->signing_input = str_sub(token, 0, part[0].n + 1 + part[1].n);
    return ERR_NONE;
}

/* ---- claims ---- */

/* RFC 7519 2, NumericDate: seconds, maybe with a fraction, which is dropped. No sign, no exponent. */
static bool read_date(const struct json *v, int64_t *out)
{
    struct str whole, fraction;
    uint64_t n;
    if (!json_is(v, JSON_NUMBER))
        return false;
    str_cut(v->text, '.', &whole, &fraction);
    for (size_t i = 0; i < fraction.n; i++)
        if (!ascii_digit(fraction.p[i]))
            return false;
    if (!str_u64(whole, &n) || n > DATE_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

/* Absent: *out stays 0. */
static enum err date_claim(const struct json *claims, const char *name, bool required, int64_t *out, struct fault *why)
{
    const struct json *v = json_get(claims, name);
    *out = 0;
    if (!v && required)
        return fault(why, ERR_TOKEN_INVALID, STR("a required claim is missing"), "no %s", name);
    if (v && !read_date(v, out))
        return fault(why, ERR_TOKEN_INVALID, STR("malformed"), "%s is no date", name);
    return ERR_NONE;
}

enum err jwt_check_lifetime(const struct json *claims, int64_t most_s, struct fault *why)
{
    int64_t exp, iat;
    enum err e;
    if ((e = date_claim(claims, "exp", true, &exp, why)) || (e = date_claim(claims, "iat", true, &iat, why)))
        return e;
    return exp - iat > most_s ? jwt_refused(why, STR("lives longer than allowed"), "exp - iat") : ERR_NONE;
}

static enum err check_dates(const struct json *claims, const struct jwt_expected *x, wall_ms *expires, struct fault *why)
{
    int64_t now = x->now / 1000, exp, nbf, iat;
    enum err e;
    if ((e = date_claim(claims, "exp", true, &exp, why)) || (e = date_claim(claims, "nbf", false, &nbf, why)) ||
        (e = date_claim(claims, "iat", false, &iat, why)))
        return e;
    if (exp + JWT_LEEWAY_S <= now)
        return fault(why, ERR_TOKEN_EXPIRED, STR(""), "exp has passed");
    if (nbf > now + JWT_LEEWAY_S || iat > now + JWT_LEEWAY_S)
        return jwt_refused(why, STR("not valid yet"), "nbf or iat is to come");
    *expires = (exp + JWT_LEEWAY_S) * 1000;
    return x->lifetime_max_s > 0 ? jwt_check_lifetime(claims, x->lifetime_max_s, why) : ERR_NONE;
}

static bool equal_text(struct str x, struct str y) { return x.n == y.n && (!x.n || equal_constant_time(x.p, y.p, x.n)); }

static enum err check_audience(const struct json *claims, const struct jwt_expected *x, struct fault *why)
{
    const struct json *aud = json_get(claims, "aud"), *azp = json_get(claims, "azp");
    if (x->audience.n && (json_is(aud, JSON_NUMBER) || !jwt_claim_is(aud, x->audience)))
        return jwt_refused(why, STR("made for another audience"), "aud");
    if (!x->authorized_party.n)
        return ERR_NONE;
    if (azp ? !json_is(azp, JSON_STRING) || !str_eq(azp->text, x->authorized_party) : json_is(aud, JSON_ARRAY) && aud->count > 1)
        return jwt_refused(why, STR("made for another audience"), "azp");
    return ERR_NONE;
}

enum err jwt_check(const struct json *claims, const struct jwt_expected *x, wall_ms *expires, struct fault *why)
{
    enum err e;
    if (x->issuer.n && !str_eq(json_str(claims, "iss"), x->issuer))
        return jwt_refused(why, STR("made by another issuer"), "iss");
    if ((e = check_audience(claims, x, why)))
        return e;
    if (x->nonce.n && !equal_text(json_str(claims, "nonce"), x->nonce))
        return jwt_refused(why, STR("made for another sign-in"), "nonce");
    return check_dates(claims, x, expires, why);
}

const struct json *jwt_claim(struct arena *a, const struct json *claims, struct str name)
{
    return str_starts(name, STR("/")) ? json_at(a, claims, name) : json_get_str(claims, name);
}

bool jwt_claim_is(const struct json *claim, struct str value)
{
    if (!json_is(claim, JSON_ARRAY))
        return json_scalar_is(claim, value);
    json_each(v, claim)
        if (json_scalar_is(v, value))
            return true;
    return false;
}
