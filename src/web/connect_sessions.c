/* web/connect_sessions.c - links for people without an account here: made, asked about, withdrawn (API-05). */
#include "auth/connect_session.h"

#include "auth/authorization.h"
#include "web/acting.h"
#include "access/folder.h"
#include "access/rights.h"
#include "catalog/connector.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/handlers.h"

#define WANTED_MAX (64 * 1024)

struct making {
    struct web_request *q;
    struct connect_session s;
    struct connection_row row;
    char link[CONNECT_SESSION_TEXT];
};

static void write_session(struct json_out *o, const struct connect_session *s, struct str url, struct str reason)
{
    json_open(o, '{');
    json_member_str(o, "id", s->id);
    json_member_str(o, "connection", s->connection.n ? s->connection : STR_NONE);
    json_member_str(o, "state", str_of(connect_session_state_name(s->state)));
    json_member_bool(o, "opened", s->begun);
    json_member_bool(o, "change_fields", s->change_fields);
    json_member_bool(o, "accept_account_change", s->accept_account);
    json_member_str(o, "reason", reason.n ? reason : STR_NONE);
    if (url.n)
        json_member_str(o, "url", url);
    json_member_time(o, "created_at", s->created);
    json_member_time(o, "expires_at", s->expires);
    json_member_time(o, "ended_at", s->ended);
    json_close(o, '}');
}

static void name_object(struct web_request *q, const struct connect_session *s, const struct connection_row *row)
{
    q->audit.object = s->id;
    q->audit.name = row->name;
    q->audit.folder = row->folder;
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct making *m = context;
    struct web_request *q = m->q;
    enum err e = m->row.id.n ? connection_need(q, db, m->row.id, RIGHT_SECRETS_WRITE, &m->row, why)
                             : rights_need(db, q->arena, q->caller, m->row.folder, RIGHT_EDIT, why);
    if (!e && m->s.change_fields)
        e = rights_need_on_connection(db, q->arena, q->caller, m->row.id, m->row.folder, RIGHT_EDIT, why);
    if (e || (e = connect_session_begin(db, q->arena, &m->s, m->link, why)))
        return e;
    name_object(q, &m->s, &m->row);
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    json_member_str(&o, "connection", m->row.id.n ? m->row.id : STR_NONE);
    json_member_bool(&o, "change_fields", m->s.change_fields);
    json_member_bool(&o, "accept_account_change", m->s.accept_account);
    json_member_time(&o, "expires_at", m->s.expires);
    json_close(&o, '}');
    q->audit.after = change_text(q, &text);
    return ERR_NONE;
}

/* The other members are those of a new connection, which nobody has authenticated yet: it is made as any other. */
static enum err of_new_one(struct web_request *q, struct json **out, struct fault *why)
{
    struct json *rest = json_new(q->arena, JSON_OBJECT), *last = NULL;
    json_each (v, q->json) {
        if (str_is(v->key, "expires_in") || str_is(v->key, "ask_fields"))
            continue;
        struct json *copy = json_new(q->arena, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(q->arena, rest, &last, copy);
    }
    *out = rest;
    return json_get(rest, "credentials") ? body_fault(why, ERR_UNKNOWN_FIELD, "credentials", "") : ERR_NONE;
}

static enum err make_connection(struct web_request *q, struct reply *r, struct str *id, struct fault *why)
{
    struct json *all = q->json, *rest;
    enum err e = of_new_one(q, &rest, why);
    if (e)
        return e;
    q->json = rest;
    q->audit.action = "connection.create";
    e = connections_create(q, r, why);
    q->json = all;
    *id = q->audit.object;
    q->audit = (struct web_audit){ .written = q->audit.written };
    buf_clear(&r->body);
    r->header_count = 0;
    r->status = 200;
    return e;
}

/* What the person does not have to enter is looked at now; the rest when it comes. */
static enum err want_connection(struct making *m, struct fault *why)
{
    static const char *const members[] = { "connector", "auth_type", "key", "name", "folder", "allowed_domain", "fields",
                                           "oauth_client", "scopes", "notes", "default", "tls_ca", "tags", NULL };
    struct web_request *q = m->q;
    struct json *rest;
    struct folder_row folder;
    struct str connector, type, key, name, path;
    const struct json *fields;
    enum err e;
    if ((e = of_new_one(q, &rest, why)) || (e = json_only(rest, members, "", why)) ||
        (e = body_text(rest, "connector", true, 128, &connector, why)) ||
        (e = body_text(rest, "auth_type", false, 64, &type, why)) || (e = body_text(rest, "key", false, 256, &key, why)) ||
        (e = body_text(rest, "name", false, 512, &name, why)) || (e = body_text(rest, "folder", false, 1024, &path, why)) ||
        (e = body_object(rest, "fields", &fields, why)))
        return e;
    const struct connector *c = catalog_find(q->hub->catalog, connector);
    if (!c)
        return body_fault(why, ERR_CONNECTOR_NOT_FOUND, "connector", arena_cstr(q->arena, connector));
    if (type.p && !connector_auth_find(c, type))
        return body_fault(why, ERR_AUTH_TYPE_NOT_OFFERED, "auth_type", arena_cstr(q->arena, type));
    if (caller_limited(q->caller))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_EDIT)), "a token limited to connections makes no new one");
    bool user = str_starts(q->caller->principal, STR("usr_"));
    if ((e = folder_resolve(q->db, q->arena, q->caller, path.p ? path : user ? STR("personal") : STR("shared"), &folder, why)))
        return fault_at(why, "/folder");
    AUTO_BUF text;
    buf_init(&text, WANTED_MAX);
    struct json_out o = json_out(&text);
    json_put(&o, rest);
    if (buf_failed(&text))
        return fault(why, ERR_LIMIT, STR("64 KiB of settings"), "connect session");
    m->s.wanted = arena_str(q->arena, buf_str(&text));
    m->row = (struct connection_row){ .folder = folder.id, .name = name.n ? name : key.n ? key : c->name };
    return ERR_NONE;
}

