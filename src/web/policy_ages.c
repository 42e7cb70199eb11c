#include "web/policy_ages.h"

#include <stdlib.h>

#include "access/audit.h"
#include "access/policy_store.h"
#include "base/log.h"
#include "call/switchboard.h"
#include "vault/connection.h"

#define PAGE 200

struct aged {
    struct str id, folder, connector;
    int64_t number;
    wall_ms since, due;         /* of its credentials */
    bool changes, idle;
    struct str policy;          /* that disables it */
    /* What became of it. */
    struct connection_row row;
    enum connection_health health;
    bool health_changed, disabled;
};

struct round {
    struct hub *hub;
    const struct policy_set *set;
    struct arena *a;
    wall_ms now;
    int64_t after;
    struct aged at[PAGE];
    size_t n;
    struct str folder, *folders; /* the last one looked up, with all above it */
    size_t folder_count;
};

bool policy_ages_idle(const struct policy_set *set, const struct policy_subject *s, wall_ms used, wall_ms updated, wall_ms now,
                      const struct policy **policy)
{
    wall_ms last = used > updated ? used : updated;
    size_t at = 0;
    for (const struct policy_rule *r; (r = policy_next(set, s, POLICY_IDLE_MAX, &at, policy));)
        if (now - last > r->number + CONNECTION_USED_MS)
            return true;
    return false;
}

static bool has_rule(const struct policy_set *s)
{
    for (size_t i = 0; s && i < s->count; i++)
        for (size_t k = 0; k < s->at[i].rule_count; k++)
            if (s->at[i].rules[k].kind == POLICY_SECRET_MAX_AGE || s->at[i].rules[k].kind == POLICY_IDLE_MAX)
                return true;
    return false;
}

static enum err judge(struct round *r, struct db *db, struct aged *c, bool active, wall_ms used, wall_ms updated, wall_ms was_due,
                      enum connection_health health, struct fault *why)
{
    const struct policy *policy = NULL;
    if (!r->folder.p || !str_eq(r->folder, c->folder)) {
        enum err e = policy_folders(db, r->a, c->folder, &r->folders, &r->folder_count, why);
        if (e)
            return e;
        r->folder = c->folder;
    }
    struct policy_subject s = { .folders = r->folders, .folder_count = r->folder_count, .connector = c->connector };
    int64_t age = policy_least(r->set, &s, POLICY_SECRET_MAX_AGE);
    c->due = age && c->since ? c->since + age : 0;
    bool told = health == HEALTH_EXPIRED || (health == HEALTH_EXPIRING && c->due > r->now) || health == HEALTH_FAILING ||
                health == HEALTH_RECONNECT_REQUIRED;
    c->changes = c->due != was_due || (c->due && c->due <= r->now + CONNECTION_DUE_AHEAD_MS && !told);
    c->idle = active && policy_ages_idle(r->set, &s, used, updated, r->now, &policy);
    if (c->idle)
        c->policy = policy->name;
    return ERR_NONE;
}

/* Without rules, only what earlier ones left. */
static enum err read_page(struct round *r, struct db *db, struct fault *why)
{
#define AGED                                                                                                       \
    "SELECT id, folder_id, connector, number, state, health, used_ms, updated_ms, due_ms,"                         \
    " (SELECT MIN(s.updated_ms) FROM connection_secret s WHERE s.connection_id = connection.id) FROM connection"   \
    " WHERE deleted_ms = 0 AND number > $1"
    struct query *q = query_begin(db, has_rule(r->set) ? AGED " ORDER BY number LIMIT $2"
                                                       : AGED " AND due_ms > 0 ORDER BY number LIMIT $2");
    struct {
        enum connection_state state;
        enum connection_health health;
        wall_ms used, updated, due;
    } more[PAGE];
    query_i64(q, r->after);
    query_i64(q, PAGE);
    for (r->n = 0; r->n < PAGE && query_next(q); r->n++) {
        r->at[r->n] = (struct aged){ .id = query_get_text(q, 0, r->a), .folder = query_get_text(q, 1, r->a),
                                     .connector = query_get_text(q, 2, r->a), .number = query_get_i64(q, 3),
                                     .since = query_get_i64(q, 9) };
        if (!connection_state_parse(query_get_text(q, 4, r->a), &more[r->n].state))
            more[r->n].state = CONNECTION_DISABLED;
        if (!connection_health_parse(query_get_text(q, 5, r->a), &more[r->n].health))
            more[r->n].health = HEALTH_UNKNOWN;
        more[r->n].used = query_get_i64(q, 6);
        more[r->n].updated = query_get_i64(q, 7);
        more[r->n].due = query_get_i64(q, 8);
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < r->n; i++)
        e = judge(r, db, &r->at[i], more[i].state == CONNECTION_ACTIVE, more[i].used, more[i].updated, more[i].due, more[i].health,
                  why);
    if (r->n)
        r->after = r->at[r->n - 1].number;
    return e;
}

