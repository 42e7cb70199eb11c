#include <stdlib.h>

#include "access/audit.h"
#include "auth/capture.h"
#include "auth/renewal_attempt.h"
#include "vault/sealed.h"

#define AGAIN_KEEP_US 1000000        /* the database does not take an answer */
#define TRIES 3                      /* of one flight, for those who wait */
#define BACK_OFF_MS 1000
#define BACK_OFF_MOST_MS 60000
#define LEAD_LEAST_MS 60000          /* requirement 10.8 */
#define LEAD_MOST_MS (15 * 60000)
#define LIFE_LEAST_MS 30000          /* what lives shorter is renewed when somebody needs it */
#define SKEW_MS 30000                /* requirement 11.3 */

/* ---- what is written of it ---- */

static int64_t back_off(int64_t failures)
{
    int64_t most = failures < 6 ? BACK_OFF_MS << failures : BACK_OFF_MOST_MS;
    return 100 + renewal_chance(most < BACK_OFF_MOST_MS ? most : BACK_OFF_MOST_MS);
}

/* Requirement 10.8; of a short life at most the half. */
static wall_ms renewal_time(wall_ms obtained, wall_ms expires, bool renewable, int64_t max_idle)
{
    wall_ms next = 0;
    int64_t life = expires - obtained;
    if (expires && renewable && life >= LIFE_LEAST_MS) {
        int64_t lead = life / 10 < LEAD_LEAST_MS ? LEAD_LEAST_MS : life / 10 > LEAD_MOST_MS ? LEAD_MOST_MS : life / 10;
        if (lead > life / 2)
            lead = life / 2;
        next = expires - lead * (800 + renewal_chance(401)) / 1000;
    }
    /* OAU-26: half of what an unused refresh token lives. */
    if (expires && !renewable)
        next = expires + 1; /* to say that it is over */
    if (max_idle && renewable && (!next || obtained + max_idle / 2 < next))
        next = obtained + max_idle / 2;
    return next;
}

static struct str cause_name(const struct flight *f)
{
    static const char *const names[] = { [RENEWAL_EXPIRED] = "expired", [RENEWAL_REFUSED] = "refused", [RENEWAL_AHEAD] = "ahead",
                                         [RENEWAL_IDLE] = "idle", [RENEWAL_ASKED] = "asked" };
    return f->obtain && f->params ? STR("authorized") : str_of(names[f->cause]);
}

static struct grant_end end_of(struct attempt *x, const char *what, struct str reason)
{
    const struct grant_row *g = &x->g;
    return (struct grant_end){
        .turn = &x->turn,
        .event = { .what = str_of(what), .cause = cause_name(x->f), .reason = reason, .node = x->r->config.node,
                   .took_ms = (clock_mono_us() - x->started_us) / 1000 },
        .release = true,
        .state = g->grant.state,
        .reason = g->grant.reason,
        .failures = g->grant.failures,
        .unknown = g->unknown,
        .again = g->again,
        .next = g->grant.next,
        .skew_ms = g->skew_ms,
    };
}

struct ending {
    struct attempt *x;
    struct grant_end *end;
    bool health;                 /* the connection is told to be authorized anew */
    bool client;                 /* all grants of the OAuth client wait */
    bool first;                  /* of them: the alarm is due */
    const struct secret *refresh; /* in place of the one that was spent; NULL: none */
};

