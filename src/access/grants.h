/* access/grants.h - what narrows a token, or whoever an issuer's token is for, as the API writes it: {"methods": ["GET"], ...}.
 *
 * Members are the kinds of access/narrow.h. One that is absent or null narrows nothing. The same text is what the store keeps where
 * grants are not rows of their own.
 */
#ifndef ACCESS_GRANTS_H
#define ACCESS_GRANTS_H

#include "access/narrow.h"
#include "base/json.h"

#define GRANTS_MAX 200 /* entries of one kind, as a person writes them */

/* Connections and folders that a person names become ids. ERR_NOT_FOUND, ERR_CONNECTION_NOT_FOUND. */
struct grants_finder {
    void *context;
    enum err (*find)(void *context, enum narrow_kind k, struct str typed, struct str *id, struct fault *why);
};

/* Members that are there replace those of *n, null takes one away. `at`: the JSON pointer of `grants`, for faults. `f` NULL: the
 * entries were found when they were saved, and are ids. Of connections none may be named: then none may be used.
 * ERR_UNKNOWN_FIELD, ERR_FIELD_INVALID, the finder's. Texts are in `a` or in `grants`. */
enum err grants_read(struct arena *a, const struct json *grants, const char *at, const struct grants_finder *f, struct narrow *n,
                     struct fault *why) MUST_CHECK;
/* One kind. */
enum err grants_read_list(struct arena *a, enum narrow_kind k, const struct json *list, const char *at,
                          const struct grants_finder *f, struct narrow_list *out, struct fault *why) MUST_CHECK;
/* All members; those that narrow nothing are null. */
void grants_write(struct json_out *o, const struct narrow *n);
void grants_write_list(struct json_out *o, const char *name, const struct narrow_list *l);

#endif
