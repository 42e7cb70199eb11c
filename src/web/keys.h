/* web/keys.h - the state of the keys as JSON: for the API, and for the CLI on the hub's own machine. */
#ifndef WEB_KEYS_H
#define WEB_KEYS_H

#include "base/json.h"
#include "vault/rotation.h"

void keys_write(struct json_out *o, const struct rotation_report *r, const struct rotation_policy *policy);
void keys_write_rotation(struct json_out *o, const struct rotation *r); /* null when there was none */

#endif
