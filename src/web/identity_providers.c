/* web/identity_providers.c - whom the hub believes about who somebody is: who signs in through them, which of their tokens call. */
#include "access/rights.h"
#include "auth/identity_groups.h"
#include "auth/identity_provider.h"
#include "auth/issuer.h"
#include "web/body.h"
#include "web/change.h"
#include "web/grants.h"
#include "web/handlers.h"
#include "web/oidc.h"
#include "web/page.h"

#define NAME_MOST 100
#define KEY_MOST 40

static void write_provider(struct json_out *o, const struct web_request *q, const struct identity_provider *p)
{
    json_open(o, '{');
    json_member_str(o, "id", p->id);
    json_member_str(o, "key", p->key);
    json_member_str(o, "name", p->name);
    json_member_str(o, "issuer", p->issuer);
    json_member_str(o, "jwks_uri", p->keys_url.n ? p->keys_url : STR_NONE);
    json_member_bool(o, "disabled", p->disabled);
    json_key(o, "client_secret");
    json_open(o, '{');
    json_member_bool(o, "set", p->secret_updated != 0);
    json_member_time(o, "updated_at", p->secret_updated);
    json_close(o, '}');
    json_member_str(o, "redirect_uri", oidc_redirect_uri(q));
    json_key(o, "sign_in");
    if (p->signs_in)
        identity_provider_write_sign_in(o, p);
    else
        json_put_null(o);
    json_key(o, "jwt_callers");
    if (p->calls)
        identity_provider_write_callers(o, p);
    else
        json_put_null(o);
    json_member_time(o, "created_at", p->created);
    json_member_time(o, "updated_at", p->updated);
    json_close(o, '}');
}

/* What the audit log keeps of a provider. */
static struct str told(struct web_request *q, const struct identity_provider *p)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    q->audit.object = arena_str(q->arena, p->id);
    q->audit.name = arena_str(q->arena, p->key);
    write_provider(&o, q, p);
    return change_text(q, &text);
}

static enum err reply_provider(struct web_request *q, struct reply *r, const struct identity_provider *p)
{
    reply_etag(r, q, p->revision);
    struct json_out o = json_out(&r->body);
    write_provider(&o, q, p);
    return ERR_NONE;
}

enum err identity_providers_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct identity_provider *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = identity_provider_list(q->db, q->arena, STR_NONE, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_provider(&o, q, &rows[i]);
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

enum err identity_providers_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct identity_provider p;
    enum err e = identity_provider_get(q->db, q->arena, q->params[0], &p, why);
    return e ? e : reply_provider(q, r, &p);
}

/* ---- bodies ---- */

/* It stands in the sign-in page's links: letters, digits and hyphens. */
static bool is_key(struct str key)
{
    for (size_t i = 0; i < key.n; i++)
        if (!(key.p[i] >= 'a' && key.p[i] <= 'z') && !ascii_digit(key.p[i]) && key.p[i] != '-')
            return false;
    return key.n && key.n <= KEY_MOST && key.p[0] != '-';
}

static enum err read_url(const struct web_request *q, const char *name, bool required, struct str *out, struct fault *why)
{
    struct str said;
    enum err e = body_text(body_of(q), name, required, ISSUER_MAX, &said, why);
    if (e || (!said.p && !required))
        return e;
    if (!issuer_check_url(said, why)) {
        *out = said;
        return ERR_NONE;
    }
    char subject[sizeof why->subject];
    str_copy(subject, sizeof subject, str_of(why->subject));
    fault(why, ERR_URL_INVALID, str_of(subject), "member %s", name);
    return fault_at(why, "/%s", name);
}

struct change {
    struct web_request *q;
    struct identity_provider p;
    bool secret_given;
    struct secret secret;
};

static enum err read_secret(struct change *c, struct fault *why)
{
    const struct json *v = json_get(body_of(c->q), "client_secret");
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_NULL && (v->type != JSON_STRING || !v->text.n))
        return body_fault(why, ERR_FIELD_INVALID, "client_secret", "text is expected");
    if (v->type == JSON_STRING && v->text.n > IDENTITY_SECRET_MOST)
        return body_fault(why, ERR_FIELD_INVALID, "client_secret", "at most 1024 bytes");
    c->secret_given = true;
    if (v->type == JSON_STRING)
        c->secret = secret_from(v->text);
    return ERR_NONE;
}

