#include "web/source.h"

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static size_t skip_blanks(struct str s, size_t i)
{
    while (i < s.n && blank(s.p[i]))
        i++;
    return i;
}

/* `i` at the opening quote; answers what follows the closing one. */
static size_t skip_string(struct str s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        if (s.p[i] == '\\')
            i++;
    return i + 1;
}

/* Answers the offset of the comma or bracket behind the value. */
static size_t skip_value(struct str s, size_t i)
{
    for (int depth = 0; i < s.n;) {
        char c = s.p[i];
        if (c == '"') {
            i = skip_string(s, i);
            continue;
        }
        if (!depth && (c == ',' || c == '}' || c == ']'))
            return i;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        i++;
    }
    return s.n;
}

/* The text is well-formed, so only its shape matters here. */
static struct str find(struct str s, const char *name)
{
    size_t i = skip_blanks(s, 0);
    while (i < s.n && (s.p[i] == '{' || s.p[i] == ',')) {
        size_t key = skip_blanks(s, i + 1);
        if (key >= s.n || s.p[key] != '"')
            return STR_NONE;
        size_t after = skip_string(s, key);
        size_t value = skip_blanks(s, skip_blanks(s, after) + 1);
        i = skip_value(s, value);
        if (str_is(str_sub(s, key + 1, after - 1), name))
            return str_trim(str_sub(s, value, i));
    }
    return STR_NONE;
}

struct str source_member(struct arena *a, struct str text, const struct json *doc, const char *name)
{
    const struct json *v = json_get(doc, name);
    if (!v)
        return STR_NONE;
    struct str found = find(text, name);
    if (found.p)
        return found;
    AUTO_BUF out;
    buf_init(&out, 2 * text.n + 64);
    struct json_out o = json_out(&out);
    json_put(&o, v);
    return arena_str(a, buf_str(&out));
}
