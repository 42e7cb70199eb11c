/* The half of auth/identity_provider.h that reads and writes its two members, `sign_in` and `jwt_callers`: what the API takes and
 * shows is what the store keeps. */
#include "auth/identity_provider.h"

#include <stdio.h>

#define TEXT_MOST 256 /* bytes of a name, a value, a group */
#define SCOPES_MOST 1024
#define LIFETIME_LEAST_S 60

/* ---- members ---- */

struct where {
    const char *parent; /* JSON pointer of the object */
    struct fault *why;
};

static enum err bad(const struct where *w, enum err e, const char *name, const char *says)
{
    char subject[200];
    snprintf(subject, sizeof subject, "%s%s%s", name, *says ? ": " : "", says);
    fault(w->why, e, str_of(subject), "member %s", name);
    return fault_at(w->why, "%s/%s", w->parent, name);
}

/* Absent or null: *out stays as it is. */
static enum err text(const struct json *o, const char *name, const struct where *w, bool required, size_t most, struct str *out)
{
    const struct json *v = json_get(o, name);
    if (!v || v->type == JSON_NULL)
        return required ? bad(w, ERR_FIELD_REQUIRED, name, "") : ERR_NONE;
    if (v->type != JSON_STRING)
        return bad(w, ERR_FIELD_INVALID, name, "text is expected");
    if (!v->text.n)
        return bad(w, ERR_FIELD_REQUIRED, name, "");
    if (v->text.n > most || str_has_control(v->text))
        return bad(w, ERR_FIELD_INVALID, name, "too long, or control characters");
    *out = v->text;
    return ERR_NONE;
}

static enum err truth(const struct json *o, const char *name, const struct where *w, bool *out)
{
    const struct json *v = json_get(o, name);
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE)
        return bad(w, ERR_FIELD_INVALID, name, "true or false is expected");
    *out = v->type == JSON_TRUE;
    return ERR_NONE;
}

/* Absent or null: NULL, and no fault. */
static enum err list(const struct json *o, const char *name, const struct where *w, const struct json **out)
{
    const struct json *v = json_get(o, name);
    *out = v && v->type != JSON_NULL ? v : NULL;
    if (!*out)
        return ERR_NONE;
    if (v->type != JSON_ARRAY)
        return bad(w, ERR_FIELD_INVALID, name, "a list is expected");
    if (v->count > IDENTITY_LIST_MOST)
        return bad(w, ERR_FIELD_INVALID, name, "at most 100");
    return ERR_NONE;
}

static enum err texts(struct arena *a, const struct json *o, const char *name, const struct where *w, struct str **out, size_t *n)
{
    const struct json *from;
    enum err e = list(o, name, w, &from);
    if (e || !from)
        return e;
    *out = arena_array(a, from->count + 1, sizeof **out);
    *n = 0;
    json_each(v, from) {
        if (v->type != JSON_STRING || !v->text.n || v->text.n > TEXT_MOST || str_has_control(v->text))
            return bad(w, ERR_FIELD_INVALID, name, "texts are expected");
        (*out)[(*n)++] = v->text;
    }
    return ERR_NONE;
}

/* Nobody becomes an owner by what a provider says. */
static enum err role(const struct json *o, const char *name, const struct where *w, bool none_ok, enum role *out)
{
    struct str said = STR_NONE;
    enum err e = text(o, name, w, false, TEXT_MOST, &said);
    if (e || !said.p)
        return e;
    if (none_ok && str_is(said, "none"))
        *out = ROLE_NONE;
    else if (!role_parse(said, out) || *out == ROLE_OWNER)
        return bad(w, ERR_FIELD_INVALID, name, "a role below owner");
    return ERR_NONE;
}

static enum err claim_is(const struct json *o, const struct where *w, struct identity_claim *out)
{
    enum err e;
    if ((e = text(o, "claim", w, true, TEXT_MOST, &out->claim)))
        return e;
    return text(o, "equals", w, true, TEXT_MOST, &out->equals);
}

/* An element of a list of objects; says where it is. */
static enum err element(const struct json *v, const char *const *members, struct where *w, char pointer[80], const char *list_at,
                        size_t i)
{
    snprintf(pointer, 80, "%s/%zu", list_at, i);
    w->parent = pointer;
    if (v->type == JSON_OBJECT)
        return json_only(v, members, pointer, w->why);
    fault(w->why, ERR_FIELD_INVALID, STR("an object is expected"), "element %zu", i);
    return fault_at(w->why, "%s", pointer);
}

/* ---- sign_in ---- */

