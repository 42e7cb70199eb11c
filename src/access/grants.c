#include "access/grants.h"

static enum err one_entry(struct arena *a, enum narrow_kind k, const struct grants_finder *f, struct str typed, struct str *out,
                          struct fault *why)
{
    bool found = f && (k == NARROW_CONNECTION || k == NARROW_FOLDER);
    return found ? f->find(f->context, k, typed, out, why) : narrow_entry(a, k, typed, out, why);
}

enum err grants_read_list(struct arena *a, enum narrow_kind k, const struct json *list, const char *at,
                          const struct grants_finder *f, struct narrow_list *out, struct fault *why)
{
    bool none_ok = k == NARROW_CONNECTION;
    *out = (struct narrow_list){ 0 };
    if (list->type == JSON_NULL)
        return ERR_NONE;
    if (list->type != JSON_ARRAY || list->count > GRANTS_MAX || (!list->count && !none_ok)) {
        fault(why, ERR_FIELD_INVALID, STR("a list of at most 200 entries, or null"), "grants");
        return fault_at(why, "%s/%s", at, narrow_kind_member(k));
    }
    *out = (struct narrow_list){ true, arena_array(a, list->count + 1, sizeof *out->at), 0 };
    json_each (v, list) {
        enum err e = v->type == JSON_STRING ? one_entry(a, k, f, v->text, &out->at[out->count], why)
                                            : fault(why, ERR_FIELD_INVALID, STR("texts are expected"), "grants");
        if (e) {
            fault_at(why, "%s/%s/%zu", at, narrow_kind_member(k), out->count);
            return e;
        }
        out->count++;
    }
    return ERR_NONE;
}

enum err grants_read(struct arena *a, const struct json *grants, const char *at, const struct grants_finder *f, struct narrow *n,
                     struct fault *why)
{
    const char *members[NARROW_KINDS + 1] = { NULL };
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        members[k] = narrow_kind_member(k);
    enum err e = json_only(grants, members, at, why);
    for (enum narrow_kind k = 0; !e && k < NARROW_KINDS; k++) {
        const struct json *list = json_get(grants, members[k]);
        if (list)
            e = grants_read_list(a, k, list, at, f, &n->lists[k], why);
    }
    return e;
}

void grants_write_list(struct json_out *o, const char *name, const struct narrow_list *l)
{
    if (!l->set) {
        json_member_null(o, name);
        return;
    }
    json_key(o, name);
    json_open(o, '[');
    for (size_t i = 0; i < l->count; i++)
        json_put_str(o, l->at[i]);
    json_close(o, ']');
}

void grants_write(struct json_out *o, const struct narrow *n)
{
    json_open(o, '{');
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        grants_write_list(o, narrow_kind_member(k), &n->lists[k]);
    json_close(o, '}');
}
