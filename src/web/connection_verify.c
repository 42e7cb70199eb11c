/* web/connection_verify.c - verifying a connection that is stored, and credentials that are not stored yet. */
#include <stdio.h>

#include "auth/renewal.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/verify.h"

static struct verify_by verify_by(const struct web_request *q)
{
    return (struct verify_by){ q->caller->principal, q->caller->token, &q->caller->narrow, &q->peer };
}

struct health_change {
    struct web_request *q;
    struct connection_row row;
    enum connection_health health;
    wall_ms verified;
    struct str account;
};

static enum err write_health(struct db *db, void *context, struct fault *why)
{
    struct health_change *h = context;
    struct connection_row after = h->row;
    after.health = h->health;
    after.account = h->account;
    h->q->audit.before = connection_audit(h->q, &h->row);
    h->q->audit.after = connection_audit(h->q, &after);
    return connection_set_health(db, h->row.id, h->health, h->verified, h->account, why);
}

static enum err set_health(struct web_request *q, const struct connection_row *row, enum connection_health health,
                           struct str account, struct fault *why)
{
    struct health_change h = {
        .q = q, .row = *row, .health = health, .verified = health == HEALTH_OK ? clock_wall() : row->verified,
        .account = account.n ? account : row->account,
    };
    return web_write(q, write_health, &h, why);
}

static void name_run(struct reply *r, const struct verdict *v)
{
    if (!v->run.n)
        return;
    r->run_id = v->run;
    reply_header(r, "Raccord-Run", r->run_id);
}

static void write_verdict(struct web_request *q, struct reply *r, const struct verdict *v, enum connection_health health)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_bool(&o, "ok", v->ok);
    json_member_i64(&o, "status", v->status);
    json_member_str(&o, "account", v->account);
    json_member_str(&o, "health", str_of(connection_health_name(health)));
    json_member_str(&o, "reason", v->ok ? STR_NONE : verify_reason(v->status, q->language));
    json_member_i64(&o, "latency_ms", v->latency_ms);
    json_member_str(&o, "run_id", r->run_id);
    json_close(&o, '}');
}

/* No answer came: the caller gets that problem, and the connection is marked when it is not the hub that failed. */
static enum err verify(struct web_request *q, struct reply *r, const struct connection_row *row, struct prepared *p,
                       struct fault *why)
{
    struct verify_by by = verify_by(q);
    struct verdict v;
    struct fault other;
    enum err e = verify_call(q->hub->switchboard, q->arena, p, &by, &v, why);
    name_run(r, &v);
    if (e) {
        if (verify_blames(e) && set_health(q, row, HEALTH_FAILING, STR_NONE, &other))
            return e;
        return why->err ? e : fault(why, e, STR(""), "verify");
    }
    enum connection_health health = verify_health(row, &v);
    if ((e = set_health(q, row, health, v.account, why)))
        return e;
    /* Calls are refused from now on, or let through again. */
    if (health == HEALTH_RECONNECT_REQUIRED || row->health == HEALTH_RECONNECT_REQUIRED)
        switchboard_forget_connection(q->hub->switchboard, row->id);
    write_verdict(q, r, &v, health);
    return ERR_NONE;
}

enum err connections_verify(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL }, *const no_members[] = { NULL };
    struct connection_row row;
    struct prepared *p;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = json_only(body_of(q), no_members, "", why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_USE, &row, why)))
        return e;
    if (q->hub->renewals)
        (void)renewals_introspect(q->hub->renewals, &row);
    if ((e = switchboard_try(q->hub->switchboard, row.id, &(struct call_trial){ 0 }, &p, why)))
        return e;
    e = verify(q, r, &row, p, why);
    prepared_release(p);
    return e;
}

/* ---- credentials before they are kept (CON-55, CON-56) ---- */

static enum err other_account(const struct connection_row *row, const struct verdict *v, struct fault *why)
{
    char subject[sizeof why->subject];
    snprintf(subject, sizeof subject, "%.*s -> %.*s", STR_ARG(row->account), STR_ARG(v->account));
    return fault(why, ERR_ACCOUNT_CHANGED, str_of(subject), "another account than before");
}

enum err connection_try(struct web_request *q, struct reply *r, const struct connection_row *row,
                        const struct connection_secret *secrets, size_t n, bool accept, struct str *account, struct fault *why)
{
    struct call_trial trial = { true, secrets, n, row->fields };
    struct verify_by by = verify_by(q);
    struct prepared *p;
    struct verdict v;
    enum err e = switchboard_try(q->hub->switchboard, row->id, &trial, &p, why);
    if (e)
        return e;
    e = verify_call(q->hub->switchboard, q->arena, p, &by, &v, why);
    prepared_release(p);
    name_run(r, &v);
    if (e)
        return why->err ? e : fault(why, e, STR(""), "verify");
    if (!v.ok)
        return fault(why, ERR_VERIFY_FAILED, verify_reason(v.status, q->language), "status %d", v.status);
    if (row->account.n && v.account.n && !str_eq(row->account, v.account) && !accept)
        return other_account(row, &v, why);
    *account = v.account;
    return ERR_NONE;
}
