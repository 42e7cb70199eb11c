/* Lists by every way that they may go, against a look at every row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub.h"

#define FOLDERS 450 /* more than are asked one by one */
#define ROWS 300

static const char *const connectors[] = { "http", "mail", "chat" };
static const char *const words[] = { "alpha one", "beta-all", "Gamma", "al", "Été" };
static const enum connection_state states[] = { CONNECTION_ACTIVE, CONNECTION_DISABLED, CONNECTION_NEEDS_AUTH, CONNECTION_DRAFT };

struct model {
    struct hub *hub;
    struct connection_row rows[ROWS];
    bool eu[ROWS];
};

static size_t folder_of(const struct connection_row *row) { return (size_t)strtoul(row->folder.p + 4, NULL, 10); }
static bool inherits(size_t folder) { return folder % 3 != 0; }

static enum err fill(struct db *db, void *context, struct fault *why)
{
    struct model *m = context;
    struct arena *a = m->hub->arena;
    enum err e =
        db_script(db,
                  "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('top', 't', 't', 'shared', 1, 1);"
                  "INSERT INTO folder_above VALUES ('top', 'top', 1, 0)",
                  why);
    for (size_t i = 0; !e && i < FOLDERS; i++)
        e = db_script(db, str_fmt(a, "INSERT INTO folder (id, parent_id, slug, path, kind, inherits, created_ms, updated_ms) VALUES"
                                     " ('fld_%zu', 'top', 's%zu', 't/s%zu', 'shared', %d, 1, 1);"
                                     "INSERT INTO folder_above VALUES ('fld_%zu', 'fld_%zu', 1, 0), ('fld_%zu', 'top', %d, 1)",
                                  i, i, i, inherits(i), i, i, i, inherits(i)).p, why);
    for (size_t i = 0; !e && i < ROWS; i++) {
        m->eu[i] = i % 7 == 0;
        m->rows[i] = (struct connection_row){
            .name = str_fmt(a, "%s %zu", words[i * 7 % COUNT(words)], i),
            /* Most of them in one folder. */
            .folder = str_fmt(a, "fld_%zu", i % 5 ? 7 : i * 31 % FOLDERS),
            .connector = str_of(connectors[i * i % 11 % COUNT(connectors)]),
            .connector_version = STR("1.0.0"),
            .auth_type = STR("bearer"),
            .allowed_domain = STR("api.example.com"),
            .fields = STR("{}"),
            .tags = m->eu[i] ? STR("[\"eu\"]") : STR_NONE,
            .owner = STR("usr_1"),
            .state = states[i % 13 % COUNT(states)],
            .health = (enum connection_health)(i % 17 % (HEALTH_RECONNECT_REQUIRED + 1)),
        };
        e = connection_insert(db, m->hub->keys, a, &m->rows[i], NULL, 0, why);
    }
    return e;
}

static bool has(struct str text, const char *part) { return str_find_str(text, str_of(part)) != SIZE_MAX; }

static bool searched(const struct connection_row *row, const char *search)
{
    return has(row->name, search) || has(row->key, search);
}

static bool takes(const struct model *m, size_t i, const struct connection_filter *f, bool all)
{
    const struct connection_row *r = &m->rows[i];
    size_t folder = folder_of(r);
    bool seen = all || inherits(folder);
    if (f->scope.few) {
        seen = false;
        for (size_t k = 0; k < f->scope.folder_count; k++)
            seen |= str_eq(f->scope.folders[k], r->folder);
    }
    for (size_t k = 0; k < f->scope.connection_count; k++)
        seen |= str_eq(f->scope.connections[k], r->id);
    return seen && (!f->connector.p || str_eq(f->connector, r->connector)) && (!f->by_state || f->state == r->state) &&
           (!f->by_health || f->health == r->health) && (!f->by_default || f->is_default == r->is_default) &&
           (!f->tag.p || m->eu[i]) && (!f->search.p || searched(r, f->search.p));
}

