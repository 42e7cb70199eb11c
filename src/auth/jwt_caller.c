#include "auth/jwt_caller.h"

#include "access/folder.h"
#include "access/token.h"
#include "base/encode.h"
#include "crypto/hash.h"

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

/* ---- what a rule is called where something goes on without its token ---- */

#define PRINT 8 /* bytes */
#define OF_USERS "users"

/* "idp_.../users", or a print of who the rule says they are: moved among others it is the same rule, and its limits are those of
 * today. */
static struct str rule_name(struct arena *a, const struct identity_provider *p, const struct identity_rule *r)
{
    unsigned char digest[SHA256_SIZE];
    char print[2 * PRINT + 1] = OF_USERS;
    if (r != &p->callers.users_limits) {
        AUTO_BUF b;
        buf_init(&b, 4096);
        struct json_out o = json_out(&b);
        json_open(&o, '[');
        json_put_str(&o, r->when.claim);
        json_put_str(&o, r->when.equals);
        json_put_str(&o, r->principal);
        json_close(&o, ']');
        sha256(buf_str(&b), digest);
        hex_write(print, (struct str){ (const char *)digest, PRINT });
        print[2 * PRINT] = 0;
    }
    return str_fmt(a, "%.*s/%s", STR_ARG(p->id), print);
}

struct str jwt_caller_rule(struct arena *a, const struct identity_provider *p, size_t rule)
{
    return rule_name(a, p, rule == JWT_CALLER_NO_RULE ? &p->callers.users_limits : &p->callers.rules[rule]);
}

static const struct identity_rule *rule_named(struct arena *a, const struct identity_provider *p, struct str name)
{
    if (p->callers.users && str_eq(rule_name(a, p, &p->callers.users_limits), name))
        return &p->callers.users_limits;
    for (size_t i = 0; i < p->callers.rule_count; i++)
        if (str_eq(rule_name(a, p, &p->callers.rules[i]), name))
            return &p->callers.rules[i];
    return NULL;
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
    const struct identity_rule *r = *rule == JWT_CALLER_NO_RULE ? &p->callers.users_limits : &p->callers.rules[*rule];
    out->token = p->id;
    out->rule = jwt_caller_rule(a, p, *rule);
    out->expires = expires;
    return narrow_by(a, r, claims, timed, out, why);
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

/* ---- what goes on without the token ---- */

static enum err is_linked(struct db *db, const struct identity_provider *p, struct str user, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM identity_link WHERE provider_id = $1 AND user_id = $2");
    query_text(q, p->id);
    query_text(q, user);
    *out = query_next(q);
    return query_end(q, why);
}

/* Whoever the rule speaks of, today. */
static enum err beginner_by_rule(struct db *db, struct arena *a, struct str principal, struct str name, struct caller *out,
                                 struct fault *why)
{
    struct identity_provider p;
    struct str id, rest;
    bool his = false;
    enum err e;
    str_cut(name, '/', &id, &rest);
    if ((e = identity_provider_get(db, a, id, &p, why)))
        return e;
    const struct identity_rule *r = p.disabled || !p.calls ? NULL : rule_named(a, &p, name);
    if (r == &p.callers.users_limits && (e = is_linked(db, &p, principal, &his, why)))
        return e;
    if (!r || !(his || str_eq(r->principal, principal)))
        return refused(why, STR("nobody here answers to its claims"), "the rule is gone");
    if ((e = load_caller(db, a, principal, out, why)))
        return e;
    out->begun_by = arena_str(a, name);
    return narrow_by(a, r, NULL, false, out, why);
}

enum err jwt_caller_beginner(struct db *db, struct arena *a, struct str principal, struct str begun_by, struct caller *out,
                             struct fault *why)
{
    struct fault unusable;
    if (!str_starts(begun_by, STR("idp_")))
        return token_beginner(db, a, principal, begun_by, out, why);
    enum err e = beginner_by_rule(db, a, principal, begun_by, out, &unusable);
    if (e == ERR_TOKEN_INVALID || e == ERR_NOT_FOUND)
        return fault(why, ERR_AUTHORIZATION_OVER, STR(""), "the rule for its beginner's tokens is gone, disabled or has ended");
    if (e && why)
        *why = unusable;
    return e;
}
