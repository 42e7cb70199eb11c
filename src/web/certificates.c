/* web/certificates.c - client certificates: their public chains for providers, and the turn from one to the next. */
#include "web/certificates.h"

#include "call/switchboard.h"
#include "web/body.h"
#include "web/change.h"
#include "web/client_certificate.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/page.h"

#define WARN_DAYS 60
#define METRIC_ROWS 200 /* the ones that end first */
#define BATCHES 20      /* of a page whose rows are mostly not the caller's to see */

/* ---- showing ---- */

static const char *warning(const struct certificate_row *row, wall_ms now)
{
    if (row->state == CERTIFICATE_RETIRED)
        return NULL;
    return row->not_after <= now ? "expired" : certificate_days(row->not_after, now) < WARN_DAYS ? "expiring" : NULL;
}

static void write_facts(struct json_out *o, const struct certificate_row *row)
{
    wall_ms now = clock_wall();
    const char *word = warning(row, now);
    json_member_str(o, "id", row->id);
    json_member_str(o, "source", str_of(certificate_source_name(row->source)));
    json_member_str(o, "state", str_of(certificate_state_name(row->state)));
    json_member_str(o, "subject", row->subject);
    json_member_str(o, "issuer", row->issuer);
    json_member_str(o, "serial", row->serial);
    json_member_str(o, "fingerprint", row->fingerprint);
    json_member_bool(o, "client_auth", row->client_auth);
    json_member_time(o, "not_before", row->not_before);
    json_member_time(o, "not_after", row->not_after);
    json_member_i64(o, "expires_in_days", certificate_days(row->not_after, now));
    json_member_str(o, "warning", word ? str_of(word) : STR_NONE);
}

static enum err write_users(struct web_request *q, struct json_out *o, const struct certificate_row *row, struct fault *why)
{
    struct connection_row c;
    int64_t users = 0;
    enum err e = ERR_NONE;
    json_key(o, "connection");
    if (certificate_owner_is_connection(row->owner)) {
        if ((e = connection_get(q->db, q->arena, row->owner, &c, why)))
            return e;
        json_open(o, '{');
        json_member_str(o, "id", c.id);
        json_member_str(o, "key", c.key);
        json_member_str(o, "name", c.name);
        json_close(o, '}');
        users = 1;
    } else {
        json_put_null(o);
        if (row->source == CERTIFICATE_INSTANCE)
            e = connection_tls_count(q->db, &users, why);
    }
    json_member_i64(o, "connections", users);
    return e;
}

static enum err certificate_write(struct web_request *q, struct json_out *o, const struct certificate_row *row, struct fault *why)
{
    json_open(o, '{');
    write_facts(o, row);
    enum err e = write_users(q, o, row, why);
    if (e)
        return e;
    json_member_str(o, "chain", row->chain);
    json_member_bool(o, "has_key", row->has_key);
    json_member_time(o, "created_at", row->created);
    json_member_time(o, "activated_at", row->activated);
    json_member_time(o, "retired_at", row->retired);
    json_close(o, '}');
    return ERR_NONE;
}

/* Grows with each turn that it takes. */
static int64_t revision(const struct certificate_row *row)
{
    return row->created + row->activated + row->retired + !row->has_key;
}

static enum err certificate_reply(struct web_request *q, struct reply *r, struct str id, struct fault *why)
{
    struct certificate_row row;
    enum err e = certificate_get(q->db, q->arena, id, &row, why);
    if (e)
        return e;
    reply_etag(r, q, revision(&row));
    struct json_out o = json_out(&r->body);
    return certificate_write(q, &o, &row, why);
}

enum err certificate_views(struct web_request *q, const struct many *connections, struct certificate_view *out, struct fault *why)
{
    size_t n = connections->n, at;
    struct connection_tls *tls = arena_array(q->arena, n, sizeof *tls);
    struct str *owners = arena_array(q->arena, n, sizeof *owners);
    enum err e = connections_tls(q->db, q->arena, connections, tls, why);
    for (size_t i = 0; !e && i < n; i++) {
        out[i] = (struct certificate_view){ .tls = tls[i] };
        owners[i] = tls[i].has_certificate ? connection_tls_owner(&tls[i], connections->keys[i]) : STR_NONE;
    }
    struct many with = many_of(q->arena, owners, n);
    if (e || !with.n)
        return e;
    struct certificate_row *rows = arena_array(q->arena, with.n, sizeof *rows);
    bool *found = arena_array(q->arena, with.n, sizeof *found);
    e = certificates_of(q->db, q->arena, &with, CERTIFICATE_CURRENT, rows, found, why);
    for (size_t i = 0; !e && i < n; i++)
        if (owners[i].p && many_find(&with, owners[i], &at) && (out[i].found = found[at]))
            out[i].row = rows[at];
    return e;
}

