/* What run records cost: CPU of the writing thread per record, and of lists, look-ups and pruning among millions.
 *
 *   run-records [DIRECTORY [RECORDS]]      a new directory for the database; 2,000,000 records
 *
 * Records arrive as from two loops at 20,000 calls a second: batches of 256 in the order of finish, most calls short, some long. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "call/run.h"

#define BATCH 256
#define RATE 20000
#define T0 1800000000000LL
#define RARE_EVERY 40000 /* records between two of the rare connection */

static struct store *store;
static struct run batch[BATCH];
static uint64_t seed = 88172645463325252u;
static char some_ids[1000][ID_SIZE];
static int some;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void check(enum err e, const struct fault *why)
{
    if (!e)
        return;
    fprintf(stderr, "%s: %s\n", err_row(e)->code, why->note);
    exit(1);
}

static void name(char out[ID_SIZE], const char *prefix, uint64_t high, uint64_t low)
{
    __extension__ unsigned __int128 n = (unsigned __int128)high << 80 | low;
    memcpy(out, prefix, 4);
    for (int i = 26; i--; n >>= 5)
        out[4 + i] = "0123456789abcdefghjkmnpqrstvwxyz"[(unsigned)n & 31];
    out[30] = 0;
}

/* Nine of ten calls take 20 to 120 ms, the others up to five seconds. */
static int64_t duration_ms(void) { return draw() % 10 ? 20 + (int64_t)(draw() % 100) : (int64_t)(draw() % 5000); }

static void fill(int64_t number, int connections)
{
    static const char *const paths[] = { "/v1/customers", "/v1/customers/8127", "/v1/invoices/search", "/v1/messages" };
    for (int i = 0; i < BATCH; i++) {
        struct run *r = &batch[i];
        int64_t nth = number * BATCH + i;
        uint64_t c = nth % RARE_EVERY == 17 ? 9999 : draw() % (uint64_t)connections;
        memset(r, 0, sizeof *r);
        r->started = T0 + nth * 1000 / RATE - duration_ms();
        name(r->id, "run_", (uint64_t)r->started, draw());
        name(r->connection, "con_", 1700000000000, c);
        snprintf(r->connection_key, sizeof r->connection_key, "crm-%d", (int)c);
        name(r->caller, "sac_", 1700000000000, c % 5);
        name(r->token, "tok_", 1700000000000, c % 5);
        str_copy(r->method, sizeof r->method, c % 3 ? STR("GET") : STR("POST"));
        snprintf(r->host, sizeof r->host, "api%d.example.com", (int)c % 50);
        str_copy(r->path, sizeof r->path, str_of(paths[draw() % COUNT(paths)]));
        r->status = nth % 1000 ? 200 : 503;
        r->outcome = nth % 1000 ? RUN_SUCCESS : RUN_PROVIDER_ERROR;
        r->request_bytes = (int64_t)(draw() % 1000);
        r->response_bytes = (int64_t)(draw() % 100000);
        r->first_byte_us = 20000 + (int32_t)(draw() % 80000);
        r->total_us = r->first_byte_us + 500;
        r->reused = true;
        if (some < (int)COUNT(some_ids) && draw() % 1999 == 0)
            memcpy(some_ids[some++], r->id, ID_SIZE);
    }
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return runs_insert(db, batch, BATCH, why);
}

static enum err compact(struct db *db, void *context, struct fault *why)
{
#ifdef BENCH_ROWS
    (void)db, (void)why;
    *(bool *)context = false;
    return ERR_NONE;
#else
    return runs_compact(db, context, why);
#endif
}

static void write_all(int64_t records, int connections)
{
    double writing = 0, compacting = 0;
    struct fault why;
    int64_t batches = records / BATCH;
    for (int64_t i = 0; i < batches; i++) {
        fill(i, connections);
        double from = cpu_us();
        check(store_write(store, insert, NULL, &why), &why);
        writing += cpu_us() - from;
        from = cpu_us();
        for (bool more = i % 64 == 63 || i + 1 == batches; more;)
            check(store_write(store, compact, &more, &why), &why);
        compacting += cpu_us() - from;
    }
    double n = (double)(batches * BATCH);
    printf("insert                        %8.2f us a record\n", writing / n);
    printf("compact                       %8.2f us a record\n", compacting / n);
    printf("together                      %8.2f us a record\n", (writing + compacting) / n);
    fflush(stdout);
}

static size_t list(const struct run_filter *f, const char *what, int times)
{
    struct fault why;
    struct db *db = store_reader(store, &why);
    struct run *runs;
    size_t n = 0;
    double from = 0;
    for (int i = -1; i < times; i++) { /* the first is a warm-up */
        AUTO_ARENA a = arena_new(4096);
        if (!i)
            from = cpu_us();
        check(run_list(db, a, f, &runs, &n, &why), &why);
    }
    printf("%-30s%8.0f us (%zu records)\n", what, (cpu_us() - from) / times, n);
    fflush(stdout);
    return n;
}

