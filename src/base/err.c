#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/phrase.h"

static const struct err_row rows[ERR_COUNT] = {
    [ERR_NONE] = { "none", 200, BLAME_HUB, false, 0, { "", "" }, { "", "" } },
#define E(name, code, status, blame, retryable, exit, title, titre, detail, detail_fr) \
    [ERR_##name] = { code, status, BLAME_##blame, retryable, exit, { title, titre }, { detail, detail_fr } },
#include "base/err.def"
#undef E
};

const struct err_row *err_row(enum err e)
{
    if ((unsigned)e >= ERR_COUNT)
        bug("no such error: %d", (int)e);
    return &rows[e];
}

const char *blame_name(enum blame b)
{
    static const char *const names[] = {
        [BLAME_CALLER] = "caller", [BLAME_CONFIGURATION] = "configuration", [BLAME_PROVIDER] = "provider",
        [BLAME_HUB] = "hub",       [BLAME_POLICY] = "policy",
    };
    return names[b];
}

enum err err_find(struct str code)
{
    for (int e = 1; e < ERR_COUNT; e++)
        if (str_is(code, rows[e].code))
            return (enum err)e;
    return ERR_NONE;
}

static void copy_shown(char *to, size_t size, struct str from)
{
    size_t n = from.n;
    /* A cut does not leave half a UTF-8 sequence: the first byte left out begins one. */
    for (n = n < size ? n : size - 1; n < from.n && n && ((unsigned char)from.p[n] & 0xc0) == 0x80;)
        n--;
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)from.p[i] < 0x20 || from.p[i] == 0x7f ? '?' : from.p[i];
    to[n] = 0;
}

enum err fault(struct fault *why, enum err e, struct str subject, const char *note, ...)
{
    if (!why)
        return e;
    /* Made beside and then copied: subject and note may come from *why itself. */
    struct fault made = { .err = e };
    copy_shown(made.subject, sizeof made.subject, subject);
    va_list args;
    va_start(args, note);
    vsnprintf(made.note, sizeof made.note, note, args);
    va_end(args);
    *why = made;
    return e;
}

enum err fault_at(struct fault *why, const char *pointer, ...)
{
    va_list args;
    va_start(args, pointer);
    vsnprintf(why->pointer, sizeof why->pointer, pointer, args);
    va_end(args);
    return why->err;
}

/* « pas de dossier », but « pas d'exécution ». */
static bool elides(struct str before, struct str word)
{
    static const char *const vowels[] = { "a", "e", "i", "o", "u", "y", "é", "è", "ê", "â", "î", "ô" };
    for (size_t i = 0; str_ends(before, STR(" de ")) && i < COUNT(vowels); i++)
        if (str_starts(word, str_of(vowels[i])))
            return true;
    return false;
}

char *fault_say(const struct fault *why, enum language lang, char *out, size_t size)
{
    struct str text = str_of(err_row(why->err)->detail[lang]), subject = str_of(why->subject);
    size_t hole = str_find_str(text, STR("{}"));
    if (hole == SIZE_MAX)
        return str_copy(out, size, text);
    struct str before = str_sub(text, 0, hole), after = str_sub(text, hole + 2, text.n);
    AUTO_BUF said;
    buf_init(&said, 2048);
    if (lang == LANG_FR && phrase_add(&said, why->err, subject))
        subject = buf_str(&said);
    bool elided = lang == LANG_FR && elides(before, subject);
    snprintf(out, size, "%.*s%s%.*s%.*s", (int)before.n - (elided ? 2 : 0), before.p, elided ? "'" : "", STR_ARG(subject),
             STR_ARG(after));
    return out;
}

_Noreturn void bug(const char *what, ...)
{
    va_list args;
    va_start(args, what);
    fputs("bug: ", stderr);
    vfprintf(stderr, what, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
