/* store/many.h - one statement for a whole page of keys, where a list would else ask for each of its rows.
 *
 * A function that looks something up takes a `struct many` and an array of answers with a place for each key; who has one key has
 * a page of one. So there is one text, one plan and one code path, however long the page.
 *
 *   struct many ids = many_of(a, owners, n);
 *   struct query *q = many_begin(db, "SELECT id, name FROM principal WHERE id IN $keys", 0, &ids);
 *   many_bind(q, &ids);
 *   while (query_next(q))
 *       if (many_find(&ids, query_get_text(q, 0, a), &i))
 *           names[i] = query_get_text(q, 1, a);
 */
#ifndef STORE_MANY_H
#define STORE_MANY_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/db.h"

#define MANY_MOST 8192 /* keys of one statement */

struct many {
    const struct str *keys; /* in order, each once */
    size_t n;
};

/* The keys among `keys`, which may come in any order and more than once; those with p == NULL are left out. The texts are borrowed.
 */
struct many many_of(struct arena *a, const struct str *keys, size_t n);
struct many many_one(const struct str *key);
/* At which place it stands. False: it is none of them. */
bool many_find(const struct many *m, struct str key, size_t *place);

/* "$keys" in `sql` becomes a list of the keys: one parameter, after all others, whose numbers go up to `others`. */
struct query *many_begin(struct db *db, const char *sql, int others, const struct many *m);
/* After the others are bound. */
void many_bind(struct query *q, const struct many *m);

/* One text for each key: `sql` answers rows of a key and its text. texts[i] has p == NULL where there is no row for ids->keys[i].
 */
enum err many_texts(struct db *db, struct arena *a, const char *sql, const struct many *ids, struct str *texts,
                    struct fault *why) MUST_CHECK;

/* The two halves of it, for statements that are put together otherwise: what may stand behind IN, and binding its values, of which
 * those with p == NULL are left out. *param: the number of the last parameter in use. None: matches nothing. */
void many_list(struct buf *sql, int *param);
void many_values(struct query *q, const struct str *values, size_t n);
void many_list_numbers(struct buf *sql, int *param);
void many_numbers(struct query *q, const int64_t *values, size_t n);

#endif