static enum err read_time(struct web_request *q, wall_ms *expires, struct fault *why)
{
    struct str text;
    int64_t ms = CONNECT_SESSION_MS;
    enum err e = body_text(body_of(q), "expires_in", false, 32, &text, why);
    if (e)
        return e;
    if (text.p && (!duration_parse(text, &ms) || ms < 60 * 1000 || ms > CONNECT_SESSION_MOST_MS))
        return body_fault(why, ERR_FIELD_INVALID, "expires_in", "1m to 24h");
    *expires = clock_wall() + ms;
    return ERR_NONE;
}

enum err connect_sessions_create(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const of_connection[] = { "connection", "expires_in", "change_fields",
                                                 "accept_account_change", NULL },
                     *const allowed[] = { "folder", NULL };
    struct making m = { .q = q };
    struct str wanted, id;
    bool ask = false;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = body_text(body_of(q), "connection", false, 256, &wanted, why)) ||
        (e = body_bool(body_of(q), "ask_fields", &ask, why)) || (e = read_time(q, &m.s.expires, why)))
        return e;
    if (wanted.p && ((e = json_only(body_of(q), of_connection, "", why)) ||
                     (e = body_bool(body_of(q), "accept_account_change", &m.s.accept_account, why)) ||
                     (e = body_bool(body_of(q), "change_fields", &m.s.change_fields, why))))
        return e;
    caller_asked(q->caller, RIGHT_SECRETS_WRITE);
    if (!wanted.p && (e = ask ? want_connection(&m, why) : make_connection(q, r, &id, why)))
        return e;
    if (!m.s.wanted.n && (e = connection_need(q, q->db, wanted.p ? wanted : id, RIGHT_SECRETS_WRITE, &m.row, why)))
        return e;
    m.s.connection = m.s.wanted.n ? STR("") : m.row.id;
    m.s.principal = q->caller->principal;
    m.s.token = acting_token(q->caller);
    if ((e = web_write(q, insert, &m, why)))
        return e;
    r->status = 201;
    struct json_out o = json_out(&r->body);
    write_session(&o, &m.s, str_fmt(q->arena, "%.*s/connect/%s", STR_ARG(q->hub->public_url), m.link), STR(""));
    return ERR_NONE;
}

static enum err find(struct web_request *q, struct db *db, enum right right, struct connect_session *s, struct connection_row *row,
                     struct fault *why)
{
    caller_asked(q->caller, right);
    enum err e = connect_session_get(db, q->arena, q->params[0], s, why);
    *row = (struct connection_row){ .name = STR(""), .folder = STR("") };
    if (!e && !s->connection.n && str_eq(s->principal, q->caller->principal))
        return ERR_NONE; /* until there is a connection, it is its maker's alone */
    if (e || (s->connection.n && (e = connection_need(q, db, s->connection, right, row, why)) != ERR_CONNECTION_NOT_FOUND))
        return e;
    return fault(why, ERR_NOT_FOUND, STR("connect session"), "of a connection not seen");
}

enum err connect_sessions_get(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { NULL };
    struct connect_session s;
    struct connection_row row;
    struct authorization t = { .reason = STR("") };
    struct fault gone;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = find(q, q->db, RIGHT_VIEW, &s, &row, why)))
        return e;
    if (s.authorization.n && (e = authorization_get(q->db, q->arena, s.authorization, &t, &gone)) && e != ERR_NOT_FOUND) {
        *why = gone;
        return e;
    }
    struct json_out o = json_out(&r->body);
    write_session(&o, &s, STR(""), s.state == CONNECT_DONE ? STR("") : t.reason);
    return ERR_NONE;
}

static enum err withdraw(struct db *db, void *context, struct fault *why)
{
    struct making *m = context;
    enum err e = find(m->q, db, RIGHT_SECRETS_WRITE, &m->s, &m->row, why);
    if (e)
        return e;
    name_object(m->q, &m->s, &m->row);
    return connect_session_withdraw(db, m->s.id, why);
}

enum err connect_sessions_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { NULL };
    struct making m = { .q = q };
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = web_write(q, withdraw, &m, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}