/* A member that is there replaces the whole of it; null takes it away; absent leaves it. */
static enum err read_halves(struct change *c, struct db *db, struct fault *why)
{
    const struct json *body = body_of(c->q), *sign_in, *callers;
    struct identity_provider before = c->p;
    struct grants_finder f = grants_finder_of(c->q);
    enum err e;
    if ((e = body_object(body, "sign_in", &sign_in, why)) || (e = body_object(body, "jwt_callers", &callers, why)) ||
        (e = identity_provider_read(db, c->q->arena, &f, sign_in, callers, &c->p, why)))
        return e;
    if (!json_get(body, "sign_in")) {
        c->p.signs_in = before.signs_in;
        c->p.sign_in = before.sign_in;
    }
    if (!json_get(body, "jwt_callers")) {
        c->p.calls = before.calls;
        c->p.callers = before.callers;
    }
    if (!c->p.signs_in && !c->p.calls)
        return body_fault(why, ERR_FIELD_REQUIRED, "sign_in", "");
    return ERR_NONE;
}

static enum err write_secret(struct change *c, struct db *db, struct fault *why)
{
    return c->secret_given ? identity_provider_set_secret(db, c->q->hub->keyring, &c->p, c->secret, why) : ERR_NONE;
}

/* ---- changes ---- */

static enum err check_reach(struct web_request *q, struct db *db, const struct identity_provider *p, struct fault *why)
{
    bool owner;
    enum err e = identity_provider_reaches_owner(db, p, &owner, why);
    if (!e && owner && q->caller->role != ROLE_OWNER)
        e = fault(why, ERR_DENIED, STR("role above your own"), "an owner signs in or calls through %.*s", STR_ARG(p->key));
    return e;
}

/* "shared/sales" or an id; one that is not there is refused where mappings are applied. */
static enum err may_map_to(struct web_request *q, struct db *db, struct str folder, enum role role, struct fault *why)
{
    struct query *found = query_begin(db, "SELECT id FROM folder WHERE (path = $1 OR id = $1) AND kind = 'shared'");
    query_text(found, folder);
    struct str id = query_next(found) ? query_get_text(found, 0, q->arena) : STR_NONE;
    enum err e = query_end(found, why);
    return e || !id.p ? e : rights_may_give_in(db, q->arena, q->caller, id, role, why);
}

/* Nobody gives a right that they do not have: not by a group of the provider's either, nor to whoever shows a claim. */
static enum err check_sign_in(struct web_request *q, struct db *db, const struct identity_sign_in *s, struct fault *why)
{
    if (s->default_role != ROLE_NONE && rights_may_give(q->caller, s->default_role, why))
        return fault_at(why, "/sign_in/default_role");
    for (size_t i = 0; i < s->mapping_count; i++) {
        const struct identity_mapping *m = &s->mappings[i];
        if (m->folder.n ? may_map_to(q, db, m->folder, m->role, why) : rights_may_give(q->caller, m->role, why))
            return fault_at(why, "/sign_in/groups/%zu/role", i);
    }
    return ERR_NONE;
}

static enum err role_of(struct db *db, struct str principal, enum role *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    struct query *q = query_begin(db, "SELECT role FROM principal WHERE id = $1");
    query_text(q, principal);
    *out = ROLE_NONE;
    if (query_next(q))
        role_parse(query_get_text(q, 0, a), out);
    return query_end(q, why);
}

static enum err check_given(struct web_request *q, struct db *db, const struct identity_provider *p, struct fault *why)
{
    enum err e = check_reach(q, db, p, why);
    if (!e && p->signs_in)
        e = check_sign_in(q, db, &p->sign_in, why);
    for (size_t i = 0; !e && p->calls && i < p->callers.rule_count; i++) {
        enum role role;
        if ((e = role_of(db, p->callers.rules[i].principal, &role, why)) ||
            (role != ROLE_NONE && (e = rights_may_give(q->caller, role, why))))
            return fault_at(why, "/jwt_callers/rules/%zu/principal", i);
    }
    return e;
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum err e;
    if ((e = read_halves(c, db, why)) || (e = check_given(c->q, db, &c->p, why)))
        return e;
    e = identity_provider_insert(db, c->q->arena, &c->p, why);
    if (e == ERR_CONFLICT)
        return fault_at(why, "/key");
    if (e || (e = identity_groups_apply(db, c->q->arena, &c->p, why)) || (e = write_secret(c, db, why)))
        return e;
    c->q->audit.after = told(c->q, &c->p);
    return ERR_NONE;
}

