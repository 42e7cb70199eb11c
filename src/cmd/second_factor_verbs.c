/* Verbs of one's own second factor. A token does not do: whoever finds one must not lock its person out. So each signs in, and out
 * again. */
#include <stdio.h>

#include "cmd/errand.h"
#include "cmd/sign_in.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define TRIES 3

/* One request within a session of its own. */
static int within_session(struct command *c, const char *method, const char *path,
                          int (*show)(struct client *, struct client_answer *))
{
    AUTO_CLIENT k = { 0 };
    struct client_answer session, answer;
    int code = session_open(c, &k, &session);
    if (code)
        return code;
    code = client_ask(&k, method, str_of(path), NULL, &answer);
    int end = session_close(&k);
    return code ? code : end ? end : show(&k, &answer);
}

static int show_status(struct client *k, struct client_answer *answer) { return client_show(k, answer); }

int second_factor_status_run(struct command *c) { return within_session(c, "GET", "/second-factor", show_status); }

static int say_off(struct client *k, struct client_answer *answer)
{
    (void)k;
    (void)answer;
    puts("No second factor any more.");
    return EXIT_DONE;
}

int second_factor_disable_run(struct command *c)
{
    int code = errand_confirm(c, "Without a second factor your password alone lets in.");
    return code ? code : within_session(c, "DELETE", "/second-factor", say_off);
}

/* On stdout, one a line, and nothing else there. */
static int print_codes(struct client *k, struct client_answer *answer)
{
    if (k->json)
        return client_show(k, answer);
    fputs("Recovery codes, each good once in place of a code. They are shown once: keep them apart from the phone.\n", stderr);
    json_each (code, json_get(answer->json, "recovery_codes"))
        printf("%.*s\n", STR_ARG(code->text));
    return EXIT_DONE;
}

int second_factor_codes_run(struct command *c)
{
    return within_session(c, "POST", "/second-factor/recovery-codes", print_codes);
}

/* The address for a QR code; in groups of four what an app without a camera is told. */
static void print_uri(struct str uri)
{
    struct str head, secret, rest;
    size_t at = str_find_str(uri, STR("secret="));
    fputs("Add this to your authenticator app (as a QR code: qrencode -t ansiutf8), or type its key there:\n", stderr);
    if (at != SIZE_MAX) {
        head = str_sub(uri, at + 7, uri.n);
        str_cut(head, '&', &secret, &rest);
        for (size_t i = 0; i < secret.n; i++)
            fprintf(stderr, i && i % 4 == 0 ? " %c" : "%c", secret.p[i]);
        fputc('\n', stderr);
    }
    printf("%.*s\n", STR_ARG(uri));
    fflush(stdout);
}

static int confirm(struct command *c, struct client *k, struct client_answer *answer)
{
    for (int i = 0; i < TRIES; i++) {
        AUTO_BUF b = { 0 };
        struct fault why = { 0 };
        struct str typed;
        if (ask_line(c->arena, "The code that the app shows now: ", &typed, &why))
            return command_failed(c, &why);
        struct json_out o = errand_open(&b);
        json_member_str(&o, "code", typed);
        json_close(&o, '}');
        struct str body = buf_str(&b);
        k->awaited = i + 1 < TRIES ? ERR_SECOND_FACTOR_INVALID : ERR_NONE;
        int code = client_ask(k, "POST", STR("/second-factor/confirm"), &body, answer);
        if (!code || !answer->refused)
            return code;
        fputs("That is not its code; wait for the next one. Is the clock of the phone right?\n", stderr);
    }
    return EXIT_FAILED;
}

int second_factor_enable_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer session, begun, done;
    int code = session_open(c, &k, &session);
    if (code)
        return code;
    if (!(code = client_ask(&k, "POST", STR("/second-factor"), NULL, &begun))) {
        print_uri(json_str(begun.json, "otpauth_uri"));
        code = confirm(c, &k, &done);
    }
    if (!code)
        session_renewed(&k, &done, json_get(done.json, "session"));
    k.awaited = ERR_NONE;
    int end = session_close(&k);
    return code ? code : end ? end : print_codes(&k, &done);
}
