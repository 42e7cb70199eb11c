/* auth/api_key.c - one key, in a named header or a query parameter, perhaps behind a word such as "Token ".
 *
 * Options: `header` or `query`, never both; `prefix` (headers only), sent as it is, its blank included.
 */
#include "auth/methods.h"
#include "auth/value.h"
#include "base/encode.h"
#include "vault/header_name.h"

static const struct auth_field fields[] = { { "value", true }, { NULL, false } };

struct place {
    struct str header, query, prefix;
};

/* A place that the connection names replaces the connector's altogether: a key moved to a parameter must leave the header. */
static struct place place_of(const struct auth_input *in)
{
    bool own = json_str(in->fields, "header").n || json_str(in->fields, "query").n;
    const struct json *from = own ? in->fields : in->options;
    return (struct place){ json_str(from, "header"), json_str(from, "query"), value_option(in, "prefix") };
}

static enum err check_place(const struct place *p, bool digits_ok, struct fault *why)
{
    if (!p->header.n && !p->query.n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("header"), why, "/fields/header");
    if (p->header.n && p->query.n)
        return value_refuse(ERR_FIELD_INVALID, STR("give a header or a query parameter, not both"), why, "/fields/query");
    if (p->query.n && p->prefix.n)
        return value_refuse(ERR_FIELD_INVALID, STR("a prefix goes with a header, not with a query parameter"), why,
                            "/fields/prefix");
    if (p->query.n)
        return value_at(value_check_parameter(p->query, why), why, "/fields/query");
    enum err e = value_at(header_name_check(p->header, digits_ok, why), why, "/fields/header");
    return e ? e : value_check_prefix(p->prefix, why);
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    struct place p = place_of(in);
    enum err e = check_place(&p, in->digits_ok, why);
    return e ? e : value_check_credential(in, "value", why);
}

/* Reserved at its longest first, so that no outgrown copy of the key stays on the heap. */
static struct secret as_parameter(struct str key)
{
    struct buf plain;
    buf_init(&plain, 3 * key.n);
    buf_room(&plain, 3 * key.n);
    percent_encode(&plain, key);
    return value_take(&plain);
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)why;
    struct place p = place_of(in);
    struct str key = secret_str(*auth_secret(in, "value"));
    out->count = 0;
    if (p.query.n)
        value_inject(out, INJECT_QUERY, arena_str(a, p.query), as_parameter(key));
    else
        value_inject(out, INJECT_HEADER, arena_str(a, p.header), value_join((struct str[]){ p.prefix, key }, 2));
    return ERR_NONE;
}

const struct auth_method auth_api_key = { .name = "api_key", .fields = fields, .check = check, .prepare = prepare };