/* account STR_NONE: as it was. */
static enum err tell_health(struct db *db, struct arena *a, struct str id, enum connection_health h, struct str reason,
                            wall_ms verified, struct str account, struct fault *why)
{
    struct connection_row now;
    enum err e = connection_get(db, a, id, &now, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return ERR_NONE;
    if (e || (now.health == h && h != HEALTH_OK))
        return e;
    if ((e = connection_set_health(db, id, h, verified ? verified : now.verified, account.p ? account : now.account, why)) ||
        now.health == h)
        return e;
    struct audit_entry entry = {
        .via = STR("system"),
        .action = STR("connection.health"),
        .object = id,
        .name = now.name,
        .folder = now.folder,
        .before = str_fmt(a, "{\"health\":\"%s\"}", connection_health_name(now.health)),
        .after = str_fmt(a, "{\"health\":\"%s\",\"reason\":\"%.*s\"}", connection_health_name(h), STR_ARG(reason)),
    };
    return audit_add(db, &entry, why);
}

static enum err pause_client(struct db *db, struct ending *w, struct fault *why)
{
    const struct attempt *x = w->x;
    w->first = x->g.grant.state != GRANT_PAUSED;
    if (!x->turn.client.n)
        return ERR_NONE;
    struct query *q =
        query_begin(db, "SELECT 1 FROM connection_grant WHERE client = $1 AND state = 'paused' AND connection_id <> $2"
                        " LIMIT 1");
    query_text(q, x->turn.client);
    query_text(q, x->turn.connection);
    w->first = w->first && !query_next(q);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db,
                    "UPDATE connection_grant SET state = 'paused', reason = $1 WHERE client = $2 AND state IN ('good', 'failing')");
    query_text(q, w->end->reason);
    query_text(q, x->turn.client);
    return query_end(q, why);
}

static enum err write_end(struct db *db, void *ending, struct fault *why)
{
    struct ending *w = ending;
    const struct attempt *x = w->x;
    enum err e = w->client ? pause_client(db, w, why) : ERR_NONE;
    if (e || (e = grant_turn_end(db, w->end, why)))
        return e;
    struct data_owner owner = { STR(GRANT_KIND), x->turn.connection };
    if (w->refresh && (e = sealed_put(db, x->r->config.keyring, owner, STR("refresh_token"), *w->refresh, why)))
        return e;
    if (!w->health)
        return ERR_NONE;
    return tell_health(db, x->arena, x->turn.connection, HEALTH_RECONNECT_REQUIRED, w->end->reason, 0, STR_NONE, why);
}

/* Not ours any more: said, and nothing else. */
static enum err write_lost(struct db *db, void *end, struct fault *why)
{
    struct grant_end *w = end;
    w->release = w->kept = false;
    w->event.what = STR("lost");
    return grant_turn_end(db, w, why);
}

static enum err say_lost(struct renewals *r, struct grant_end *end, struct fault *why)
{
    struct fault unused;
    renewal_count(r, COUNT_LOST);
    if (store_write(r->config.store, write_lost, end, &unused))
        renewal_report(r, "a lost lease was not noted", &unused);
    return fault(why, ERR_RENEWAL_FAILED, STR("another node has taken it over"), "the fence moved");
}

static enum err write_down(struct attempt *x, struct ending *w, struct fault *why)
{
    struct fault unwritten;
    enum err e = store_write(x->r->config.store, write_end, w, &unwritten);
    if (e == ERR_CONFLICT)
        return say_lost(x->r, w->end, why);
    if (e)
        renewal_report(x->r, "what came of a renewal was not noted", &unwritten);
    x->f->changed = true;
    renewal_look_at(x->r, w->end->next);
    return ERR_NONE;
}

/* ---- outcomes ---- */

bool attempt_soon(struct attempt *x, wall_ms again)
{
    struct flight *f = x->f;
    int64_t wait = again - clock_steady();
    pthread_mutex_lock(&x->r->lock);
    bool waited_for = !list_empty(&f->waiters) && !x->r->stopping;
    pthread_mutex_unlock(&x->r->lock);
    if (!waited_for || ++f->tries >= TRIES || wait > TRY_SOON_MS)
        return false;
    f->go_us = 0;
    attempt_again(f, wait > 0 ? wait * 1000 : 0);
    return true;
}

/* A grant by hand leaves the one before as it was. */
static enum err refuse_by_hand(struct attempt *x, const char *what, struct str reason, enum err err, struct fault *why)
{
    struct grant_end end = end_of(x, what, reason);
    struct ending w = { .x = x, .end = &end };
    enum err e = write_down(x, &w, why);
    return e ? e : fault(why, err, reason, "by hand");
}

static bool fail_for_now(struct attempt *x, const char *what, struct str reason, int64_t retry_after, enum err *out,
                         struct fault *why)
{
    struct grant_end end = end_of(x, what, reason);
    struct ending w = { .x = x, .end = &end };
    int64_t wait = back_off(end.failures);
    end.state = GRANT_FAILING;
    end.reason = reason;
    end.failures++;
    end.again = end.next = clock_steady() + (retry_after > wait ? retry_after : wait);
    *out = write_down(x, &w, why);
    if (*out)
        return true;
    if (attempt_soon(x, end.again))
        return false;
    return attempt_over(out, fault(why, ERR_RENEWAL_FAILED, reason, "%s", what));
}

