/* web/keys.c - the wrapping keys: how old, how much used, and how far their rotation has come. */
#include "web/keys.h"

#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"

void keys_write_rotation(struct json_out *o, const struct rotation *r)
{
    if (!r->key) {
        json_put_null(o);
        return;
    }
    json_open(o, '{');
    json_member_i64(o, "key", r->key);
    json_member_str(o, "reason", r->reason);
    json_member_i64(o, "total", r->total);
    json_member_i64(o, "done", r->done);
    json_member_i64(o, "unusable", r->broken);
    json_member_time(o, "started_at", r->started);
    json_member_time(o, "finished_at", r->finished);
    json_close(o, '}');
}

static const struct rotation_key *active_key(const struct rotation_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->keys[i].active)
            return &r->keys[i];
    return NULL;
}

void keys_write(struct json_out *o, const struct rotation_report *r, const struct rotation_policy *policy)
{
    const struct rotation_key *active = active_key(r);
    json_open(o, '{');
    json_member_str(o, "master_key", active ? active->master : STR_NONE);
    json_member_str(o, "next_master_key", active ? active->master_next : STR_NONE);
    json_key(o, "keys");
    json_open(o, '[');
    for (size_t i = 0; i < r->count; i++) {
        const struct rotation_key *k = &r->keys[i];
        json_open(o, '{');
        json_member_i64(o, "id", k->id);
        json_member_bool(o, "active", k->active);
        json_member_time(o, "created_at", k->created);
        json_member_i64(o, "uses", k->uses);
        json_member_i64(o, "data_keys", k->data_keys);
        json_close(o, '}');
    }
    json_close(o, ']');
    json_member_i64(o, "unusable_data_keys", r->broken);
    json_member_time(o, "due_at", active ? active->created + policy->max_age : 0);
    json_member_i64(o, "due_after_uses", policy->max_uses);
    json_key(o, "rotation");
    keys_write_rotation(o, &r->newest);
    json_close(o, '}');
}

enum err keys_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct rotation_report report;
    enum err e = rotation_report(q->db, q->arena, &report, why);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    keys_write(&o, &report, &q->hub->key_policy);
    return ERR_NONE;
}

struct begin {
    struct web_request *q;
    struct rotation made;
};

static enum err begin_work(struct db *db, void *context, struct fault *why)
{
    struct begin *b = context;
    enum err e = rotation_begin(db, b->q->hub->keyring, b->q->arena, "asked", &b->made, why);
    if (!e)
        b->q->audit.object = str_fmt(b->q->arena, "%u", b->made.key);
    return e;
}

enum err keys_rotate(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_members[] = { NULL };
    struct begin b = { q, { 0 } };
    enum err e = json_only(body_of(q), no_members, "", why);
    if (e || (e = web_step_up(q, why)) || (e = web_write(q, begin_work, &b, why)))
        return e;
    if (q->hub->keys_wake)
        q->hub->keys_wake(q->hub);
    r->status = 202;
    struct json_out o = json_out(&r->body);
    keys_write_rotation(&o, &b.made);
    return ERR_NONE;
}
