/* auth/json_key.h - what a service account's JSON key file says besides its key. Private to auth/. */
#ifndef AUTH_JSON_KEY_H
#define AUTH_JSON_KEY_H

#include "base/arena.h"

struct json_key { struct str client_email, private_key_id; }; /* in the arena; empty: not said */
/* Of anything that was pasted: what is no such file says nothing. The key itself is crypto/private_key.h's to read. */
void json_key_read(struct arena *a, struct str pasted, struct json_key *out);

#endif