/* The request went out and its answer did not come, or not whole. */
bool attempt_lose_answer(struct attempt *x, struct str reason, enum err *out, struct fault *why)
{
    renewal_count(x->r, COUNT_UNKNOWN);
    if (attempt_by_hand(x))
        return attempt_over(out, refuse_by_hand(x, "unknown", reason, ERR_UPSTREAM_CLOSED, why));
    if (!attempt_spends(x))
        return fail_for_now(x, "failed", reason, 0, out, why);
    struct grant_end end = end_of(x, "unknown", reason);
    struct ending w = { .x = x, .end = &end };
    bool live = attempt_alive(x) && x->f->cause != RENEWAL_REFUSED;
    end.state = GRANT_FAILING;
    end.reason = STR("answer_lost");
    end.failures++;
    end.unknown++;
    end.again = live ? x->g.grant.expires : clock_steady() + (end.unknown > 1 ? back_off(end.failures) : renewal_chance(500));
    end.next = end.again;
    *out = write_down(x, &w, why);
    if (*out)
        return true;
    if (!live && attempt_soon(x, end.again))
        return false;
    return attempt_over(out, fault(why, ERR_RENEWAL_FAILED, STR("the answer of the provider was lost"), "unknown outcome"));
}

bool attempt_fail_unsent(struct attempt *x, const struct fault *from, enum err *out, struct fault *why)
{
    struct str reason = str_of(err_row(from->err)->code);
    renewal_count(x->r, COUNT_UNSENT);
    if (from->err == ERR_CANCELLED) {
        /* The process was stopped, and its lease ran out. If nobody took it, it is given back, and the flight begins anew. */
        struct grant_end end = end_of(x, "lost", STR(""));
        struct ending w = { .x = x, .end = &end };
        *out = write_down(x, &w, why);
        return *out ? true : attempt_again(x->f, 0);
    }
    if (attempt_by_hand(x))
        return attempt_over(out, refuse_by_hand(x, "failed", reason, from->err, why));
    if (!fail_for_now(x, "failed", reason, 0, out, why))
        return false;
    if (*out == ERR_RENEWAL_FAILED && why)
        str_copy(why->note, sizeof why->note, str_of(from->note));
    return true;
}

enum err attempt_end_grant(struct attempt *x, struct str reason, struct fault *why)
{
    struct fault told;
    renewal_count(x->r, COUNT_OVER);
    if (attempt_by_hand(x))
        return refuse_by_hand(x, "refused", reason, ERR_NEEDS_AUTH, why);
    struct grant_end end = end_of(x, "refused", reason);
    struct ending w = { .x = x, .end = &end, .health = true };
    end.state = GRANT_OVER;
    end.reason = x->g.unknown || x->turn.stale.n ? STR("answer_lost") : x->g.grant.from_backup ? STR("from_backup") : reason;
    end.failures++;
    end.again = end.next = 0;
    enum err e = write_down(x, &w, why);
    if (e)
        return e;
    fault(&told, ERR_RECONNECT_REQUIRED, x->row.key, "connection %.*s: %.*s%s", STR_ARG(x->row.id), STR_ARG(reason),
          x->g.unknown ? ", after an answer was lost" : x->g.grant.from_backup ? ", restored from a backup" : "");
    renewal_report(x->r, "a connection must be authorized again", &told);
    return fault(why, ERR_RECONNECT_REQUIRED, x->row.key, "%.*s", STR_ARG(reason));
}

/* Nothing of this grant is wrong: it waits until the client, or what the connection says, is changed (OAU-25). An answer whose form
 * was refused has brought the next refresh token all the same. */