void certificate_view_write(struct json_out *o, const struct certificate_view *v)
{
    json_key(o, "client_certificate");
    if (v->found) {
        json_open(o, '{');
        write_facts(o, &v->row);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    json_member_str(o, "tls_ca", v->tls.authorities.n ? v->tls.authorities : STR_NONE);
}

/* ---- who may ---- */

static enum err not_there(struct fault *why)
{
    return fault(why, ERR_NOT_FOUND, STR("certificate"), "not there, or not to be seen");
}

/* The hub's own are for everybody to hand to providers; a connection's, for those who see the connection. ERR_NOT_FOUND. */
static enum err seen(struct web_request *q, struct db *db, const struct certificate_row *row, struct fault *why)
{
    struct connection_row c;
    if (!certificate_owner_is_connection(row->owner))
        return ERR_NONE;
    enum err e = connection_seen(q, db, row->owner, &c, why);
    return e == ERR_CONNECTION_NOT_FOUND ? not_there(why) : e;
}

static enum err may_turn(struct web_request *q, struct db *db, struct str owner, struct fault *why)
{
    struct connection_row c;
    if (!certificate_owner_is_connection(owner)) {
        caller_asked(q->caller, RIGHT_SECRETS_WRITE);
        if (caller_may(q->caller, RIGHT_KEYS) && !caller_limited(q->caller))
            return ERR_NONE;
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_KEYS)), "a certificate of the whole hub");
    }
    return connection_need(q, db, owner, RIGHT_SECRETS_WRITE, &c, why);
}

/* ---- list and show ---- */

static enum err read_filter(struct web_request *q, struct certificate_filter *f, struct fault *why)
{
    struct str state = web_query(q, "state"), connection = web_query(q, "connection");
    struct connection_row c;
    enum err e;
    f->by_state = state.p;
    if (f->by_state && !certificate_state_parse(state, &f->state))
        return fault(why, ERR_FIELD_INVALID, STR("state: next, current, retired"), "unknown state");
    if (!connection.p)
        return ERR_NONE;
    if ((e = connection_seen(q, q->db, connection, &c, why)))
        return e;
    f->owner = c.id;
    return ERR_NONE;
}

/* Rows that the caller sees, up to `limit`; *last: the last row looked at, when there may be more. */
static enum err list_page(struct web_request *q, struct certificate_filter *f, int limit, struct json_out *o, struct str *last,
                          struct fault *why)
{
    struct certificate_row *rows;
    size_t n;
    int shown = 0;
    f->limit = limit + 1;
    for (int batch = 0; batch < BATCHES; batch++) {
        enum err e = certificate_list(q->db, q->arena, f, &rows, &n, why);
        for (size_t i = 0; !e && i < n; i++) {
            if (shown == limit)
                return ERR_NONE;
            *last = rows[i].id;
            if ((e = seen(q, q->db, &rows[i], why)) == ERR_NOT_FOUND) {
                e = ERR_NONE;
                continue;
            }
            if (!e)
                e = certificate_write(q, o, &rows[i], why);
            shown++;
        }
        if (e)
            return e;
        if (n <= (size_t)limit) {
            *last = STR_NONE;
            return ERR_NONE;
        }
        f->after = *last;
    }
    return ERR_NONE;
}

enum err certificates_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "connection", "folder", "state", "limit", "cursor", NULL };
    struct certificate_filter f = { 0 };
    struct page page;
    struct str last = STR_NONE;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_filter(q, &f, why)))
        return e;
    f.after = page.after;
    struct json_out o = page_open(r);
    if ((e = list_page(q, &f, page.limit, &o, &last, why)))
        return e;
    page_close(&o, q->arena, last);
    return ERR_NONE;
}

static const char *const no_query[] = { NULL };

