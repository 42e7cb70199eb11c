#include "base/template.h"

#include <stdio.h>

/* A template is a run of parts: text that stays, then perhaps a placeholder. */
struct part {
    struct str before;
    struct str name; /* .p NULL: the text ends without a placeholder */
};

static bool name_valid(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return s.n > 0;
}

static enum err unknown(struct str name, struct fault *why)
{
    char subject[sizeof why->subject];
    snprintf(subject, sizeof subject, "{{%.*s}}", (int)(name.n < 100 ? name.n : 100), name.p);
    return fault(why, ERR_FIELD_INVALID, str_of(subject), "a placeholder without a value");
}

/* Takes the next part off *rest. */
static enum err next_part(struct str *rest, struct part *part, struct fault *why)
{
    size_t open = str_find_str(*rest, STR("{{"));
    if (open == SIZE_MAX) {
        *part = (struct part){ .before = *rest };
        *rest = str_sub(*rest, rest->n, rest->n);
        return ERR_NONE;
    }
    struct str inside = str_sub(*rest, open + 2, rest->n);
    size_t close = str_find_str(inside, STR("}}"));
    if (close == SIZE_MAX)
        return fault(why, ERR_FIELD_INVALID, STR("“{{” without “}}”"), "an open placeholder");
    part->before = str_sub(*rest, 0, open);
    part->name = str_trim(str_sub(inside, 0, close));
    *rest = str_sub(inside, close + 2, inside.n);
    if (!name_valid(part->name))
        return unknown(part->name, why);
    return ERR_NONE;
}

static void put(char *to, size_t room, size_t *size, struct str s)
{
    if (to && s.n > room - *size)
        bug("a template's look-up changed its mind");
    if (to && s.n)
        memcpy(to + *size, s.p, s.n);
    *size += s.n;
}

/* One pass: only measures when `to` is NULL, else writes into `room` bytes. Answers the size in *size. */
static enum err pass(char *to, size_t room, size_t *size, struct str text, template_lookup *lookup, void *context,
                     struct fault *why)
{
    *size = 0;
    while (text.n) {
        struct part part;
        struct str value = STR("");
        enum err e = next_part(&text, &part, why);
        if (e)
            return e;
        if (part.name.p && !lookup(context, part.name, &value))
            return unknown(part.name, why);
        put(to, room, size, part.before);
        put(to, room, size, value);
    }
    return ERR_NONE;
}

enum err template_expand(struct buf *out, struct str text, template_lookup *lookup, void *context, struct fault *why)
{
    size_t size;
    enum err e = pass(NULL, 0, &size, text, lookup, context, why);
    if (e || !size)
        return e;
    char *to = buf_room(out, size);
    if (!to)
        return fault(why, ERR_LIMIT, STR("the text is too long once its placeholders are filled in"), "%zu bytes", size);
    e = pass(to, size, &size, text, lookup, context, why);
    if (!e)
        out->n += size;
    return e;
}

enum err template_each(struct str text, template_visit *visit, void *context, struct fault *why)
{
    while (text.n) {
        struct part part;
        enum err e = next_part(&text, &part, why);
        if (e)
            return e;
        if (part.name.p && visit && !visit(context, part.name))
            return unknown(part.name, why);
    }
    return ERR_NONE;
}
