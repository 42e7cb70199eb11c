#include "auth/sorted_form.h"

#include <stdlib.h>

#include "base/encode.h"

#define BETWEEN 1

void sorted_form_init(struct sorted_form *f, struct arena *a) { *f = (struct sorted_form){ .arena = a }; }

static void make_room(struct sorted_form *f)
{
    if (f->count < f->room)
        return;
    size_t room = f->room ? 2 * f->room : 16;
    struct str *more = arena_array(f->arena, room, sizeof *more);
    if (f->count)
        memcpy(more, f->pairs, f->count * sizeof *more);
    f->pairs = more;
    f->room = room;
}

void sorted_form_add(struct sorted_form *f, struct str name, struct str value)
{
    AUTO_BUF out;
    buf_init(&out, 3 * (name.n + value.n) + 1);
    percent_encode(&out, name);
    buf_char(&out, BETWEEN);
    percent_encode(&out, value);
    make_room(f);
    f->pairs[f->count++] = arena_str(f->arena, buf_str(&out));
}

static struct str decoded(struct arena *a, struct str text)
{
    struct str copy = arena_str(a, text), plain;
    for (size_t i = 0; i < copy.n; i++)
        if (copy.p[i] == '+')
            ((char *)copy.p)[i] = ' ';
    return percent_decode(a, copy, &plain) ? plain : copy;
}

void sorted_form_read(struct sorted_form *f, struct str text)
{
    struct str pair, name, value;
    while (str_piece(&text, '&', &pair)) {
        if (!pair.n)
            continue;
        str_cut(pair, '=', &name, &value);
        sorted_form_add(f, decoded(f->arena, name), decoded(f->arena, value));
    }
}

static int by_text(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

void sorted_form_put(struct sorted_form *f, struct buf *out)
{
    if (f->count)
        qsort(f->pairs, f->count, sizeof *f->pairs, by_text);
    for (size_t i = 0; i < f->count; i++) {
        struct str name, value;
        str_cut(f->pairs[i], BETWEEN, &name, &value);
        if (i)
            buf_char(out, '&');
        buf_add(out, name);
        buf_char(out, '=');
        buf_add(out, value);
    }
}
