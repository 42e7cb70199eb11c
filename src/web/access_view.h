/* web/access_view.h - what the doors of folders, groups, shares and departures share: principals, members and effects as JSON. */
#ifndef WEB_ACCESS_VIEW_H
#define WEB_ACCESS_VIEW_H

#include "access/effect.h"
#include "access/group.h"
#include "web/web.h"

/* ["view", "use"] */
void access_write_rights(struct json_out *o, const char *key, unsigned mask);
void access_write_principal(struct json_out *o, struct str id, struct str name, struct str kind);
/* {"gains": [{"principal": ..., "rights": [...]}], "loses": [...], "complete": true}; the first 200 of each. */
void access_write_effect(struct json_out *o, const struct effect *e);

/* ?preview=true: what would happen, and nothing does. ERR_FIELD_INVALID. */
enum err access_preview(const struct web_request *q, bool *out, struct fault *why) MUST_CHECK;
/* web_write(); or, for a preview, the same work, rolled back. `work` notes what the answer says. */
enum err access_write(struct web_request *q, bool preview, store_work *work, void *context, struct fault *why) MUST_CHECK;

/* expires_at, or expires_in; neither, or null: 0, never. */
enum err access_expiry(const struct json *o, wall_ms *out, struct fault *why) MUST_CHECK;

#endif