static const char *const token_auth_names[] = { "auto", "client_secret_basic", "client_secret_post", "none" };

static enum err read_token_auth(const struct json *o, const struct where *w, enum identity_token_auth *out)
{
    struct str said = STR_NONE;
    enum err e = text(o, "token_auth", w, false, TEXT_MOST, &said);
    if (e || !said.p)
        return e;
    for (size_t i = 0; i < COUNT(token_auth_names); i++)
        if (str_is(said, token_auth_names[i])) {
            *out = (enum identity_token_auth)i;
            return ERR_NONE;
        }
    return bad(w, ERR_FIELD_INVALID, "token_auth", "auto, client_secret_basic, client_secret_post, none");
}

static enum err read_scopes(struct arena *a, const struct json *o, const struct where *w, struct str *out)
{
    struct str *each = NULL;
    size_t n = 0;
    bool openid = false;
    AUTO_BUF all;
    buf_init(&all, SCOPES_MOST);
    enum err e = texts(a, o, "scopes", w, &each, &n);
    if (e)
        return e;
    if (!n) {
        *out = STR("openid profile email");
        return ERR_NONE;
    }
    for (size_t i = 0; i < n; i++) {
        openid |= str_is(each[i], "openid");
        if (str_find(each[i], ' ') != SIZE_MAX)
            return bad(w, ERR_FIELD_INVALID, "scopes", "a list of single scopes");
        buf_fmt(&all, i ? " %.*s" : "%.*s", STR_ARG(each[i]));
    }
    if (!openid || buf_failed(&all))
        return bad(w, ERR_FIELD_INVALID, "scopes", openid ? "too long" : "openid must be among them");
    *out = arena_str(a, buf_str(&all));
    return ERR_NONE;
}

static enum err read_claims(const struct json *o, const struct where *up, struct identity_sign_in *s)
{
    static const char *const members[] = { "subject", "email", "name", "groups", NULL };
    const struct json *c = json_get(o, "claims");
    struct where w = { "/sign_in/claims", up->why };
    enum err e;
    s->subject = STR("sub");
    s->email = STR("email");
    s->name = STR("name");
    s->groups = STR("groups");
    if (!c || c->type == JSON_NULL)
        return ERR_NONE;
    if (c->type != JSON_OBJECT)
        return bad(up, ERR_FIELD_INVALID, "claims", "an object is expected");
    if ((e = json_only(c, members, w.parent, w.why)) || (e = text(c, "subject", &w, false, TEXT_MOST, &s->subject)) ||
        (e = text(c, "email", &w, false, TEXT_MOST, &s->email)) || (e = text(c, "name", &w, false, TEXT_MOST, &s->name)))
        return e;
    return text(c, "groups", &w, false, TEXT_MOST, &s->groups);
}

static enum err read_mappings(struct arena *a, const struct json *o, const struct where *up, struct identity_sign_in *s)
{
    static const char *const members[] = { "group", "folder", "role", NULL };
    const struct json *from;
    struct where w = *up;
    char pointer[80];
    enum err e = list(o, "groups", up, &from);
    if (e || !from)
        return e;
    s->mappings = arena_array(a, from->count + 1, sizeof *s->mappings);
    json_each(v, from) {
        struct identity_mapping *m = &s->mappings[s->mapping_count];
        m->folder = STR("");
        if ((e = element(v, members, &w, pointer, "/sign_in/groups", s->mapping_count)) ||
            (e = text(v, "group", &w, true, TEXT_MOST, &m->group)) || (e = text(v, "folder", &w, false, TEXT_MOST, &m->folder)) ||
            (e = role(v, "role", &w, false, &m->role)))
            return e;
        if (m->role == ROLE_NONE)
            return bad(&w, ERR_FIELD_REQUIRED, "role", "");
        if (m->folder.n && !str_is(m->folder, "shared") && !str_starts(m->folder, STR("shared/")) &&
            !str_starts(m->folder, STR("fld_")))
            return bad(&w, ERR_FIELD_INVALID, "folder", "a shared folder");
        s->mapping_count++;
    }
    return ERR_NONE;
}

static enum err read_domains(struct arena *a, const struct json *o, const struct where *w, struct identity_sign_in *s)
{
    enum err e = texts(a, o, "email_domains", w, &s->email_domains, &s->email_domain_count);
    for (size_t i = 0; i < s->email_domain_count && !e; i++)
        if (str_find(s->email_domains[i], '@') != SIZE_MAX || str_find(s->email_domains[i], '.') == SIZE_MAX)
            e = bad(w, ERR_FIELD_INVALID, "email_domains", "domains such as example.com");
    return e;
}

