#include "auth/grant.h"

#include "auth/grant_row.h"
#include "vault/sealed.h"

static const char *const states[] = {
    [GRANT_NONE] = "none", [GRANT_GOOD] = "good", [GRANT_FAILING] = "failing", [GRANT_PAUSED] = "paused", [GRANT_OVER] = "over",
};

const char *grant_state_name(enum grant_state s) { return states[s]; }

static enum grant_state state_of(struct str name)
{
    for (size_t i = 0; i < COUNT(states); i++)
        if (str_is(name, states[i]))
            return (enum grant_state)i;
    return GRANT_NONE;
}

static struct data_owner owner_of(struct str connection) { return (struct data_owner){ STR(GRANT_KIND), connection }; }

/* ---- reading ---- */

#define COLUMNS                                                                                                                    \
    "g.state, g.generation, g.obtained_ms, g.expires_ms, g.next_ms, g.refreshable, g.requested, g.granted, g.reason, g.failures, " \
    "g.from_backup, g.again_ms, g.client, g.forced_ms, g.skew_ms, g.fence, g.holder, g.beat, g.intent_ms, g.intent_print, "        \
    "g.attempt, g.unknown, g.connection_id"
#define COLUMN_CONNECTION 22

static void read_row(struct query *q, struct arena *a, struct grant_row *out)
{
    struct grant *g = &out->grant;
    int c = 0;
    g->state = state_of(query_get_text(q, c++, a));
    g->generation = query_get_i64(q, c++);
    g->obtained = query_get_i64(q, c++);
    g->expires = query_get_i64(q, c++);
    g->next = query_get_i64(q, c++);
    g->refreshable = query_get_i64(q, c++) != 0;
    g->requested = query_get_text(q, c++, a);
    g->granted = query_get_text(q, c++, a);
    g->reason = query_get_text(q, c++, a);
    g->failures = query_get_i64(q, c++);
    g->from_backup = query_get_i64(q, c++) != 0;
    out->again = query_get_i64(q, c++);
    out->client = query_get_text(q, c++, a);
    out->forced = query_get_i64(q, c++);
    out->skew_ms = query_get_i64(q, c++);
    out->fence = query_get_i64(q, c++);
    out->holder = query_get_text(q, c++, a);
    out->beat = query_get_i64(q, c++);
    out->intent = query_get_i64(q, c++);
    out->print = query_get_text(q, c++, a);
    out->attempt = query_get_i64(q, c++);
    out->unknown = query_get_i64(q, c++);
}

static enum err grant_rows(struct db *db, struct arena *a, const struct many *connections, struct grant_row *out, struct fault *why)
{
    struct query *q =
        many_begin(db, "SELECT " COLUMNS " FROM connection_grant g WHERE g.connection_id IN $keys", 0, connections);
    many_bind(q, connections);
    for (size_t i = 0; i < connections->n; i++)
        out[i] = (struct grant_row){ .grant.connection = arena_str(a, connections->keys[i]) };
    for (size_t i; query_next(q);)
        if (many_find(connections, query_get_text(q, COLUMN_CONNECTION, a), &i))
            read_row(q, a, &out[i]);
    return query_end(q, why);
}

enum err grant_list(struct db *db, struct arena *a, const struct grant_filter *f, struct grant_listed **out, size_t *n,
                    struct fault *why)
{
#define LISTED                                                                                                                     \
    "SELECT " COLUMNS ", c.key, c.name, f.path, c.auth_type FROM connection_grant g JOIN connection c ON c.id = g.connection_id"  \
    " JOIN folder f ON f.id = c.folder_id WHERE c.deleted_ms = 0 AND g.connection_id > $1 AND ($2 = '' OR g.state = $2)"
    /* Two texts: each has an index. */
    struct query *q = query_begin(db, f->restored ? LISTED " AND g.from_backup = 1 ORDER BY g.connection_id LIMIT $3"
                                                  : LISTED " ORDER BY g.connection_id LIMIT $3");
#undef LISTED
    query_text(q, f->after.p ? f->after : STR(""));
    query_text(q, f->state ? str_of(f->state) : STR(""));
    query_i64(q, f->limit);
    *out = arena_array(a, (size_t)f->limit, sizeof **out);
    for (*n = 0; *n < (size_t)f->limit && query_next(q); ++*n) {
        struct grant_row row = { .grant = { .state = GRANT_NONE } };
        struct grant_listed *l = &(*out)[*n];
        int c = COLUMN_CONNECTION;
        read_row(q, a, &row);
        l->grant = row.grant;
        l->grant.connection = query_get_text(q, c++, a);
        l->key = query_get_text(q, c++, a);
        l->name = query_get_text(q, c++, a);
        l->folder = query_get_text(q, c++, a);
        l->auth_type = query_get_text(q, c++, a);
    }
    return query_end(q, why);
}

