/* auth/custom_fields.c - any named credentials, put where templates say; and what a login gave for them (custom_oauth).
 *
 * Maps `headers`, `query` and `body`, from the connector and from the connection's fields: name -> template over
 * {{credentials.NAME}}, and with custom_oauth over {{authResponse.NAME}}. Text around the placeholders is sent as it stands. A
 * template is only ever expanded into memory that is wiped.
 */
#include "auth/login.h"
#include "auth/methods.h"
#include "auth/value.h"
#include "base/encode.h"
#include "base/template.h"
#include "vault/header_name.h"

static const struct {
    const char *member;
    enum inject_where where;
} places[] = { { "headers", INJECT_HEADER }, { "query", INJECT_QUERY }, { "body", INJECT_BODY } };

static bool named(const struct auth_secret *all, size_t n, struct str name, struct str *value)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].name, name)) {
            *value = secret_str(all[i].value);
            return true;
        }
    return false;
}

static bool look_up(void *context, struct str name, struct str *value)
{
    const struct auth_input *in = context;
    struct str credential = STR("credentials."), given = STR("authResponse.");
    if (str_starts(name, credential))
        return named(in->secrets, in->secret_count, str_sub(name, credential.n, name.n), value);
    return str_starts(name, given) && named(in->granted, in->granted_count, str_sub(name, given.n, name.n), value);
}

/* *out is the caller's to end. Errors: ERR_FIELD_INVALID, ERR_LIMIT. */
static enum err expand(const struct auth_input *in, struct str text, struct secret *out, struct fault *why)
{
    struct buf plain;
    buf_init(&plain, VALUE_MAX);
    enum err e = template_expand(&plain, text, look_up, (void *)(uintptr_t)in, why);
    *out = value_take(&plain);
    return e;
}

static enum err check_name(const struct auth_input *in, enum inject_where where, struct str name, struct fault *why)
{
    if (where == INJECT_HEADER)
        return header_name_check(name, in->digits_ok, why);
    if (where == INJECT_QUERY)
        return value_check_parameter(name, why);
    return name.n >= 1 && name.n <= 128 && !str_has_control(name)
               ? ERR_NONE
               : fault(why, ERR_FIELD_INVALID, STR("a member name is 1 to 128 characters without control characters"),
                       "body member");
}

/* One name may not be sent twice; headers are the same name whatever the letter case and "_" for "-". */
static bool same_name(enum inject_where where, struct str a, struct str b)
{
    return where == INJECT_HEADER ? header_name_same(a, b) : str_eq(a, b);
}

static bool taken(const struct json *map, const struct json *until, enum inject_where where, struct str name)
{
    json_each(m, map) {
        if (m == until)
            return false;
        if (same_name(where, m->key, name))
            return true;
    }
    return false;
}

static enum err check_entry(const struct auth_input *in, enum inject_where where, const struct json *entry, struct fault *why)
{
    enum err e = check_name(in, where, entry->key, why);
    if (e)
        return e;
    if (entry->type != JSON_STRING)
        return fault(why, ERR_FIELD_INVALID, STR("a value is text"), "custom field");
    AUTO_SECRET value = SECRET_NONE;
    e = expand(in, entry->text, &value, why);
    if (e)
        return e;
    const char *flaw = value_flaw(secret_str(value));
    return flaw ? fault(why, ERR_FIELD_INVALID, str_of(flaw), "custom field") : ERR_NONE;
}

/* RFC 6901 3, cut to what a fault holds. */
static void point_at(struct fault *why, const char *member, struct str name)
{
    char text[128];
    size_t n = 0;
    for (size_t i = 0; i < name.n && n + 3 < sizeof text; i++) {
        char c = name.p[i];
        if (c == '~' || c == '/') {
            text[n++] = '~';
            c = c == '~' ? '0' : '1';
        }
        text[n++] = c;
    }
    text[n] = 0;
    if (why)
        (void)fault_at(why, "/fields/%s/%s", member, text);
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    size_t count = 0;
    for (size_t p = 0; p < COUNT(places); p++) {
        const struct json *base = json_get(in->options, places[p].member), *own = json_get(in->fields, places[p].member);
        const struct json *maps[] = { base, own };
        for (size_t m = 0; m < COUNT(maps); m++) {
            json_each(entry, json_is(maps[m], JSON_OBJECT) ? maps[m] : NULL) {
                bool twice = taken(maps[m], entry, places[p].where, entry->key) ||
                             (m && taken(base, NULL, places[p].where, entry->key));
                enum err e = ++count > INJECTIONS
                                 ? fault(why, ERR_LIMIT, STR("at most 16 headers, parameters and members"), "custom fields")
                             : twice ? fault(why, ERR_FIELD_INVALID, STR("the same name stands twice"), "custom field")
                                     : check_entry(in, places[p].where, entry, why);
                if (e) {
                    point_at(why, places[p].member, entry->key);
                    return e;
                }
            }
        }
    }
    return ERR_NONE;
}

