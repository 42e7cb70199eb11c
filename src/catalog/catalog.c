/* The set of connectors: built in, then installed. */
#include "catalog/connector.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/embed.h"
#include "base/fold.h"

#define SEARCH_MAX 1024 /* bytes of a search; a longer one finds nothing */
#define FILE_MAX (256 * 1024) /* bytes of one connector file */
#define FILES_MAX 4096        /* installed files */

struct catalog {
    const struct connector **by_name, **by_id;
    size_t count, size;
};

static int compare_versions(struct str a, struct str b)
{
    struct str x, y;
    while (str_piece(&a, '.', &x) && str_piece(&b, '.', &y)) {
        uint64_t m = 0, n = 0;
        (void)(str_u64(x, &m) && str_u64(y, &n)); /* checked when read */
        if (m != n)
            return m < n ? -1 : 1;
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return str_cmp((*(const struct connector *const *)a)->id, (*(const struct connector *const *)b)->id);
}

static int compare_names(const void *left, const void *right)
{
    const struct connector *x = *(const struct connector *const *)left, *y = *(const struct connector *const *)right;
    AUTO_ARENA a = arena_new(1024);
    int order = str_cmp(fold_search(a, x->name), fold_search(a, y->name));
    return order ? order : str_cmp(x->id, y->id);
}

static void add(struct arena *a, struct catalog *c, const struct connector *one)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!str_eq(c->by_id[i]->id, one->id))
            continue;
        if (compare_versions(one->version, c->by_id[i]->version) > 0)
            c->by_id[i] = one;
        return;
    }
    if (c->count == c->size) {
        size_t size = c->size ? 2 * c->size : 32;
        const struct connector **more = arena_array(a, size, sizeof(struct connector *));
        if (c->count)
            memcpy(more, c->by_id, c->count * sizeof *more);
        c->by_id = more;
        c->size = size;
    }
    c->by_id[c->count++] = one;
}

static void add_built_in(struct arena *a, struct catalog *c)
{
    for (size_t i = 0; i < embedded_connectors_count; i++) {
        struct connector *one = arena_zero(a, sizeof *one);
        struct fault why = { 0 };
        if (connector_read(a, embedded_connectors[i].bytes, one, &why))
            bug("connectors/%s: %s: %s", embedded_connectors[i].name, why.pointer, why.subject);
        add(a, c, one);
    }
}

static inline void file_end(FILE **f)
{
    if (*f)
        fclose(*f);
}
#define AUTO_FILE __attribute__((cleanup(file_end))) FILE *

static enum err add_installed(struct arena *a, struct catalog *c, struct str directory, struct str name, struct fault *why)
{
    struct str path = str_fmt(a, "%.*s/%.*s", STR_ARG(directory), STR_ARG(name));
    AUTO_FILE f = fopen(path.p, "re");
    if (!f)
        return fault(why, ERR_FILE, str_fmt(a, "%s cannot be opened: %m", path.p), "connector file");
    char *text = arena_alloc(a, FILE_MAX + 1);
    size_t n = fread(text, 1, FILE_MAX + 1, f);
    if (ferror(f) || n > FILE_MAX)
        return fault(why, ERR_FILE, str_fmt(a, "%s cannot be read or is over 256 KiB", path.p), "connector file");

    struct connector *one = arena_zero(a, sizeof *one);
    struct fault inner = { 0 };
    char said[400];
    if (connector_read(a, (struct str){ text, n }, one, &inner))
        return fault(why, ERR_FILE,
                     str_fmt(a, "%.*s: %s: %s", STR_ARG(name), inner.pointer[0] ? inner.pointer : "the file",
                             fault_say(&inner, LANG_EN, said, sizeof said)),
                     "connector file %s", path.p);
    add(a, c, one);
    return ERR_NONE;
}

static inline void directory_end(DIR **d)
{
    if (*d)
        closedir(*d);
}
#define AUTO_DIRECTORY __attribute__((cleanup(directory_end))) DIR *

/* A directory that is not there holds nothing. */
static enum err add_directory(struct arena *a, struct catalog *c, struct str directory, struct fault *why)
{
    AUTO_DIRECTORY d = opendir(arena_cstr(a, directory));
    size_t files = 0;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct str name = str_of(entry->d_name);
        if (!str_ends(name, STR(".json")) || name.p[0] == '.')
            continue;
        if (++files > FILES_MAX)
            return fault(why, ERR_FILE, str_fmt(a, "%.*s holds more than 4096 connector files", STR_ARG(directory)), "connectors");
        enum err e = add_installed(a, c, directory, arena_str(a, name), why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

enum err catalog_load(struct arena *boot, struct str directory, struct catalog **out, struct fault *why)
{
    struct catalog *c = arena_zero(boot, sizeof *c);
    add_built_in(boot, c);
    enum err e = directory.n ? add_directory(boot, c, directory, why) : ERR_NONE;
    if (e)
        return e;
    c->by_name = arena_array(boot, c->count ? c->count : 1, sizeof(struct connector *));
    if (c->count) {
        memcpy(c->by_name, c->by_id, c->count * sizeof *c->by_id);
        qsort(c->by_id, c->count, sizeof *c->by_id, compare_ids);
        qsort(c->by_name, c->count, sizeof *c->by_name, compare_names);
    }
    *out = c;
    return ERR_NONE;
}

const struct connector *catalog_find(const struct catalog *c, struct str id)
{
    const struct connector key = { .id = id }, *at = &key;
    const struct connector **found = c->count ? bsearch(&at, c->by_id, c->count, sizeof *c->by_id, compare_ids) : NULL;
    return found ? *found : NULL;
}

const struct connector *catalog_at(const struct catalog *c, size_t i)
{
    return i < c->count ? c->by_name[i] : NULL;
}

size_t catalog_count(const struct catalog *c)
{
    return c->count;
}

/* Every word must be somewhere. */
bool connector_matches(const struct connector *c, struct str search)
{
    AUTO_ARENA a = arena_new(1024);
    struct str rest = fold_search(a, search.n < SEARCH_MAX ? search : STR("")), word;
    while (str_piece(&rest, ' ', &word))
        if (str_trim(word).n && str_find_str(c->haystack, str_trim(word)) == SIZE_MAX)
            return false;
    return search.n < SEARCH_MAX;
}
