/* Verbs that work on the database directly, on the hub's own machine. No master key is needed: nothing sealed is touched. */
#include <stdio.h>

#include "access/folder.h"
#include "access/held.h"
#include "access/rights.h"
#include "access/token.h"
#include "access/user.h"
#include "base/clock.h"
#include "cmd/local.h"
#include "cmd/password.h"
#include "cmd/verbs.h"
#include "crypto/password.h"
#include "store/db.h"
#include "vault/connection.h"
#include "web/principal.h"

static int role_read(struct command *c, enum role *out)
{
    char *role = command_value(c, OPT_ROLE);
    if (!role)
        return command_wrong(c, "--role is missing: owner, admin, editor, user, viewer, auditor or custodian.");
    if (!role_parse(str_of(role), out))
        return command_wrong(c, "there is no role “%s”: owner, admin, editor, user, viewer, auditor or custodian.", role);
    return EXIT_DONE;
}

static struct str role_told(struct arena *a, enum role role, wall_ms expires)
{
    char at[CLOCK_TEXT];
    return expires ? str_fmt(a, "{\"role\":\"%s\",\"expires_at\":\"%s\"}", role_name(role), clock_format(expires, at))
                   : str_fmt(a, "{\"role\":\"%s\"}", role_name(role));
}

/* --- token create --------------------------------------------------------------------------------------------------- */

struct order {
    struct command *c;
    struct str name;
    enum role role;
    wall_ms expires;
    char text[TOKEN_TEXT];
};

/* The folders in which --connection looks: --folder, which narrows the token too, or all that the account sees. */
static enum err scope_read(struct db *db, const struct order *o, struct str principal, struct folder_scope *out, struct fault *why)
{
    struct arena *a = o->c->arena;
    char *path = command_value(o->c, OPT_FOLDER);
    struct caller account = { .principal = principal, .name = o->name, .role = o->role };
    struct folder_row row;
    if (!path)
        return rights_visible(db, a, &account, out, why);
    enum err e = folder_resolve(db, a, &account, str_of(path), &row, why);
    if (e)
        return e;
    struct str *one = arena_array(a, 1, sizeof *one);
    *one = row.id;
    *out = (struct folder_scope){ .few = true, .folders = one, .folder_count = 1 };
    return ERR_NONE;
}

/* --method GET --method HEAD, --address 10.0.0.0/8 ... */
static enum err entries_read(const struct order *o, struct narrow *out, struct fault *why)
{
    static const struct {
        enum option option;
        enum narrow_kind kind;
    } rows[] = { { OPT_METHOD, NARROW_METHOD }, { OPT_RISK, NARROW_RISK },       { OPT_ACTION, NARROW_ACTION },
                 { OPT_PATH, NARROW_PATH },     { OPT_ADDRESS, NARROW_ADDRESS } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct narrow_list *l = &out->lists[rows[i].kind];
        int at = 0;
        for (char *typed; (typed = command_next(o->c, rows[i].option, &at)); l->count++) {
            if (!l->at)
                l->at = arena_array(o->c->arena, COMMAND_OPTIONS, sizeof *l->at);
            l->set = true;
            enum err e = narrow_entry(o->c->arena, rows[i].kind, str_of(typed), &l->at[l->count], why);
            if (e)
                return e;
        }
    }
    return ERR_NONE;
}

static enum err grants_read(struct db *db, const struct order *o, struct token_new *t, struct fault *why)
{
    struct arena *a = o->c->arena;
    struct narrow *narrow = arena_zero(a, sizeof *narrow);
    struct narrow_list *named = &narrow->lists[NARROW_CONNECTION];
    struct folder_scope seen;
    enum err e = scope_read(db, o, t->principal, &seen, why);
    if (e)
        return e;
    named->at = arena_array(a, COMMAND_OPTIONS, sizeof *named->at);
    int at = 0;
    for (char *key; (key = command_next(o->c, OPT_CONNECTION, &at));) {
        struct connection_row row;
        if ((e = connection_find(db, a, str_of(key), &seen, &row, why)))
            return e;
        named->set = true;
        named->at[named->count++] = row.id;
    }
    if (command_value(o->c, OPT_FOLDER))
        narrow->lists[NARROW_FOLDER] = (struct narrow_list){ true, (struct str *)(uintptr_t)seen.folders, seen.folder_count };
    t->narrow = narrow;
    return entries_read(o, narrow, why);
}

