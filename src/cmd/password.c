#include "cmd/password.h"

#include <stdio.h>

#include "cmd/terminal.h"

#define PASSWORD_MAX 1024

int password_read(struct command *c, struct secret *out) { return password_read_new(c, OPT_PASSWORD_FILE, "Password: ", out); }

int password_read_new(struct command *c, enum option option, const char *prompt, struct secret *out)
{
    char *file = command_value(c, option);
    struct fault why = { 0 };

    if (file || !terminal_asks()) {
        if (secret_read_file(file ? file : "-", PASSWORD_MAX, true, out, &why))
            return command_failed(c, &why);
        return out->n ? EXIT_DONE : command_wrong(c, "the password is empty.");
    }
    AUTO_SECRET again = SECRET_NONE;
    if (ask_secret(prompt, out, &why) || ask_secret("Once more: ", &again, &why))
        return command_failed(c, &why);
    if (!secret_equal(*out, again)) {
        fputs("raccord: the two passwords differ\n", stderr);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}