static enum err seed_connections(struct db *db, void *context, struct fault *why)
{
    AUTO_BUF sql;
    char id[ID_SIZE];
    buf_init(&sql, 1 << 20);
    buf_fmt(&sql, "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld_a', 'a', 'a', 'shared', 1, 1),"
                  " ('fld_b', 'b', 'b', 'shared', 1, 1);");
    for (int i = 0; i <= *(int *)context; i++) {
        int c = i == *(int *)context ? 9999 : i;
        name(id, "con_", 1700000000000, (uint64_t)c);
        buf_fmt(&sql, "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, allowed_domain,"
                      " fields, owner_id, state, created_ms, updated_ms) VALUES ('%s', 'k%d', 'a', 'a', '%s', 'http', '1', 'none',"
                      " 'x.example', '{}', 'usr_1', 'active', 1, 1);", id, c, c == 9999 ? "fld_b" : "fld_a");
    }
    buf_char(&sql, 0);
    return db_script(db, sql.p, why);
}

static void read_all(int connections)
{
    char id[ID_SIZE], caller[ID_SIZE];
    struct fault why;
    struct run run;
    struct str folders[] = { STR("fld_a"), STR("fld_b") };
    struct folder_scope all = { .few = true, .folders = &folders[0], .folder_count = 1 };
    struct folder_scope one = { .few = true, .folders = &folders[1], .folder_count = 1 };
    name(id, "con_", 1700000000000, 9999);
    name(caller, "sac_", 1700000000000, 1);
    list(&(struct run_filter){ .limit = 51 }, "list: first page", 200);
    list(&(struct run_filter){ .limit = 51, .before = str_of(some_ids[some / 2]) }, "list: page in the middle", 200);
    list(&(struct run_filter){ .limit = 51, .connection = str_of(id) }, "list: rare connection", 200);
    list(&(struct run_filter){ .limit = 51, .caller = str_of(caller) }, "list: one of five callers", 200);
    list(&(struct run_filter){ .limit = 51, .by_outcome = true, .outcome = RUN_PROVIDER_ERROR }, "list: 1 in 1000 failed", 200);
    list(&(struct run_filter){ .limit = 51, .by_outcome = true, .outcome = RUN_CANCELLED }, "list: an outcome that never was", 20);
    list(&(struct run_filter){ .limit = 51, .seen = &all, .own = STR("usr_1") }, "list: one's folders", 200);
    list(&(struct run_filter){ .limit = 51, .seen = &one, .own = STR("usr_1") }, "list: folder of the rare one", 20);
    list(&(struct run_filter){ .limit = 51, .connection = str_of(id), .since = T0 + 50000 }, "list: rare connection, since", 20);
    struct db *db = store_reader(store, &why);
    double from = cpu_us();
    for (int i = 0; i < some; i++)
        check(run_get(db, str_of(some_ids[i]), &run, &why), &why);
    printf("get by id                     %8.1f us\n", (cpu_us() - from) / some);
    name(id, "con_", 1700000000000, (uint64_t)connections / 2);
    int64_t n;
    from = cpu_us();
    check(run_count(db, str_of(id), T0, 10000, &n, &why), &why);
    printf("count to 10,000               %8.0f us (%lld)\n", cpu_us() - from, (long long)n);
}

struct prune {
    wall_ms before;
    int64_t deleted;
};

static enum err prune(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return runs_prune(db, p->before, 5000, &p->deleted, why);
}

static void prune_some(int64_t records)
{
    struct fault why;
    struct prune p = { .before = T0 + records * 1000 / RATE / 5 };
    int64_t total = 0;
    double from = cpu_us();
    do {
        check(store_write(store, prune, &p, &why), &why);
        total += p.deleted;
    } while (p.deleted);
    printf("prune                         %8.2f us a record (%lld)\n\n", (cpu_us() - from) / (double)total, (long long)total);
}

int main(int argc, char **argv)
{
    int64_t records = argc > 2 ? strtoll(argv[2], NULL, 10) : 2000000;
    int kinds[] = { 3, 256 };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char directory[512];
        struct fault why;
        snprintf(directory, sizeof directory, "%s-%d", argc > 1 ? argv[1] : "/tmp/raccord-run-records", kinds[i]);
        check(store_open(str_of(directory), &store, &why), &why);
        check(store_write(store, seed_connections, &kinds[i], &why), &why);
        printf("%d connections, %lld records\n", kinds[i], (long long)records);
        some = 0;
        write_all(records, kinds[i]);
        read_all(kinds[i]);
        prune_some(records);
        store_close(store);
    }
    return 0;
}
