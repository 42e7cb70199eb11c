/* verify-audit: the audit log held against itself and its exported heads, on the hub's own machine or on a copy of its data. */
#include <stdio.h>
#include <unistd.h>

#include "access/audit_head.h"
#include "base/json.h"
#include "call/intent_file.h"
#include "call/run_seal.h"
#include "cmd/config.h"
#include "cmd/local.h"
#include "cmd/verbs.h"

/* What each flaw means, for people. */
static const struct {
    enum audit_flaw flaw;
    const char *says[2];
} meanings[] = {
    { AUDIT_CHANGED, { "it is not what its hash says: it was edited", "il ne correspond pas à son empreinte : il a été modifié" } },
    { AUDIT_MISSING,
      { "it is not there, and later ones are: it was removed",
        "il n'est plus là, alors que de plus récents y sont : il a été retiré" } },
    { AUDIT_REORDERED,
      { "it does not follow the record before it: one was inserted, moved or written anew",
        "il ne suit pas l'enregistrement précédent : l'un d'eux a été inséré, déplacé ou réécrit" } },
    { AUDIT_TRUNCATED,
      { "the log ends before it, and it was exported: the end was cut off, or an old state was put back",
        "le journal s'arrête avant lui, alors qu'il a été exporté : la fin a été coupée ou un ancien état remis" } },
    { AUDIT_ROLLED_BACK,
      { "another record was exported under this number: an old state was put back and went on, or the log was written "
        "anew",
        "un autre enregistrement a été exporté sous ce numéro : un ancien état a été remis puis continué, ou le "
        "journal a été réécrit" } },
    { AUDIT_HEADS_CHANGED,
      { "the file of exported heads was edited, or belongs to another hub",
        "le fichier des têtes exportées a été modifié ou appartient à un autre hub" } },
    { AUDIT_CALLS_CHANGED,
      { "Run records are not those that were recorded",
        "Des enregistrements d'appels ne sont pas ceux qui avaient été inscrits" } },
    { AUDIT_FILE_CHANGED,
      { "The file of calls was edited, cut off, or an old one was put back",
        "Le fichier des appels a été modifié, coupé ou remplacé par un ancien" } },
};

/* The settings as serve would read them, --heads FILE and --calls FILE. */
static int read_line(struct command *c, struct config *config, struct str *heads, struct str *calls, bool *json)
{
    struct fault why = { 0 };
    int argc = c->argument_count;
    char **argv = c->arguments;
    if (config_load(c->arena, NULL, environ, &argc, argv, config, &why))
        return command_failed(c, &why);
    *heads = config->audit.head_file.n ? config->audit.head_file
                                       : str_fmt(c->arena, "%.*s/audit-heads.log", STR_ARG(config->data));
    *json = false;
    *calls = STR("");
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            *json = true;
        else if (!strcmp(argv[i], "--heads") && i + 1 < argc)
            *heads = str_of(argv[++i]);
        else if (!strcmp(argv[i], "--calls") && i + 1 < argc)
            *calls = str_of(argv[++i]);
        else
            return command_wrong(c, "there is no setting or option “%s” here.", argv[i]);
    }
    return EXIT_DONE;
}

/* Without the master key the chain and the heads' numbers can be checked, and neither the heads' macs nor run records can: that is
 * said. */
static void find_keys(struct command *c, struct store *s, struct config *config, struct secret *heads, struct secret *calls,
                      struct secret *file)
{
    AUTO_KEYRING ring = NULL;
    struct fault why;
    if (local_keyring(c, config, s, &ring) || keyring_derive(ring, STR("audit heads"), heads, &why) ||
        keyring_derive(ring, STR("run records"), calls, &why) || keyring_derive(ring, STR("calls file"), file, &why))
        fprintf(stderr,
                "raccord: warning: without the master key nobody can tell who wrote the exported heads and the run records\n");
}

static void say_json(const struct audit_finding *f, const struct audit_heads_found *heads, const struct intent_file_found *file)
{
    AUTO_BUF b;
    buf_init(&b, 4096);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_bool(&o, "ok", f->flaw == AUDIT_SOUND);
    json_member_str(&o, "flaw", f->flaw ? str_of(audit_flaw_name(f->flaw)) : STR_NONE);
    json_member_i64(&o, "number", f->number);
    json_member_i64(&o, "records", f->records);
    json_member_i64(&o, "heads", (int64_t)heads->count);
    if (file) {
        json_key(&o, "calls");
        json_open(&o, '{');
        json_member_i64(&o, "sealed", file->calls);
        json_member_i64(&o, "seals", file->seals);
        json_member_i64(&o, "loose", file->loose);
        json_member_i64(&o, "line", file->line);
        json_close(&o, '}');
    }
    json_close(&o, '}');
    printf("%.*s\n", STR_ARG(buf_str(&b)));
}