enum err grant_row_get(struct db *db, struct arena *a, struct str connection, struct grant_row *out, struct fault *why)
{
    const struct many one = many_one(&connection);
    return grant_rows(db, a, &one, out, why);
}

enum err grants_get(struct db *db, struct arena *a, const struct many *connections, struct grant *out, bool *found,
                    struct fault *why)
{
    struct grant_row *rows = arena_array(a, connections->n, sizeof *rows);
    enum err e = grant_rows(db, a, connections, rows, why);
    for (size_t i = 0; !e && i < connections->n; i++) {
        found[i] = rows[i].grant.state != GRANT_NONE || rows[i].fence;
        out[i] = rows[i].grant;
    }
    return e;
}

enum err grant_get(struct db *db, struct arena *a, struct str connection, struct grant *out, struct fault *why)
{
    const struct many one = many_one(&connection);
    struct grant g;
    bool found;
    enum err e = grants_get(db, a, &one, &g, &found, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("grant"), "%.*s", STR_ARG(connection));
    *out = g;
    return ERR_NONE;
}

static enum err value_names(struct db *db, struct arena *a, struct str connection, struct str names[GRANT_VALUES], size_t *n,
                            struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT name FROM sealed_value WHERE kind = '" GRANT_KIND "' AND owner_id = $1 ORDER BY name");
    query_text(q, connection);
    for (*n = 0; *n < GRANT_VALUES && query_next(q); (*n)++)
        names[*n] = query_get_text(q, 0, a);
    return query_end(q, why);
}

static enum err open_values(struct db *db, struct keyring *k, struct arena *a, struct str connection,
                            struct grant_value out[GRANT_VALUES], size_t *n, struct fault *why)
{
    struct str names[GRANT_VALUES];
    size_t count;
    enum err e = value_names(db, a, connection, names, &count, why);
    for (size_t i = 0; i < count && !e; i++) {
        out[*n] = (struct grant_value){ names[i], SECRET_NONE };
        e = sealed_get(db, k, owner_of(connection), names[i], &out[*n].value, why);
        *n += !e;
    }
    return e;
}

enum err grant_open(struct db *db, struct keyring *k, struct arena *a, struct str connection, struct grant_value out[GRANT_VALUES],
                    size_t *n, struct fault *why)
{
    *n = 0;
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = open_values(db, k, a, connection, out, n, why);
    db_snapshot_end(db);
    if (!e)
        return e;
    for (size_t i = 0; i < *n; i++)
        secret_end(&out[i].value);
    *n = 0;
    if (e == ERR_CRYPTO || e == ERR_NOT_FOUND)
        return fault(why, ERR_RECONNECT_REQUIRED, connection, "a value of the grant of %.*s does not open", STR_ARG(connection));
    return e;
}

/* ---- events ---- */

enum err grant_events(struct db *db, struct arena *a, struct str connection, int64_t before, int limit, struct grant_event **out,
                      size_t *n, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT number, at_ms, generation, what, cause, reason, node, took_ms FROM grant_event"
                                      " WHERE connection_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3");
    query_text(q, connection);
    query_i64(q, before > 0 ? before : INT64_MAX);
    query_i64(q, limit);
    *out = arena_array(a, (size_t)limit + 1, sizeof **out);
    for (*n = 0; *n < (size_t)limit && query_next(q); (*n)++)
        (*out)[*n] = (struct grant_event){
            .number = query_get_i64(q, 0),
            .at = query_get_i64(q, 1),
            .generation = query_get_i64(q, 2),
            .what = query_get_text(q, 3, a),
            .cause = query_get_text(q, 4, a),
            .reason = query_get_text(q, 5, a),
            .node = query_get_text(q, 6, a),
            .took_ms = query_get_i64(q, 7),
        };
    return query_end(q, why);
}