enum err certificates_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct certificate_row row;
    enum err e;
    if ((e = web_only_query(q, no_query, why)) || (e = certificate_get(q->db, q->arena, q->params[0], &row, why)) ||
        (e = seen(q, q->db, &row, why)))
        return e;
    return certificate_reply(q, r, row.id, why);
}

/* The authorities that providers should trust: the one in use, and the next one before it is. RFC 8555 9.1 names the type. */
enum err certificates_ca(struct web_request *q, struct reply *r, struct fault *why)
{
    static const enum certificate_state states[] = { CERTIFICATE_CURRENT, CERTIFICATE_NEXT };
    struct certificate_row row;
    bool found, any = false;
    enum err e = web_only_query(q, no_query, why);
    for (size_t i = 0; !e && i < COUNT(states); i++) {
        e = certificate_of(q->db, q->arena, CERTIFICATE_OF_AUTHORITY, states[i], &row, &found, why);
        if (!e && found)
            buf_add(&r->body, row.chain);
        any |= !e && found;
    }
    if (e)
        return e;
    r->content_type = "application/pem-certificate-chain";
    return any ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("certificate authority"), "none");
}

/* ---- make, and put to use ---- */

struct turn {
    struct web_request *q;
    const struct client_certificate *asked;
    struct str connection;        /* as asked; p == NULL: none */
    bool at_once;
    int64_t revision;             /* the connection's, as it was read */
    struct certificate_row row;
};

static enum err find_owner(struct turn *t, struct db *db, struct fault *why)
{
    struct connection_row c;
    struct connection_tls tls;
    enum certificate_source source = t->asked->source;
    enum err e;
    if (source == CERTIFICATE_INSTANCE || source == CERTIFICATE_AUTHORITY) {
        t->row.owner = source == CERTIFICATE_INSTANCE ? CERTIFICATE_OF_INSTANCE : CERTIFICATE_OF_AUTHORITY;
        return t->connection.p ? body_fault(why, ERR_FIELD_INVALID, "connection", "only for a connection's own certificate")
                               : ERR_NONE;
    }
    if (!t->connection.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "connection", "");
    if ((e = connection_seen(t->q, db, t->connection, &c, why)) || (e = connection_tls_get(db, t->q->arena, c.id, &tls, why)))
        return e;
    if (!tls.has_certificate || tls.source == CERTIFICATE_INSTANCE)
        return fault(why, ERR_CERTIFICATE_NOT_USABLE,
                     STR("the connection has no client certificate of its own; give it one with its credentials"),
                     "connection %.*s", STR_ARG(c.id));
    t->row.owner = c.id;
    t->revision = c.revision;
    return ERR_NONE;
}

/* Of a connection's own: what was read is the connection. Others are made beside those that are there. */
static enum err as_read(const struct turn *t, struct fault *why)
{
    return certificate_owner_is_connection(t->row.owner) ? web_if_match(t->q, t->revision, why) : ERR_NONE;
}

/* A connection's calls show it from now on. */
static enum err use(struct turn *t, struct db *db, struct fault *why)
{
    struct connection_tls tls;
    if (!certificate_owner_is_connection(t->row.owner))
        return ERR_NONE;
    enum err e = connection_tls_get(db, t->q->arena, t->row.owner, &tls, why);
    if (e)
        return e;
    tls.has_certificate = true;
    tls.source = t->row.source;
    return connection_tls_put(db, t->row.owner, &tls, why);
}

/* For the audit log: what it is now. */
static void tell(struct web_request *q, const struct certificate_row *row)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    write_facts(&o, row);
    json_member_str(&o, "owner", row->owner);
    json_close(&o, '}');
    q->audit.object = row->id;
    q->audit.name = row->subject;
    q->audit.after = change_text(q, &text);
}

static enum err make(struct db *db, void *context, struct fault *why)
{
    struct turn *t = context;
    struct hub *h = t->q->hub;
    struct certificate_row before;
    wall_ms now = clock_wall();
    bool found;
    t->row = (struct certificate_row){ .source = t->asked->source, .name = t->asked->name };
    enum err e = find_owner(t, db, why);
    if (e || (e = may_turn(t->q, db, t->row.owner, why)) || (e = as_read(t, why)) ||
        (e = certificate_of(db, t->q->arena, t->row.owner, CERTIFICATE_CURRENT, &before, &found, why)))
        return e;
    t->row.state = found && !t->at_once ? CERTIFICATE_NEXT : CERTIFICATE_CURRENT;
    e = t->asked->pair ? certificate_keep(db, h->keyring, t->q->arena, t->asked->pair, now, &t->row, why)
                       : certificate_issue(db, h->keyring, t->q->arena, h->certificates, t->asked->valid_ms, now, &t->row, why);
    if (e)
        return e;
    tell(t->q, &t->row);
    return t->row.state == CERTIFICATE_CURRENT ? use(t, db, why) : ERR_NONE;
}