static enum err read_second_factor(struct arena *a, const struct json *o, const struct where *up, struct identity_sign_in *s)
{
    static const char *const members[] = { "amr", "acr", NULL };
    const struct json *f = json_get(o, "second_factor");
    struct where w = { "/sign_in/second_factor", up->why };
    enum err e;
    if (!f || f->type == JSON_NULL)
        return ERR_NONE;
    if (f->type != JSON_OBJECT)
        return bad(up, ERR_FIELD_INVALID, "second_factor", "an object is expected");
    if ((e = json_only(f, members, w.parent, w.why)) || (e = texts(a, f, "amr", &w, &s->amr, &s->amr_count)) ||
        (e = texts(a, f, "acr", &w, &s->acr, &s->acr_count)))
        return e;
    if (!s->amr_count && !s->acr_count)
        return bad(up, ERR_FIELD_INVALID, "second_factor", "values of amr or acr");
    s->second_factor = true;
    return ERR_NONE;
}

static enum err read_sign_in(struct arena *a, const struct json *o, struct identity_sign_in *s, struct fault *why)
{
    static const char *const members[] = { "client_id", "scopes", "token_auth", "claims", "groups", "default_role", "email_domains",
                                           "create_users", "link_by_email", "accept_unverified_email", "second_factor", NULL };
    struct where w = { "/sign_in", why };
    enum err e;
    *s = (struct identity_sign_in){ .default_role = ROLE_USER };
    if ((e = json_only(o, members, w.parent, why)) || (e = text(o, "client_id", &w, true, TEXT_MOST, &s->client_id)) ||
        (e = read_scopes(a, o, &w, &s->scopes)) || (e = read_token_auth(o, &w, &s->token_auth)) || (e = read_claims(o, &w, s)) ||
        (e = read_mappings(a, o, &w, s)) || (e = role(o, "default_role", &w, true, &s->default_role)) ||
        (e = read_domains(a, o, &w, s)) || (e = truth(o, "create_users", &w, &s->create_users)) ||
        (e = truth(o, "link_by_email", &w, &s->link_by_email)) ||
        (e = truth(o, "accept_unverified_email", &w, &s->accept_unverified_email)))
        return e;
    return read_second_factor(a, o, &w, s);
}

/* ---- jwt_callers ---- */

/* `db` NULL: what is stored was looked up when it was saved. */
static enum err find_principal(struct db *db, struct arena *a, const struct where *w, struct str *principal)
{
    if (!db)
        return ERR_NONE;
    struct query *q =
        query_begin(db, "SELECT id FROM principal WHERE kind IN ('service_account', 'user') AND (id = $1 OR name = $2)"
                        " ORDER BY kind LIMIT 1");
    query_text(q, *principal);
    query_text(q, *principal);
    bool found = query_next(q);
    if (found)
        *principal = query_get_text(q, 0, a);
    enum err e = query_end(q, w->why);
    return e || found ? e : bad(w, ERR_FIELD_INVALID, "principal", "no such service account or user");
}

static enum err read_lifetime(const struct json *o, const struct where *w, int64_t *out)
{
    struct str said = STR_NONE;
    int64_t ms;
    enum err e = text(o, "max_lifetime", w, false, TEXT_MOST, &said);
    if (e || !said.p)
        return e;
    if (!duration_parse(said, &ms) || ms < LIFETIME_LEAST_S * 1000)
        return bad(w, ERR_FIELD_INVALID, "max_lifetime", "a duration such as 1h, at least 60s");
    *out = ms / 1000;
    return ERR_NONE;
}

/* One that has passed stays as it is: saving the other rules again is no reason to refuse. */
static enum err read_end(const struct json *o, const struct where *w, wall_ms *out)
{
    struct str said = STR_NONE;
    enum err e = text(o, "expires_at", w, false, TEXT_MOST, &said);
    if (e || !said.p)
        return e;
    return clock_parse(said, out) && *out > 0 ? ERR_NONE
                                              : bad(w, ERR_FIELD_INVALID, "expires_at", "a time, as 2027-01-31T00:00:00Z");
}

static enum err read_rule_grants(struct arena *a, const struct json *o, const struct where *w, const struct grants_finder *f,
                                 struct narrow *out)
{
    const struct json *g = json_get(o, "grants");
    char at[100];
    if (!g || g->type == JSON_NULL)
        return ERR_NONE;
    if (g->type != JSON_OBJECT)
        return bad(w, ERR_FIELD_INVALID, "grants", "an object is expected");
    snprintf(at, sizeof at, "%s/grants", w->parent);
    return grants_read(a, g, at, f, out, w->why);
}

