/* One connection to PostgreSQL. Nothing here waits for longer than the server is given: a server that hangs must not keep the
 * hub's threads. */
#include "store/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "store/directory.h"
#include "store/store_limits.h"

#define OLDEST_SERVER 130000

/* -- failures ------------------------------------------------------------------------------------------------- */

/* https://www.postgresql.org/docs/15/errcodes-appendix.html */
static const struct { const char *state; enum err code; bool constraint, busy; } failures[] = {
    { "23505", ERR_CONFLICT, true, false },        /* unique_violation */
    { "23", ERR_STORE, true, false },              /* other constraints */
    { "53100", ERR_STORE_FULL, false, false },     /* disk_full */
    { "XX001", ERR_STORE_DAMAGED, false, false },  /* data_corrupted */
    { "XX002", ERR_STORE_DAMAGED, false, false },  /* index_corrupted */
    { "55P03", ERR_STORE, false, true },           /* lock_not_available */
    { "40", ERR_STORE, false, true },              /* rolled back for the sake of another transaction */
    { "", ERR_STORE, false, false },
};

static void state_failure(const char *state, struct failure *f)
{
    size_t i = 0;
    while (strncmp(failures[i].state, state, strlen(failures[i].state)))
        i++;
    *f = (struct failure){ .code = failures[i].code, .constraint = failures[i].constraint, .busy = failures[i].busy };
}

static const char *field(const PGresult *r, int which)
{
    const char *text = PQresultErrorField(r, which);
    return text ? text : "";
}

/* What the server says of data (class 22) and constraints (23) repeats values; of the rest it names tables and columns. */
static void result_failure(const PGresult *r, const char *doing, struct failure *f)
{
    const char *state = field(r, PG_DIAG_SQLSTATE);
    bool telling = !strncmp(state, "22", 2) || !strncmp(state, "23", 2);
    state_failure(state, f);
    if (f->code == ERR_CONFLICT)
        str_copy(f->subject, sizeof f->subject, str_of(field(r, PG_DIAG_TABLE_NAME)));
    snprintf(f->note, sizeof f->note, "postgres %s: %s: %.60s%s%.60s", state, doing, field(r, PG_DIAG_TABLE_NAME),
             *field(r, PG_DIAG_TABLE_NAME) ? " " : "",
             telling ? field(r, PG_DIAG_CONSTRAINT_NAME) : field(r, PG_DIAG_MESSAGE_PRIMARY));
}

static void lost(struct failure *f, const char *doing, const char *how)
{
    *f = (struct failure){ .code = ERR_STORE };
    snprintf(f->note, sizeof f->note, "postgres: %s: %s", doing, how);
}

bool postgres_refuse(const char *note, struct failure *f)
{
    *f = (struct failure){ .code = ERR_STORE, .constraint = true };
    snprintf(f->note, sizeof f->note, "%s", note);
    return false;
}

/* Of the server's own warnings one matters: that a commit is no longer waited for on the standby (commit()). */
static void on_notice(void *context, const PGresult *r)
{
    ((struct postgres_db *)context)->warned |= !strcmp(field(r, PG_DIAG_SEVERITY_NONLOCALIZED), "WARNING");
}

/* -- asking ---------------------------------------------------------------------------------------------------- */

/* False: the server is gone, or says nothing until then. */
static bool wait_for(PGconn *pg, short what, int64_t until_us)
{
    struct pollfd p = { .fd = PQsocket(pg), .events = what };
    for (;;) {
        int64_t left_us = until_us - clock_mono_us();
        int n = left_us <= 0 ? 0 : poll(&p, 1, (int)(left_us / 1000) + 1);
        if (n > 0)
            return true;
        if (!n || errno != EINTR)
            return false;
    }
}

static bool send_all(PGconn *pg, int64_t until_us)
{
    int left;
    while ((left = PQflush(pg)) > 0) {
        if (!wait_for(pg, POLLIN | POLLOUT, until_us) || !PQconsumeInput(pg))
            return false;
    }
    return !left;
}

/* The next result, or NULL at the end. False: none came. */
static bool next_result(PGconn *pg, int64_t until_us, PGresult **r)
{
    while (PQisBusy(pg))
        if (!wait_for(pg, POLLIN, until_us) || !PQconsumeInput(pg))
            return false;
    *r = PQgetResult(pg);
    return true;
}

