/* Backups: on the hub's own machine, beside a running hub or without one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/audit.h"
#include "base/json.h"
#include "cmd/local.h"
#include "cmd/ring.h"
#include "cmd/verbs.h"
#include "vault/backup.h"

#define PROGRESS_EVERY_MS 200

/* One line that changes, on a terminal; nothing elsewhere. */
struct progress {
    const char *what;
    struct mono shown;
    bool any;
};

static void show_progress(void *context, int64_t done, int64_t total)
{
    struct progress *p = context;
    struct mono now = clock_mono();
    if (!isatty(STDERR_FILENO) || !total || (p->any && mono_since(p->shown, now) < PROGRESS_EVERY_MS))
        return;
    fprintf(stderr, "\r%s: %d %%", p->what, (int)(done * 100 / total));
    p->shown = now;
    p->any = true;
}

static void end_progress(struct progress *p)
{
    if (p->any)
        fprintf(stderr, "\r%s: done\n", p->what);
    p->any = false;
}

/* --- backup --------------------------------------------------------------------------------------------------------- */

/* What a restored audit log must still say. The log only grows: what is its head now is in the copy that is made after. */
static enum err read_facts(struct store *s, struct arena *a, struct str *out, struct fault *why)
{
    struct audit_mark mark;
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    enum err e = audit_newest(db, &mark, why);
    *out = str_fmt(a, "{\"program\":\"" RACCORD_VERSION "\",\"audit_number\":%lld,\"audit_hash\":\"%.*s\"}", (long long)mark.number,
                   AUDIT_HASH, mark.hash);
    return e;
}

static enum err tell_backup(struct db *db, void *context, struct fault *why)
{
    struct command *c = context;
    return local_tell(db, c, "backup.create", STR_NONE, str_of(command_value(c, OPT_OUTPUT)), STR_NONE, why);
}

static int write_backup(struct command *c, struct store *s, struct keyring *k, struct str path)
{
    struct progress progress = { .what = "backup" };
    struct backup_order order = { path, command_has(c, OPT_FORCE), STR_NONE, show_progress, &progress };
    struct fault why = { 0 };
    struct stat st;
    enum err e = store_write(s, tell_backup, c, &why);
    if (!e && !(e = read_facts(s, c->arena, &order.facts, &why)))
        e = backup_write(s, k, &order, &why);
    end_progress(&progress);
    if (e)
        return command_failed(c, &why);
    printf("%.*s: %lld bytes, sealed by master key %s\n", STR_ARG(path),
           stat(arena_cstr(c->arena, path), &st) ? 0LL : (long long)st.st_size, keyring_master(k).text);
    return EXIT_DONE;
}

int backup_run(struct command *c)
{
    struct config config;
    AUTO_STORE s = NULL;
    AUTO_KEYRING k = NULL;
    char *path = command_value(c, OPT_OUTPUT);
    if (!path || !*path)
        return command_wrong(c, "--output is missing: the file to write.");
    int code = local_settings(c, &config);
    if (code)
        return code;
    if ((code = local_open(c, &s)) || (code = local_keyring(c, &config, s, &k))) {
        local_forget(&config);
        return code;
    }
    return write_backup(c, s, k, str_of(path));
}

/* --- restore -------------------------------------------------------------------------------------------------------- */

struct restore {
    int64_t grants;                  /* that a person may have to authorize again */
    struct command *command;
    struct config config;
    struct str path, work;      /* the backup; a directory for the time until it is put in its place */
    struct secret master;
    struct str facts;
    struct backup_counts counts;
    struct audit_finding audit;
};

static void remove_work(const struct restore *r)
{
    static const char *const names[] = { "raccord.db", "raccord.db-wal", "raccord.db-shm", "serve.lock" };
    AUTO_ARENA a = arena_new(1024);
    for (size_t i = 0; i < COUNT(names); i++)
        unlink(arena_cstr(a, str_fmt(a, "%.*s/%s", STR_ARG(r->work), names[i])));
    rmdir(arena_cstr(a, r->work));
}