static enum err pause_grant(struct attempt *x, struct str reason, bool client, const struct obtained *got, struct fault *why)
{
    struct grant_end end = end_of(x, "refused", reason);
    struct ending w = { .x = x, .end = &end, .client = client,
                        .refresh = attempt_spends(x) && got->answer.refresh_token.n ? &got->answer.refresh_token : NULL };
    struct fault told;
    renewal_count(x->r, client ? COUNT_CLIENT : COUNT_REFUSED);
    if (attempt_by_hand(x) && !client)
        return refuse_by_hand(x, "refused", reason, ERR_OAUTH_CLIENT, why);
    if (!attempt_by_hand(x) || x->g.grant.generation) {
        end.state = GRANT_PAUSED;
        end.reason = reason;
        end.failures++;
        end.next = 0;
    }
    enum err e = write_down(x, &w, why);
    if (e)
        return e;
    if (w.first || !client) {
        struct str who = x->turn.client.n ? x->turn.client : x->row.key;
        fault(&told, ERR_OAUTH_CLIENT, who, "%.*s; connection %.*s", STR_ARG(reason), STR_ARG(x->row.id));
        renewal_report(x->r,
                       client ? "an OAuth client is refused: all its connections wait" : "a renewal is refused as it is configured",
                       &told);
    }
    return fault(why, ERR_OAUTH_CLIENT, reason, "paused");
}

/* ---- tokens came ---- */

struct keeping {
    struct renewals *r;
    struct unkept *u;
};

/* Values of the answer that the connector wants as fields. */
static enum err capture(struct renewals *r, struct unkept *u, struct connection_row *now, bool *some, struct fault *why)
{
    struct json *fields;
    struct str text;
    enum err e = u->capture && u->got.answer.body && r->config.captured ? json_read(u->arena, now->fields, &fields, why) : ERR_NONE;
    if (e || !u->capture || !u->got.answer.body || !r->config.captured ||
        !capture_into(u->arena, u->capture, u->got.answer.body, fields))
        return e;
    if ((e = r->config.captured(r->config.context, u->arena, now, fields, &text, why)))
        return e;
    *some = !str_eq(now->fields, text);
    now->fields = text;
    return ERR_NONE;
}

static enum err wake_connection(struct db *db, struct keeping *k, struct fault *why)
{
    struct unkept *u = k->u;
    struct connection_row now;
    bool captured = false;
    struct fault flaw = { 0 };
    enum err e = connection_get(db, u->arena, u->turn.connection, &now, why);
    if (e)
        return e == ERR_CONNECTION_NOT_FOUND ? ERR_NONE : e;
    if (capture(k->r, u, &now, &captured, &flaw)) {
        captured = false;
        renewal_report(k->r, "a field that a token answer brought is not acceptable", &flaw);
    }
    bool waits = now.state == CONNECTION_NEEDS_AUTH || now.state == CONNECTION_DRAFT;
    const struct renewals_config *c = &k->r->config;
    bool disabled = false;
    if (waits && c->starts_disabled && (e = c->starts_disabled(c->context, db, u->arena, &now, &disabled, why)))
        return e;
    if (waits)
        now.state = disabled ? CONNECTION_DISABLED : CONNECTION_ACTIVE;
    if ((waits || captured) && (e = connection_update(db, &now, why)))
        return e;
    if (now.health == HEALTH_RECONNECT_REQUIRED || u->end.generation == 1 || u->by_person)
        return tell_health(db, u->arena, now.id, HEALTH_OK, STR(""), clock_wall(), u->account, why);
    return ERR_NONE;
}

static enum err write_kept(struct db *db, void *keeping, struct fault *why)
{
    struct keeping *k = keeping;
    enum err e = grant_turn_end(db, &k->u->end, why);
    return e ? e : wake_connection(db, k, why);
}

/* What an answer of this turn means for the grant, in one transaction. */
static enum err keep(struct renewals *r, struct unkept *u, struct fault *why)
{
    struct keeping k = { r, u };
    enum err e = store_write(r->config.store, write_kept, &k, why);
    if (e == ERR_CONFLICT)
        say_lost(r, &u->end, why);
    if (e)
        return e;
    renewal_count(r, u->by_person ? COUNT_OBTAINED : COUNT_RENEWED);
    renewal_look_at(r, u->end.next);
    return ERR_NONE;
}

void renewal_unkept_leave(struct unkept *u)
{
    if (u && u->slot && u->in_room)
        answer_slot_leave(u->slot);
    if (u && u->in_room)
        u->slot = NULL;
}