static void compare(struct model *m, struct connection_filter f, const char *what)
{
    struct hub *h = m->hub;
    size_t at = 0;
    struct arena_mark mark = arena_mark(h->arena);
    for (size_t n = 1; n;) {
        struct connection_row *rows;
        struct db *db = store_reader(h->store, &h->why);
        assert_int_equal(connection_list(db, h->arena, &f, &rows, &n, &h->why), ERR_NONE);
        for (size_t i = 0; i < n; i++) {
            while (at < ROWS && !takes(m, at, &f, f.scope.all.p))
                at++;
            if (at == ROWS || !str_eq(rows[i].id, m->rows[at].id))
                fail_msg("%s: row %zu of the page is another one", what, i);
            at++;
        }
        if (n)
            f.after = str_fmt(h->arena, "%lld", (long long)rows[n - 1].number);
    }
    for (; at < ROWS; at++)
        if (takes(m, at, &f, f.scope.all.p))
            fail_msg("%s: row %zu is missing", what, at);
    arena_rewind(h->arena, mark);
}

/* What filters may be: each search with each connector, and some of the others. */
static void try_filters(struct model *m, struct folder_scope scope)
{
    /* "one alpha": all of its trigrams are there, and it is not. */
    static const char *const searches[] = { NULL, "al", "a", "alp", "qq", "beta-all-1", "one alpha", "alpha one" };
    const char *const ofs[] = { NULL, "http", "chat", "none" };
    for (size_t i = 0; i < COUNT(searches); i++)
        for (size_t j = 0; j < COUNT(ofs); j++)
            for (size_t k = (i + j) % 7; k < 12; k += 7) {
                struct connection_filter f = { .scope = scope, .limit = 40 };
                f.search = searches[i] ? str_of(searches[i]) : STR_NONE;
                f.connector = ofs[j] ? str_of(ofs[j]) : STR_NONE;
                f.by_state = k & 1;
                f.state = states[(i + j) % COUNT(states)];
                f.by_health = k & 2;
                f.health = (enum connection_health)((i * 5 + j) % (HEALTH_RECONNECT_REQUIRED + 1));
                f.tag = k >= 8 ? STR("eu") : STR_NONE;
                f.by_default = k >= 4 && k < 8;
                f.is_default = j % 2;
                char what[160];
                snprintf(what, sizeof what, "search %s, connector %s, state %d, health %d, filter %zu", searches[i], ofs[j],
                         f.state, f.health, k);
                compare(m, f, what);
            }
}

static void every_filter_finds_what_a_look_at_every_row_finds(void **state)
{
    struct model *m = *state;
    const struct str top = STR("top");
    const struct str some[] = { m->rows[0].id, m->rows[15].id, m->rows[2].id };
    try_filters(m, (struct folder_scope){ .above = &top, .above_count = 1 });
    try_filters(m, (struct folder_scope){ .all = top });
    try_filters(m, (struct folder_scope){ .above = &top, .above_count = 1, .connections = some, .connection_count = COUNT(some) });
}

static void folders_that_are_named_are_asked_one_by_one(void **state)
{
    struct model *m = *state;
    const struct str few[] = { STR("fld_7"), STR("fld_31"), STR("fld_5") };
    try_filters(m, (struct folder_scope){ .few = true, .folders = few, .folder_count = COUNT(few),
                                          .connections = &m->rows[15].id, .connection_count = 1 });
}

static int set_up(void **state)
{
    struct model *m = mem_zero(sizeof *m);
    m->hub = hub_new_ready();
    *state = m;
    if (!store_write(m->hub->store, fill, m, &m->hub->why))
        return 0;
    fprintf(stderr, "%s\n", m->hub->why.note);
    return -1;
}

static int tear_down(void **state)
{
    struct model *m = *state;
    hub_end(m->hub);
    free(m);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_finds_what_a_look_at_every_row_finds),
        cmocka_unit_test(folders_that_are_named_are_asked_one_by_one),
    };
    return cmocka_run_group_tests_name("vault/connection_list", tests, set_up, tear_down);
}
