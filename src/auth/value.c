#include "auth/value.h"

#include <stdio.h>

struct str value_option(const struct auth_input *in, const char *name)
{
    struct str own = json_str(in->fields, name);
    return own.n ? own : json_str(in->options, name);
}

const char *value_flaw(struct str value)
{
    if (value.n > VALUE_MAX)
        return "longer than 8 KiB";
    if (str_has_control(value))
        return "holds a line break or another control character";
    if (str_trim(value).n != value.n)
        return "begins or ends with a blank";
    return NULL;
}

enum err value_check_credential(const struct auth_input *in, const char *name, struct fault *why)
{
    const struct secret *value = auth_secret(in, name);
    if (!value || !value->n)
        return value_refuse(ERR_FIELD_REQUIRED, str_of(name), why, "/credentials/%s", name);
    const char *flaw = value_flaw(secret_str(*value));
    return flaw ? value_refuse(ERR_FIELD_INVALID, str_of(flaw), why, "/credentials/%s", name) : ERR_NONE;
}

/* RFC 9110 5.6.2 */
static bool token_char(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

enum err value_check_prefix(struct str prefix, struct fault *why)
{
    struct str word = prefix;
    if (word.n && word.p[word.n - 1] == ' ')
        word.n--;
    bool good = prefix.n <= 64 && (word.n || !prefix.n);
    for (size_t i = 0; good && i < word.n; i++)
        good = token_char(word.p[i]);
    return good ? ERR_NONE
                : value_refuse(ERR_FIELD_INVALID,
                               STR("a prefix is one word of up to 64 characters, with at most one blank behind it"), why,
                               "/fields/prefix");
}

enum err value_check_parameter(struct str name, struct fault *why)
{
    bool good = name.n >= 1 && name.n <= 128;
    for (size_t i = 0; good && i < name.n; i++)
        good = ascii_alpha(name.p[i]) || ascii_digit(name.p[i]) || (name.p[i] && strchr("_.-[]", name.p[i]));
    return good ? ERR_NONE
                : fault(why, ERR_FIELD_INVALID,
                        STR("a parameter name is 1 to 128 letters, digits, “_”, “.”, “-”, “[” or “]”"), "query parameter");
}

enum err value_refuse(enum err e, struct str subject, struct fault *why, const char *pointer, ...)
{
    if (!why)
        return e;
    va_list args;
    va_start(args, pointer);
    (void)fault(why, e, subject, "credential or its place");
    vsnprintf(why->pointer, sizeof why->pointer, pointer, args);
    va_end(args);
    return e;
}

enum err value_at(enum err e, struct fault *why, const char *pointer)
{
    if (e && why)
        (void)fault_at(why, "%s", pointer);
    return e;
}

struct secret value_join(const struct str *pieces, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += pieces[i].n;
    struct secret joined = secret_new(n);
    n = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].n)
            memcpy(joined.p + n, pieces[i].p, pieces[i].n);
        n += pieces[i].n;
    }
    return joined;
}

struct secret value_take(struct buf *plain)
{
    struct secret kept = secret_from(buf_str(plain));
    if (plain->p)
        secret_wipe(plain->p, plain->size);
    buf_end(plain);
    return kept;
}

void value_inject(struct injections *out, enum inject_where where, struct str name, struct secret value)
{
    if (out->count == INJECTIONS)
        bug("more than %d injections passed the check", INJECTIONS);
    out->at[out->count++] = (struct injection){ where, name, value };
}