enum err grant_event_add(struct db *db, struct str connection, struct grant_event *event, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT MAX(number) FROM grant_event WHERE connection_id = $1");
    query_text(q, connection);
    event->number = query_next(q) ? query_get_i64(q, 0) + 1 : 1;
    enum err e = query_end(q, why);
    if (e)
        return e;
    event->at = clock_wall();
    q = query_begin(db, "INSERT INTO grant_event (connection_id, number, at_ms, generation, what, cause, reason, node, took_ms)"
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    query_text(q, connection);
    query_i64(q, event->number);
    query_i64(q, event->at);
    query_i64(q, event->generation);
    query_text(q, event->what.p ? event->what : STR(""));
    query_text(q, event->cause.p ? event->cause : STR(""));
    query_text(q, event->reason.p ? event->reason : STR(""));
    query_text(q, event->node.p ? event->node : STR(""));
    query_i64(q, event->took_ms);
    if ((e = query_end(q, why)) || event->number <= GRANT_EVENTS_KEPT)
        return e;
    q = query_begin(db, "DELETE FROM grant_event WHERE connection_id = $1 AND number <= $2");
    query_text(q, connection);
    query_i64(q, event->number - GRANT_EVENTS_KEPT);
    return query_end(q, why);
}

/* ---- a turn ---- */

static enum err lost(const struct grant_turn *t, struct fault *why)
{
    return fault(why, ERR_CONFLICT, STR("the connection is being renewed elsewhere"), "the lease of %.*s moved",
                 STR_ARG(t->connection));
}

static enum err ensure_row(struct db *db, struct str connection, struct fault *why)
{
    struct query *q =
        query_begin(db, "INSERT INTO connection_grant (connection_id) VALUES ($1) ON CONFLICT (connection_id) DO NOTHING");
    query_text(q, connection);
    return query_end(q, why);
}

/* A lease that is taken over, with something on its way that can be spent once: nobody knows what became of it. */
enum err grant_turn_take(struct db *db, void *turn, struct fault *why)
{
    struct grant_turn *t = turn;
    enum err e = ensure_row(db, t->connection, why);
    if (e)
        return e;
    struct query *q = query_begin(
        db, "UPDATE connection_grant SET fence = fence + 1, beat = 0, attempt = attempt + 1, holder = $1,"
            " unknown = unknown + CASE WHEN holder <> '' AND intent_print <> '' THEN 1 ELSE 0 END,"
            " intent_ms = $2, intent_print = $3, client = $4, requested = COALESCE($5, requested)"
            " WHERE connection_id = $6 AND generation = $7"
            " AND (holder IN ('', $1) OR (holder = $8 AND fence = $9 AND beat = $10)) RETURNING fence");
    query_text(q, str_of(t->holder));
    query_i64(q, t->now);
    query_text(q, t->print.p ? t->print : STR(""));
    query_text(q, t->client.p ? t->client : STR(""));
    query_text(q, t->requested);
    query_text(q, t->connection);
    query_i64(q, t->generation);
    query_text(q, t->stale.n ? t->stale : STR(""));
    query_i64(q, t->stale_fence);
    query_i64(q, t->stale_beat);
    bool taken = query_next(q);
    t->fence = query_get_i64(q, 0);
    if ((e = query_end(q, why)))
        return e;
    return taken ? ERR_NONE : lost(t, why);
}

enum err grant_turn_beat(struct db *db, void *turn, struct fault *why)
{
    const struct grant_turn *t = turn;
    struct query *q =
        query_begin(db, "UPDATE connection_grant SET beat = beat + 1 WHERE connection_id = $1 AND holder = $2 AND fence = $3");
    query_text(q, t->connection);
    query_text(q, str_of(t->holder));
    query_i64(q, t->fence);
    enum err e = query_end(q, why);
    if (e)
        return e;
    return db_changes(db) ? ERR_NONE : lost(t, why);
}

static enum err release(struct db *db, struct grant_end *end, struct fault *why)
{
    struct grant_turn *t = end->turn;
    struct query *q =
        query_begin(db, "UPDATE connection_grant SET state = $1, reason = $2, failures = $3, unknown = $4, again_ms = $5,"
                        " next_ms = $6, skew_ms = $7, holder = '', intent_ms = 0, intent_print = ''"
                        " WHERE connection_id = $8 AND holder = $9 AND fence = $10 RETURNING generation");
    query_text(q, str_of(states[end->state]));
    query_text(q, end->reason.p ? end->reason : STR(""));
    query_i64(q, end->failures);
    query_i64(q, end->unknown);
    query_i64(q, end->again);
    query_i64(q, end->next);
    query_i64(q, end->skew_ms);
    query_text(q, t->connection);
    query_text(q, str_of(t->holder));
    query_i64(q, t->fence);
    bool held = query_next(q);
    end->generation = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    if (e)
        return e;
    return held ? ERR_NONE : lost(t, why);
}

/* All of them, and no other. */
static enum err keep_values(struct db *db, struct arena *a, struct grant_end *end, struct fault *why)
{
    struct data_owner owner = owner_of(end->turn->connection);
    struct str names[GRANT_VALUES];
    size_t count;
    enum err e = value_names(db, a, end->turn->connection, names, &count, why);
    for (size_t i = 0; i < count && !e; i++) {
        bool stays = false;
        for (size_t k = 0; k < end->value_count; k++)
            stays |= str_eq(end->values[k].name, names[i]);
        if (!stays)
            e = sealed_remove(db, owner, names[i], why);
    }
    for (size_t i = 0; i < end->value_count && !e; i++)
        e = sealed_put(db, end->keyring, owner, end->values[i].name, end->values[i].value, why);
    return e;
}

static enum err keep(struct db *db, struct grant_end *end, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connection_grant SET generation = generation + 1, obtained_ms = $1, expires_ms = $2,"
                                      " refreshable = $3, granted = COALESCE($4, granted), from_backup = 0,"
                                      " forced_ms = CASE WHEN $5 = 1 THEN $1 ELSE forced_ms END"
                                      " WHERE connection_id = $6 RETURNING generation");
    query_i64(q, end->obtained);
    query_i64(q, end->expires);
    query_i64(q, end->refreshable);
    query_text(q, end->granted);
    query_i64(q, end->forced);
    query_text(q, end->turn->connection);
    if (query_next(q))
        end->generation = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    AUTO_ARENA a = arena_new(1024);
    return e ? e : keep_values(db, a, end, why);
}

