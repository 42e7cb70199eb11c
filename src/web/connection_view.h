/* web/connection_view.h - finding a connection for a caller, and showing it. */
#ifndef WEB_CONNECTION_VIEW_H
#define WEB_CONNECTION_VIEW_H

#include "vault/connection.h"
#include "web/web.h"

/* By id, or by key in the folders that the caller sees (?folder= narrows). What the caller may not see is not there:
 * ERR_CONNECTION_NOT_FOUND. ERR_AMBIGUOUS, ERR_NOT_FOUND (folder). `db`: the reader, or the writer inside a transaction. */
enum err connection_seen(struct web_request *q, struct db *db, struct str id_or_key, struct connection_row *out,
                         struct fault *why) MUST_CHECK;
/* The same, with a right that the caller must have on it. ERR_DENIED. */
enum err connection_need(struct web_request *q, struct db *db, struct str id_or_key, enum right right, struct connection_row *out,
                         struct fault *why) MUST_CHECK;
/* What lists look into: ?folder=, or all that the caller sees. */
enum err connection_scope(struct web_request *q, struct db *db, struct folder_scope *out, struct fault *why) MUST_CHECK;
/* The same, of a folder by path or id; p == NULL: all. */
enum err connection_scope_in(struct web_request *q, struct db *db, struct str folder, struct folder_scope *out,
                             struct fault *why) MUST_CHECK;
enum err connection_in_scope(struct web_request *q, const struct folder_scope *s, const struct connection_row *row, bool *out,
                             struct fault *why) MUST_CHECK;

#define PERSONAL_CONNECTIONS_MOST 10000 /* in one person's workspace, deleted ones that are kept included */
/* Is there room for one more? Of a personal workspace only: what is in shared folders, policies limit. ERR_LIMIT. */
enum err connection_folder_room(struct db *db, struct str folder, struct fault *why) MUST_CHECK;

/* Makes the connection of the body as a copy of one of which `revision` was read, and holds that against If-Match once the right to
 * make it is clear. `r` NULL: all that creating checks, and nothing stays. Wipes the body. Creating's errors,
 * ERR_PRECONDITION_FAILED. */
enum err connections_copy(struct web_request *q, struct reply *r, int64_t revision, struct fault *why) MUST_CHECK;

/* Where a path has {id}, a key works too: one that looks like an id would never be found. ERR_FIELD_INVALID "/key". */
enum err connection_key_allowed(struct str key, struct fault *why) MUST_CHECK;

/* New credentials are asked about before they replace those that are there: in connection_verify.c. *account: whose they are, or
 * STR_NONE. ERR_VERIFY_NOT_OFFERED, ERR_VERIFY_FAILED, ERR_ACCOUNT_CHANGED unless `accept`, and those of calls. */
enum err connection_try(struct web_request *q, struct reply *r, const struct connection_row *row,
                        const struct connection_secret *secrets, size_t n, bool accept, struct str *account,
                        struct fault *why) MUST_CHECK;

/* A page of connections as the API shows them, or one; reads folders, owners, what credentials are set. `seen`: they were
 * listed in it, within the same db_snapshot(); NULL: the caller's rights are asked for again. */
enum err connections_write(struct web_request *q, struct json_out *o, const struct connection_row *rows, size_t n,
                           const struct folder_sight *seen, struct fault *why) MUST_CHECK;
/* One of them. `same_name`: warn that another one in the folder has the same name. */
enum err connection_write(struct web_request *q, struct json_out *o, const struct connection_row *row, bool same_name,
                          struct fault *why) MUST_CHECK;
/* One as the whole reply, with its ETag. */
enum err connection_reply(struct web_request *q, struct reply *r, struct str id, struct fault *why) MUST_CHECK;

/* What the audit log keeps of a connection, as JSON without credentials; says in q->audit which one it is. */
struct str connection_audit(struct web_request *q, const struct connection_row *row);

#endif