/* A token never does more than its account: one that says admin and acts as user would be found out at the worst time. */
static enum err role_check(struct db *db, const struct order *o, struct str account, struct fault *why)
{
    struct service_account row;
    unsigned held;
    enum err e = service_account_get(db, o->c->arena, account, &row, why);
    if (e || (e = held_in_folders(db, o->c->arena, account, &held, why)) || held_within(held | ROLE_BIT(row.role), o->role))
        return e;
    struct str said = str_fmt(o->c->arena, "the service account “%.*s” has the role %s: choose another name for a token of role %s",
                              STR_ARG(o->name), role_name(row.role), role_name(o->role));
    return fault(why, ERR_USAGE, said, "role above the account's");
}

static enum err create_token(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct arena *a = o->c->arena;
    struct token_new t = { .name = o->name, .role = o->role, .expires = o->expires };
    struct str shared, id;
    enum err e;
    if ((e = folder_ensure_shared(db, a, &shared, why)) ||
        (e = service_account_find_or_create(db, a, o->name, o->role, &t.principal, why)) ||
        (e = role_check(db, o, t.principal, why)) || (e = grants_read(db, o, &t, why)))
        return e;
    if ((e = token_create(db, a, &t, o->text, &id, why)))
        return e;
    return local_tell(db, o->c, "token.create", id, o->name, role_told(a, o->role, o->expires), why);
}

int token_create_run(struct command *c)
{
    char *name = command_value(c, OPT_NAME), *expires = command_value(c, OPT_EXPIRES);
    struct order o = { .c = c, .name = str_of(name) };
    struct fault why = { 0 };
    int64_t lives;
    if (!name || !*name)
        return command_wrong(c, "--name is missing: the service account that the token belongs to.");
    int code = role_read(c, &o.role);
    if (code)
        return code;
    if (expires && (!duration_parse(str_of(expires), &lives) || lives < 1))
        return command_wrong(c, "--expires takes a time such as 12h or 30d.");
    o.expires = expires ? clock_wall() + lives : 0;

    AUTO_STORE s = NULL;
    code = local_open(c, &s);
    if (code)
        return code;
    if (store_write(s, create_token, &o, &why))
        return command_failed(c, &why);
    puts(o.text);
    secret_wipe(o.text, sizeof o.text);
    return EXIT_DONE;
}

/* --- user create ---------------------------------------------------------------------------------------------------- */

struct newcomer {
    struct command *c;
    struct str email, hash, language, id;
    enum role role;
};

static enum err create_user(struct db *db, void *context, struct fault *why)
{
    struct newcomer *n = context;
    enum err e = user_create(db, n->c->arena, n->email, n->hash, n->role, n->language, &n->id, why);
    return e ? e : local_tell(db, n->c, "user.create", n->id, n->email, role_told(n->c->arena, n->role, 0), why);
}

int user_create_run(struct command *c)
{
    char *email = command_value(c, OPT_EMAIL), *language = command_value(c, OPT_LANGUAGE);
    struct newcomer n = { .c = c, .email = str_of(email), .language = str_of(language ? language : "en") };
    struct fault why = { 0 };
    if (!email || !*email)
        return command_wrong(c, "--email is missing.");
    int code = role_read(c, &n.role);
    if (code)
        return code;

    AUTO_STORE s = NULL;
    AUTO_SECRET password = SECRET_NONE;
    if ((code = local_open(c, &s)) || (code = password_read(c, &password)))
        return code;
    if (password_acceptable(secret_str(password), n.email, &why) || password_hash(c->arena, secret_str(password), &n.hash, &why) ||
        store_write(s, create_user, &n, &why))
        return command_failed(c, &why);
    printf("%.*s\n", STR_ARG(n.id));
    return EXIT_DONE;
}
