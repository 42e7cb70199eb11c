#include "web/connection_fields.h"

#include "catalog/setup.h"
#include "web/acting.h"
#include "web/connection_view.h"
#include "web/handlers.h"

static bool is_named(const struct connector_field *f, struct str name)
{
    bool yes = str_eq(f->key, name);
    for (size_t i = 0; i < COUNT(f->aliases) && f->aliases[i].n; i++)
        yes |= str_eq(f->aliases[i], name);
    return yes;
}

/* Does the patch speak of the stored field, under its name or an alias? */
static bool is_patched(const struct connector *c, struct str auth_type, struct str stored, const struct json *patch)
{
    const struct connector_auth *auth = connector_auth_find(c, auth_type);
    size_t more = auth ? auth->field_count : 0;
    json_each (v, patch) {
        if (str_eq(v->key, stored))
            return true;
        for (size_t i = 0; i < c->field_count + more; i++) {
            const struct connector_field *f = i < c->field_count ? &c->fields[i] : &auth->fields[i - c->field_count];
            if (is_named(f, stored) && is_named(f, v->key))
                return true;
        }
    }
    return false;
}

/* Stored fields with the patch laid over them; null takes a field away (RFC 7396). */
static enum err merge_fields(struct arena *a, const struct connector *c, const struct connection_row *row, const struct json *patch,
                             struct json **out, struct fault *why)
{
    struct json *before;
    enum err e = json_read(a, row->fields, &before, why);
    if (e)
        return e;
    AUTO_BUF text;
    buf_init(&text, 1024 * 1024);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_each (v, before) {
        if (is_patched(c, row->auth_type, v->key, patch))
            continue;
        json_key(&o, arena_cstr(a, v->key));
        json_put(&o, v);
    }
    json_each (v, patch) {
        if (v->type == JSON_NULL)
            continue;
        json_key(&o, arena_cstr(a, v->key));
        json_put(&o, v);
    }
    json_close(&o, '}');
    return json_read(a, arena_str(a, buf_str(&text)), out, why);
}

enum err connection_fields_lay(struct web_request *q, const struct connector *c, struct connection_row *row,
                               const struct json *patch, const struct json **out, struct fault *why)
{
    struct json *merged, *stored;
    struct setup s = { 0 };
    enum err e = merge_fields(q->arena, c, row, patch, &merged, why);
    if (e)
        return e;
    e = setup_check_fields(q->arena, c, row->auth_type, merged, row->allowed_domain, q->hub->egress, q->hub->header_digits_ok, &s,
                           why);
    if (!e && !(e = json_read(q->arena, row->fields, &stored, why)))
        e = setup_check_generated(connector_auth_find(c, row->auth_type), stored, s.fields_json, why);
    if (!e) {
        row->fields = s.fields;
        row->health = HEALTH_UNKNOWN;
        *out = s.fields_json;
    }
    setup_end(&s);
    return e;
}

/* ---- through a link ---- */

bool connection_field_changes(const struct connect_session *s, const struct connector_field *f)
{
    return s->connection.n && s->change_fields && f->changeable;
}

static enum err read_entered(struct web_request *q, const struct connect_session *s, const struct json **out, struct fault *why)
{
    struct json *wanted = NULL;
    enum err e = s->change_fields && s->wanted.n ? json_read(q->arena, s->wanted, &wanted, why) : ERR_NONE;
    *out = e ? NULL : json_get(wanted, "fields");
    return e;
}

enum err connection_fields_to_be(struct web_request *q, const struct connect_session *s, struct connection_row *row,
                                 struct fault *why)
{
    const struct connector *c = catalog_find(q->hub->catalog, row->connector);
    const struct json *entered, *fields;
    enum err e = read_entered(q, s, &entered, why);
    if (e || !entered)
        return e;
    return c ? connection_fields_lay(q, c, row, entered, &fields, why)
             : fault(why, ERR_CONNECTOR_NOT_FOUND, row->connector, "stored connector is gone");
}

enum err connection_fields_take_effect(struct web_request *q, struct reply *r, const struct connect_session *s,
                                       struct connection_row *row, struct fault *why)
{
    struct arena *a = q->arena;
    const struct json *entered;
    enum err e = read_entered(q, s, &entered, why);
    if (e || !entered)
        return e;
    struct json *body = json_new(a, JSON_OBJECT), *fields = json_new(a, JSON_OBJECT), *last = NULL;
    *fields = *entered;
    fields->key = STR("fields");
    fields->next = NULL;
    json_link(a, body, &last, fields);
    struct web_request inner = acting_request(q, METHOD_PATCH, str_fmt(a, "/api/v1/connections/%.*s", STR_ARG(row->id)), body);
    inner.params[0] = row->id;
    inner.param_count = 1;
    e = connections_patch(&inner, r, why);
    acting_forget_answer(r);
    return e ? e : connection_get(q->db, a, row->id, row, why);
}
