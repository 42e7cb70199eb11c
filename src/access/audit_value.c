/* Before and after, as the audit log keeps them: no secret, no novel. */
#include "access/audit.h"
#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"

#define HASH_BYTES 16
#define LONG_TEXT 256 /* bytes; a longer text is told by its hash */

struct str audit_hash(struct arena *a, struct secret key, struct str value)
{
    unsigned char mac[SHA256_SIZE];
    char hex[2 * HASH_BYTES];
    hmac_sha256(secret_str(key), value, mac);
    hex_write(hex, (struct str){ (char *)mac, HASH_BYTES });
    return str_fmt(a, "hmac:%.*s", (int)sizeof hex, hex);
}

/* A name under which people keep secrets. What it wrongly takes for one can still be looked up by its hash. */
static bool is_secret_name(struct str name)
{
    static const char *const parts[] = { "secret", "password", "passphrase", "passwd", "token", "private_key", "api_key", "apikey",
                                         "authorization", "cookie", "assertion", "credential", "signature", "totp" };
    char lower[64];
    size_t n = name.n < sizeof lower ? name.n : sizeof lower;
    for (size_t i = 0; i < n; i++)
        lower[i] = ascii_lower(name.p[i]);
    for (size_t i = 0; i < COUNT(parts); i++)
        if (str_find_str((struct str){ lower, n }, str_of(parts[i])) != SIZE_MAX)
            return true;
    return false;
}

/* Ids and hashes of ours are no secrets, under whatever name. */
static bool is_plain(struct str s)
{
    static const char *const prefixes[] = { "hmac:", "tok_", "usr_", "svc_", "con_", "fld_", "grp_", "cli_", "pol_" };
    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (str_starts(s, str_of(prefixes[i])) && s.n < 64)
            return true;
    return !s.n;
}

static void put_masked(struct json_out *o, struct arena *a, struct secret key, const struct json *v, bool secret)
{
    switch (v->type) {
    case JSON_STRING:
    case JSON_NUMBER:
        if ((secret && !is_plain(v->text)) || v->text.n > LONG_TEXT)
            json_put_str(o, audit_hash(a, key, v->text));
        else
            json_put(o, v);
        break;
    case JSON_OBJECT:
        json_open(o, '{');
        json_each (m, v) {
            json_key(o, arena_cstr(a, m->key));
            put_masked(o, a, key, m, secret || is_secret_name(m->key));
        }
        json_close(o, '}');
        break;
    case JSON_ARRAY:
        json_open(o, '[');
        json_each (m, v)
            put_masked(o, a, key, m, secret);
        json_close(o, ']');
        break;
    default:
        json_put(o, v);
    }
}

static struct str text_of(struct arena *a, struct secret key, const struct json *v, struct str name)
{
    AUTO_BUF out;
    buf_init(&out, 4 * 1024 * 1024);
    struct json_out o = json_out(&out);
    put_masked(&o, a, key, v, is_secret_name(name));
    return arena_str(a, buf_str(&out));
}

/* `v` without the members that `other` has in the very same way. */
static struct str differing(struct arena *a, struct secret key, const struct json *v, const struct json *other)
{
    AUTO_BUF out;
    buf_init(&out, 4 * 1024 * 1024);
    struct json_out o = json_out(&out);
    json_open(&o, '{');
    json_each (m, v) {
        struct str mine = text_of(a, key, m, m->key);
        const struct json *theirs = json_get_str(other, m->key);
        if (theirs && str_eq(mine, text_of(a, key, theirs, m->key)))
            continue;
        json_key(&o, arena_cstr(a, m->key));
        json_put_raw(&o, mine);
    }
    json_close(&o, '}');
    return arena_str(a, buf_str(&out));
}

static struct json *tree(struct arena *a, struct str text)
{
    struct json *v = NULL;
    struct fault unused;
    return text.p && !json_read(a, arena_str(a, text), &v, &unused) ? v : NULL;
}

static struct str whole(struct arena *a, struct secret key, struct str text, const struct json *v)
{
    if (!text.p)
        return STR_NONE;
    return v ? text_of(a, key, v, STR("")) : str_fmt(a, "\"%.*s\"", STR_ARG(audit_hash(a, key, text)));
}

void audit_value(struct arena *a, struct secret key, struct str *before, struct str *after)
{
    const struct json *b = tree(a, *before), *c = tree(a, *after);
    if (json_is(b, JSON_OBJECT) && json_is(c, JSON_OBJECT)) {
        *before = differing(a, key, b, c);
        *after = differing(a, key, c, b);
        return;
    }
    *before = whole(a, key, *before, b);
    *after = whole(a, key, *after, c);
}
