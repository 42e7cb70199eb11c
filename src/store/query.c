#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/connection.h"
#include "store/store_limits.h"

struct copy {
    struct copy *next;
    char text[];
};

struct query {
    struct list kept;       /* in db->kept, unless it is a second copy of one that runs */
    struct list running;    /* in db->running from begin to end */
    struct db *db;
    struct statement *st;   /* NULL: preparing failed */
    char *sql;
    size_t sql_size;
    int bound;
    bool is_kept, is_running, stepped, row, done;
    struct failure failure; /* sticky */
    struct copy *copies;    /* of what is bound, until it ends */
};

static void drop_copies(struct query *q)
{
    for (struct copy *c = q->copies, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    q->copies = NULL;
}

static void query_free(struct query *q)
{
    list_remove(&q->kept);
    list_remove(&q->running);
    if (q->st)
        q->db->engine->drop(q->db, q->st);
    drop_copies(q);
    free(q->sql);
    free(q);
}

/* In a transaction nothing goes on after a failure: PostgreSQL has given it up, and SQLite may have rolled it back, so that what
 * came next would run outside of one. Else a broken constraint undoes its statement and nothing more. */
static void fail_query(struct query *q, const struct failure *f)
{
    if (q->failure.code)
        return;
    q->failure = *f;
    if (q->db->in_transaction || !f->constraint)
        connection_failed(q->db, f);
}

static struct query *query_prepare(struct db *db, struct str sql)
{
    struct query *q = mem_zero(sizeof *q);
    struct failure f;
    list_init(&q->kept);
    list_init(&q->running);
    q->db = db;
    q->sql = mem_cstr(sql);
    q->sql_size = sql.n;
    q->st = db->engine->prepare(db, q->sql, &f);
    if (!q->st)
        fail_query(q, &f);
    return q;
}

static void keep(struct db *db, struct query *q)
{
    list_push_front(&db->kept, &q->kept);
    q->is_kept = true;
    if (++db->kept_count <= STORE_STATEMENTS)
        return;
    for (struct list *node = db->kept.prev; node != &db->kept; node = node->prev) {
        struct query *oldest = list_entry(node, struct query, kept);
        if (!oldest->is_running && oldest != q) {
            query_free(oldest);
            db->kept_count--;
            return;
        }
    }
}

static struct query *query_find(struct db *db, struct str sql, bool *runs)
{
    list_each(node, &db->kept) {
        struct query *q = list_entry(node, struct query, kept);
        if (!str_eq(sql, (struct str){ q->sql, q->sql_size }))
            continue;
        if (q->is_running) {
            *runs = true;
            return NULL;
        }
        list_remove(&q->kept);
        list_push_front(&db->kept, &q->kept);
        return q;
    }
    return NULL;
}

/* Said once by the one that failed; the others were not even asked. */
static void not_run(struct query *q)
{
    q->failure = q->db->failed;
    snprintf(q->failure.note, sizeof q->failure.note, "not run after: %.160s", q->db->failed.note);
}

struct query *query_begin(struct db *db, const char *text)
{
    struct str sql = str_of(text);
    bool copy_runs = false;
    struct query *q = query_find(db, sql, &copy_runs);
    if (!q) {
        q = query_prepare(db, sql);
        if (q->st && !copy_runs)
            keep(db, q);
    }
    q->is_running = true;
    list_push_front(&db->running, &q->running);
    if (db->in_transaction && db->failed.code && !q->failure.code)
        not_run(q);
    return q;
}

/* The number of the next parameter, or 0 when nothing is to be bound. */
static int next_place(struct query *q)
{
    q->bound++;
    if (q->failure.code)
        return 0;
    if (q->bound > q->st->params || q->stepped)
        bug("query takes %d parameters, all before its first row: %s", q->st->params, q->sql);
    return q->bound;
}

static void bind(struct query *q, struct str s, bool blob)
{
    struct failure f;
    int place = next_place(q);
    if (place && !q->db->engine->bind(q->db, q->st, place, s, blob, &f))
        fail_query(q, &f);
}

void query_text(struct query *q, struct str s) { bind(q, s, false); }
void query_blob(struct query *q, struct str s) { bind(q, s, true); }
void query_null(struct query *q) { bind(q, STR_NONE, false); }

void query_text_copy(struct query *q, struct str s)
{
    if (s.p) {
        struct copy *c = mem_grow(NULL, sizeof *c + s.n);
        memcpy(c->text, s.p, s.n);
        c->next = q->copies;
        q->copies = c;
        s.p = c->text;
    }
    bind(q, s, false);
}

void query_i64(struct query *q, int64_t n)
{
    struct failure f;
    int place = next_place(q);
    if (place && !q->db->engine->bind_number(q->db, q->st, place, n, &f))
        fail_query(q, &f);
}

bool query_next(struct query *q)
{
    struct failure f;
    q->row = false;
    if (q->failure.code || q->done)
        return false;
    if (!q->stepped && q->bound != q->st->params)
        bug("query was given %d of %d parameters: %s", q->bound, q->st->params, q->sql);
    q->stepped = true;
    enum step step = q->db->engine->step(q->db, q->st, &f);
    q->row = step == STEP_ROW;
    q->done = !q->row;
    if (step == STEP_FAILED)
        fail_query(q, &f);
    return q->row;
}

bool query_is_null(struct query *q, int column) { return !q->row || q->db->engine->is_null(q->st, column); }

struct str query_get_text(struct query *q, int column, struct arena *a)
{
    return query_is_null(q, column) ? STR_NONE : q->db->engine->text(q->st, column, a);
}

struct str query_get_blob(struct query *q, int column, struct arena *a)
{
    return query_is_null(q, column) ? STR_NONE : q->db->engine->blob(q->st, column, a);
}

int64_t query_get_i64(struct query *q, int column) { return q->row ? q->db->engine->number(q->st, column) : 0; }

/* Back to where it was before begin; nothing borrowed stays bound. */
static void query_rest(struct query *q)
{
    list_remove(&q->running);
    if (!q->is_kept) {
        query_free(q);
        return;
    }
    q->db->engine->rest(q->db, q->st);
    drop_copies(q);
    q->bound = 0;
    q->failure.code = ERR_NONE;
    q->is_running = q->stepped = q->row = q->done = false;
}

enum err query_end(struct query *q, struct fault *why)
{
    /* Rows of a SELECT that nobody asked for need no reading; a change is always carried to its end. */
    if (!q->stepped)
        query_next(q);
    while (q->row && q->st->changes)
        query_next(q);
    enum err e = failure_fault(&q->failure, why);
    query_rest(q);
    return e;
}

int64_t db_changes(struct db *db) { return db->engine->changed(db); }

enum err db_script(struct db *db, const char *statements, struct fault *why)
{
    if (db->in_transaction && db->failed.code)
        return failure_fault(&db->failed, why);
    return connection_run(db, statements) ? ERR_NONE : failure_fault(&db->failed, why);
}

enum err db_snapshot(struct db *db, struct fault *why)
{
    /* The state is the one that the first query finds. */
    if (!db->in_transaction && !db->snapshots && !connection_run(db, db->engine->begin_snapshot))
        return failure_fault(&db->failed, why);
    db->snapshots++;
    return ERR_NONE;
}

void db_snapshot_end(struct db *db)
{
    /* A disk error may have ended the transaction already. Nothing was changed, so that nothing can fail to be kept. */
    if (!--db->snapshots && !db->in_transaction && db->engine->open_transaction(db) && !connection_run(db, "COMMIT"))
        connection_run(db, "ROLLBACK");
}

enum err query_number(struct db *db, const char *sql, int64_t *n, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    *n = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

/* -- the connection that they run on -------------------------------------------------------------------------- */

enum err failure_fault(const struct failure *f, struct fault *why)
{
    return f->code ? fault(why, f->code, str_of(f->subject), "%s", f->note) : ERR_NONE;
}

void connection_failed(struct db *db, const struct failure *f)
{
    if (!db->failed.code)
        db->failed = *f;
}

bool connection_run(struct db *db, const char *sql)
{
    struct failure f;
    bool good = db->engine->run(db, sql, &f);
    if (!good)
        connection_failed(db, &f);
    return good;
}

bool connection_open(struct place *p, enum connection_kind kind, struct db **out, struct failure *f)
{
    struct db *db = p->engine->open(p, kind, f);
    if (db) {
        db->engine = p->engine;
        list_init(&db->in_store);
        list_init(&db->kept);
        list_init(&db->running);
    }
    *out = db;
    return db;
}

int connection_end_queries(struct db *db)
{
    int n = 0;
    list_each_safe(node, &db->running) {
        query_rest(list_entry(node, struct query, running));
        n++;
    }
    return n;
}

void connection_close(struct db *db)
{
    if (!db)
        return;
    connection_end_queries(db);
    list_each_safe(node, &db->kept)
        query_free(list_entry(node, struct query, kept));
    db->engine->close(db);
}

bool db_is_postgres(const struct db *db) { return db->engine == &postgres_engine; }

/* Carries an open transaction to its end. `e` is what the work answered. */
static enum err finish(struct db *db, enum err e, struct fault *why)
{
    struct failure f;
    int open_queries = connection_end_queries(db);
    if (!e && open_queries)
        bug("%d queries still running at commit", open_queries);
    if (!e && db->failed.code)
        e = failure_fault(&db->failed, why); /* `work` passed over a failure */
    if (!e) {
        if (db->engine->commit(db, &f))
            return ERR_NONE;
        connection_failed(db, &f);
        e = failure_fault(&f, why);
    }
    if (db->engine->open_transaction(db) && !db->engine->run(db, "ROLLBACK", &f)) {
        db->failed = f; /* whatever it was before, this connection is of no use */
        db->failed.constraint = db->failed.busy = false;
    }
    return e;
}

enum err connection_transaction(struct db *db, int64_t wait_ms, store_work *work, void *context, struct fault *why)
{
    struct failure f;
    if (!db->engine->begin(db, wait_ms, &f)) {
        connection_failed(db, &f);
        return failure_fault(&f, why);
    }
    db->in_transaction = true;
    enum err e = finish(db, work(db, context, why), why);
    db->in_transaction = db->patient = false;
    return e;
}

enum err connection_patient(struct db *db, struct fault *why)
{
    db->patient = true;
    return db->engine->be_patient ? db_script(db, db->engine->be_patient, why) : ERR_NONE;
}
