#include "access/audit_refusals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/hash.h"

struct refusal {
    bool used, told;         /* told: the first one is in the log */
    bool stranger;
    struct fingerprint key;
    struct mono since;
    uint64_t more;           /* that came after the first, within the window */
    char actor[ID_SIZE], actor_name[96], via[ID_SIZE], action[48], object[96], name[96], folder[ID_SIZE], client[64], run[ID_SIZE],
        code[48];
};

struct refusals {
    pthread_mutex_t lock;
    struct refusal slots[REFUSALS_TOLD];
    int strangers;
    uint64_t others;         /* that found no place */
    struct mono others_since;
    struct refusal out;      /* what refusals_due() lends */
    char value[64];
};

struct refusals *refusals_new(void)
{
    struct refusals *r = mem_zero(sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void refusals_free(struct refusals *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* What strangers put into a path is theirs to vary, and does not count; whom they tried to sign in as does. */
static struct fingerprint key_of(const struct audit_entry *e)
{
    char text[512], whence[256];
    bool stranger = !e->actor.n;
    snprintf(whence, sizeof whence, "%.*s %.*s", (int)(e->client.n < 64 ? e->client.n : 64), e->client.p ? e->client.p : "",
             (int)(e->name.n < 96 ? e->name.n : 96), e->name.p ? e->name.p : "");
    snprintf(text, sizeof text, "%.*s\n%.*s\n%.*s\n%.*s", (int)(e->actor.n < 64 ? e->actor.n : 64), e->actor.p ? e->actor.p : "",
             (int)(e->action.n < 64 ? e->action.n : 64), e->action.p ? e->action.p : "", (int)(e->code.n < 64 ? e->code.n : 64),
             e->code.p ? e->code.p : "", (int)(e->via.n < 64 ? e->via.n : 64), e->via.p ? e->via.p : "");
    return fingerprint(str_of(text), stranger ? str_of(whence) : e->object);
}

static void fill(struct refusal *s, const struct audit_entry *e)
{
    str_copy(s->actor, sizeof s->actor, e->actor);
    str_copy(s->actor_name, sizeof s->actor_name, e->actor_name);
    str_copy(s->via, sizeof s->via, e->via);
    str_copy(s->action, sizeof s->action, e->action);
    str_copy(s->object, sizeof s->object, e->object);
    str_copy(s->name, sizeof s->name, e->name);
    str_copy(s->folder, sizeof s->folder, e->folder);
    str_copy(s->client, sizeof s->client, e->client);
    str_copy(s->run, sizeof s->run, e->run);
    str_copy(s->code, sizeof s->code, e->code);
}

static struct refusal *find(struct refusals *r, struct fingerprint key, struct refusal **place)
{
    *place = NULL;
    for (size_t i = 0; i < REFUSALS_TOLD; i++) {
        struct refusal *s = &r->slots[i];
        if (s->used && s->key.low == key.low && s->key.high == key.high)
            return s;
        if (!s->used && !*place)
            *place = s;
    }
    return NULL;
}

bool refusals_note(struct refusals *r, const struct audit_entry *entry, bool now_told, struct mono now)
{
    bool stranger = !entry->actor.n, first = false;
    struct fingerprint key = key_of(entry);
    struct refusal *place;
    pthread_mutex_lock(&r->lock);
    struct refusal *s = find(r, key, &place);
    if (s) {
        s->more++;
    } else if (!place || (stranger && r->strangers == REFUSALS_OF_STRANGERS)) {
        if (!r->others++)
            r->others_since = now;
    } else {
        *place = (struct refusal){ .used = true, .told = now_told, .stranger = stranger, .key = key, .since = now };
        fill(place, entry);
        r->strangers += stranger;
        first = now_told;
    }
    pthread_mutex_unlock(&r->lock);
    return first;
}

/* Under the lock. The slot's next record, if one is due; its place is given back when nothing came for a whole window. */
static bool slot_due(struct refusals *r, struct refusal *s, struct mono now, bool stopping)
{
    if (!s->told) {
        s->told = true;
        r->out = *s;
        r->value[0] = 0;
        return true;
    }
    if (mono_since(s->since, now) < REFUSALS_WINDOW_MS && !stopping)
        return false;
    r->out = *s;
    snprintf(r->value, sizeof r->value, "{\"more\":%llu}", (unsigned long long)s->more);
    bool due = s->more > 0;
    if (!due) {
        r->strangers -= s->stranger;
        s->used = false;
    }
    s->since = now;
    s->more = 0;
    return due;
}

static bool others_due(struct refusals *r, struct mono now, bool stopping)
{
    if (!r->others || (mono_since(r->others_since, now) < REFUSALS_WINDOW_MS && !stopping))
        return false;
    r->out = (struct refusal){ .action = "refusals.many" };
    snprintf(r->value, sizeof r->value, "{\"more\":%llu}", (unsigned long long)r->others);
    r->others = 0;
    return true;
}

static void lend(const struct refusals *r, struct audit_entry *out)
{
    const struct refusal *s = &r->out;
    *out = (struct audit_entry){
        .actor = str_of(s->actor), .actor_name = str_of(s->actor_name), .via = str_of(s->via), .action = str_of(s->action),
        .object = str_of(s->object), .name = str_of(s->name), .folder = str_of(s->folder), .client = str_of(s->client),
        .run = str_of(s->run), .code = str_of(s->code), .outcome = AUDIT_REFUSED,
        .after = r->value[0] ? str_of(r->value) : STR_NONE,
    };
}

bool refusals_due(struct refusals *r, struct mono now, bool stopping, struct audit_entry *out)
{
    bool due = false;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; !due && i < REFUSALS_TOLD; i++)
        due = r->slots[i].used && slot_due(r, &r->slots[i], now, stopping);
    due = due || others_due(r, now, stopping);
    pthread_mutex_unlock(&r->lock);
    if (due)
        lend(r, out);
    return due;
}
