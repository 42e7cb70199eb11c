#include "base/json_path.h"

#define NAME_MOST 512 /* bytes of one member's name */

/* One step of a place: a member's name, or an element's number. */
struct step {
    char name[NAME_MOST];
    size_t n;
    bool element; /* written as [0] */
    bool either;  /* of a pointer: what it is depends on where it stands */
};

static bool add(struct step *s, char c)
{
    if (s->n == NAME_MOST)
        return false;
    s->name[s->n++] = c;
    return true;
}

/* RFC 6901 3: ~1 is '/', ~0 is '~'. */
static bool pointer_step(struct str *rest, struct step *out)
{
    size_t i = 1;
    out->either = true;
    for (; i < rest->n && rest->p[i] != '/'; i++) {
        char c = rest->p[i];
        if (c == '~') {
            if (++i == rest->n || (rest->p[i] != '0' && rest->p[i] != '1'))
                return false;
            c = rest->p[i] == '1' ? '/' : '~';
        }
        if (!add(out, c))
            return false;
    }
    *rest = str_sub(*rest, i, rest->n);
    return true;
}

static bool bracket_step(struct str *rest, struct step *out)
{
    size_t i = 1;
    char quote = i < rest->n && (rest->p[i] == '\'' || rest->p[i] == '"') ? rest->p[i++] : 0;
    out->element = !quote;
    for (; i < rest->n && rest->p[i] != (quote ? quote : ']'); i++) {
        if (quote ? rest->p[i] == '\\' && ++i == rest->n : !ascii_digit(rest->p[i]))
            return false;
        if (!add(out, rest->p[i]))
            return false;
    }
    i += quote ? 1 : 0;
    if (i >= rest->n || rest->p[i] != ']' || !out->n)
        return false;
    *rest = str_sub(*rest, i + 1, rest->n);
    return true;
}

static bool dot_step(struct str *rest, struct step *out)
{
    size_t i = 1;
    for (; i < rest->n && rest->p[i] != '.' && rest->p[i] != '['; i++)
        if (rest->p[i] == '*' || rest->p[i] == ' ' || !add(out, rest->p[i]))
            return false;
    *rest = str_sub(*rest, i, rest->n);
    return out->n > 0;
}

static bool next_step(struct str *rest, bool pointer, struct step *out)
{
    out->n = 0;
    out->element = out->either = false;
    if (pointer)
        return rest->p[0] == '/' && pointer_step(rest, out);
    if (rest->p[0] == '[')
        return bracket_step(rest, out);
    return rest->p[0] == '.' && dot_step(rest, out);
}

static const struct json *take(const struct json *v, const struct step *s)
{
    struct str name = { s->name, s->n };
    uint64_t at;
    if (json_is(v, JSON_OBJECT))
        return s->element ? NULL : json_get_str(v, name);
    if (!json_is(v, JSON_ARRAY) || !(s->element || s->either) || !str_u64(name, &at) || at >= v->count)
        return NULL;
    for (v = v->child; at; at--)
        v = v->next;
    return v;
}

/* Goes through `place`; with a document, down in it too. */
static bool walk(struct str place, const struct json **v)
{
    bool pointer = !str_starts(place, STR("$"));
    struct str rest = pointer ? place : str_sub(place, 1, place.n);
    struct step step;
    while (rest.n) {
        if (!next_step(&rest, pointer, &step))
            return false;
        *v = take(*v, &step);
    }
    return true;
}

const struct json *json_path(const struct json *document, struct str place)
{
    const struct json *v = document;
    return walk(place, &v) ? v : NULL;
}

bool json_path_valid(struct str place)
{
    const struct json *none = NULL;
    return walk(place, &none);
}
