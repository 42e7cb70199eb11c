/* config check and config list: the settings as `raccord serve` would read them. */
#include <stdio.h>
#include <unistd.h>

#include "cmd/config.h"
#include "cmd/verbs.h"
#include "crypto/secret.h"

#define LIST_MAX (1024 * 1024)

/* The settings' own flags are config_load's; what it leaves is --json, or a mistake. argv[0] is the verb's last word. */
static int load(struct command *c, struct config *out, bool *json)
{
    struct fault why = { 0 };
    int argc = c->argument_count;
    char **argv = c->arguments;
    if (config_load(c->arena, NULL, environ, &argc, argv, out, &why))
        return command_failed(c, &why);
    for (int i = 1; i < argc; i++) {
        if (!json || strcmp(argv[i], "--json") != 0)
            return command_wrong(c, "there is no setting or option “%s”; see: raccord config list", argv[i]);
        *json = true;
    }
    if (out->master_key.p)
        secret_wipe((char *)(uintptr_t)out->master_key.p, out->master_key.n);
    return EXIT_DONE;
}

int config_check_run(struct command *c)
{
    struct config config;
    int code = load(c, &config, NULL);
    if (code)
        return code;
    for (size_t i = 0; i < config.warning_count; i++)
        fprintf(stderr, "raccord: warning: %.*s\n", STR_ARG(config.warnings[i]));
    puts("The settings are usable.");
    return EXIT_DONE;
}

int config_list_run(struct command *c)
{
    struct config config;
    bool json = false;
    int code = load(c, &config, &json);
    if (code)
        return code;
    AUTO_BUF b;
    buf_init(&b, LIST_MAX);
    config_list(&config, &b, json);
    fwrite(b.p, 1, b.n, stdout);
    if (b.n && b.p[b.n - 1] != '\n')
        putchar('\n');
    return EXIT_DONE;
}
