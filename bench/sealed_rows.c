/* Fills a store with connections whose credentials are sealed as the hub seals them; bench/keys runs it.
 *
 *   sealed_rows DIRECTORY ROWS      a data directory of a hub that is stopped, with its master.key; folder "shared" takes them */
#include <stdio.h>
#include <stdlib.h>

#include "vault/connection.h"

#define BATCH 2000

struct filling {
    struct keyring *keys;
    struct str folder;
    int64_t from, to;
};

static void check(enum err e, const struct fault *why)
{
    if (!e)
        return;
    fprintf(stderr, "%s: %s\n", err_row(e)->code, why->note);
    exit(1);
}

static enum err fill(struct db *db, void *context, struct fault *why)
{
    const struct filling *f = context;
    AUTO_ARENA a = arena_new(64 * 1024);
    enum err e = ERR_NONE;
    for (int64_t i = f->from; !e && i < f->to; i++) {
        arena_reset(a);
        AUTO_SECRET value = secret_from(str_fmt(a, "bench-secret-%lld-0123456789abcdef", (long long)i));
        struct connection_secret one = { STR("token"), value };
        struct connection_row row = {
            .key = str_fmt(a, "bench-%lld", (long long)i), .name = str_fmt(a, "Bench %lld", (long long)i), .folder = f->folder,
            .connector = STR("http"), .connector_version = STR("1.0.0"), .auth_type = STR("bearer"),
            .allowed_domain = STR("api.example.com"), .fields = STR("{\"base_url\":\"https://api.example.com\"}"),
            .owner = STR("usr_bench"), .state = CONNECTION_ACTIVE,
        };
        e = connection_insert(db, f->keys, a, &row, &one, 1, why);
    }
    return e;
}

int main(int argc, char **argv)
{
    AUTO_ARENA a = arena_new(1024);
    struct store *store;
    struct fault why;
    struct filling f = { .to = 0 };
    struct secret master;
    bool created;
    if (argc != 3)
        return 2;
    int64_t rows = strtoll(argv[2], NULL, 10);
    struct master_key_source from = { STR_NONE, STR_NONE, str_of(argv[1]) };
    check(master_key_load(&from, false, &master, &created, &why), &why);
    check(store_open(str_of(argv[1]), &store, &why), &why);
    check(keyring_open(store, master, &f.keys, &why), &why);
    struct query *q = query_begin(store_reader(store, &why), "SELECT id FROM folder WHERE path = 'shared'");
    f.folder = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    check(query_end(q, &why), &why);
    for (; f.to < rows; f.from = f.to) {
        f.to = f.from + BATCH < rows ? f.from + BATCH : rows;
        check(store_write(store, fill, &f, &why), &why);
    }
    keyring_close(f.keys);
    store_close(store);
    return 0;
}
