#include "web/client_certificate.h"

#include <stdio.h>

#include "base/encode.h"
#include "web/body.h"

#define PASSPHRASE_MAX 1024
#define DAYS_MAX 3652
#define DAY_MS (24 * 60 * 60 * 1000LL)

/* The rooms below point into the object; callers know where it stands. */
static enum err under(struct fault *why, const char *at, enum err e)
{
    char inner[sizeof why->pointer];
    if (!e || !why)
        return e;
    str_copy(inner, sizeof inner, str_of(why->pointer));
    fault_at(why, "%s%s", at, inner);
    return e;
}

static enum err text(const struct json *object, const char *name, size_t max, struct str *out, struct fault *why)
{
    const struct json *v = json_get(object, name);
    *out = STR("");
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type == JSON_STRING && v->text.n <= max) {
        *out = v->text;
        return ERR_NONE;
    }
    return body_fault(why, ERR_FIELD_INVALID, name, v->type == JSON_STRING ? "too long" : "text is expected");
}

static enum err read_pair(struct web_request *q, const struct json *object, struct client_certificate *out, struct fault *why)
{
    struct str certificate, key, passphrase, file, der;
    enum err e;
    if ((e = text(object, "certificate", PAIR_CHAIN_MAX, &certificate, why)) ||
        (e = text(object, "private_key", PAIR_KEY_MAX, &key, why)) ||
        (e = text(object, "passphrase", PASSPHRASE_MAX, &passphrase, why)) ||
        (e = text(object, "pkcs12", base64_size(PAIR_PKCS12_MAX), &file, why)))
        return e;
    out->source = CERTIFICATE_OWN;
    if (!file.n)
        return pair_read(certificate, key, passphrase, &out->pair, why);
    if (certificate.n || key.n)
        return body_fault(why, ERR_FIELD_INVALID, "pkcs12", "holds certificate and key: leave those out");
    if (!base64_decode(q->arena, file, BASE64_STANDARD, &der))
        return body_fault(why, ERR_FIELD_INVALID, "pkcs12", "base64 is expected");
    e = pair_read_pkcs12(der, passphrase, &out->pair, why);
    secret_wipe((void *)(uintptr_t)der.p, der.n);
    return e;
}

static enum err read_kind(const struct json *object, const char *const *kinds, struct client_certificate *out, struct fault *why)
{
    struct str kind = json_str(object, "issue");
    static const enum certificate_source sources[] = { CERTIFICATE_CONNECTION, CERTIFICATE_INSTANCE, CERTIFICATE_AUTHORITY };
    bool known = false;
    for (; *kinds; kinds++)
        known |= str_is(kind, *kinds);
    for (size_t i = 0; known && i < COUNT(sources); i++)
        if (str_is(kind, certificate_source_name(sources[i])))
            out->source = sources[i];
    return known ? ERR_NONE : body_fault(why, ERR_FIELD_INVALID, "issue", "is none of the choices");
}

static enum err read_issue(const struct json *object, const char *const *kinds, struct client_certificate *out, struct fault *why)
{
    static const char *const others[] = { "certificate", "private_key", "passphrase", "pkcs12" };
    int64_t days = 0;
    const struct json *v = json_get(object, "days");
    for (size_t i = 0; i < COUNT(others); i++)
        if (json_get(object, others[i]))
            return body_fault(why, ERR_FIELD_INVALID, others[i], "cannot stand beside issue");
    enum err e = read_kind(object, kinds, out, why);
    if (e || (e = text(object, "common_name", 64, &out->name, why)))
        return e;
    out->name = str_trim(out->name);
    if (str_has_control(out->name))
        return body_fault(why, ERR_FIELD_INVALID, "common_name", "control characters");
    if (v && v->type != JSON_NULL && (!json_i64(v, &days) || days < 1 || days > DAYS_MAX))
        return body_fault(why, ERR_FIELD_INVALID, "days", "1 to 3652 days");
    out->valid_ms = days * DAY_MS;
    return ERR_NONE;
}

enum err client_certificate_read(struct web_request *q, const struct json *member, const char *at, const char *const *kinds,
                                 struct client_certificate *out, struct fault *why)
{
    static const char *const own[] = { "certificate", "private_key", "passphrase", "pkcs12", NULL };
    *out = (struct client_certificate){ .given = member, .none = member && member->type == JSON_NULL };
    if (!member || out->none)
        return ERR_NONE;
    if (member->type != JSON_OBJECT)
        return under(why, at, fault(why, ERR_FIELD_INVALID, STR("client_certificate must be an object, or null"), "type"));
    static const char *const members[] = { "certificate", "private_key", "passphrase", "pkcs12",
                                           "issue",       "common_name", "days",       NULL };
    enum err e = json_only(member, json_get(member, "issue") ? members : own, at, why);
    if (e)
        return e;
    e = json_get(member, "issue") ? read_issue(member, kinds, out, why) : read_pair(q, member, out, why);
    return under(why, at, e);
}

