#include "auth/json_key.h"

#include "base/json.h"
#include "crypto/private_key.h"

/* The reader copies texts that have escapes, and the key has. */
static void wipe_copy(struct str key, struct str pasted)
{
    if (key.n && (key.p < pasted.p || key.p >= pasted.p + pasted.n))
        secret_wipe((void *)(uintptr_t)key.p, key.n);
}

void json_key_read(struct arena *a, struct str pasted, struct json_key *out)
{
    AUTO_ARENA scratch = arena_new(PRIVATE_KEY_MAX);
    struct json *file;
    struct fault unused;
    struct str text = str_trim(pasted);
    *out = (struct json_key){ STR(""), STR("") };
    if (!text.n || text.p[0] != '{' || text.n > PRIVATE_KEY_MAX || json_read(scratch, text, &file, &unused))
        return;
    out->client_email = arena_str(a, json_str(file, "client_email"));
    out->private_key_id = arena_str(a, json_str(file, "private_key_id"));
    wipe_copy(json_str(file, "private_key"), text);
}