enum err grant_turn_end(struct db *db, struct grant_end *end, struct fault *why)
{
    enum err e = end->release ? release(db, end, why) : ERR_NONE;
    if (!e && end->kept)
        e = keep(db, end, why);
    end->event.generation = end->generation;
    return e || !end->event.what.n ? e : grant_event_add(db, end->turn->connection, &end->event, why);
}

/* ---- another client's ---- */

enum err grant_drop(struct db *db, struct str connection, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connection_grant SET state = 'none', generation = 0, obtained_ms = 0, expires_ms = 0,"
                                      " next_ms = 0, again_ms = 0, refreshable = 0, requested = '', granted = '', reason = '',"
                                      " failures = 0, client = '', forced_ms = 0, from_backup = 0, fence = fence + 1, holder = '',"
                                      " intent_ms = 0, intent_print = '', unknown = 0 WHERE connection_id = $1");
    query_text(q, connection);
    enum err e = query_end(q, why);
    if (e || !db_changes(db))
        return e;
    struct grant_event event = { .what = STR("dropped"), .cause = STR("client"), .reason = STR(""), .node = STR("") };
    if ((e = grant_event_add(db, connection, &event, why)))
        return e;
    return sealed_forget(db, (struct data_owner){ STR(GRANT_KIND), connection }, why);
}

/* ---- a clock that was wrong ---- */

#define FUTURE_MS (24 * 3600 * 1000) /* a clock that is set back by less is right again soon, and the times with it */
#define WAIT_MOST_MS (3600 * 1000 + 5 * 60000) /* Retry-After is believed for an hour */

enum err grant_times_wrong(struct db *db, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM connection_grant WHERE obtained_ms > $1"
                                      " OR (state = 'failing' AND again_ms > $2 AND again_ms <> expires_ms) LIMIT 1");
    query_i64(q, clock_steady() + FUTURE_MS);
    query_i64(q, clock_steady() + WAIT_MOST_MS);
    *out = query_next(q);
    return query_end(q, why);
}

enum err grant_mend_times(struct db *db, void *unused, struct fault *why)
{
    wall_ms now = clock_steady();
    (void)unused;
    struct query *q = query_begin(
        db, "UPDATE connection_grant SET expires_ms = CASE WHEN expires_ms > 0 THEN expires_ms - obtained_ms + $1 ELSE 0 END,"
            " next_ms = CASE WHEN next_ms > 0 THEN next_ms - obtained_ms + $1 ELSE 0 END,"
            " again_ms = 0, forced_ms = 0, obtained_ms = $1 WHERE obtained_ms > $2");
    query_i64(q, now);
    query_i64(q, now + FUTURE_MS);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db,
                    "UPDATE connection_grant SET again_ms = $1, next_ms = CASE WHEN next_ms > 0 THEN CAST($1 AS BIGINT) ELSE 0 END"
                    " WHERE state = 'failing' AND again_ms > $2 AND again_ms <> expires_ms");
    query_i64(q, now);
    query_i64(q, now + WAIT_MOST_MS);
    return query_end(q, why);
}

/* ---- what was waited for ---- */

enum err grant_resume(struct db *db, struct str client, struct str connection, struct fault *why)
{
    /* What can be fetched anew with what was changed; a refresh token that was refused stays refused. */
    struct query *q = query_begin(db, "UPDATE connection_grant SET state = CASE WHEN generation > 0 THEN 'good' ELSE 'none' END,"
                                      " reason = '', failures = 0, again_ms = 0, next_ms = $1"
                                      " WHERE (connection_id = $2 AND (state IN ('failing', 'paused') OR (state = 'over' AND "
                                      "refreshable = 0))) OR (client = $3 AND client <> '' AND state = 'paused')");
    query_i64(q, clock_steady());
    query_text(q, connection.p ? connection : STR(""));
    query_text(q, client.p ? client : STR(""));
    return query_end(q, why);
}