void client_certificate_end(struct client_certificate *c)
{
    pair_free(c->pair);
    c->pair = NULL;
}

const struct json *client_certificate_part(struct arena *a, const struct json *credentials, const struct json **member)
{
    *member = NULL;
    if (!json_is(credentials, JSON_OBJECT) || !json_get(credentials, "client_certificate"))
        return credentials;
    struct json *rest = json_new(a, JSON_OBJECT), *last = NULL;
    rest->key = credentials->key;
    json_each (v, credentials) {
        if (str_is(v->key, "client_certificate")) {
            *member = v;
            continue;
        }
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(a, rest, &last, copy);
    }
    return rest;
}

/* ---- keeping ---- */

/* A certificate of the connection's own: issued now, or what was brought. */
static enum err put_own(struct web_request *q, struct db *db, struct str connection, struct client_certificate *c,
                        struct fault *why)
{
    wall_ms now = clock_wall();
    c->kept = (struct certificate_row){ .owner = connection, .source = c->source, .state = CERTIFICATE_CURRENT, .name = c->name };
    return c->pair ? certificate_keep(db, q->hub->keyring, q->arena, c->pair, now, &c->kept, why)
                   : certificate_issue(db, q->hub->keyring, q->arena, q->hub->certificates, c->valid_ms, now, &c->kept, why);
}

static enum err put_shared(struct web_request *q, struct db *db, struct str connection, struct client_certificate *c,
                           struct fault *why)
{
    bool found;
    enum err e = certificate_forget(db, connection, why);
    if (e || (e = certificate_of(db, q->arena, CERTIFICATE_OF_INSTANCE, CERTIFICATE_CURRENT, &c->kept, &found, why)) || found)
        return e;
    c->kept = (struct certificate_row){ .source = CERTIFICATE_INSTANCE, .state = CERTIFICATE_CURRENT, .name = c->name };
    return certificate_issue(db, q->hub->keyring, q->arena, q->hub->certificates, c->valid_ms, clock_wall(), &c->kept, why);
}

enum err client_certificate_put(struct web_request *q, struct db *db, struct str connection, struct client_certificate *c,
                                struct fault *why)
{
    struct connection_tls t;
    if (!c->given)
        return ERR_NONE;
    enum err e = connection_tls_get(db, q->arena, connection, &t, why);
    if (e || (c->none && !t.has_certificate))
        return e;
    t.has_certificate = !c->none;
    t.source = c->source;
    if ((e = connection_tls_put(db, connection, &t, why)))
        return e;
    if (c->none)
        return certificate_forget(db, connection, why);
    e = c->source == CERTIFICATE_INSTANCE ? put_shared(q, db, connection, c, why) : put_own(q, db, connection, c, why);
    return e == ERR_FIELD_INVALID ? under(why, "/credentials/client_certificate", e) : e;
}

struct str client_certificate_audit(struct web_request *q, struct str json, const struct client_certificate *c)
{
    if (!c->given || !str_ends(json, STR("}")))
        return json;
    if (c->none)
        return str_fmt(q->arena, "%.*s,\"client_certificate\":null}", (int)json.n - 1, json.p);
    return str_fmt(q->arena, "%.*s,\"client_certificate\":{\"source\":\"%s\",\"id\":\"%.*s\",\"fingerprint\":\"%.*s\"}}",
                   (int)json.n - 1, json.p, certificate_source_name(c->source), STR_ARG(c->kept.id), STR_ARG(c->kept.fingerprint));
}

/* ---- roots ---- */

enum err client_roots_read(struct web_request *q, bool *given, struct str *out, struct fault *why)
{
    const struct json *v = json_get(body_of(q), "tls_ca");
    size_t count;
    *given = v;
    *out = STR("");
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type != JSON_STRING)
        return body_fault(why, ERR_FIELD_INVALID, "tls_ca", "text is expected");
    *out = str_trim(v->text);
    return out->n ? under(why, "/tls_ca", pair_check_authorities(*out, &count, why)) : ERR_NONE;
}

enum err client_roots_put(struct db *db, struct arena *a, struct str connection, struct str authorities, struct fault *why)
{
    struct connection_tls t;
    enum err e = connection_tls_get(db, a, connection, &t, why);
    if (e || str_eq(t.authorities, authorities))
        return e;
    t.authorities = authorities;
    return connection_tls_put(db, connection, &t, why);
}