static struct str told(struct arena *a, const char *name, const char *value, struct str policy)
{
    AUTO_BUF text;
    buf_init(&text, 4096);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_member_str(&o, name, str_of(value));
    if (policy.p)
        json_member_str(&o, "policy", policy);
    json_close(&o, '}');
    return arena_str(a, buf_str(&text));
}

static enum err record(struct round *r, struct db *db, const struct aged *c, struct str action, struct str before, struct str after,
                       struct fault *why)
{
    struct audit_entry entry = { .via = STR("system"), .action = action, .object = c->row.id, .name = c->row.name,
                                 .folder = c->row.folder, .before = before, .after = after };
    (void)r;
    return audit_add(db, &entry, why);
}

static enum err change(struct round *r, struct db *db, struct aged *c, struct fault *why)
{
    enum err e = connection_get(db, r->a, c->id, &c->row, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return ERR_NONE;
    if (e || (c->changes && (e = connection_set_due(db, &c->row, c->due, r->now, &c->health, why))))
        return e;
    c->health_changed = c->changes && c->health != c->row.health;
    if (c->health_changed &&
        (e = record(r, db, c, STR("connection.health"),
                    told(r->a, "health", connection_health_name(c->row.health), STR_NONE),
                    told(r->a, "health", connection_health_name(c->health), STR_NONE), why)))
        return e;
    c->disabled = c->idle && c->row.state == CONNECTION_ACTIVE;
    if (!c->disabled)
        return ERR_NONE;
    if (c->health_changed)
        c->row.health = c->health;
    c->row.state = CONNECTION_DISABLED;
    if ((e = connection_update(db, &c->row, why)))
        return e;
    return record(r, db, c, STR("connection.disable"), told(r->a, "state", "active", STR_NONE),
                  told(r->a, "state", "disabled", c->policy), why);
}

static enum err write_page(struct db *db, void *context, struct fault *why)
{
    struct round *r = context;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < r->n; i++)
        if (r->at[i].changes || r->at[i].idle)
            e = change(r, db, &r->at[i], why);
    return e;
}

static void say(struct round *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct aged *c = &r->at[i];
        char end[CLOCK_TEXT];
        if (c->disabled) {
            log_line(LOG_WARN, "idle connection disabled", LOG("id", c->id), LOG("key", c->row.key), LOG("owner", c->row.owner),
                     LOG("policy", c->policy));
            switchboard_forget_connection(r->hub->switchboard, c->id);
        }
        if (c->health_changed && (c->health == HEALTH_EXPIRING || c->health == HEALTH_EXPIRED))
            log_line(LOG_WARN, c->health == HEALTH_EXPIRED ? "credentials too old" : "credentials are to be replaced",
                     LOG("id", c->id), LOG("key", c->row.key), LOG("owner", c->row.owner),
                     LOG("due", str_of(clock_format(c->due, end))));
    }
}

static bool due_in(const struct round *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i].changes || r->at[i].idle)
            return true;
    return false;
}

static enum err one_page(struct round *r, struct fault *why)
{
    struct db *db = store_reader(r->hub->store, why);
    if (!db)
        return ERR_STORE;
    enum err e = read_page(r, db, why);
    if (!e && due_in(r) && !(e = store_write(r->hub->store, write_page, r, why)))
        say(r);
    return e;
}

void policy_ages_round(struct hub *hub, wall_ms now, const _Atomic bool *stop)
{
    struct policy_set *set = policy_book_set(hub->policies);
    struct round *r = mem_zero(sizeof *r);
    struct fault why;
    int64_t after = 0;
    do {
        AUTO_ARENA a = arena_new(64 * 1024);
        *r = (struct round){ .hub = hub, .set = set, .a = a, .now = now, .after = after };
        if (one_page(r, &why)) {
            log_fault(LOG_WARN, "ages of credentials and connections were not looked at", &why);
            break;
        }
        after = r->after;
    } while (r->n == PAGE && !atomic_load(stop));
    free(r);
    policy_set_release(set);
}