/* In the directory that it will stand in: from there it can be renamed. When only looking: beside the backup. */
static enum err make_work(struct restore *r, bool verify, struct fault *why)
{
    struct arena *a = r->command->arena;
    if (!verify && mkdir(arena_cstr(a, r->config.data), 0700) && errno != EEXIST)
        return fault(why, ERR_FILE, str_fmt(a, "%.*s cannot be written", STR_ARG(r->config.data)), "%m");
    char *made = arena_cstr(a, verify ? str_fmt(a, "%.*s.verify-XXXXXX", STR_ARG(r->path))
                                      : str_fmt(a, "%.*s/restore-XXXXXX", STR_ARG(r->config.data)));
    if (!mkdtemp(made))
        return fault(why, ERR_FILE, str_fmt(a, "%s cannot be written", made), "%m");
    r->work = str_of(made);
    return ERR_NONE;
}

static enum err unpack(struct restore *r, struct fault *why)
{
    struct arena *a = r->command->arena;
    struct progress progress = { .what = "unpacking" };
    char *to = arena_cstr(a, str_fmt(a, "%.*s/raccord.db", STR_ARG(r->work)));
    enum err e = backup_unpack(a, r->path, r->master, to, show_progress, &progress, &r->facts, why);
    end_progress(&progress);
    return e;
}

/* The log in the backup must be whole, and hold what was its head when the backup was made. */
static enum err check_audit(struct restore *r, struct db *db, struct fault *why)
{
    struct json *facts;
    struct audit_witness witness = { 0 };
    struct str hash;
    enum err e = json_read(r->command->arena, r->facts, &facts, why);
    if (e)
        return e;
    hash = json_str(facts, "audit_hash");
    bool has = json_i64(json_get(facts, "audit_number"), &witness.number) && witness.number > 0 && hash.n == AUDIT_HASH;
    if (has)
        memcpy(witness.hash, hash.p, AUDIT_HASH);
    if ((e = audit_check(db, &witness, has, NULL, NULL, &r->audit, why)))
        return e;
    if (r->audit.flaw == AUDIT_SOUND)
        return ERR_NONE;
    return fault(why, ERR_BACKUP_DAMAGED, str_fmt(r->command->arena, "audit record %lld", (long long)r->audit.number), "%s",
                 audit_flaw_name(r->audit.flaw));
}

static enum err check_all(struct restore *r, struct store *s, struct keyring *k, struct fault *why)
{
    struct progress progress = { .what = "opening" };
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    enum err e = backup_check(db, k, r->command->arena, show_progress, &progress, &r->counts, why);
    end_progress(&progress);
    if (e || (e = check_audit(r, db, why)))
        return e;
    if (r->counts.unreadable)
        return fault(why, ERR_BACKUP_DAMAGED, r->counts.first, "%lld sealed values do not open", (long long)r->counts.unreadable);
    return ERR_NONE;
}

static enum err mark_restored(struct db *db, void *context, struct fault *why)
{
    struct restore *r = context;
    enum err e = backup_mark_restored(db, why);
    return e ? e : local_tell(db, r->command, "backup.restore", STR_NONE, r->path, STR_NONE, why);
}

/* Requirement 19.7: whose tokens may be older than what the provider holds by now. */
static enum err list_grants(struct restore *r, struct store *s, struct fault *why)
{
    struct db *db = store_reader(s, why);
    AUTO_ARENA a = arena_new(4096);
    if (!db)
        return ERR_STORE;
    struct query *q = query_begin(db, "SELECT f.path, c.key FROM connection_grant g JOIN connection c ON c.id = g.connection_id"
                                      " JOIN folder f ON f.id = c.folder_id WHERE g.from_backup = 1 AND g.refreshable = 1"
                                      " AND c.deleted_ms = 0 ORDER BY f.path, c.key");
    while (query_next(q)) {
        struct arena_mark mark = arena_mark(a);
        if (!r->grants++)
            puts("Their tokens may have been renewed since; the first use shows whether they are to be authorized again:");
        struct str folder = query_get_text(q, 0, a), key = query_get_text(q, 1, a);
        printf("  %.*s/%.*s\n", STR_ARG(folder), STR_ARG(key));
        arena_rewind(a, mark);
    }
    return query_end(q, why);
}

