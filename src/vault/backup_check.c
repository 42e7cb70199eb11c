/* The second half of vault/backup.h: is all that a database holds readable? */
#include "vault/backup.h"

#include <stdio.h>

#include "vault/connection.h"
#include "vault/sealed.h"

#define AT_ONCE 500 /* rows of a page */

/* Pages, indexes and references. */
static enum err check_pages(struct db *db, struct arena *a, struct fault *why)
{
    struct str found;
    enum err e = store_check(db, a, true, &found, why);
    if (e || !found.n)
        return e;
    return fault(why, ERR_BACKUP_DAMAGED, STR("the database in it"), "%.*s", STR_ARG(found));
}

struct walk {
    struct db *db;
    struct keyring *keys;
    struct arena *arena; /* rewound after each page */
    struct backup_counts *out;
    backup_progress *progress;
    void *context;
    int64_t done, total;
};

static void unreadable(struct walk *w, struct str id)
{
    static _Thread_local char first[64];
    if (!w->out->unreadable++)
        w->out->first = str_of(str_copy(first, sizeof first, id));
}

static void step(struct walk *w)
{
    w->done++;
    if (w->progress)
        w->progress(w->context, w->done, w->total);
}

static enum err check_connection(struct walk *w, const struct connection_row *row, struct fault *why)
{
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n = 0;
    enum err e = connection_open_secrets(w->db, w->keys, w->arena, row, all, &n, why);
    step(w);
    w->out->connections++;
    if (e == ERR_RECONNECT_REQUIRED && row->health == HEALTH_RECONNECT_REQUIRED)
        w->out->known++;
    else if (e == ERR_RECONNECT_REQUIRED)
        unreadable(w, row->id);
    else if (e)
        return e;
    w->out->secrets += (int64_t)n;
    for (size_t i = 0; i < n; i++)
        secret_end(&all[i].value);
    return ERR_NONE;
}

static enum err connections_page(struct walk *w, char after[64], bool *more, struct fault *why)
{
    struct connection_row *rows = arena_array(w->arena, AT_ONCE, sizeof *rows);
    size_t n = 0;
    struct query *q = query_begin(w->db, "SELECT id, key, allowed_domain, auth_type, health FROM connection WHERE id > $1"
                                         " ORDER BY id LIMIT $2");
    query_text(q, arena_str(w->arena, str_of(after)));
    query_i64(q, AT_ONCE);
    while (n < AT_ONCE && query_next(q)) {
        struct connection_row *r = &rows[n++];
        r->id = query_get_text(q, 0, w->arena);
        r->key = query_get_text(q, 1, w->arena);
        r->allowed_domain = query_get_text(q, 2, w->arena);
        r->auth_type = query_get_text(q, 3, w->arena);
        connection_health_parse(query_get_text(q, 4, w->arena), &r->health);
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; i < n && !e; i++)
        e = check_connection(w, &rows[i], why);
    if (n)
        str_copy(after, 64, rows[n - 1].id);
    *more = n == AT_ONCE;
    return e;
}

struct value_place {
    struct data_owner owner;
    struct str name;
};

static enum err check_value(struct walk *w, const struct value_place *v, struct fault *why)
{
    AUTO_SECRET value = SECRET_NONE;
    enum err e = sealed_get(w->db, w->keys, v->owner, v->name, &value, why);
    step(w);
    w->out->values++;
    if (e == ERR_CRYPTO || e == ERR_NOT_FOUND)
        unreadable(w, v->owner.id);
    else if (e)
        return e;
    return ERR_NONE;
}

static enum err values_page(struct walk *w, struct value_place *last, struct arena *keep, bool *more, struct fault *why)
{
    struct value_place *rows = arena_array(w->arena, AT_ONCE, sizeof *rows);
    size_t n = 0;
    struct query *q = query_begin(w->db, "SELECT kind, owner_id, name FROM sealed_value WHERE (kind, owner_id, name) > ($1, $2, $3)"
                                         " ORDER BY kind, owner_id, name LIMIT $4");
    query_text(q, last->owner.kind);
    query_text(q, last->owner.id);
    query_text(q, last->name);
    query_i64(q, AT_ONCE);
    while (n < AT_ONCE && query_next(q))
        rows[n++] = (struct value_place){ { query_get_text(q, 0, w->arena), query_get_text(q, 1, w->arena) },
                                          query_get_text(q, 2, w->arena) };
    enum err e = query_end(q, why);
    for (size_t i = 0; i < n && !e; i++)
        e = check_value(w, &rows[i], why);
    if (n) {
        arena_reset(keep);
        *last = (struct value_place){ { arena_str(keep, rows[n - 1].owner.kind), arena_str(keep, rows[n - 1].owner.id) },
                                      arena_str(keep, rows[n - 1].name) };
    }
    *more = n == AT_ONCE;
    return e;
}

static enum err check_connections(struct walk *w, struct fault *why)
{
    char after[64] = "";
    enum err e = ERR_NONE;
    for (bool more = true; more && !e;) {
        struct arena_mark mark = arena_mark(w->arena);
        e = connections_page(w, after, &more, why);
        arena_rewind(w->arena, mark);
    }
    return e;
}

static enum err check_values(struct walk *w, struct fault *why)
{
    AUTO_ARENA keep = arena_new(1024);
    struct value_place last = { { STR(""), STR("") }, STR("") };
    enum err e = ERR_NONE;
    for (bool more = true; more && !e;) {
        struct arena_mark mark = arena_mark(w->arena);
        e = values_page(w, &last, keep, &more, why);
        arena_rewind(w->arena, mark);
    }
    return e;
}

enum err backup_check(struct db *db, struct keyring *k, struct arena *a, backup_progress *progress, void *context,
                      struct backup_counts *out, struct fault *why)
{
    int64_t connections, values;
    *out = (struct backup_counts){ .first = STR("") };
    struct walk w = { db, k, a, out, progress, context, 0, 0 };
    enum err e = check_pages(db, a, why);
    if (e || (e = query_number(db, "SELECT count(*) FROM connection", &connections, why)) ||
        (e = query_number(db, "SELECT count(*) FROM sealed_value", &values, why)) ||
        (e = query_number(db, "SELECT count(*) FROM wrapping_key", &out->wrapping_keys, why)))
        return e;
    w.total = connections + values;
    if ((e = check_connections(&w, why)))
        return e;
    return check_values(&w, why);
}

/* Who had a session then need not have one now. Credentials may be older than what providers hold: renewed since, or taken back. */
enum err backup_mark_restored(struct db *db, struct fault *why)
{
    enum err e = query_end(query_begin(db, "DELETE FROM session"), why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE connection SET restored_ms = $1");
    query_i64(q, clock_wall());
    if ((e = query_end(q, why)))
        return e;
    /* Of grants: what was on its way when the backup was made, nobody waits for any more (requirement 19.7). */
    q = query_begin(db, "UPDATE connection_grant SET from_backup = 1, holder = '', intent_ms = 0, intent_print = ''"
                        " WHERE generation > 0");
    return query_end(q, why);
}
