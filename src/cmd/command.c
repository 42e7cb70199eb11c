#include "cmd/command.h"

#include <stdarg.h>
#include <stdio.h>

#include "cmd/verbs.h"

const struct option_row option_rows[OPT_COUNT] = {
#define O(name, word, letter, value, repeats, help) [OPT_##name] = { word, letter, value, repeats, help },
#include "cmd/options.def"
#undef O
};
_Static_assert(OPT_COUNT <= 128, "options no longer fit a set");

/* May stand before the verb. */
static const unsigned __int128 leading =
    OPTION(HELP) | OPTION(SERVER) | OPTION(TOKEN) | OPTION(TOKEN_FILE) | OPTION(CA_FILE) | OPTION(JSON);

#define FAR 65

int edit_distance(struct str a, struct str b)
{
    if (a.n >= FAR || b.n >= FAR)
        return FAR;
    /* Three rows of the table of distances between prefixes (optimal string alignment). */
    int rows[3][FAR + 1];
    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= a.n; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= b.n; j++) {
            int best = before[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (before[j] + 1 < best)
                best = before[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && earlier[j - 2] + 1 < best)
                best = earlier[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a.n % 3][b.n];
}

bool command_has(const struct command *c, enum option o)
{
    for (int i = 0; i < c->option_count; i++)
        if (c->options[i].option == o)
            return true;
    return false;
}

char *command_value(const struct command *c, enum option o)
{
    for (int i = c->option_count; i-- > 0;)
        if (c->options[i].option == o)
            return c->options[i].value;
    return NULL;
}

char *command_next(const struct command *c, enum option o, int *at)
{
    while (*at < c->option_count) {
        int i = (*at)++;
        if (c->options[i].option == o)
            return c->options[i].value;
    }
    return NULL;
}

struct str command_argument(const struct command *c, int i)
{
    return i < c->argument_count ? str_of(c->arguments[i]) : STR_NONE;
}

int command_wrong(const struct command *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("raccord: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nSee: raccord help%s%s\n", c->verb ? " " : "", c->verb ? c->verb->name : "");
    return EXIT_USAGE;
}

int command_failed(const struct command *c, const struct fault *why)
{
    char said[512];
    fprintf(stderr, "raccord: %s", fault_say(why, c->language, said, sizeof said));
    if (why->pointer[0])
        fprintf(stderr, " (%s)", why->pointer);
    /* The note is for who runs the program: of use where it failed, noise where the command line was wrong. */
    if (why->note[0] && err_row(why->err)->exit == EXIT_FAILED)
        fprintf(stderr, " [%s]", why->note);
    fputc('\n', stderr);
    return err_row(why->err)->exit;
}

static bool option_find(struct str name, enum option *out)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (str_is(name, option_rows[i].name)) {
            *out = (enum option)i;
            return true;
        }
    return false;
}

static bool letter_find(char letter, enum option *out)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (letter && option_rows[i].letter == letter) {
            *out = (enum option)i;
            return true;
        }
    return false;
}

static const char *nearest_option(const struct command *c, struct str name)
{
    const char *nearest = NULL;
    int best = name.n > 4 ? 4 : 3;
    for (int i = 0; i < OPT_COUNT; i++) {
        int d = edit_distance(name, str_of(option_rows[i].name));
        if (c->verb && !(c->verb->options & OPTION_BIT(i)))
            continue;
        if (d < best || (nearest == NULL && name.n >= 3 && str_starts(str_of(option_rows[i].name), name))) {
            best = d < best ? d : best;
            nearest = option_rows[i].name;
        }
    }
    return nearest;
}

static bool unknown_option(const struct command *c, struct str name)
{
    const char *near = nearest_option(c, name);
    if (near)
        command_wrong(c, "there is no option --%.*s%s%s. Did you mean --%s?", STR_ARG(name), c->verb ? " for " : "",
                      c->verb ? c->verb->name : "", near);
    else
        command_wrong(c, "there is no option --%.*s%s%s.", STR_ARG(name), c->verb ? " for " : "", c->verb ? c->verb->name : "");
    return false;
}

