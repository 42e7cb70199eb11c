/* Help, manual page and shell completion, all written from the two tables: they cannot disagree with the program. */
#include <stdio.h>

#include "cmd/verbs.h"

#define VERB_WIDTH 26
#define OPTION_WIDTH 30

static bool verb_group(const struct verb *v, struct str *group)
{
    struct str tail;
    return str_cut(str_of(v->name), ' ', group, &tail);
}

/* True when the row begins another group than the one before it: a blank line parts them. */
static bool group_begins(const struct verb *v, size_t i)
{
    struct str group, before;
    if (!i)
        return false;
    bool grouped = verb_group(&v[i], &group), was = verb_group(&v[i - 1], &before);
    return grouped != was || (grouped && !str_eq(group, before));
}

void help_general(FILE *to)
{
    size_t count;
    const struct verb *v = verbs_all(&count);
    fputs("raccord - connect accounts once; let programs call through them without seeing a secret\n\n"
          "Usage: raccord VERB [arguments] [options]\n\n", to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "%s  %-*s %s\n", group_begins(v, i) ? "\n" : "", VERB_WIDTH, v[i].name, v[i].help);
    fputs("\nraccord help VERB tells more. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found,\n"
          "4 denied, 5 the provider failed.\n", to);
}

bool help_group(FILE *to, struct str word)
{
    size_t count;
    const struct verb *v = verbs_all(&count);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        struct str group;
        if (!verb_group(&v[i], &group) || !str_eq(group, word))
            continue;
        fprintf(to, "  raccord %-*s %s\n", VERB_WIDTH, v[i].name, v[i].help);
        any = true;
    }
    return any;
}

