#include "access/effect.h"

#include "access/rights.h"

struct person {
    enum role role;
};

static enum err read_people(struct db *db, struct arena *a, struct effect *out, struct person **people, struct fault *why)
{
    struct effect_row *rows = arena_array(a, EFFECT_PEOPLE, sizeof *rows);
    struct person *roles = arena_array(a, EFFECT_PEOPLE, sizeof *roles);
    size_t n = 0;
    struct query *q = query_begin(db, "SELECT id, name, kind, role FROM principal WHERE kind IN ('user', 'service_account') AND"
                                      " disabled = 0 ORDER BY id LIMIT $1");
    query_i64(q, EFFECT_PEOPLE + 1);
    out->complete = true;
    while (query_next(q)) {
        if (n == EFFECT_PEOPLE) {
            out->complete = false;
            break;
        }
        rows[n] =
            (struct effect_row){ .id = query_get_text(q, 0, a), .name = query_get_text(q, 1, a), .kind = query_get_text(q, 2, a) };
        role_parse(query_get_text(q, 3, a), &roles[n++].role);
    }
    out->rows = rows;
    out->n = n;
    *people = roles;
    return query_end(q, why);
}

enum err effect_before(struct db *db, struct arena *a, struct str folder, struct effect *out, struct fault *why)
{
    struct person *people;
    enum err e = read_people(db, a, out, &people, why);
    for (size_t i = 0; !e && i < out->n; i++)
        e = rights_of(db, a, out->rows[i].id, people[i].role, folder, &out->rows[i].before, why);
    return e;
}

enum err effect_after(struct db *db, struct arena *a, struct str folder, struct effect *e, struct fault *why)
{
    struct effect now;
    struct person *people;
    enum err err = read_people(db, a, &now, &people, why);
    for (size_t i = 0; !err && i < now.n && i < e->n; i++)
        err = rights_of(db, a, now.rows[i].id, people[i].role, folder, &e->rows[i].after, why);
    return err;
}

enum err effect_of_move(struct db *db, struct arena *a, struct str connection, struct str from, struct str to, struct effect *out,
                        struct fault *why)
{
    struct person *people;
    enum err e = read_people(db, a, out, &people, why);
    for (size_t i = 0; !e && i < out->n; i++) {
        const struct caller c = { .principal = out->rows[i].id, .role = people[i].role };
        struct rights before, after;
        if ((e = rights_on_connection(db, a, &c, connection, from, &before, why)) ||
            (e = rights_on_connection(db, a, &c, connection, to, &after, why)))
            return e;
        out->rows[i].before = before.mask;
        out->rows[i].after = after.mask;
    }
    return e;
}
