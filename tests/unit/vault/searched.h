/* Rows that searches find: their words, and how they are stored with what the index holds of them. For tests. */
#ifndef TESTS_SEARCHED_H
#define TESTS_SEARCHED_H

#include "hub.h"
#include "vault/connection_words.h"

#define WORDS 10

static const char *const words[WORDS] = {
    "alpha", "beta", "gamma", "delta", "night", "light", "market", "order", "delight", "price"
};

static inline bool hidden(size_t i) { return i % 50 == 49; }

/* 'fld' is seen from above, with many below it: else they would be asked one by one. 'other' is not. */
static inline void searched_folders(struct hub *h)
{
    hub_sql(h, "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld', 'f', 'f', 'shared', 1, 1),"
               " ('other', 'o', 'o', 'shared', 1, 1);"
               "INSERT INTO folder_above VALUES ('fld', 'fld', 1, 0);"
               "WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 450)"
               " INSERT INTO folder (id, parent_id, slug, path, kind, created_ms, updated_ms)"
               " SELECT 'fld_' || n, 'fld', 'f' || n, 'f/f' || n, 'shared', 1, 1 FROM more;"
               "INSERT INTO folder_above SELECT id, 'fld', 1, 1 FROM folder WHERE parent_id = 'fld'");
}

/* Without tags, or with 'eu' among them. */
static inline enum err searched_insert(struct db *db, const struct connection_row *row, struct arena *a,
                                       struct fault *why)
{
    struct str search;
    enum err e = connection_words_text(a, row, &search, why);
    if (e)
        return e;
    struct query *q =
        query_begin(db, "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type,"
                        " allowed_domain, fields, owner_id, state, created_ms, updated_ms, number, deleted_ms, tags) VALUES"
                        " ($1, $2, $3, $4, $5, $6, '1.0.0', 'none', 'a.example.com', '{}', 'usr', $7, 1, 1, $8, $9, $10)");
    const struct str texts[] = {
        row->id, row->key, row->name, search, row->folder, row->connector, str_of(connection_state_name(row->state))
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        query_text(q, texts[i]);
    query_i64(q, row->number);
    query_i64(q, row->deleted);
    query_text(q, row->tags.p ? row->tags : STR("[]"));
    if ((e = query_end(q, why)) || (e = connection_words_follow(db, row->number, STR_NONE, search, why)) || !row->tags.p)
        return e;
    q = query_begin(db, "INSERT INTO connection_tag (tag, number, connection_id) VALUES ('eu', $1, $2)");
    query_i64(q, row->number);
    query_text(q, row->id);
    return query_end(q, why);
}

#endif