void renewal_unkept_free(struct unkept *u)
{
    if (!u)
        return;
    if (u->slot)
        answer_slot_free(u->slot);
    obtained_end(&u->got);
    attempt_wipe(&u->raw);
    arena_free(u->arena);
    free(u);
}

/* Calls may have an answer that is on the disk, though not in the database: "persisted before anybody uses it" is true of it, for
 * the next start takes it up from there. Not what a person just made: the connection's state goes with that. Not when the hub is
 * sealed. */
static void lend_or_not(struct renewals *r, struct flight *f, enum err e)
{
    const struct unkept *u = f->unkept;
    bool lend = u->in_room && !f->obtain && u->turn.generation && (e == ERR_STORE || e == ERR_STORE_FULL);
    int64_t lent = lend ? u->turn.generation + 1 : 0;
    pthread_mutex_lock(&r->lock);
    bool changes = f->lent != lent;
    f->lent = lent;
    pthread_mutex_unlock(&r->lock);
    if (changes && r->config.changed)
        r->config.changed(r->config.context, str_of(f->connection));
}

bool renewal_keep_or_wait(struct renewals *r, struct flight *f, enum err *out, struct fault *why)
{
    struct unkept *u = f->unkept;
    enum err e = keep(r, u, why);
    if (!e || e == ERR_CONFLICT) {
        f->changed = true;
        return attempt_over(out, e ? ERR_RENEWAL_FAILED : ERR_NONE);
    }
    if (!u->told)
        renewal_report(r, "new tokens were not kept", why);
    u->told = true;
    /* The answer is safe in its room. Who waits is told; the database takes it later. */
    lend_or_not(r, f, e);
    renewal_tell(r, f, e, why);
    f->params = NULL;
    return attempt_again(f, AGAIN_KEEP_US);
}

static bool gave_refresh(const struct obtained *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (str_is(o->values[i].name, "refresh_token"))
            return true;
    return false;
}

/* Everything that the transaction needs, in memory of its own: it may have to wait for the database. */
static struct unkept *unkept_of(struct attempt *x, struct obtained *got)
{
    struct unkept *u = mem_zero(sizeof *u);
    struct arena *a = u->arena = x->arena;
    wall_ms received = x->received;
    int64_t lives = got->answer.expires_in_ms >= 0 ? got->answer.expires_in_ms : x->has_profile ? x->profile.lifetime_ms : 0;
    bool first = x->f->obtain || !x->g.grant.generation;
    x->arena = arena_new(64); /* the attempt's memory is this one's now */
    u->slot = x->slot;
    u->in_room = x->in_room;
    u->raw = x->raw;
    x->slot = NULL;
    x->raw = STR("");
    u->got = *got;
    *got = (struct obtained){ 0 };
    u->by_person = attempt_by_hand(x);
    u->capture = x->has_profile ? x->profile.capture : NULL;
    u->turn = x->turn;
    u->turn.connection = arena_str(a, x->turn.connection);
    u->end = end_of(x, first ? "obtained" : "renewed", STR(""));
    u->end.turn = &u->turn;
    u->end.kept = true;
    u->end.forced = x->f->cause == RENEWAL_REFUSED;
    u->end.state = GRANT_GOOD;
    u->end.reason = STR("");
    u->end.failures = u->end.unknown = u->end.again = 0;
    u->end.obtained = received;
    u->end.expires = lives > 0 ? received + lives : 0;
    u->end.refreshable = gave_refresh(&u->got);
    u->end.next = renewal_time(received, u->end.expires, u->end.refreshable || !x->how->by_person,
                               x->has_profile && u->end.refreshable ? x->profile.max_idle_ms : 0);
    if (u->got.answer.scope_given)
        u->end.granted = u->got.answer.scope;
    else if (first)
        u->end.granted = attempt_requested(x, a); /* RFC 6749 5.1: nothing said means as asked */
    if (u->got.answer.skew_ms != INT64_MIN)
        u->end.skew_ms = u->got.answer.skew_ms;
    u->end.keyring = x->r->config.keyring;
    u->end.values = u->got.values;
    u->end.value_count = u->got.count;
    return u;
}

