#include "vault/connection_rules.h"

#include <stdlib.h>

#include "base/encode.h"

#include "base/encode.h"
#include "base/json.h"

static enum err wrong(struct fault *why, const char *pointer, const char *say)
{
    fault(why, ERR_FIELD_INVALID, str_of(say), "%s", pointer);
    fault_at(why, "%s", pointer);
    return ERR_FIELD_INVALID;
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (s.p[i] & 0xc0) != 0x80;
    return n;
}

static bool spelt_with(struct str s, const char *more, bool capitals)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (capitals && ascii_alpha(c));
        if (!letter && !ascii_digit(c) && !(c && strchr(more, c)))
            return false;
    }
    return true;
}

static bool is_object(struct str text)
{
    AUTO_ARENA a = arena_new(4096);
    struct json *v;
    return !json_read(a, text, &v, NULL) && json_is(v, JSON_OBJECT);
}

enum err connection_rules_key(struct str key, struct fault *why)
{
    bool starts_well = key.n && (ascii_digit(key.p[0]) || (key.p[0] >= 'a' && key.p[0] <= 'z'));
    if (!starts_well || key.n > CONNECTION_KEY_MAX || !spelt_with(key, "-_", false))
        return wrong(why, "/key", "a key has 1 to 64 characters: a-z, 0-9, - and _, the first of them a letter or digit");
    return ERR_NONE;
}

/* What never changes stands in the associated data of each secret, between '|': it must not hold one. */
static enum err check_fixed(const struct connection_row *row, struct fault *why)
{
    const struct { const char *pointer, *more; struct str value; size_t least, most; } parts[] = {
        { "/folder", "-_", row->folder, 1, 64 },
        { "/connector", "-_.", row->connector, 1, 64 },
        { "/connector_version", "-_.+", row->connector_version, 0, 64 },
        { "/auth_type", "-_", row->auth_type, 1, 64 },
        { "/allowed_domain", "-.*:", row->allowed_domain, 1, 128 },
        { "/owner", "-_", row->owner, 1, 64 },
    };
    for (size_t i = 0; i < COUNT(parts); i++)
        if (parts[i].value.n < parts[i].least || parts[i].value.n > parts[i].most ||
            !spelt_with(parts[i].value, parts[i].more, true))
            return wrong(why, parts[i].pointer, parts[i].pointer + 1);
    return ERR_NONE;
}

enum err connection_rules_row(const struct connection_row *row, bool fresh, struct fault *why)
{
    if (!utf8_valid(row->name) || str_has_control(row->name) || !str_trim(row->name).n || characters(row->name) > 128)
        return wrong(why, "/name", "a name has 1 to 128 characters and no control characters");
    if (!utf8_valid(row->notes) || row->notes.n > 16 * 1024 || (row->notes.n && memchr(row->notes.p, 0, row->notes.n)))
        return wrong(why, "/notes", "notes have at most 16 KiB of text");
    if (row->fields.n > 32 * 1024 || !is_object(row->fields))
        return wrong(why, "/fields", "fields are a JSON object of at most 32 KiB");
    if (!utf8_valid(row->account) || str_has_control(row->account) || characters(row->account) > 255)
        return wrong(why, "/account", "an account has at most 255 characters");
    return fresh ? check_fixed(row, why) : ERR_NONE;
}

enum err connection_rules_secrets(const struct connection_secret *secrets, size_t n, struct fault *why)
{
    if (n > CONNECTION_SECRETS)
        return wrong(why, "/credentials", "a connection has at most 32 credentials");
    for (size_t i = 0; i < n; i++) {
        struct str name = secrets[i].name;
        if (name.n < 1 || name.n > 64 || !spelt_with(name, "-_", true))
            return wrong(why, "/credentials", "the name of a credential has 1 to 64 letters, digits, - and _");
        for (size_t j = 0; j < i; j++)
            if (str_eq(name, secrets[j].name))
                return wrong(why, "/credentials", "two credentials have one name");
        if (secrets[i].value.n > CONNECTION_SECRET_MAX) {
            wrong(why, "/credentials", "a credential has at most 64 KiB");
            fault_at(why, "/credentials/%.*s", STR_ARG(name));
            return ERR_FIELD_INVALID;
        }
    }
    return ERR_NONE;
}

/* ---- tags ---- */

static bool tag_good(struct str tag)
{
    bool good = tag.n && tag.n <= 64 && utf8_valid(tag);
    for (size_t i = 0; good && i < tag.n; i++) {
        char c = tag.p[i];
        good = ascii_alpha(c) || ascii_digit(c) || memchr("_-.:/", c, 5) || (unsigned char)c >= 0x80;
    }
    return good;
}

static int by_text(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

enum err connection_tags_read(struct arena *a, const struct json *array, struct str *out, struct fault *why)
{
    struct str tags[CONNECTION_TAGS];
    size_t n = 0;
    if (!json_is(array, JSON_ARRAY) || array->count > CONNECTION_TAGS) {
        fault(why, ERR_FIELD_INVALID, STR("tags: a list of at most 32"), "tags");
        return fault_at(why, "/tags");
    }
    json_each (tag, array) {
        if (tag->type != JSON_STRING || !tag_good(tag->text)) {
            fault(why, ERR_FIELD_INVALID, STR("tags: letters, digits and _ - . : /, at most 64 bytes"), "tag %zu", n);
            return fault_at(why, "/tags/%zu", n);
        }
        tags[n++] = tag->text;
    }
    qsort(tags, n, sizeof *tags, by_text);
    AUTO_BUF text;
    buf_init(&text, 16 * 1024);
    struct json_out o = json_out(&text);
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++)
        if (!i || !str_eq(tags[i], tags[i - 1]))
            json_put_str(&o, tags[i]);
    json_close(&o, ']');
    *out = arena_str(a, buf_str(&text));
    return ERR_NONE;
}
