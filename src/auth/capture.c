#include "auth/capture.h"

static struct json *field_of(struct json *fields, struct str key, struct json **last)
{
    for (struct json *f = fields->child; f; f = f->next) {
        if (str_eq(f->key, key))
            return f;
        *last = f;
    }
    return NULL;
}

bool capture_into(struct arena *a, const struct json *capture, const struct json *from, struct json *fields)
{
    bool some = false;
    json_each(want, capture) {
        bool replaces = json_bool(want, "replaces", false);
        struct str pointer = json_is(want, JSON_OBJECT) ? json_str(want, "pointer") : want->text;
        const struct json *value = from ? json_at(a, from, pointer) : NULL;
        struct json *last = NULL, *field = field_of(fields, want->key, &last);
        if (!json_is(value, JSON_STRING) || !value->text.n || (field && field->text.n && !replaces))
            continue;
        if (!field) {
            field = json_new(a, JSON_STRING);
            field->key = want->key;
            json_link(a, fields, &last, field);
        }
        some |= !str_eq(field->text, value->text);
        field->type = JSON_STRING;
        field->text = value->text;
    }
    return some;
}
