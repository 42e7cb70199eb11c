#include "cmd/ring.h"

#include "access/audit.h"

struct master_key_source ring_source(const struct config *c)
{
    return (struct master_key_source){ c->master_key_taken ? STR("taken") : STR_NONE, c->master_key_file, c->data };
}

enum err ring_master(struct config *c, bool may_create, struct secret *out, bool *created, struct fault *why)
{
    AUTO_SECRET text = c->master_key.p ? secret_from(c->master_key) : SECRET_NONE;
    c->master_key_taken |= c->master_key.p != NULL;
    if (c->master_key.p)
        secret_wipe((char *)c->master_key.p, c->master_key.n);
    c->master_key = STR_NONE;
    struct master_key_source from = { secret_str(text), c->master_key_file, c->data };
    return master_key_load(&from, may_create, out, created, why);
}

static enum err tell_lost(struct db *db, struct str kind, struct str id, struct fault *why)
{
    bool connection = str_is(kind, "connection");
    struct audit_entry entry = { .via = STR("system"), .action = connection ? STR("connection.unreadable") : STR("keys.unreadable"),
                                 .kind = kind, .object = id, .outcome = AUDIT_FAILED, .code = STR("crypto_failed") };
    return audit_add(db, &entry, why);
}

enum err ring_open(struct config *c, struct store *s, struct arena *boot, struct keyring **out, struct str *created,
                   struct fault *why)
{
    struct secret master;
    bool made = false;
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    struct query *q = query_begin(db, "SELECT COUNT(*) FROM wrapping_key");
    bool empty = query_next(q) && query_get_i64(q, 0) == 0;
    enum err e = query_end(q, why);
    if (e || (e = ring_master(c, empty, &master, &made, why)))
        return e;
    *created = made ? str_fmt(boot, "%.*s/master.key", STR_ARG(c->data)) : STR("");
    if ((e = keyring_open(s, master, out, why)))
        return e;
    struct master_key_source from = ring_source(c);
    keyring_on_lost(*out, tell_lost);
    keyring_source(*out, &from);
    return ERR_NONE;
}
