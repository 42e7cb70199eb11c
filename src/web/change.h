/* web/change.h - a change and its audit record, in one transaction: both are there, or neither is. */
#ifndef WEB_CHANGE_H
#define WEB_CHANGE_H

#include "web/web.h"

/* store_write() for handlers. Runs `work` and adds the audit record behind it. Who, from where and the action's name come from the
 * request and its route; `work` or the handler fills q->audit.{object, name, folder, before, after}. `work` may run again from the
 * start: q->audit is then what it was before the first try. When the record cannot be written nothing is changed. */
enum err web_write(struct web_request *q, store_work *work, void *context, struct fault *why) MUST_CHECK;

/* JSON for q->audit.before and after:
 *   AUTO_BUF text; struct json_out o = change_open(&text); write_thing(&o, thing); q->audit.before = change_text(q, &text); */
struct json_out change_open(struct buf *b);
struct str change_text(struct web_request *q, const struct buf *b);

/* For a value of q->audit.before or after that must not be read: its keyed hash. */
struct str change_hash(struct web_request *q, struct str value);

/* What the entrance does when a handler is back: a refusal is recorded, and so is a change whose handler did not use web_write().
 */
void change_settle(struct web_request *q, enum err e);
/* Is the error one that the audit log tells of? */
bool change_is_refusal(enum err e);

/* A record of something that changes nothing and is told all the same: an export, a look-up. */
enum err change_tell(struct web_request *q, const char *action, struct fault *why) MUST_CHECK;

/* The same work, rolled back: all its checks, and nothing of it stays. `work` notes what the answer says. */
enum err change_rehearse(struct web_request *q, store_work *work, void *context, struct fault *why) MUST_CHECK;

#endif
