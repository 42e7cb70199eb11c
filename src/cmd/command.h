/* cmd/command.h - one command line, read: which verb, its arguments, its options.
 *
 * options.def names every option of the program once; verbs.c names every verb once and says which options it takes. Reading,
 * help, the man page and the shell completion come from these two tables.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

enum option {
#define O(name, ...) OPT_##name,
#include "cmd/options.def"
#undef O
    OPT_COUNT
};
/* A set of options: more than 64 are there. */
#define OPTION_BIT(o) ((unsigned __int128)1 << (o))
#define OPTION(name) OPTION_BIT(OPT_##name)

struct option_row {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* placeholder; NULL: a switch */
    bool repeats;
    const char *help;
};
_Static_assert(OPT_COUNT <= 128, "a set of options is two words");
extern const struct option_row option_rows[OPT_COUNT];

/* What a program exits with; the same numbers stand in base/err.def. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_MISSING = 3, EXIT_DENIED = 4, EXIT_PROVIDER = 5 };

#define COMMAND_ARGUMENTS 8
#define COMMAND_OPTIONS 128

struct command;
struct verb {
    const char *name;                   /* "connections list" */
    const char *arguments;              /* "ID", or "" */
    int least, most;                    /* arguments taken */
    unsigned __int128 options;          /* set of OPTION(...) */
    int (*run)(struct command *c);
    bool raw;                           /* the rest is left unread: arguments[0] is the verb's last word, then run's own */
    const char *help;                   /* one line */
    const char *more;                   /* further lines for `raccord help VERB`, or NULL */
};

struct command {
    const struct verb *verb;
    struct arena *arena;                /* until exit */
    char **arguments;
    int argument_count;
    struct {
        enum option option;
        char *value;                    /* points into argv, or NULL for a switch */
    } options[COMMAND_OPTIONS];
    int option_count;
    enum language language;             /* of the environment: LC_ALL, LC_MESSAGES, LANG */
};

/* Reads argv[1..]. Answers false when the command line is wrong, after saying on stderr what is and what comes close.
 * The words of the verb may stand after options that take part in every client verb: raccord --json runs list.
 * c->verb is NULL when no verb is there at all; *help is set when -h or --help stands anywhere. */
bool command_read(struct command *c, struct arena *a, int argc, char **argv, bool *help);

bool command_has(const struct command *c, enum option o);
/* The last value given; NULL when absent. */
char *command_value(const struct command *c, enum option o);
/* Walk the values of one that repeats: start with at = 0; NULL at the end. */
char *command_next(const struct command *c, enum option o, int *at);
/* The i-th argument, or STR_NONE. */
struct str command_argument(const struct command *c, int i);

/* Say on stderr what is wrong with the command line, and where help is; answers EXIT_USAGE. */
int command_wrong(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Say on stderr what failed; answers the exit code of its row. */
int command_failed(const struct command *c, const struct fault *why);

/* Edits between two words, a swap of neighbours counting one; anything over 64 characters is far away. */
int edit_distance(struct str a, struct str b);

#endif
