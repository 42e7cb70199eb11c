/* access/policy_store.h - policies in the database, and the set that all threads decide by.
 *
 * The book holds the set of now. Whoever changes a policy calls policy_book_load() after the commit and before it answers, so that
 * the answer means: it holds. Secret values of presets are sealed_values of the kind "policy" (vault/sealed.h), named
 * "<connector>.<part>.<name>"; they are not read here.
 */
#ifndef ACCESS_POLICY_STORE_H
#define ACCESS_POLICY_STORE_H

#include "access/policy.h"
#include "base/clock.h"
#include "store/db.h"

#define POLICY_NAME_MAX 128
#define POLICIES_MAX 1000

struct policy_row {
    struct str id, name, description;
    struct str folder, folder_path; /* p == NULL: the whole instance */
    struct str rules;               /* JSON array */
    bool enabled;
    int64_t revision;
    wall_ms created, updated;
};

/* Inside store_write(). id, revision and times are filled in. ERR_CONFLICT: the name is taken; ERR_LIMIT. */
enum err policy_insert(struct db *db, struct arena *a, struct policy_row *row, struct fault *why) MUST_CHECK;
/* Everything but id and created. ERR_PRECONDITION_FAILED when the revision is not the stored one. */
enum err policy_update(struct db *db, struct policy_row *row, struct fault *why) MUST_CHECK;
enum err policy_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK;
enum err policy_get(struct db *db, struct arena *a, struct str id_or_name, struct policy_row *out,
                    struct fault *why) MUST_CHECK; /* ERR_NOT_FOUND */
/* By id, which is by age. */
enum err policy_list(struct db *db, struct arena *a, struct str after, int limit, struct policy_row **out, size_t *n,
                     struct fault *why) MUST_CHECK;

/* Those that are enabled. `instead`: taken in place of the stored one of its id, or beside them when there is none; NULL: none. A
 * stored rule that cannot be read fails the whole: nothing is decided by half a policy. ERR_STORE, ERR_INTERNAL. */
enum err policy_set_load(struct db *db, const struct policy_row *instead, struct policy_set **out, struct fault *why) MUST_CHECK;

/* The folder and all above it. */
enum err policy_folders(struct db *db, struct arena *a, struct str folder, struct str **ids, size_t *n,
                        struct fault *why) MUST_CHECK;

struct policy_book;
struct policy_book *policy_book_new(void);
void policy_book_free(struct policy_book *b);
enum err policy_book_load(struct policy_book *b, struct db *db, struct fault *why) MUST_CHECK;
/* The set of now; policy_set_release() it. NULL: `b` is NULL. */
struct policy_set *policy_book_set(struct policy_book *b);

#endif