static void tell_skew(struct attempt *x, int64_t skew)
{
    struct fault told;
    if (skew == INT64_MIN || (skew <= SKEW_MS && skew >= -SKEW_MS))
        return;
    pthread_mutex_lock(&x->r->lock);
    bool first = token_rate_tell_skew(x->r->rate, str_of(x->f->host));
    pthread_mutex_unlock(&x->r->lock);
    if (!first)
        return;
    fault(&told, ERR_IDENTITY_PROVIDER, str_of(x->f->host), "its clock is %lld s off ours", (long long)(skew / 1000));
    renewal_report(x->r, "a token endpoint's clock differs: check the clock of this machine", &told);
}

/* A person brought tokens for a connection that has some: the old ones stay until the provider has taken the new ones, and said
 * that they are of the same account (CON-55, CON-56). The answer that brought them is given up then; nothing was lost that was ever
 * used. */
static enum err try_tokens(struct attempt *x, const struct obtained *got, struct str *account, struct fault *why)
{
    const struct renewals_config *c = &x->r->config;
    struct fault refused;
    *account = STR_NONE;
    if (!attempt_by_hand(x) || !x->g.grant.generation || !c->tried)
        return ERR_NONE;
    enum err e = c->tried(c->context, x->arena, &x->row, got->values, got->count, x->f->accept_account, account, &refused);
    if (!e || (e == ERR_VERIFY_FAILED && x->g.grant.state != GRANT_GOOD))
        return ERR_NONE;
    e = refuse_by_hand(x, "refused", str_of(err_row(e)->code), e, why);
    if (why && e == refused.err)
        *why = refused;
    return e;
}

static bool take_tokens(struct attempt *x, struct obtained *got, enum err *out, struct fault *why)
{
    struct str account;
    enum err e = try_tokens(x, got, &account, why);
    if (e)
        return attempt_over(out, e);
    x->f->unkept = unkept_of(x, got);
    x->f->unkept->account = account;
    return renewal_keep_or_wait(x->r, x->f, out, why);
}

static struct str reason_of(const struct obtained *got, const char *otherwise)
{
    return got->answer.error.n ? got->answer.error : str_of(otherwise);
}

bool attempt_finish(struct attempt *x, struct obtained *got, enum err *out, struct fault *why)
{
    const struct token_answer *t = &got->answer;
    tell_skew(x, t->skew_ms);
    switch (t->outcome) {
    case TOKEN_GIVEN: return take_tokens(x, got, out, why);
    case TOKEN_GRANT_OVER: return attempt_over(out, attempt_end_grant(x, reason_of(got, "invalid_grant"), why));
    case TOKEN_ODD: return attempt_over(out, attempt_end_grant(x, reason_of(got, "unreadable"), why));
    case TOKEN_CLIENT_WRONG: return attempt_over(out, pause_grant(x, reason_of(got, "invalid_client"), true, got, why));
    case TOKEN_ASKED_WRONG: return attempt_over(out, pause_grant(x, reason_of(got, "invalid_request"), false, got, why));
    case TOKEN_UNKNOWN: return attempt_lose_answer(x, STR("cut_off"), out, why);
    case TOKEN_PENDING: return attempt_over(out, refuse_by_hand(x, "", STR("authorization_pending"), ERR_NEEDS_AUTH, why));
    case TOKEN_SLOW_DOWN: return attempt_over(out, refuse_by_hand(x, "", STR("slow_down"), ERR_NEEDS_AUTH, why));
    case TOKEN_DENIED: return attempt_over(out, refuse_by_hand(x, "refused", STR("access_denied"), ERR_NEEDS_AUTH, why));
    case TOKEN_CODE_EXPIRED: return attempt_over(out, refuse_by_hand(x, "refused", STR("expired_token"), ERR_NEEDS_AUTH, why));
    case TOKEN_LATER:
    case TOKEN_NONCE: break;
    }
    renewal_count(x->r, COUNT_LATER);
    if (attempt_by_hand(x))
        return attempt_over(out, refuse_by_hand(x, "failed", reason_of(got, "later"), ERR_RENEWAL_FAILED, why));
    return fail_for_now(x, "failed", reason_of(got, "later"), t->retry_after_ms, out, why);
}