static enum err create(struct change *c, struct fault *why)
{
    static const char *const members[] = { "key",           "name",    "issuer",      "jwks_uri", "disabled",
                                           "client_secret", "sign_in", "jwt_callers", NULL };
    const struct json *body = body_of(c->q);
    enum err e;
    if ((e = json_only(body, members, "", why)) || (e = body_text(body, "key", true, KEY_MOST, &c->p.key, why)))
        return e;
    if (!is_key(c->p.key))
        return body_fault(why, ERR_FIELD_INVALID, "key", "small letters, digits and hyphens");
    if ((e = body_text(body, "name", false, NAME_MOST, &c->p.name, why)) ||
        (e = read_url(c->q, "issuer", true, &c->p.issuer, why)) || (e = read_url(c->q, "jwks_uri", false, &c->p.keys_url, why)) ||
        (e = body_bool(body, "disabled", &c->p.disabled, why)) || (e = read_secret(c, why)))
        return e;
    if (!c->p.name.n)
        c->p.name = c->p.key;
    return web_write(c->q, insert, c, why);
}

/* The answer is written before the body is wiped, which it points into. */
static enum err finish(struct change *c, struct reply *r, enum err e)
{
    struct web_request *q = c->q;
    if (!e) {
        switchboard_forget_tokens(q->hub->switchboard);
        e = reply_provider(q, r, &c->p);
    }
    secret_end(&c->secret);
    body_wipe(q);
    return e;
}

enum err identity_providers_create(struct web_request *q, struct reply *r, struct fault *why)
{
    struct change c = { .q = q };
    enum err e = web_step_up(q, why);
    if (!e)
        e = create(&c, why);
    if (!e) {
        r->status = 201;
        reply_header(r, "Location",
                     str_fmt(q->arena, "%.*s/api/v1/identity-providers/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c.p.id)));
    }
    return finish(&c, r, e);
}

static enum err update(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    struct web_request *q = c->q;
    const struct json *body = body_of(q);
    struct str name;
    enum err e;
    if ((e = identity_provider_get(db, q->arena, q->params[0], &c->p, why)) || (e = web_if_match(q, c->p.revision, why)) ||
        (e = check_reach(q, db, &c->p, why)))
        return e;
    q->audit.before = told(q, &c->p);
    if ((e = body_text(body, "name", json_get(body, "name") != NULL, NAME_MOST, &name, why)) ||
        (e = body_bool(body, "disabled", &c->p.disabled, why)) || (e = read_halves(c, db, why)))
        return e;
    if ((e = check_given(q, db, &c->p, why)))
        return e;
    if (name.p)
        c->p.name = name;
    if (json_get(body, "jwks_uri"))
        c->p.keys_url = STR("");
    if ((e = read_url(q, "jwks_uri", false, &c->p.keys_url, why)) || (e = identity_provider_update(db, q->arena, &c->p, why)))
        return e;
    if ((e = identity_groups_apply(db, q->arena, &c->p, why)) || (e = write_secret(c, db, why)))
        return e;
    q->audit.after = told(q, &c->p);
    return ERR_NONE;
}

static enum err patch(struct change *c, struct fault *why)
{
    static const char *const members[] = { "name", "jwks_uri", "disabled", "client_secret", "sign_in", "jwt_callers", NULL };
    const struct json *body = body_of(c->q);
    enum err e;
    if (json_get(body, "issuer") || json_get(body, "key"))
        return body_fault(why, ERR_FIELD_IMMUTABLE, json_get(body, "issuer") ? "issuer" : "key", "");
    if ((e = json_only(body, members, "", why)) || (e = read_secret(c, why)))
        return e;
    return web_write(c->q, update, c, why);
}

enum err identity_providers_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    struct change c = { .q = q };
    enum err e = web_step_up(q, why);
    return finish(&c, r, e ? e : patch(&c, why));
}

static enum err remove_provider(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    struct identity_provider p;
    enum err e;
    if ((e = identity_provider_get(db, q->arena, q->params[0], &p, why)) || (e = web_if_match(q, p.revision, why)) ||
        (e = check_reach(q, db, &p, why)))
        return e;
    q->audit.before = told(q, &p);
    e = identity_groups_remove(db, p.id, why);
    return e ? e : identity_provider_delete(db, p.id, why);
}

enum err identity_providers_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, remove_provider, q, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}