/* What narrows: of a rule, or of `users`. */
static enum err read_limits(struct arena *a, const struct grants_finder *f, const struct json *o, const struct where *w,
                            struct identity_rule *r)
{
    enum err e;
    r->role = ROLE_NONE; /* as the principal's own */
    if ((e = role(o, "role", w, false, &r->role)) || (e = read_rule_grants(a, o, w, f, &r->narrow)) ||
        (e = read_lifetime(o, w, &r->lifetime_max_s)))
        return e;
    return read_end(o, w, &r->expires);
}

static enum err read_users_limits(struct arena *a, const struct grants_finder *f, const struct json *o, const struct where *up,
                                  struct identity_callers *c)
{
    static const char *const members[] = { "role", "grants", "max_lifetime", "expires_at", NULL };
    const struct json *limits = json_get(o, "users_limits");
    struct where w = { "/jwt_callers/users_limits", up->why };
    c->users_limits.role = ROLE_NONE;
    if (!limits || limits->type == JSON_NULL)
        return ERR_NONE;
    if (limits->type != JSON_OBJECT)
        return bad(up, ERR_FIELD_INVALID, "users_limits", "an object is expected");
    if (!c->users)
        return bad(up, ERR_FIELD_INVALID, "users_limits", "users is false");
    enum err e = json_only(limits, members, w.parent, w.why);
    return e ? e : read_limits(a, f, limits, &w, &c->users_limits);
}

static enum err read_rules(struct db *db, struct arena *a, const struct grants_finder *f, const struct json *o,
                           const struct where *up, struct identity_callers *c)
{
    static const char *const members[] = { "claim", "equals", "principal", "role", "grants", "max_lifetime", "expires_at", NULL };
    const struct json *from;
    struct where w = *up;
    char pointer[80];
    enum err e = list(o, "rules", up, &from);
    if (e || !from)
        return e;
    c->rules = arena_array(a, from->count + 1, sizeof *c->rules);
    json_each(v, from) {
        struct identity_rule *r = &c->rules[c->rule_count];
        if ((e = element(v, members, &w, pointer, "/jwt_callers/rules", c->rule_count)) || (e = claim_is(v, &w, &r->when)) ||
            (e = text(v, "principal", &w, true, TEXT_MOST, &r->principal)) || (e = find_principal(db, a, &w, &r->principal)) ||
            (e = read_limits(a, f, v, &w, r)))
            return e;
        c->rule_count++;
    }
    return ERR_NONE;
}

static enum err read_required(struct arena *a, const struct json *o, const struct where *up, struct identity_callers *c)
{
    static const char *const members[] = { "claim", "equals", NULL };
    const struct json *from;
    struct where w = *up;
    char pointer[80];
    enum err e = list(o, "required_claims", up, &from);
    if (e || !from)
        return e;
    c->required = arena_array(a, from->count + 1, sizeof *c->required);
    json_each(v, from) {
        if ((e = element(v, members, &w, pointer, "/jwt_callers/required_claims", c->required_count)) ||
            (e = claim_is(v, &w, &c->required[c->required_count])))
            return e;
        c->required_count++;
    }
    return ERR_NONE;
}

static enum err read_callers(struct db *db, struct arena *a, const struct grants_finder *f, const struct json *o,
                             struct identity_callers *c, struct fault *why)
{
    static const char *const members[] = { "audience",        "users",        "users_limits", "rules",
                                           "required_claims", "max_lifetime", NULL };
    struct where w = { "/jwt_callers", why };
    enum err e;
    *c = (struct identity_callers){ 0 };
    if ((e = json_only(o, members, w.parent, why)) || (e = text(o, "audience", &w, true, TEXT_MOST, &c->audience)) ||
        (e = truth(o, "users", &w, &c->users)) || (e = read_users_limits(a, f, o, &w, c)) || (e = read_rules(db, a, f, o, &w, c)) ||
        (e = read_required(a, o, &w, c)) || (e = read_lifetime(o, &w, &c->lifetime_max_s)))
        return e;
    if (!c->users && !c->rule_count)
        return bad(&w, ERR_FIELD_REQUIRED, "rules", "");
    return ERR_NONE;
}

enum err identity_provider_read(struct db *db, struct arena *a, const struct grants_finder *f, const struct json *sign_in,
                                const struct json *callers, struct identity_provider *out, struct fault *why)
{
    enum err e;
    out->signs_in = sign_in != NULL;
    out->calls = callers != NULL;
    if (sign_in && (e = read_sign_in(a, sign_in, &out->sign_in, why)))
        return e;
    return callers ? read_callers(db, a, f, callers, &out->callers, why) : ERR_NONE;
}