static void option_spell(const struct option_row *o, char *out, size_t size)
{
    char letter[5] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, size, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void option_line(FILE *to, const struct option_row *o)
{
    char spelled[80];
    option_spell(o, spelled, sizeof spelled);
    if (strlen(spelled) > OPTION_WIDTH)
        fprintf(to, "  %s\n  %*s", spelled, OPTION_WIDTH, "");
    else
        fprintf(to, "  %-*s", OPTION_WIDTH, spelled);
    fprintf(to, " %s%s\n", o->help, o->repeats ? "; may be repeated" : "");
}

static void usage_line(FILE *to, const struct verb *v)
{
    fprintf(to, "raccord %s%s%s%s", v->name, *v->arguments ? " " : "", v->arguments, v->options ? " [options]" : "");
}

void help_verb(FILE *to, const struct verb *v)
{
    fputs("Usage: ", to);
    usage_line(to, v);
    fprintf(to, "\n\n%s\n", v->help);
    if (v->more)
        fprintf(to, "\n%s", v->more);
    if (v->options)
        fputs("\nOptions:\n", to);
    for (int i = 0; i < OPT_COUNT; i++)
        if (v->options & OPTION_BIT(i))
            option_line(to, &option_rows[i]);
}

/* troff: a leading '.' or '\'' would be a request, a backslash an escape, '-' a hyphen that cannot be copied. */
static void troff(const char *text)
{
    bool line_start = true;
    for (const char *p = text; *p; p++) {
        if (line_start && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        line_start = *p == '\n';
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else
            putchar(*p);
    }
}

static void man_verb(const struct verb *v)
{
    printf(".TP\n.B raccord ");
    troff(v->name);
    if (*v->arguments)
        printf(" \\fI%s\\fR", v->arguments);
    putchar('\n');
    troff(v->help);
    fputs(".\n", stdout);
    bool first = true;
    for (int i = 0; i < OPT_COUNT; i++) {
        if (!(v->options & OPTION_BIT(i)))
            continue;
        fputs(first ? "Options: \\fB" : ", \\fB", stdout);
        troff("--");
        troff(option_rows[i].name);
        fputs("\\fR", stdout);
        first = false;
    }
    if (!first)
        fputs(".\n", stdout);
    if (v->more) {
        fputs(".IP\n.nf\n", stdout);
        troff(v->more);
        fputs(".fi\n", stdout);
    }
}

static void man_page(void)
{
    size_t count;
    const struct verb *v = verbs_all(&count);
    fputs(".TH RACCORD 1 \"\" \"raccord " RACCORD_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nraccord \\- self\\-hosted integration hub\n"
          ".SH SYNOPSIS\n.B raccord\n.I VERB\n[\\fIarguments\\fR] [\\fIoptions\\fR]\n"
          ".SH DESCRIPTION\n"
          "Raccord keeps the credentials of accounts at other companies' APIs sealed, and makes the calls of programs that\n"
          "may use them. The program is the hub\n(\\fBraccord serve\\fR)\nand a client of its API.\n"
          ".SH VERBS\n", stdout);
    for (size_t i = 0; i < count; i++)
        man_verb(&v[i]);
    fputs(".SH OPTIONS\n", stdout);
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct option_row *o = &option_rows[i];
        fputs(".TP\n", stdout);
        if (o->letter)
            printf("\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", stdout);
        troff(o->name);
        fputs("\\fR", stdout);
        if (o->value) {
            fputs(" \\fI", stdout);
            troff(o->value);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        troff(o->help);
        fputs(o->repeats ? "; may be repeated.\n" : ".\n", stdout);
    }
    fputs(".SH ENVIRONMENT\n"
          ".TP\n.B RACCORD_SERVER\nthe hub's address.\n"
          ".TP\n.B RACCORD_TOKEN\nthe token that client verbs present; it is wiped from the environment once read.\n"
          ".TP\n.B RACCORD_DATA\nthe data directory.\n"
          ".SH EXIT STATUS\n"
          ".IP 0\ndone\n.IP 1\nfailed\n.IP 2\nwrong usage\n.IP 3\nnot found\n.IP 4\ndenied\n.IP 5\nthe provider failed\n",
          stdout);
}

int help_verb_run(struct command *c)
{
    if (command_has(c, OPT_MAN)) {
        man_page();
        return EXIT_DONE;
    }
    if (!c->argument_count) {
        help_general(stdout);
        return EXIT_DONE;
    }
    int used;
    const struct verb *v = verb_find(c->argument_count, c->arguments, &used);
    if (v && used == c->argument_count) {
        help_verb(stdout, v);
        return EXIT_DONE;
    }
    if (c->argument_count == 1 && help_group(stdout, str_of(c->arguments[0])))
        return EXIT_DONE;
    verb_unknown(c);
    return EXIT_USAGE;
}

/* The words that may follow `first`, or the first words when it is NULL, each once. */
static void completion_words(const char *first)
{
    size_t count;
    const struct verb *v = verbs_all(&count);
    struct str last = STR_NONE;
    for (size_t i = 0; i < count; i++) {
        struct str head, tail;
        str_cut(str_of(v[i].name), ' ', &head, &tail);
        if (first && !str_is(head, first))
            continue;
        struct str word = first ? tail : head;
        if (word.n && !str_eq(word, last))
            printf(" %.*s", STR_ARG(word));
        last = word;
    }
}

static void completion_options(const struct verb *v)
{
    printf("    \"%s\") words=\"", v->name);
    for (int i = 0; i < OPT_COUNT; i++)
        if (v->options & OPTION_BIT(i))
            printf(" --%s", option_rows[i].name);
    fputs(" --help\" ;;\n", stdout);
}

int completion_run(struct command *c)
{
    if (!str_is(command_argument(c, 0), "bash"))
        return command_wrong(c, "there is completion for bash only.");

    size_t count;
    const struct verb *v = verbs_all(&count);
    fputs("# bash completion for raccord\n"
          "_raccord()\n{\n"
          "    local here=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" words=\"\"\n"
          "    local verb=\"${COMP_WORDS[1]}\"\n"
          "    case \"$before\" in\n"
          "    --*-file|--config) COMPREPLY=($(compgen -f -- \"$here\")); return ;;\n"
          "    --data) COMPREPLY=($(compgen -d -- \"$here\")); return ;;\n"
          "    esac\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"", stdout);
    completion_words(NULL);
    fputs(" --version\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$here\")); return\n    fi\n"
          "    case \"$verb\" in\n", stdout);
    struct str last = STR_NONE;
    for (size_t i = 0; i < count; i++) {
        struct str group;
        if (!verb_group(&v[i], &group) || str_eq(group, last))
            continue;
        last = group;
        const char *name = arena_cstr(c->arena, group);
        printf("    %s)\n        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            COMPREPLY=($(compgen -W \"", name);
        completion_words(name);
        fputs("\" -- \"$here\")); return\n        fi\n        verb=\"$verb ${COMP_WORDS[2]}\" ;;\n", stdout);
    }
    fputs("    esac\n    case \"$verb\" in\n", stdout);
    for (size_t i = 0; i < count; i++)
        completion_options(&v[i]);
    fputs("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$here\"))\n}\ncomplete -o default -F _raccord raccord\n", stdout);
    return EXIT_DONE;
}