static bool is_good(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

/* The first failure of several statements, or the last result. */
PGresult *postgres_answer(struct db *db, const char *doing, struct failure *f)
{
    PGconn *pg = postgres_of(db)->pg;
    PGresult *last = NULL, *r = NULL;
    int64_t until_us = clock_mono_us() + (db->patient ? STORE_PATIENT_MS : STORE_ANSWER_MS) * INT64_C(1000);
    bool heard = send_all(pg, until_us);
    while (heard && (heard = next_result(pg, until_us, &r)) && r) {
        if (last && !is_good(last)) {
            PQclear(r);
            continue;
        }
        PQclear(last);
        last = r;
    }
    if (heard && last && is_good(last))
        return last;
    if (heard && last && *field(last, PG_DIAG_SQLSTATE))
        result_failure(last, doing, f);
    else
        lost(f, doing, heard || PQstatus(pg) == CONNECTION_BAD ? "the connection broke" : "the server does not answer");
    PQclear(last);
    return NULL;
}

static PGresult *ask(struct db *db, const char *sql, const char *doing, struct failure *f)
{
    PGconn *pg = postgres_of(db)->pg;
    if (PQsendQuery(pg, sql))
        return postgres_answer(db, doing, f);
    lost(f, doing, PQerrorMessage(pg));
    return NULL;
}

static bool postgres_run(struct db *db, const char *sql, struct failure *f)
{
    PGresult *r = ask(db, sql, "running", f);
    PQclear(r);
    return r;
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

static void postgres_close(struct db *db)
{
    PQfinish(postgres_of(db)->pg);
    free(db);
}

/* Every thread that asks while the server is away would else wait for as long as a connection may take. */
static void rest(struct place *p) { p->rest_until_ms = clock_mono().ms + STORE_REST_MS + clock_mono_us() % STORE_REST_MS; }

static bool refuse(struct failure *f, const char *what)
{
    *f = (struct failure){ .code = ERR_STORE };
    str_copy(f->subject, sizeof f->subject, STR("database_url"));
    snprintf(f->note, sizeof f->note, "postgres: %s", what);
    return false;
}

/* A cluster's line of history grows by one with each standby that takes over: who is on an older one is a former primary that does
 * not know it yet, and what it says is not true any more. Another cluster altogether is taken for the same database at a start
 * only. */
static bool place_knows(struct place *p, int64_t cluster, int64_t history)
{
    pthread_mutex_lock(&p->lock);
    bool first = !p->seen, known = first || p->cluster == cluster;
    bool newer = known && (p->cluster != cluster || history > p->history);
    bool good = newer || (known && history == p->history);
    if (newer) {
        p->cluster = cluster;
        p->history = history;
        directory_history_note(p->directory, cluster, history);
    }
    p->seen |= good;
    pthread_mutex_unlock(&p->lock);
    return good;
}

/* What the server is, in one row. */
static bool look_at_server(struct db *db, struct failure *f)
{
    struct postgres_db *p = postgres_of(db);
    static const char sql[] =
        "SELECT getdatabaseencoding() = 'UTF8', datcollate IN ('C', 'POSIX') OR datcollate LIKE 'C.%', pg_is_in_recovery(),"
        " CASE WHEN pg_is_in_recovery() THEN '0' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,"
        " (SELECT system_identifier FROM pg_control_system())"
        " FROM pg_database WHERE datname = current_database()";
    if (PQserverVersion(p->pg) < OLDEST_SERVER)
        return refuse(f, "the server is older than PostgreSQL 13");
    PGresult *r = ask(db, sql, "looking at the server", f);
    if (!r)
        return false;
    bool utf8 = *PQgetvalue(r, 0, 0) == 't', bytewise = *PQgetvalue(r, 0, 1) == 't', standby = *PQgetvalue(r, 0, 2) == 't';
    p->history = strtoll(PQgetvalue(r, 0, 3), NULL, 16);
    int64_t cluster = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
    PQclear(r);
    if (!utf8 || !bytewise)
        return refuse(f, "the database sorts by a language's rules. Make one with: CREATE DATABASE raccord TEMPLATE template0"
                         " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'");
    if (standby)
        return refuse(f, "this server is a standby; name the primary, or all of its servers");
    if (!place_knows(p->place, cluster, p->history))
        return refuse(f, "this server is a former primary, or of another cluster than the one that served until now");
    return true;
}

static bool set_up(struct db *db, enum connection_kind kind, struct failure *f)
{
    static const char *const settings[] = {
        /* A page is not worth another process. */
        [CONNECTION_READS] = "SET default_transaction_read_only = on; SET max_parallel_workers_per_gather = 0",
        /* What was acknowledged survives, whatever the server's preset says. */
        [CONNECTION_WRITES] = "SET default_transaction_read_only = off;"
                              "SELECT set_config('synchronous_commit', 'on', false)"
                              " WHERE current_setting('synchronous_commit') IN ('off', 'local')",
    };
    char common[256];
    /* A node that is stopped in the middle of a transaction must not keep the others from theirs. */
    snprintf(common, sizeof common,
             "SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d; SET standard_conforming_strings = on;"
             " SET client_min_messages = warning",
             STORE_STATEMENT_MS, STORE_IDLE_TRANSACTION_MS);
    return look_at_server(db, f) && postgres_run(db, common, f) && postgres_run(db, settings[kind], f);
}

/* The address comes before what is ours to say, and after what it may say otherwise. `host` and `port`: one of those that it names;
 * NULL: as it says. */
static PGconn *connect_to(const char *address, const char *host, const char *port)
{
    char wait[16];
    snprintf(wait, sizeof wait, "%d", STORE_CONNECT_S);
    const char *const names[] = { "connect_timeout", "tcp_user_timeout", "keepalives_idle", "dbname", "client_encoding",
                                  "application_name", host ? "host" : NULL, "port", NULL };
    const char *const values[] = { wait, "10000", "10", address, "UTF8", "raccord", host, port, NULL };
    return PQconnectdbParams(names, values, 1);
}

static struct db *open_one(struct place *place, enum connection_kind kind, const char *host, const char *port, struct failure *f)
{
    struct postgres_db *p = mem_zero(sizeof *p);
    p->place = place;
    p->pg = connect_to(place->at, host, port);
    PQsetNoticeReceiver(p->pg, on_notice, p);
    bool good = PQstatus(p->pg) == CONNECTION_OK && PQsetnonblocking(p->pg, 1) == 0;
    if (!good)
        lost(f, "connecting", *PQerrorMessage(p->pg) ? PQerrorMessage(p->pg) : "no memory");
    if (good && set_up(&p->db, kind, f))
        return &p->db;
    postgres_close(&p->db);
    return NULL;
}

/* "a,b" and "5432,5433": libpq's own search ends at the first server that takes writes, which may be a former primary. Answers how
 * many there are; with one or none its own words serve. */
static int name_servers(const char *address, char *hosts[STORE_SERVERS], char *ports[STORE_SERVERS])
{
    PQconninfoOption *options = PQconninfoParse(address, NULL);
    int host_count = 0, port_count = 0;
    for (PQconninfoOption *o = options; o && o->keyword; o++) {
        bool host = !strcmp(o->keyword, "host"), port = !strcmp(o->keyword, "port");
        char *rest = (host || port) && o->val ? o->val : NULL, *one;
        while ((one = strsep(&rest, ",")) && (host ? host_count : port_count) < STORE_SERVERS)
            *(host ? &hosts[host_count++] : &ports[port_count++]) = strdup(one);
    }
    PQconninfoFree(options);
    for (int i = port_count; i < host_count; i++) /* one port is that of all of them */
        ports[i] = strdup(port_count ? ports[0] : "5432");
    for (int i = host_count; i < port_count; i++)
        free(ports[i]);
    return host_count;
}

static struct db *open_any(struct place *place, enum connection_kind kind, struct failure *f)
{
    char *hosts[STORE_SERVERS], *ports[STORE_SERVERS];
    int n = name_servers(place->at, hosts, ports);
    struct db *db = n > 1 ? NULL : open_one(place, kind, NULL, NULL, f);
    for (int i = 0; i < n; i++) {
        if (n > 1 && !db)
            db = open_one(place, kind, hosts[i], ports[i], f);
        free(hosts[i]);
        free(ports[i]);
    }
    return db;
}

static struct db *postgres_open(struct place *place, enum connection_kind kind, struct failure *f)
{
    if (clock_mono().ms < place->rest_until_ms) {
        lost(f, "connecting", "it failed a moment ago");
        return NULL;
    }
    struct db *db = open_any(place, kind, f);
    if (!db)
        rest(place);
    else if (kind == CONNECTION_WRITES)
        place->writer = PQbackendPID(postgres_of(db)->pg);
    return db;
}

/* A server of an older line of history than one that was seen meanwhile is a former primary. */
static bool postgres_current(const struct db *db)
{
    const struct postgres_db *p = postgres_of(db);
    return p->history == p->place->history;
}

/* -- transactions ------------------------------------------------------------------------------------------------ */

static bool postgres_open_transaction(struct db *db)
{
    PGTransactionStatusType status = PQtransactionStatus(postgres_of(db)->pg);
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

static bool postgres_begin(struct db *db, int64_t wait_ms, struct failure *f)
{
    char sql[192];
    struct failure ignored;
    snprintf(sql, sizeof sql,
             "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = %lld; SELECT "
             "pg_advisory_xact_lock(" STORE_WRITERS ")",
             (long long)(wait_ms > 1 ? wait_ms : 1));
    if (postgres_run(db, sql, f))
        return true;
    if (postgres_open_transaction(db) && !postgres_run(db, "ROLLBACK", &ignored))
        f->busy = false;
    return false;
}

/* A transaction that met an error "commits" with the word ROLLBACK. A commit that a standby was to confirm, and that somebody
 * cancelled meanwhile, is done here and perhaps nowhere else: the server warns and says COMMIT. Neither is one. */
static bool postgres_commit(struct db *db, struct failure *f)
{
    struct postgres_db *p = postgres_of(db);
    p->warned = false;
    PGresult *r = ask(db, "COMMIT", "committing", f);
    if (!r)
        return false;
    bool committed = !strcmp(PQcmdStatus(r), "COMMIT");
    PQclear(r);
    if (committed && !p->warned)
        return true;
    lost(f, "committing", committed ? "the standby did not confirm" : "the transaction had failed");
    return false;
}

static void postgres_distrust(struct db *db) { (void)db; }

static int64_t postgres_changed(const struct db *db) { return postgres_of(db)->changed; }

/* The server does it by itself. */
static bool postgres_checkpoint(struct db *db, struct failure *f)
{
    (void)db;
    (void)f;
    return true;
}

/* A transaction with a number of its own is written at its commit, though it changed nothing. */
static enum err postgres_probe(struct db *db, struct fault *why)
{
    int64_t id;
    return query_number(db, "SELECT txid_current()", &id, why);
}

/* The server watches over its pages; what remains is whether it answers. */
static enum err postgres_check(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why)
{
    int64_t one;
    (void)a;
    (void)deep;
    *found = STR("");
    return query_number(db, "SELECT 1", &one, why);
}

static void postgres_check_stop(struct db *db) { (void)db; }

static enum err postgres_report(struct db *db, struct arena *a, struct store_report *out, struct fault *why)
{
    PGconn *pg = postgres_of(db)->pg;
    const char *host = PQhost(pg);
    bool here = !host || *host == '/' || !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "localhost");
    struct query *q =
        query_begin(db, "SELECT current_setting('server_version'), current_setting('fsync') = 'on'"
                        " AND current_setting('full_page_writes') = 'on', current_setting('synchronous_standby_names') <> ''");
    if (query_next(q)) {
        struct str version = query_get_text(q, 0, a), number, rest;
        str_cut(version, ' ', &number, &rest);
        out->engine = str_fmt(a, "PostgreSQL %.*s", STR_ARG(number));
        out->durable = query_get_i64(q, 1) != 0;
        out->standby = query_get_i64(q, 2) != 0;
        out->open = !here && !PQsslInUse(pg);
    }
    return query_end(q, why);
}

/* -- what other nodes changed ------------------------------------------------------------------------------------- */

/* A lock that all nodes share: who wants the database for himself finds out that there are any. */
static bool postgres_listen(struct db *db, struct failure *f)
{
    return postgres_run(db, "LISTEN raccord; SELECT pg_advisory_lock_shared(" STORE_NODES ")", f);
}

static bool take_news(struct db *db, struct arena *a, struct str *news)
{
    struct postgres_db *p = postgres_of(db);
    for (PGnotify *n; (n = PQnotifies(p->pg)); PQfreemem(n)) {
        if (n->be_pid == p->place->writer)
            continue; /* we know */
        *news = arena_str(a, str_of(n->extra));
        PQfreemem(n);
        return true;
    }
    return false;
}

static bool postgres_await(struct db *db, int64_t wait_ms, struct arena *a, struct str *news, struct failure *f)
{
    PGconn *pg = postgres_of(db)->pg;
    if (take_news(db, a, news))
        return true;
    bool came = wait_for(pg, POLLIN, clock_mono_us() + wait_ms * 1000);
    if (came && !PQconsumeInput(pg)) {
        lost(f, "listening", "the connection broke");
        return false;
    }
    /* Silence may be a server that is gone. */
    return take_news(db, a, news) || came || postgres_run(db, "SELECT 1", f);
}

const struct engine postgres_engine = {
    .shared = true,
    .be_patient = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
    .begin_snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    .table_exists = "SELECT 1 FROM pg_class WHERE oid = to_regclass($1)",
    .open = postgres_open, .close = postgres_close, .current = postgres_current, .run = postgres_run,
    .begin = postgres_begin, .commit = postgres_commit, .open_transaction = postgres_open_transaction,
    .distrust = postgres_distrust,
    .prepare = postgres_prepare, .drop = postgres_drop, .bind = postgres_bind, .bind_number = postgres_bind_number,
    .step = postgres_step, .is_null = postgres_is_null, .text = postgres_text, .blob = postgres_blob, .number = postgres_number,
    .rest = postgres_rest, .changed = postgres_changed,
    .checkpoint = postgres_checkpoint, .probe = postgres_probe, .copy = postgres_copy, .check = postgres_check,
    .check_stop = postgres_check_stop, .report = postgres_report, .listen = postgres_listen, .await = postgres_await,
};
