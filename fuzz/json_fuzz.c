/* Whatever is accepted can be written, read again and written the same; look-ups find every member. */
#include <stdint.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str written(struct arena *a, const struct json *v)
{
    AUTO_BUF b;
    buf_init(&b, 64 << 20);
    struct json_out o = json_out(&b);
    json_put(&o, v);
    if (buf_failed(&b))
        bug("the text grew out of bounds");
    return arena_str(a, buf_str(&b));
}

static void check_members(const struct json *v, bool twins)
{
    size_t count = 0;
    json_each (child, v) {
        struct json *found = v->type == JSON_OBJECT ? json_get_str(v, child->key) : child;
        if (!found || (!twins && found != child))
            bug("a member is not found");
        check_members(child, twins);
        count++;
    }
    if (count != v->count)
        bug("counted %zu of %zu", count, v->count);
}

static void check(struct arena *a, const struct json *v, bool twins)
{
    struct json *again;
    struct str first = written(a, v);
    check_members(v, twins);
    if (twins ? json_read_lenient_keys(a, first, &again, NULL) : json_read(a, first, &again, NULL))
        bug("what was written is not read");
    if (!str_eq(first, written(a, again)))
        bug("the second writing differs from the first");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text = { (const char *)data, size };
    struct json *v;
    struct fault why = { 0 };
    bool strict = !json_read(a, text, &v, &why);
    if (strict)
        check(a, v, false);
    bool lenient = !json_read_lenient_keys(a, text, &v, &why);
    if (lenient)
        check(a, v, true);
    if (strict && !lenient)
        bug("the lenient reader is stricter");
    return 0;
}
