/* tests/unit/http/corpus.h - reads test vectors (JSON) that may stand beside the source tree.
 *
 * A small reader of its own: vectors hold lone surrogates and other text that the hub's reader rightly refuses.
 */
#ifndef TESTS_HTTP_CORPUS_H
#define TESTS_HTTP_CORPUS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/encode.h"

enum corpus_kind { CORPUS_NULL, CORPUS_FALSE, CORPUS_TRUE, CORPUS_NUMBER, CORPUS_TEXT, CORPUS_ARRAY, CORPUS_OBJECT };
struct corpus {
    enum corpus_kind kind;
    struct str text;       /* CORPUS_TEXT */
    bool lone;             /* text held a lone surrogate: not expressible in UTF-8 */
    struct str name;       /* as a member */
    struct corpus *first, *next;
};

static inline struct str corpus_file(struct arena *a, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", CORPORA, name);
    FILE *f = fopen(path, "re");
    if (!f) {
        printf("left out: corpora not here (%s)\n", name);
        return STR_NONE;
    }
    char *text = arena_alloc(a, 1 << 20);
    size_t n = fread(text, 1, 1 << 20, f);
    fclose(f);
    return (struct str){ text, n };
}

static inline void corpus_blank(struct str *s)
{
    while (s->n && (s->p[0] == ' ' || s->p[0] == '\n' || s->p[0] == '\r' || s->p[0] == '\t'))
        *s = str_sub(*s, 1, s->n);
}

static inline unsigned corpus_hex4(struct str *s)
{
    char digits[5];
    unsigned value = (unsigned)strtoul(str_copy(digits, sizeof digits, *s), NULL, 16);
    *s = str_sub(*s, 4, s->n);
    return value;
}

static inline struct str corpus_text(struct arena *a, struct str *s, bool *lone)
{
    size_t n = 0, end = 1;
    while (end < s->n && s->p[end] != '"')
        end += s->p[end] == '\\' ? 2 : 1;
    char *to = arena_alloc(a, end + 1);
    *s = str_sub(*s, 1, s->n);
    while (s->n && s->p[0] != '"') {
        char c = s->p[0];
        *s = str_sub(*s, 1, s->n);
        if (c != '\\') {
            to[n++] = c;
            continue;
        }
        c = s->p[0];
        *s = str_sub(*s, 1, s->n);
        static const char from[] = "nrtbf", into[] = "\n\r\t\b\f";
        const char *at = strchr(from, c);
        if (c != 'u') {
            to[n++] = at ? into[at - from] : c;
            continue;
        }
        unsigned cp = corpus_hex4(s);
        if (cp >= 0xd800 && cp < 0xdc00 && s->n > 6 && s->p[0] == '\\' && s->p[1] == 'u') {
            struct str ahead = str_sub(*s, 2, s->n);
            unsigned low = corpus_hex4(&ahead);
            if (low >= 0xdc00 && low < 0xe000) {
                cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
                *s = ahead;
            }
        }
        if (cp >= 0xd800 && cp < 0xe000)
            *lone = true;
        else
            n += utf8_write(to + n, cp);
    }
    *s = str_sub(*s, 1, s->n);
    return (struct str){ to, n };
}

static inline struct corpus *corpus_value(struct arena *a, struct str *s)
{
    struct corpus *v = arena_zero(a, sizeof *v), **last = &v->first;
    corpus_blank(s);
    char open = s->p[0];
    if (open == '"') {
        v->kind = CORPUS_TEXT;
        v->text = corpus_text(a, s, &v->lone);
        return v;
    }
    if (open != '[' && open != '{') {
        v->kind = open == 'n' ? CORPUS_NULL : open == 't' ? CORPUS_TRUE : open == 'f' ? CORPUS_FALSE : CORPUS_NUMBER;
        while (s->n && !strchr(",]} \n\r\t", s->p[0]))
            *s = str_sub(*s, 1, s->n);
        return v;
    }
    v->kind = open == '[' ? CORPUS_ARRAY : CORPUS_OBJECT;
    for (;;) {
        *s = str_sub(*s, 1, s->n); /* the bracket or comma */
        corpus_blank(s);
        if (s->p[0] == ']' || s->p[0] == '}')
            break;
        struct str name = STR_NONE;
        bool lone = false;
        if (open == '{') {
            name = corpus_text(a, s, &lone);
            corpus_blank(s);
            *s = str_sub(*s, 1, s->n); /* ':' */
        }
        *last = corpus_value(a, s);
        (*last)->name = name;
        last = &(*last)->next;
        corpus_blank(s);
        if (s->p[0] != ',')
            break;
    }
    *s = str_sub(*s, 1, s->n);
    return v;
}

/* NULL when the corpora are not here; says so. */
static inline struct corpus *corpus_read(struct arena *a, const char *name)
{
    struct str text = corpus_file(a, name);
    return text.p ? corpus_value(a, &text) : NULL;
}

static inline const struct corpus *corpus_get(const struct corpus *object, const char *name)
{
    for (const struct corpus *m = object->first; m; m = m->next)
        if (str_is(m->name, name))
            return m;
    return NULL;
}

static inline struct str corpus_str(const struct corpus *object, const char *name)
{
    const struct corpus *m = corpus_get(object, name);
    return m && m->kind == CORPUS_TEXT ? m->text : STR_NONE;
}

static inline bool corpus_true(const struct corpus *object, const char *name)
{
    const struct corpus *m = corpus_get(object, name);
    return m && m->kind == CORPUS_TRUE;
}

#endif
