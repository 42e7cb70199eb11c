/* base/err.h - everything that can go wrong, once.
 *
 * base/err.def holds one row per error: its stable code, HTTP status, whose fault it is, whether trying
 * again may help, the CLI's exit code, and what is said to people, in English and French. A function
 * that may fail answers an `enum err` and fills a `struct fault`, its last parameter: what is safe to
 * show (the row's sentence with one subject) and a note for the log. The two never mix: that is how
 * secrets stay out of answers.
 *
 * Set a fault where it is known; above, only pass it on. Only web/, flow/ and cmd/ log faults.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/str.h"

enum err {
    ERR_NONE = 0,
#define E(name, ...) ERR_##name,
#include "base/err.def"
#undef E
    ERR_COUNT
};

enum blame { BLAME_CALLER, BLAME_CONFIGURATION, BLAME_PROVIDER, BLAME_HUB, BLAME_POLICY };
enum language { LANG_EN, LANG_FR };

struct err_row {
    const char *code;      /* snake_case; never changes */
    int status;            /* HTTP */
    enum blame blame;
    bool retryable;
    int exit;              /* CLI: 1 failed, 2 wrong usage, 3 not found, 4 denied, 5 provider failed */
    const char *title[2];  /* by language; short */
    const char *detail[2]; /* by language; `{}` stands for the subject */
};

const struct err_row *err_row(enum err e);
const char *blame_name(enum blame b);
enum err err_find(struct str code); /* ERR_NONE when unknown */

struct fault {
    enum err err;
    char subject[256]; /* shown: a field's name, a host, a limit; never a secret */
    char pointer[160]; /* JSON pointer into the body at fault, or empty */
    char note[256];    /* log only; never a secret either */
};

/* Fill *why (which may be NULL) and answer `e`. `subject` is cut to fit and cleaned of control bytes. */
enum err fault(struct fault *why, enum err e, struct str subject, const char *note, ...)
    __attribute__((format(printf, 4, 5)));
/* Add where in the body it is; answers why->err. */
enum err fault_at(struct fault *why, const char *pointer, ...) __attribute__((format(printf, 2, 3)));

/* Write the sentence for people into out (NUL-terminated, cut to fit); answers out. In French the subject is said by its row of
 * base/phrases.def, if it has one. */
char *fault_say(const struct fault *why, enum language lang, char *out, size_t size);

/* A programmer's error: says so and aborts, in every build. */
_Noreturn void bug(const char *what, ...) __attribute__((format(printf, 1, 2)));

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
