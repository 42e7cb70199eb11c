#include "cmd/secret_body.h"

#include <string.h>

#include "cmd/password.h"
#include "cmd/terminal.h"

int secret_body_read(struct command *c, struct secret *out)
{
    char *word = command_value(c, OPT_BODY);
    struct fault why = { 0 };
    if (!word)
        return command_wrong(c, "--body is missing: @FILE, or - for standard input.");
    if (strcmp(word, "-") != 0 && word[0] != '@') {
        secret_wipe(word, strlen(word));
        return command_wrong(c, "--body takes @FILE or - here: other users could read the client secret on the command line.");
    }
    if (secret_read_file(word[0] == '@' ? word + 1 : "-", SECRET_BODY_MAX, false, out, &why))
        return command_failed(c, &why);
    return EXIT_DONE;
}

int secret_body_send(struct command *c, const char *method, struct str path)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET body = SECRET_NONE;
    int code = client_open(c, &k);
    if (!code)
        code = secret_body_read(c, &body);
    struct str text = secret_str(body);
    return code ? code : client_ask_and_show(&k, method, path, &text);
}