/* Into the server's database, once it was looked at. */
static enum err load(struct restore *r, struct store *from, struct fault *why)
{
    AUTO_STORE s = NULL;
    struct progress progress = { .what = "loading" };
    enum err e = store_open_at(r->config.data, config_database(&r->config), &s, why);
    if (!e)
        e = store_load(s, from, command_has(r->command, OPT_FORCE), show_progress, &progress, why);
    end_progress(&progress);
    return e;
}

/* Opened as the hub would, in the work directory: migrated, every page and value looked at. Closed again. */
static enum err open_and_check(struct restore *r, bool verify, struct fault *why)
{
    AUTO_STORE s = NULL;
    AUTO_KEYRING k = NULL;
    enum err e = store_open(r->work, &s, why);
    if (e || (e = keyring_open(s, secret_copy(r->master), &k, why)) || (e = check_all(r, s, k, why)) || verify)
        return e;
    if ((e = store_write(s, mark_restored, r, why)) || (e = list_grants(r, s, why)))
        return e;
    return config_database(&r->config).n ? load(r, s, why) : store_checkpoint(s, why);
}

static void say(const struct restore *r, bool verify)
{
    const struct backup_counts *n = &r->counts;
    printf(
        "%lld connections with %lld secrets, %lld other sealed values, %lld wrapping keys, %lld audit records: everything opens.\n",
        (long long)n->connections, (long long)n->secrets, (long long)n->values, (long long)n->wrapping_keys,
        (long long)r->audit.records);
    if (n->known)
        printf("%lld connections needed new credentials when the backup was made, and still do.\n", (long long)n->known);
    if (!verify)
        printf("Restored into %.*s. Sessions have ended; the hub can be started.\n",
               STR_ARG(config_database(&r->config).n ? STR("the database server") : r->config.data));
}

static enum err restore(struct restore *r, bool verify, struct fault *why)
{
    bool created;
    struct backup_head head;
    struct arena *a = r->command->arena;
    enum err e = backup_head_read(a, r->path, &head, why);
    if (e || (e = ring_master(&r->config, false, &r->master, &created, why)))
        return e;
    bool here = !config_database(&r->config).n;
    if (!verify && here && !command_has(r->command, OPT_FORCE) &&
        access(arena_cstr(a, str_fmt(a, "%.*s/raccord.db", STR_ARG(r->config.data))), F_OK) == 0)
        return fault(why, ERR_CONFLICT, STR("a database in this directory; --force sets it aside"), "found before unpacking");
    if ((e = make_work(r, verify, why)))
        return e;
    if (!(e = unpack(r, why)) && !(e = open_and_check(r, verify, why)) && !verify && here)
        e = store_install(r->config.data, arena_cstr(a, str_fmt(a, "%.*s/raccord.db", STR_ARG(r->work))),
                          command_has(r->command, OPT_FORCE), why);
    remove_work(r);
    return e;
}

int restore_run(struct command *c)
{
    struct restore r = { .command = c, .path = str_of(c->arguments[0]) };
    struct fault why = { 0 };
    bool verify = command_has(c, OPT_VERIFY);
    if (!command_has(c, OPT_DATA) && !verify)
        return command_wrong(c, "--data is missing: the directory to restore into.");
    int code = local_settings(c, &r.config);
    if (code)
        return code;
    enum err e = restore(&r, verify, &why);
    local_forget(&r.config);
    secret_end(&r.master);
    if (e)
        return command_failed(c, &why);
    say(&r, verify);
    return EXIT_DONE;
}