static enum err add(struct arena *a, const struct auth_input *in, enum inject_where where, const struct json *entry,
                    struct injections *out, struct fault *why)
{
    struct secret value;
    enum err e = expand(in, entry->text, &value, why);
    if (!e && where == INJECT_QUERY) {
        struct buf plain;
        buf_init(&plain, 3 * VALUE_MAX);
        buf_room(&plain, 3 * value.n); /* its longest, so that no outgrown copy stays */
        percent_encode(&plain, secret_str(value));
        secret_end(&value);
        value = value_take(&plain);
    }
    if (e)
        secret_end(&value);
    else
        value_inject(out, where, arena_str(a, entry->key), value);
    return e;
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    out->count = 0;
    for (size_t p = 0; p < COUNT(places); p++) {
        const struct json *maps[] = { json_get(in->options, places[p].member), json_get(in->fields, places[p].member) };
        for (size_t m = 0; m < COUNT(maps); m++) {
            json_each(entry, json_is(maps[m], JSON_OBJECT) ? maps[m] : NULL) {
                enum err e = add(a, in, places[p].where, entry, out, why);
                if (e) {
                    injections_end(out);
                    return e;
                }
            }
        }
    }
    return ERR_NONE;
}

const struct auth_method auth_custom_fields = {
    .name = "custom_fields", .open_fields = true, .check = check, .prepare = prepare
};

/* ---- custom_oauth ---- */

#define STAND_IN STR("value") /* of what the login has yet to give: fine anywhere */

static bool has_places(const struct auth_input *in)
{
    for (size_t p = 0; p < COUNT(places); p++) {
        const struct json *base = json_get(in->options, places[p].member), *own = json_get(in->fields, places[p].member);
        if ((json_is(base, JSON_OBJECT) && base->count) || (json_is(own, JSON_OBJECT) && own->count))
            return true;
    }
    return false;
}

/* Where nothing says otherwise, the value access_token is a bearer token. */
static struct auth_input as_bearer(const struct auth_input *in, struct auth_secret *lent)
{
    struct auth_input out = *in;
    const struct secret *token = auth_granted(in, "access_token");
    *lent = (struct auth_secret){ STR("token"), token ? *token : SECRET_NONE };
    out.secrets = lent;
    out.secret_count = 1;
    return out;
}

static enum err check_login(const struct auth_input *in, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_SECRET stand_in = secret_from(STAND_IN);
    struct auth_secret granted[LOGIN_VALUES], lent;
    struct auth_input with = *in;
    struct login l;
    login_read(a, in, &l);
    enum err e = login_check(&l, why);
    if (e)
        return e;
    with.granted = granted;
    with.granted_count = 0;
    json_each(v, l.values)
        granted[with.granted_count++] = (struct auth_secret){ v->key, stand_in };
    if (has_places(in))
        return check(&with, why);
    if (!json_get(l.values, "access_token"))
        return value_refuse(ERR_FIELD_REQUIRED, STR("headers"), why, "/fields/headers");
    struct auth_input bearer = as_bearer(&with, &lent);
    return auth_bearer.check(&bearer, why);
}

static enum err prepare_login(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    struct auth_secret lent;
    struct login l;
    out->count = 0;
    login_read(a, in, &l);
    json_each(v, l.values) {
        struct str unused;
        if (!named(in->granted, in->granted_count, v->key, &unused))
            return fault(why, ERR_NEEDS_AUTH, STR(""), "the login has not given its values yet");
    }
    if (has_places(in))
        return prepare(a, in, out, why);
    struct auth_input bearer = as_bearer(in, &lent);
    return auth_bearer.prepare(a, &bearer, out, why);
}

const struct auth_method auth_custom_oauth = {
    .name = "custom_oauth", .open_fields = true, .check = check_login, .prepare = prepare_login
};
