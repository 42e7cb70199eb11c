#include "web/form.h"

#include "base/encode.h"
#include "crypto/secret.h"

#define NAMES_MOST 64

bool form_decode(struct arena *a, struct str in, struct str *out)
{
    char *copy = arena_cstr(a, in);
    for (size_t i = 0; i < in.n; i++)
        if (copy[i] == '+')
            copy[i] = ' ';
    bool good = percent_decode(a, (struct str){ copy, in.n }, out);
    secret_wipe(copy, in.n);
    return good;
}

enum err form_read(struct arena *a, struct str body, struct json **out, struct fault *why)
{
    struct json *last = NULL;
    struct str rest = body, piece, key, value, name, text;
    *out = json_new(a, JSON_OBJECT);
    while (str_piece(&rest, '&', &piece)) {
        str_cut(piece, '=', &key, &value);
        if (!piece.n)
            continue;
        if (!form_decode(a, key, &name) || !form_decode(a, value, &text) || !utf8_valid(name) || !utf8_valid(text) || !name.n ||
            json_get_str(*out, name) || (*out)->count == NAMES_MOST)
            return fault(why, ERR_INPUT_INVALID, STR("the form"), "%zu names", (*out)->count);
        struct json *v = json_new(a, JSON_STRING);
        v->key = name;
        v->text = text.p ? text : STR("");
        json_link(a, *out, &last, v);
    }
    return ERR_NONE;
}
