#include "auth/jwt_caller.h"

#include "access/folder.h"
#include "auth/identity_provider.h"

static enum err refused(struct fault *why, struct str reason, const char *note)
{
    return fault(why, ERR_TOKEN_INVALID, reason, "%s", note);
}

/* ---- whose ---- */

static bool claim_holds(struct arena *a, const struct json *claims, const struct identity_claim *c)
{
    return jwt_claim_is(jwt_claim(a, claims, c->claim), c->equals);
}

static enum err linked_user(struct db *db, struct arena *a, const struct identity_provider *p, struct str subject, struct str *out,
                            struct fault *why)
{
    struct query *q = query_begin(db, "SELECT user_id FROM identity_link WHERE provider_id = $1 AND subject = $2");
    query_text(q, p->id);
    query_text(q, subject);
    *out = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

/* The first rule that holds; then the user of that subject. *most: ROLE_NONE for the principal's own. */
static enum err find_principal(struct db *db, struct arena *a, const struct identity_provider *p, const struct json *claims,
                               struct str *principal, enum role *most, struct fault *why)
{
    enum err e = ERR_NONE;
    *principal = STR_NONE;
    *most = ROLE_NONE;
    for (size_t i = 0; i < p->callers.rule_count && !principal->p; i++)
        if (claim_holds(a, claims, &p->callers.rules[i].when)) {
            *principal = p->callers.rules[i].principal;
            *most = p->callers.rules[i].role;
        }
    struct str subject = json_str(claims, "sub");
    if (!principal->p && p->callers.users && subject.n)
        e = linked_user(db, a, p, subject, principal, why);
    return e || principal->p ? e : refused(why, STR("nobody here answers to its claims"), "no rule holds");
}

static enum err load_caller(struct db *db, struct arena *a, struct str principal, enum role most, struct caller *out,
                            struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id, name, role, language, disabled FROM principal WHERE id = $1"
                                      " AND kind IN ('user', 'service_account')");
    query_text(q, principal);
    bool usable = query_next(q) && !query_get_i64(q, 4);
    *out = (struct caller){
        .principal = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .language = str_is(query_get_text(q, 3, a), "fr") ? LANG_FR : LANG_EN,
    };
    role_parse(query_get_text(q, 2, a), &out->role);
    enum err e = query_end(q, why);
    if (e)
        return e;
    out->narrowed = most;
    if (!usable || out->role == ROLE_NONE)
        return refused(why, STR("its account here is disabled"), "disabled, gone or without a role");
    return ERR_NONE;
}

/* ---- believed ---- */

static enum err check(struct arena *a, const struct identity_provider *p, const struct json *claims, wall_ms *expires,
                      struct fault *why)
{
    struct jwt_expected x = { .issuer = p->issuer, .audience = p->callers.audience,
                              .lifetime_max_s = p->callers.lifetime_max_s, .now = clock_wall() };
    enum err e = jwt_check(claims, &x, expires, why);
    for (size_t i = 0; i < p->callers.required_count && !e; i++)
        if (!claim_holds(a, claims, &p->callers.required[i]))
            e = refused(why, STR("a required claim is missing"), "required_claims");
    return e;
}

static enum err resolve_by(struct issuers *s, struct db *db, struct arena *a, const struct identity_provider *p,
                           const struct jwt *t, struct caller *out, struct fault *why)
{
    struct str principal;
    enum role most;
    wall_ms expires;
    enum err e;
    /* Claims first: what could not be taken anyway does not send us over the network. */
    if ((e = check(a, p, t->claims, &expires, why)) || (e = issuer_verify(s, p->issuer, p->keys_url, t, why)) ||
        (e = find_principal(db, a, p, t->claims, &principal, &most, why)) || (e = load_caller(db, a, principal, most, out, why)))
        return e;
    out->token = p->id;
    out->expires = expires;
    return ERR_NONE;
}

enum err jwt_caller_resolve(struct issuers *s, struct db *db, struct arena *a, struct str token, struct caller *out,
                            struct fault *why)
{
    struct jwt t;
    struct identity_provider *rows;
    size_t n;
    enum err e = jwt_read(a, token, &t, why);
    if (e)
        return e;
    struct str issuer = json_str(t.claims, "iss");
    if (!issuer.n || issuer.n > ISSUER_MAX)
        return refused(why, STR("made by another issuer"), "no iss");
    if ((e = identity_provider_list(db, a, issuer, STR_NONE, IDENTITY_PROVIDERS_MOST, &rows, &n, why)))
        return e;
    e = refused(why, STR("made by another issuer"), "no row for its issuer takes callers");
    for (size_t i = 0; i < n; i++) {
        if (rows[i].disabled || !rows[i].calls)
            continue;
        e = resolve_by(s, db, a, &rows[i], &t, out, why);
        if (e != ERR_TOKEN_INVALID)
            return e;
    }
    return e;
}