static bool keep(struct command *c, enum option o, char *value)
{
    if (c->option_count == COMMAND_OPTIONS) {
        command_wrong(c, "there are more than %d options.", COMMAND_OPTIONS);
        return false;
    }
    if (!option_rows[o].repeats && option_rows[o].value && command_has(c, o)) {
        command_wrong(c, "--%s stands twice.", option_rows[o].name);
        return false;
    }
    c->options[c->option_count].option = o;
    c->options[c->option_count++].value = value;
    return true;
}

/* --name value, --name=value, -n value, -nvalue. Moves *i past the value. */
static bool read_option(struct command *c, int argc, char **argv, int *i)
{
    char *word = argv[*i], *value = NULL;
    enum option o;

    if (word[1] == '-') {
        struct str name, rest;
        if (str_cut(str_of(word + 2), '=', &name, &rest))
            value = word + 2 + name.n + 1;
        if (!option_find(name, &o))
            return unknown_option(c, name);
    } else {
        if (!letter_find(word[1], &o)) {
            command_wrong(c, "there is no option -%c.", word[1]);
            return false;
        }
        value = word[2] ? word + 2 : NULL;
    }
    const struct option_row *row = &option_rows[o];
    if (!row->value && value) {
        command_wrong(c, "--%s takes no value.", row->name);
        return false;
    }
    if (row->value && !value) {
        if (*i + 1 >= argc) {
            command_wrong(c, "--%s needs a value: %s", row->name, row->value);
            return false;
        }
        value = argv[++*i];
    }
    return keep(c, o, value);
}

static bool check_options(struct command *c)
{
    for (int i = 0; i < c->option_count; i++) {
        enum option o = c->options[i].option;
        if (o != OPT_HELP && !(c->verb->options & OPTION_BIT(o)))
            return unknown_option(c, str_of(option_rows[o].name));
    }
    return true;
}

static bool check_arguments(struct command *c)
{
    if (c->argument_count > c->verb->most) {
        command_wrong(c, "“%s” is one argument too many.", c->arguments[c->verb->most]);
        return false;
    }
    if (c->argument_count < c->verb->least) {
        command_wrong(c, "an argument is missing: raccord %s %s", c->verb->name, c->verb->arguments);
        return false;
    }
    return true;
}

static enum language environment_language(void)
{
    static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return str_starts(str_of(value), STR("fr")) ? LANG_FR : LANG_EN;
    }
    return LANG_EN;
}

bool command_read(struct command *c, struct arena *a, int argc, char **argv, bool *help)
{
    *c = (struct command){ .arena = a, .language = environment_language() };
    c->arguments = arena_array(a, (size_t)argc + 1, sizeof *c->arguments);
    *help = false;

    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        enum option o;
        struct str name, rest;
        str_cut(str_of(argv[i] + 1 + (argv[i][1] == '-')), '=', &name, &rest);
        bool known = argv[i][1] == '-' ? option_find(name, &o) : letter_find(argv[i][1], &o);
        if (known && !(leading & OPTION_BIT(o))) {
            command_wrong(c, "the verb comes first: raccord VERB --%s ...", option_rows[o].name);
            return false;
        }
        if (!read_option(c, argc, argv, &i))
            return false;
    }
    if (i < argc) {
        int words = 0;
        c->verb = verb_find(argc - i, argv + i, &words);
        if (!c->verb) {
            c->arguments = argv + i;
            c->argument_count = argc - i;
            *help = command_has(c, OPT_HELP) || strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0;
            return *help || verb_unknown(c);
        }
        i += words;
        if (c->verb->raw) {
            c->arguments = argv + i - 1;
            c->argument_count = argc - i + 1;
            return true;
        }
    }
    bool options_over = false;
    for (; i < argc; i++) {
        if (!options_over && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (!options_over && argv[i][0] == '-' && argv[i][1]) {
            if (!read_option(c, argc, argv, &i))
                return false;
        } else {
            c->arguments[c->argument_count++] = argv[i];
        }
    }
    *help = command_has(c, OPT_HELP);
    if (*help || !c->verb)
        return true;
    return check_options(c) && check_arguments(c);
}
