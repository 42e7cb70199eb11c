#include "auth/jwt_caller.h"

#include "access/folder.h"

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

/* The first rule that holds; then the user of that subject. */
static enum err find_principal(struct db *db, struct arena *a, const struct identity_provider *p, const struct json *claims,
                               struct str *principal, size_t *rule, struct fault *why)
{
    enum err e = ERR_NONE;
    *principal = STR_NONE;
    *rule = JWT_CALLER_NO_RULE;
    for (size_t i = 0; i < p->callers.rule_count; i++)
        if (claim_holds(a, claims, &p->callers.rules[i].when)) {
            *principal = p->callers.rules[i].principal;
            *rule = i;
            return ERR_NONE;
        }
    struct str subject = json_str(claims, "sub");
    if (p->callers.users && subject.n)
        e = linked_user(db, a, p, subject, principal, why);
    return e || principal->p ? e : refused(why, STR("nobody here answers to its claims"), "no rule holds");
}

/* A rule that has ended goes on to say whose the token is: no later, wider one is asked. */
static enum err narrow_by(struct arena *a, const struct identity_rule *r, const struct json *claims, bool timed, struct caller *c,
                          struct fault *why)
{
    enum err e;
    if (r->expires && r->expires <= clock_wall())
        return refused(why, STR("the rule that names its bearer has ended"), "expires_at of the rule");
    if (r->lifetime_max_s && timed && (e = jwt_check_lifetime(claims, r->lifetime_max_s, why)))
        return e;
    c->narrowed = r->role;
    c->narrow = r->narrow;
    narrow_prepare(a, &c->narrow);
    if (r->expires && (!c->expires || r->expires < c->expires))
        c->expires = r->expires;
    return ERR_NONE;
}

static enum err load_caller(struct db *db, struct arena *a, struct str principal, struct caller *out, struct fault *why)
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
    if (!usable || out->role == ROLE_NONE)
        return refused(why, STR("its account here is disabled"), "disabled, gone or without a role");
    return ERR_NONE;
}

static enum err find_caller(struct db *db, struct arena *a, const struct identity_provider *p, const struct json *claims,
                            bool timed, wall_ms expires, struct caller *out, size_t *rule, struct fault *why)
{
    struct str principal;
    enum err e;
    if ((e = find_principal(db, a, p, claims, &principal, rule, why)) || (e = load_caller(db, a, principal, out, why)))
        return e;
    out->token = p->id;
    out->expires = expires;
    return *rule == JWT_CALLER_NO_RULE ? ERR_NONE : narrow_by(a, &p->callers.rules[*rule], claims, timed, out, why);
}

static enum err check_required(struct arena *a, const struct identity_provider *p, const struct json *claims, struct fault *why)
{
    for (size_t i = 0; i < p->callers.required_count; i++)
        if (!claim_holds(a, claims, &p->callers.required[i]))
            return refused(why, STR("a required claim is missing"), "required_claims");
    return ERR_NONE;
}

enum err jwt_caller_of_claims(struct db *db, struct arena *a, const struct identity_provider *p, const struct json *claims,
                              struct caller *out, size_t *rule, struct fault *why)
{
    *rule = JWT_CALLER_NO_RULE;
    if (p->disabled || !p->calls)
        return refused(why, STR("made by another issuer"), "disabled, or takes no callers");
    enum err e = check_required(a, p, claims, why);
    return e ? e : find_caller(db, a, p, claims, json_get(claims, "exp") != NULL, 0, out, rule, why);
}

/* ---- believed ---- */

static enum err check(struct arena *a, const struct identity_provider *p, const struct json *claims, wall_ms *expires,
                      struct fault *why)
{
    struct jwt_expected x = { .issuer = p->issuer, .audience = p->callers.audience,
                              .lifetime_max_s = p->callers.lifetime_max_s, .now = clock_wall() };
    enum err e = jwt_check(claims, &x, expires, why);
    return e ? e : check_required(a, p, claims, why);
}

static enum err resolve_by(struct issuers *s, struct db *db, struct arena *a, const struct identity_provider *p,
                           const struct jwt *t, struct caller *out, struct fault *why)
{
    wall_ms expires;
    size_t rule;
    enum err e;
    /* Claims first: what could not be taken anyway does not send us over the network. */
    if ((e = check(a, p, t->claims, &expires, why)) || (e = issuer_verify(s, p->issuer, p->keys_url, t, why)))
        return e;
    return find_caller(db, a, p, t->claims, true, expires, out, &rule, why);
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