/* Those who call with it now go on with the old one until the next call. */
static void forget(struct web_request *q, const struct certificate_row *row)
{
    if (certificate_owner_is_connection(row->owner))
        switchboard_forget_connection(q->hub->switchboard, row->owner);
    else if (row->source == CERTIFICATE_INSTANCE)
        switchboard_forget_connections(q->hub->switchboard);
}

/* The body is the certificate's, but for these two. */
static const struct json *without(struct arena *a, const struct json *body)
{
    struct json *rest = json_new(a, JSON_OBJECT), *last = NULL;
    json_each (v, body) {
        if (str_is(v->key, "connection") || str_is(v->key, "activate"))
            continue;
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(a, rest, &last, copy);
    }
    return rest;
}

static enum err create_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const kinds[] = { "connection", "instance", "authority", NULL };
    struct client_certificate asked = { 0 };
    struct turn t = { .q = q, .asked = &asked };
    enum err e;
    if ((e = web_only_query(q, no_query, why)) || (e = body_text(body_of(q), "connection", false, 256, &t.connection, why)) ||
        (e = body_bool(body_of(q), "activate", &t.at_once, why)))
        return e;
    e = client_certificate_read(q, without(q->arena, body_of(q)), "", kinds, &asked, why);
    if (!e)
        e = web_write(q, make, &t, why);
    client_certificate_end(&asked);
    if (e)
        return e;
    forget(q, &t.row);
    r->status = 201;
    reply_header(r, "Location",
                 str_fmt(q->arena, "%.*s/api/v1/certificates/%.*s", STR_ARG(q->hub->public_url), STR_ARG(t.row.id)));
    return certificate_reply(q, r, t.row.id, why);
}

enum err certificates_create(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = create_checked(q, r, why);
    body_wipe(q);
    return e;
}

static enum err activate(struct db *db, void *context, struct fault *why)
{
    struct turn *t = context;
    struct web_request *q = t->q;
    enum err e;
    if ((e = certificate_get(db, q->arena, q->params[0], &t->row, why)) || (e = seen(q, db, &t->row, why)) ||
        (e = may_turn(q, db, t->row.owner, why)) || (e = web_if_match(q, revision(&t->row), why)) ||
        (e = certificate_activate(db, q->arena, t->row.id, clock_wall(), &t->row, why)))
        return e;
    tell(q, &t->row);
    return use(t, db, why);
}

enum err certificates_activate(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_members[] = { NULL };
    struct turn t = { .q = q };
    enum err e;
    if ((e = web_only_query(q, no_query, why)) || (e = json_only(body_of(q), no_members, "", why)) ||
        (e = web_write(q, activate, &t, why)))
        return e;
    forget(q, &t.row);
    return certificate_reply(q, r, t.row.id, why);
}

/* ---- metrics ---- */

enum err certificates_metrics(struct web_request *q, struct buf *out, struct fault *why)
{
    struct certificate_row *rows;
    wall_ms now = clock_wall();
    size_t n;
    enum err e = certificate_ending(q->db, q->arena, METRIC_ROWS, &rows, &n, why);
    if (e || !n)
        return e;
    buf_add(out, STR("# HELP raccord_certificate_expiry_seconds How long a client certificate still lasts, those that end first.\n"
                     "# TYPE raccord_certificate_expiry_seconds gauge\n"));
    for (size_t i = 0; i < n; i++)
        buf_fmt(out, "raccord_certificate_expiry_seconds{certificate=\"%.*s\",for=\"%.*s\",state=\"%s\"} %lld\n",
                STR_ARG(rows[i].id), STR_ARG(rows[i].owner), certificate_state_name(rows[i].state),
                (long long)((rows[i].not_after - now) / 1000));
    return ERR_NONE;
}
