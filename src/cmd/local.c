#include "cmd/local.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/audit.h"
#include "cmd/ring.h"

extern char **environ;

const char *local_directory(struct command *c)
{
    const char *directory = command_value(c, OPT_DATA);
    if (!directory)
        directory = getenv("RACCORD_DATA");
    return directory && *directory ? directory : NULL;
}

struct str local_database(void)
{
    const char *url = getenv("RACCORD_DATABASE_URL");
    return url && strcmp(url, "sqlite") ? str_of(url) : STR("");
}

int local_open(struct command *c, struct store **out)
{
    const char *directory = local_directory(c);
    struct fault why = { 0 };
    if (!directory)
        return command_wrong(c, "--data is missing: the hub's data directory.");
    return store_open_at(str_of(directory), local_database(), out, &why) ? command_failed(c, &why) : EXIT_DONE;
}

int local_settings(struct command *c, struct config *out)
{
    struct fault why = { 0 };
    if (config_load(c->arena, command_value(c, OPT_CONFIG), environ, NULL, NULL, out, &why))
        return command_failed(c, &why);
    const char *directory = local_directory(c);
    if (!directory && !command_value(c, OPT_CONFIG) && !command_has(c, OPT_VERIFY)) {
        local_forget(out);
        return command_wrong(c, "--data is missing: the hub's data directory.");
    }
    if (directory)
        out->data = str_of(directory);
    char *key = command_value(c, OPT_MASTER_KEY_FILE);
    if (key) { /* named here, it is meant */
        local_forget(out);
        out->master_key_file = str_of(key);
    }
    return EXIT_DONE;
}

void local_forget(struct config *config)
{
    if (config->master_key.p)
        secret_wipe((char *)config->master_key.p, config->master_key.n);
    config->master_key = STR_NONE;
}

/* ring_open() makes the first key of an empty database; a verb that was pointed at the wrong directory must not. */
static enum err check_keys(struct store *s, struct fault *why)
{
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    struct query *q = query_begin(db, "SELECT 1 FROM wrapping_key LIMIT 1");
    bool found = query_next(q);
    enum err e = query_end(q, why);
    if (e || found)
        return e;
    return fault(why, ERR_FILE, STR("there is no hub's database in this directory: it holds no keys"), "no wrapping key");
}

int local_keyring(struct command *c, struct config *config, struct store *s, struct keyring **out)
{
    struct fault why = { 0 };
    struct str created;
    if (!check_keys(s, &why) && !ring_open(config, s, c->arena, out, &created, &why))
        return EXIT_DONE;
    local_forget(config);
    return command_failed(c, &why);
}

/* Whoever may read and write the data directory may do this: the audit log says which account of the system it was. */
enum err local_tell(struct db *db, struct command *c, const char *action, struct str id, struct str name, struct str after,
                     struct fault *why)
{
    const struct passwd *me = getpwuid(getuid());
    struct audit_entry entry = {
        .actor_name = me ? arena_str(c->arena, str_of(me->pw_name)) : str_fmt(c->arena, "uid %u", (unsigned)getuid()),
        .via = STR("cli"), .action = str_of(action), .object = id, .name = name, .after = after,
    };
    return audit_add(db, &entry, why);
}