static void say(const struct command *c, const struct audit_finding *f, const struct audit_heads_found *heads)
{
    bool french = c->language == LANG_FR;
    if (!f->flaw) {
        printf(french ? "Le journal d'audit est intact : %lld enregistrements, %zu têtes exportées.\n"
                      : "The audit log is sound: %lld records, %zu exported heads.\n",
               (long long)f->records, heads->count);
        return;
    }
    for (size_t i = 0; i < COUNT(meanings); i++) {
        if (meanings[i].flaw != f->flaw)
            continue;
        if (f->flaw == AUDIT_CALLS_CHANGED || f->flaw == AUDIT_FILE_CHANGED)
            printf("%s.\n", meanings[i].says[french]);
        else if (f->number)
            printf(french ? "Enregistrement %lld : %s.\n" : "Record %lld: %s.\n", (long long)f->number, meanings[i].says[french]);
        else
            printf(french ? "Ligne %lld des têtes : %s.\n" : "Line %lld of the heads: %s.\n", (long long)heads->line,
                   meanings[i].says[french]);
    }
}

/* The file of calls: the one that is named, else that of the settings. What calls it holds is said; what is loose is no flaw. */
static enum err look_at_file(struct command *c, const struct config *config, struct str named, struct db *db, struct secret key,
                             struct audit_finding *found, struct intent_file_found *file, struct fault *why)
{
    struct str path = named.n ? named : config->audit.file;
    enum err e = intent_file_check(arena_cstr(c->arena, path), key, db, !named.n, file, why);
    if (!e && file->wrong && !found->flaw) {
        found->flaw = AUDIT_FILE_CHANGED;
        found->number = file->number;
    }
    return e;
}

static void say_file(const struct command *c, const struct intent_file_found *f)
{
    bool french = c->language == LANG_FR;
    if (f->wrong && f->line)
        printf(french ? "Ligne %lld du fichier des appels.\n" : "Line %lld of the file of calls.\n", (long long)f->line);
    else if (f->wrong)
        printf(french ? "L'enregistrement %lld nomme un sceau qui n'y est pas.\n" : "Record %lld names a seal that is not in it.\n",
               (long long)f->number);
    else
        printf(french ? "Le fichier des appels est intact : %lld appels, %lld sceaux, %lld lignes sans sceau.\n"
                      : "The file of calls is sound: %lld calls, %lld seals, %lld lines without a seal.\n",
               (long long)f->calls, (long long)f->seals, (long long)f->loose);
}

int verify_audit_run(struct command *c)
{
    struct config config;
    struct str file, named;
    bool json = false;
    struct fault why = { 0 };
    struct audit_heads_found heads = { 0 };
    struct audit_finding found;
    int code = read_line(c, &config, &file, &named, &json);
    if (code)
        return code;
    char *database = arena_cstr(c->arena, str_fmt(c->arena, "%.*s/raccord.db", STR_ARG(config.data)));
    if (!config_database(&config).n && access(database, R_OK)) /* opening would make a new one */
        return command_wrong(c, "%s cannot be read: --data names the hub's data directory.", database);

    AUTO_STORE s = NULL;
    AUTO_SECRET key = SECRET_NONE, calls = SECRET_NONE, lines = SECRET_NONE;
    struct intent_file_found begun;
    if (store_open_at(config.data, config_database(&config), &s, &why))
        return command_failed(c, &why);
    find_keys(c, s, &config, &key, &calls, &lines);
    struct audit_heads from = { .path = arena_cstr(c->arena, file), .key = key };
    struct db *db = store_reader(s, &why);
    if (!db || audit_heads_read(&from, false, c->arena, &heads, &why) || run_seal_check(db, calls, NULL, &heads, &found, &why))
        return command_failed(c, &why);
    bool has_file = named.n || config.audit.file.n;
    if (has_file && look_at_file(c, &config, named, db, lines, &found, &begun, &why))
        return command_failed(c, &why);
    if (!heads.there)
        fprintf(stderr, "raccord: warning: %s holds no exported heads: a log that was cut off or put back cannot be told\n",
                from.path);
    if (json)
        say_json(&found, &heads, has_file ? &begun : NULL);
    else
        say(c, &found, &heads);
    if (!json && has_file)
        say_file(c, &begun);
    return found.flaw ? EXIT_FAILED : EXIT_DONE;
}