/* ---- writing ---- */

static void write_texts(struct json_out *o, const char *name, const struct str *each, size_t n)
{
    json_key(o, name);
    json_open(o, '[');
    for (size_t i = 0; i < n; i++)
        json_put_str(o, each[i]);
    json_close(o, ']');
}

static void write_scopes(struct json_out *o, struct str scopes)
{
    struct str piece;
    json_key(o, "scopes");
    json_open(o, '[');
    while (str_piece(&scopes, ' ', &piece))
        json_put_str(o, piece);
    json_close(o, ']');
}

static void write_second_factor(struct json_out *o, const struct identity_sign_in *s)
{
    if (!s->second_factor) {
        json_member_null(o, "second_factor");
        return;
    }
    json_key(o, "second_factor");
    json_open(o, '{');
    write_texts(o, "amr", s->amr, s->amr_count);
    write_texts(o, "acr", s->acr, s->acr_count);
    json_close(o, '}');
}

void identity_provider_write_sign_in(struct json_out *o, const struct identity_provider *p)
{
    const struct identity_sign_in *s = &p->sign_in;
    json_open(o, '{');
    json_member_str(o, "client_id", s->client_id);
    write_scopes(o, s->scopes);
    json_member_str(o, "token_auth", str_of(token_auth_names[s->token_auth]));
    json_key(o, "claims");
    json_open(o, '{');
    json_member_str(o, "subject", s->subject);
    json_member_str(o, "email", s->email);
    json_member_str(o, "name", s->name);
    json_member_str(o, "groups", s->groups);
    json_close(o, '}');
    json_key(o, "groups");
    json_open(o, '[');
    for (size_t i = 0; i < s->mapping_count; i++) {
        json_open(o, '{');
        json_member_str(o, "group", s->mappings[i].group);
        json_member_str(o, "folder", s->mappings[i].folder.n ? s->mappings[i].folder : STR_NONE);
        json_member_str(o, "role", str_of(role_name(s->mappings[i].role)));
        json_close(o, '}');
    }
    json_close(o, ']');
    json_member_str(o, "default_role", str_of(role_name(s->default_role)));
    write_texts(o, "email_domains", s->email_domains, s->email_domain_count);
    json_member_bool(o, "create_users", s->create_users);
    json_member_bool(o, "link_by_email", s->link_by_email);
    json_member_bool(o, "accept_unverified_email", s->accept_unverified_email);
    write_second_factor(o, s);
    json_close(o, '}');
}

static void write_claim_is(struct json_out *o, const struct identity_claim *c)
{
    json_member_str(o, "claim", c->claim);
    json_member_str(o, "equals", c->equals);
}

static void write_lifetime(struct json_out *o, int64_t seconds)
{
    char text[32];
    snprintf(text, sizeof text, "%llds", (long long)seconds);
    json_member_str(o, "max_lifetime", seconds ? str_of(text) : STR_NONE);
}

static void write_limits(struct json_out *o, const struct identity_rule *r)
{
    json_member_str(o, "role", r->role == ROLE_NONE ? STR_NONE : str_of(role_name(r->role)));
    json_key(o, "grants");
    grants_write(o, &r->narrow);
    write_lifetime(o, r->lifetime_max_s);
    json_member_time(o, "expires_at", r->expires);
}

static void write_rule(struct json_out *o, const struct identity_rule *r)
{
    json_open(o, '{');
    write_claim_is(o, &r->when);
    json_member_str(o, "principal", r->principal);
    write_limits(o, r);
    json_close(o, '}');
}

void identity_provider_write_callers(struct json_out *o, const struct identity_provider *p)
{
    const struct identity_callers *c = &p->callers;
    json_open(o, '{');
    json_member_str(o, "audience", c->audience);
    json_member_bool(o, "users", c->users);
    json_key(o, "users_limits");
    if (c->users) {
        json_open(o, '{');
        write_limits(o, &c->users_limits);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    json_key(o, "rules");
    json_open(o, '[');
    for (size_t i = 0; i < c->rule_count; i++)
        write_rule(o, &c->rules[i]);
    json_close(o, ']');
    json_key(o, "required_claims");
    json_open(o, '[');
    for (size_t i = 0; i < c->required_count; i++) {
        json_open(o, '{');
        write_claim_is(o, &c->required[i]);
        json_close(o, '}');
    }
    json_close(o, ']');
    write_lifetime(o, c->lifetime_max_s);
    json_close(o, '}');
}
