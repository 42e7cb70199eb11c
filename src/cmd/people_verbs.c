/* Verbs about people that work on the database directly, on the hub's own machine, beside a running hub too. */
#include <stdio.h>

#include "access/guard.h"
#include "access/invitation.h"
#include "access/second_factor.h"
#include "access/user.h"
#include "cmd/local.h"
#include "cmd/verbs.h"
#include "crypto/secret.h"

#define PAGE 200

struct asked {
    struct command *c;
    struct str email, id;
    enum role role;
    struct str language;
    wall_ms expires;
    char code[INVITATION_CODE];
};

static enum err find_by_email(struct db *db, struct asked *x, struct fault *why)
{
    char email[USER_EMAIL + 1];
    if (!user_email_parse(x->email, email))
        return fault(why, ERR_FIELD_INVALID, STR("email (name@host, at most 254 characters)"), "email");
    x->email = arena_str(x->c->arena, str_of(email));
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE kind = 'user' AND name = $1");
    query_text(q, x->email);
    x->id = query_next(q) ? query_get_text(q, 0, x->c->arena) : STR_NONE;
    enum err e = query_end(q, why);
    return e ? e : x->id.p ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("user"), "no user of that address");
}

static int email_read(struct command *c, struct asked *x)
{
    char *email = command_value(c, OPT_EMAIL);
    x->c = c;
    x->email = str_of(email);
    return email && *email ? EXIT_DONE : command_wrong(c, "--email is missing.");
}

/* The link where the hub's address is known, else what stands at its end. */
static int print_link(struct command *c, struct asked *x)
{
    char *url = command_value(c, OPT_PUBLIC_URL), at[CLOCK_TEXT];
    struct str base = str_of(url ? url : getenv("RACCORD_PUBLIC_URL"));
    while (str_ends(base, STR("/")))
        base.n--;
    if (!base.n)
        fputs("raccord: without --public-url the hub's address is not known: put it in front.\n", stderr);
    printf("%.*s/invite#%s\n", STR_ARG(base.p ? base : STR("")), x->code);
    fprintf(stderr, "Works once, until %s.\n", clock_format(x->expires, at));
    secret_wipe(x->code, sizeof x->code);
    return EXIT_DONE;
}

static int write_and_print(struct command *c, struct asked *x, store_work *work)
{
    struct fault why = { 0 };
    AUTO_STORE s = NULL;
    int code = local_open(c, &s);
    if (code)
        return code;
    return store_write(s, work, x, &why) ? command_failed(c, &why) : print_link(c, x);
}

static enum err invite(struct db *db, void *context, struct fault *why)
{
    struct asked *x = context;
    enum err e;
    if ((e = user_create(db, x->c->arena, x->email, STR_NONE, x->role, x->language, &x->id, why)) ||
        (e = invitation_make(db, x->id, STR("cli"), INVITATION_MS, x->code, &x->expires, why)))
        return e;
    return local_tell(db, x->c, "user.create", x->id, x->email, str_fmt(x->c->arena, "{\"role\":\"%s\"}", role_name(x->role)), why);
}

int user_invite_run(struct command *c)
{
    char *role = command_value(c, OPT_ROLE), *language = command_value(c, OPT_LANGUAGE);
    struct asked x = { .role = ROLE_USER, .language = str_of(language ? language : "en") };
    int code = email_read(c, &x);
    if (code)
        return code;
    if (role && !role_parse(str_of(role), &x.role))
        return command_wrong(c, "there is no role “%s”.", role);
    return write_and_print(c, &x, invite);
}

static enum err reset(struct db *db, void *context, struct fault *why)
{
    struct asked *x = context;
    enum err e;
    if ((e = find_by_email(db, x, why)) || (e = invitation_make(db, x->id, STR("cli"), RESET_MS, x->code, &x->expires, why)))
        return e;
    return local_tell(db, x->c, "user.invite", x->id, x->email, STR_NONE, why);
}

int user_reset_password_run(struct command *c)
{
    struct asked x = { 0 };
    int code = email_read(c, &x);
    return code ? code : write_and_print(c, &x, reset);
}

static enum err unlock(struct db *db, void *context, struct fault *why)
{
    struct asked *x = context;
    enum err e;
    if ((e = find_by_email(db, x, why)) || (e = guard_unlock(db, x->email, why)))
        return e;
    return local_tell(db, x->c, "user.update", x->id, x->email, STR("{\"locked\":false}"), why);
}

int user_unlock_run(struct command *c)
{
    struct asked x = { 0 };
    struct fault why = { 0 };
    AUTO_STORE s = NULL;
    int code = email_read(c, &x);
    if (code || (code = local_open(c, &s)))
        return code;
    return store_write(s, unlock, &x, &why) ? command_failed(c, &why) : EXIT_DONE;
}

static const char *state_of(const struct user_row *row, wall_ms locked, wall_ms invited)
{
    return row->disabled ? "disabled" : locked ? "locked" : invited ? "invited" : "-";
}

static enum err print_user(struct db *db, const struct user_row *row, struct fault *why)
{
    struct second_factor_state second;
    wall_ms locked, invited;
    enum err e;
    if ((e = guard_locked_until(db, row->email, &locked, why)) || (e = invitation_until(db, row->id, &invited, why)) ||
        (e = second_factor_state(db, row->id, &second, why)))
        return e;
    printf("%-30.*s  %-7s  %-9s  %s\n", STR_ARG(row->email), role_name(row->role), state_of(row, locked, invited),
           second.enabled ? "second factor" : "password only");
    return ERR_NONE;
}

int user_list_run(struct command *c)
{
    struct fault why = { 0 };
    struct user_row *rows;
    struct str after = STR("");
    size_t n;
    AUTO_STORE s = NULL;
    int code = local_open(c, &s);
    if (code)
        return code;
    struct db *db = store_reader(s, &why);
    if (!db)
        return command_failed(c, &why);
    do {
        if (user_list(db, c->arena, after, PAGE, &rows, &n, &why))
            return command_failed(c, &why);
        for (size_t i = 0; i < n; i++)
            if (print_user(db, &rows[i], &why))
                return command_failed(c, &why);
        after = n ? rows[n - 1].id : after;
    } while (n == PAGE);
    return EXIT_DONE;
}
