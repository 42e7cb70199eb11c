#include "web/change.h"

#include "access/audit.h"
#include "base/log.h"
#include "web/idempotency.h"

#define CHANGE_MAX (1024 * 1024) /* bytes of before or after, before they are masked */

struct json_out change_open(struct buf *b)
{
    buf_init(b, CHANGE_MAX);
    return json_out(b);
}

struct str change_text(struct web_request *q, const struct buf *b) { return arena_str(q->arena, buf_str(b)); }

/* Made for each use: when the ring is wiped there is none left. */
static enum err values_key(struct web_request *q, struct secret *out, struct fault *why)
{
    return keyring_derive(q->hub->keyring, STR("audit values"), out, why);
}

struct str change_hash(struct web_request *q, struct str value)
{
    AUTO_SECRET key = SECRET_NONE;
    struct fault unused;
    return values_key(q, &key, &unused) ? STR("sealed") : audit_hash(q->arena, key, value);
}

/* ERR_SEALED: the entry is there without before and after. */
static enum err entry_of(struct web_request *q, struct audit_entry *out, struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    const struct web_audit *w = &q->audit;
    const struct caller *c = q->caller;
    const char *action = w->action ? w->action : q->route && q->route->audit ? q->route->audit : "request";
    *out = (struct audit_entry){
        .action = str_of(action), .object = w->object, .name = w->name, .folder = w->folder, .client = q->client,
    };
    if (w->who.n) {
        out->actor = w->who;
        out->actor_name = w->who_name;
    } else if (c) {
        out->actor = c->principal;
        out->actor_name = c->name;
        out->via = c->token.n ? c->token : STR("session");
    }
    if (!w->before.p && !w->after.p)
        return ERR_NONE;
    enum err e = values_key(q, &key, why);
    if (e)
        return e;
    out->before = w->before;
    out->after = w->after;
    audit_value(q->arena, key, &out->before, &out->after);
    return ERR_NONE;
}

struct change {
    struct web_request *q;
    struct web_audit start; /* as it was before the first try */
    store_work *work;
    void *context;
};

static enum err run(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    struct audit_entry entry;
    c->q->audit = c->start;
    /* First: what the same request did on another node would be in the way of the work, as a name that is taken. */
    enum err e = idempotency_mark(c->q, db, why);
    if (e || (e = c->work(db, c->context, why)) || (e = entry_of(c->q, &entry, why)))
        return e;
    return audit_add(db, &entry, why);
}

enum err web_write(struct web_request *q, store_work *work, void *context, struct fault *why)
{
    struct change c = { q, q->audit, work, context };
    enum err e = web_query_settled(q, why);
    if (e)
        return e;
    e = store_write(q->hub->store, run, &c, why);
    q->audit.written |= !e;
    return e;
}

/* ---- what no handler wrote ---- */

static enum err add(struct db *db, void *context, struct fault *why) { return audit_add(db, context, why); }

static void write_down(struct web_request *q, struct audit_entry *entry)
{
    struct fault why;
    if (store_write(q->hub->store, add, entry, &why))
        log_fault(LOG_ERROR, "an audit record was not written", &why);
}

bool change_is_refusal(enum err e)
{
    const struct err_row *row = err_row(e);
    return row->status == 401 || row->status == 403 || row->blame == BLAME_POLICY;
}

/* Calls have their run records, many to an audit record; questions about policies change nothing. */
static bool is_call(const struct route *r)
{
    struct str name = str_of(r->audit);
    return str_is(name, "connection.call") || str_is(name, "policy.explain") || str_is(name, "policy.preview");
}

static void refused(struct web_request *q, enum err e)
{
    struct audit_entry entry;
    struct fault unused;
    (void)!entry_of(q, &entry, &unused);
    entry.outcome = AUDIT_REFUSED;
    entry.code = str_of(err_row(e)->code);
    if (!q->route->audit)
        entry.action = STR("request.read");
    if (!entry.object.n && q->param_count)
        entry.object = q->params[0];
    if (!entry.object.n && !q->route->audit)
        entry.object = str_of(q->route->path);
    if (!q->hub->refusals || refusals_note(q->hub->refusals, &entry, true, clock_mono()))
        write_down(q, &entry);
}

void change_settle(struct web_request *q, enum err e)
{
    if (e && change_is_refusal(e)) {
        refused(q, e);
    } else if (!e && !q->audit.written && q->route->audit && !is_call(q->route)) {
        struct audit_entry entry;
        struct fault unused;
        (void)!entry_of(q, &entry, &unused);
        write_down(q, &entry);
    }
}

static enum err nothing(struct db *db, void *context, struct fault *why)
{
    (void)db;
    (void)context;
    (void)why;
    return ERR_NONE;
}

enum err change_tell(struct web_request *q, const char *action, struct fault *why)
{
    q->audit.action = action;
    return web_write(q, nothing, NULL, why);
}

struct rehearsal {
    store_work *work;
    void *context;
    bool done;
};

/* An error rolls the transaction back: so the rehearsal ends in one. */
static enum err rehearse(struct db *db, void *context, struct fault *why)
{
    struct rehearsal *r = context;
    r->done = false;
    enum err e = r->work(db, r->context, why);
    r->done = !e;
    return e ? e : fault(why, ERR_CANCELLED, STR(""), "a preview");
}

enum err change_rehearse(struct web_request *q, store_work *work, void *context, struct fault *why)
{
    struct rehearsal r = { .work = work, .context = context };
    enum err e = store_write(q->hub->store, rehearse, &r, why);
    return r.done ? ERR_NONE : e;
}
