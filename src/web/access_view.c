#include "web/access_view.h"

#include "access/role.h"
#include "web/body.h"
#include "web/change.h"

#define EFFECTS_SHOWN 200

void access_write_rights(struct json_out *o, const char *key, unsigned mask)
{
    json_key(o, key);
    json_open(o, '[');
    for (enum right r = RIGHT_VIEW; r <= RIGHT_AUDIT; r++)
        if (mask & RIGHT_BIT(r))
            json_put_str(o, str_of(right_name(r)));
    json_close(o, ']');
}

void access_write_principal(struct json_out *o, struct str id, struct str name, struct str kind)
{
    json_open(o, '{');
    json_member_str(o, "id", id);
    json_member_str(o, "name", name);
    json_member_str(o, "kind", kind);
    json_close(o, '}');
}

static void write_side(struct json_out *o, const char *key, const struct effect *e, bool gains)
{
    int shown = 0;
    json_key(o, key);
    json_open(o, '[');
    for (size_t i = 0; i < e->n && shown < EFFECTS_SHOWN; i++) {
        const struct effect_row *r = &e->rows[i];
        unsigned mask = gains ? r->after & ~r->before : r->before & ~r->after;
        if (!mask)
            continue;
        shown++;
        json_open(o, '{');
        json_key(o, "principal");
        access_write_principal(o, r->id, r->name, r->kind);
        access_write_rights(o, "rights", mask);
        json_close(o, '}');
    }
    json_close(o, ']');
}

void access_write_effect(struct json_out *o, const struct effect *e)
{
    json_open(o, '{');
    write_side(o, "gains", e, true);
    write_side(o, "loses", e, false);
    json_member_bool(o, "complete", e->complete);
    json_close(o, '}');
}

enum err access_preview(const struct web_request *q, bool *out, struct fault *why)
{
    struct str said = web_query(q, "preview");
    *out = str_is(said, "true");
    if (said.p && !*out && !str_is(said, "false"))
        return fault(why, ERR_FIELD_INVALID, STR("preview: true, false"), "preview");
    return ERR_NONE;
}

enum err access_write(struct web_request *q, bool preview, store_work *work, void *context, struct fault *why)
{
    if (!preview)
        return web_write(q, work, context, why);
    enum err e = change_rehearse(q, work, context, why);
    return e ? e : change_tell(q, "access.preview", why);
}

enum err access_expiry(const struct json *o, wall_ms *out, struct fault *why)
{
    struct str in, at;
    int64_t ms;
    enum err e;
    *out = 0;
    if ((e = body_text(o, "expires_in", false, 32, &in, why)) || (e = body_text(o, "expires_at", false, 32, &at, why)))
        return e;
    if (in.p && at.p)
        return body_fault(why, ERR_FIELD_INVALID, "expires_at", "give expires_in or expires_at, not both");
    if (in.p && (!duration_parse(in, &ms) || ms < 1))
        return body_fault(why, ERR_FIELD_INVALID, "expires_in", "a duration such as 12h or 30d");
    if (in.p)
        *out = clock_wall() + ms;
    if (at.p && (!clock_parse(at, out) || *out <= clock_wall()))
        return body_fault(why, ERR_FIELD_INVALID, "expires_at", "a time to come, as 2027-01-31T00:00:00Z");
    return ERR_NONE;
}
