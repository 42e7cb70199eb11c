#include "cmd/audit_watch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "call/intent.h"
#include "call/run_seal.h"
#include "crypto/hash.h"

#define TICK_MS 1000
#define SETTINGS "audit.settings"

struct audit_watch {
    struct hub *hub;
    const struct config *config;
    struct head_file *file;
    struct mono last_export;
    struct audit_mark exported;
    struct intents_state sinks;
    struct intent_mark filed;   /* stated in the chain */
    int64_t told_number;        /* of the alarm that is in the log */
    pthread_t thread;
    bool running, stop, seal;
    bool settled;               /* the last head is exported, and no other will be: the keys go */
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

/* ---- records of the hub's own ---- */

static enum err add(struct db *db, void *context, struct fault *why) { return audit_add(db, context, why); }

static bool tell(struct audit_watch *w, struct audit_entry *entry)
{
    struct fault why;
    if (!entry->via.n && entry->outcome != AUDIT_REFUSED)
        entry->via = STR("system");
    bool good = !store_write(w->hub->store, add, entry, &why);
    if (!good)
        log_fault(LOG_ERROR, "an audit record was not written", &why);
    return good;
}

static void tell_refusals(struct audit_watch *w, bool stopping)
{
    struct audit_entry entry;
    while (refusals_due(w->hub->refusals, clock_mono(), stopping, &entry))
        tell(w, &entry);
}

/* ---- the alarm ---- */

static void alarm_raise(struct audit_watch *w, enum audit_flaw flaw, int64_t number)
{
    char value[128];
    if (atomic_load(&w->hub->audit_alarm) == (int)flaw && w->told_number == number)
        return;
    atomic_store(&w->hub->audit_alarm, (int)flaw);
    w->told_number = number;
    log_text(LOG_ERROR, "the audit log is not what its exported heads say: %s at record %lld; run raccord verify-audit",
             audit_flaw_name(flaw), (long long)number);
    snprintf(value, sizeof value, "{\"flaw\":\"%s\",\"number\":%lld}", audit_flaw_name(flaw), (long long)number);
    struct audit_entry entry = { .action = STR("audit.alarm"), .outcome = AUDIT_FAILED, .after = str_of(value) };
    tell(w, &entry);
}

/* The key is made for each use, so that a sealed hub has none. */
static enum err with_key(struct audit_watch *w, struct audit_heads *out, struct fault *why)
{
    *out = w->hub->audit_heads;
    return keyring_derive(w->hub->keyring, STR("audit heads"), &out->key, why);
}

static enum err read_heads(struct audit_watch *w, struct arena *a, struct audit_heads_found *out, struct fault *why)
{
    struct audit_heads heads;
    enum err e = with_key(w, &heads, why);
    if (e)
        return e;
    e = audit_heads_read(&heads, true, a, out, why);
    secret_end(&heads.key);
    return e;
}

static enum err compare(struct audit_watch *w, struct audit_heads_found *heads, struct arena *a, struct fault *why)
{
    struct audit_finding found;
    struct db *db = store_reader(w->hub->store, why);
    enum err e = db ? read_heads(w, a, heads, why) : ERR_STORE;
    if (e || (e = audit_heads_compare(db, heads, &found, why)))
        return e;
    if (found.flaw)
        alarm_raise(w, found.flaw, found.number);
    return ERR_NONE;
}

/* ---- heads ---- */

static enum err export_now(struct audit_watch *w, struct fault *why)
{
    struct audit_mark mark;
    struct audit_heads heads;
    struct db *db = store_reader(w->hub->store, why);
    enum err e = db ? audit_newest(db, &mark, why) : ERR_STORE;
    if (e || (mark.number == w->exported.number && !memcmp(mark.hash, w->exported.hash, AUDIT_HASH)) ||
        (e = with_key(w, &heads, why)))
        return e;
    e = audit_heads_add(&heads, &mark, why);
    secret_end(&heads.key);
    if (!e)
        w->exported = mark;
    return e;
}

static void export_failed(struct audit_watch *w, const struct fault *why)
{
    if (atomic_exchange(&w->hub->audit_mute, true))
        return;
    log_fault(LOG_ERROR, "the head of the audit log was not exported", why);
    struct audit_entry entry = { .action = STR("audit.heads_failed"),
                                 .outcome = AUDIT_FAILED,
                                 .code = str_of(err_row(why->err)->code),
                                 .name = str_of(w->hub->audit_heads.path) };
    tell(w, &entry);
}

/* The file that is opened at the start is the one that was left, or another: never a shorter one of the same id. */
static void meet_file(struct audit_watch *w, const struct intent_mark *now)
{
    AUTO_ARENA a = arena_new(1024);
    struct fault why;
    struct audit_row *rows;
    struct json *v;
    size_t n;
    int64_t seal;
    struct audit_filter newest = { .action = STR(INTENT_FILED), .limit = 1 };
    struct db *db = store_reader(w->hub->store, &why);
    if (!db || audit_list(db, a, &newest, &rows, &n, &why) || !n || json_read(a, rows[0].entry.after, &v, &why) ||
        !str_is(json_str(v, "file"), now->file) || !json_i64(json_get(v, "seal"), &seal) || seal <= now->seal)
        return;
    alarm_raise(w, AUDIT_FILE_CHANGED, rows[0].number);
}

/* The newest seal of the file of calls, in the chain: so that its end cannot be cut off unseen. */
static void state_file(struct audit_watch *w)
{
    struct intent_mark now;
    char value[192];
    if (!w->hub->intents || !intents_mark(w->hub->intents, &now) ||
        (now.seal == w->filed.seal && !strcmp(now.file, w->filed.file)))
        return;
    if (!*w->filed.file)
        meet_file(w, &now);
    snprintf(value, sizeof value, "{\"file\":\"%s\",\"seal\":%lld,\"mac\":\"%s\"}", now.file, (long long)now.seal, now.mac);
    struct audit_entry entry = { .action = STR(INTENT_FILED), .after = str_of(value) };
    if (tell(w, &entry))
        w->filed = now;
}

static void watch_once(struct audit_watch *w)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct audit_heads_found heads;
    struct fault why;
    if (w->settled)
        return;
    if (store_write(w->hub->store, run_seal_state, NULL, &why))
        log_fault(LOG_WARN, "what calls were recorded was not stated", &why);
    state_file(w);
    enum err e = compare(w, &heads, a, &why);
    /* A file that was taken away is begun anew, and that is told: nobody silences the log without a trace (requirement 16.5). */
    if (!e && !heads.there && w->exported.number) {
        w->exported = (struct audit_mark){ 0 };
        alarm_raise(w, AUDIT_HEADS_CHANGED, 0);
    }
    if (!e)
        e = export_now(w, &why);
    if (e)
        export_failed(w, &why);
    else if (atomic_exchange(&w->hub->audit_mute, false))
        log_text(LOG_WARN, "the head of the audit log is exported again");
    w->last_export = clock_mono();
}

/* Requirement 14.4: the loss of one sink is an alarm, long before the last one goes. While the file takes every call, none tries
 * the chain: whether that could be written is asked of the database. */
static void watch_sinks(struct audit_watch *w)
{
    if (!w->hub->intents)
        return;
    struct fault why;
    struct intents_state now = intents_state(w->hub->intents), was = w->sinks;
    atomic_store(&w->hub->audit_database_lost, store_ready(w->hub->store, &why) != ERR_NONE);
    now.chain_lost |= atomic_load(&w->hub->audit_database_lost);
    w->sinks = now;
    if (now.file_lost == was.file_lost && now.chain_lost == was.chain_lost && now.stuck == was.stuck)
        return;
    bool bad = now.file_lost || now.chain_lost || now.stuck;
    log_text(bad ? LOG_ERROR : LOG_WARN, "where calls are recorded before they are made: file %s, database %s%s",
             now.file_lost ? "lost" : "fine", now.chain_lost ? "lost" : "fine", now.stuck ? ", and a write hangs" : "");
    char value[96];
    snprintf(value, sizeof value, "{\"file_lost\":%s,\"database_lost\":%s,\"stuck\":%s}", now.file_lost ? "true" : "false",
             now.chain_lost ? "true" : "false", now.stuck ? "true" : "false");
    struct audit_entry entry = { .action = STR("audit.sinks"), .outcome = bad ? AUDIT_FAILED : AUDIT_DONE, .after = str_of(value) };
    tell(w, &entry);
}

/* Under the lock, which is let go meanwhile. */
static void settle(struct audit_watch *w)
{
    struct audit_entry sealed = { .action = STR("hub.seal") };
    pthread_mutex_unlock(&w->lock);
    tell(w, &sealed);
    watch_once(w);
    pthread_mutex_lock(&w->lock);
    w->settled = true;
    pthread_cond_broadcast(&w->wake);
}

static void *watch_main(void *context)
{
    struct audit_watch *w = context;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += TICK_MS / 1000;
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
        pthread_mutex_unlock(&w->lock);
        tell_refusals(w, false);
        watch_sinks(w);
        if (!*w->filed.file)
            state_file(w);
        if (mono_since(w->last_export, clock_mono()) >= w->config->audit.head_interval)
            watch_once(w);
        pthread_mutex_lock(&w->lock);
        if (w->seal && !w->settled)
            settle(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- settings ---- */

struct settings {
    struct audit_watch *w;
    struct arena *arena;
    struct str now;
};

/* What would make the log say less is in the log, with what it was before (requirement 16.5). */
static enum err compare_settings(struct db *db, void *context, struct fault *why)
{
    struct settings *s = context;
    struct query *q = query_begin(db, "SELECT value FROM setting WHERE name = '" SETTINGS "'");
    struct str was = query_next(q) ? query_get_text(q, 0, s->arena) : STR_NONE;
    enum err e = query_end(q, why);
    if (e || (was.p && str_eq(was, s->now)))
        return e;
    q = query_begin(db, "INSERT INTO setting (name, value) VALUES ('" SETTINGS "', $1)"
                        " ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    query_text(q, s->now);
    if ((e = query_end(q, why)))
        return e;
    struct audit_entry entry = { .via = STR("system"), .action = STR(SETTINGS), .before = was, .after = s->now };
    return audit_add(db, &entry, why);
}

static enum err note_settings(struct audit_watch *w, struct arena *a, struct fault *why)
{
    AUTO_BUF text;
    buf_init(&text, 64 * 1024);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_member_str(&o, "head_file", str_of(w->hub->audit_heads.path));
    json_member_i64(&o, "head_interval_ms", w->config->audit.head_interval);
    json_member_bool(&o, "strict", w->config->audit.strict);
    json_member_str(&o, "file", w->config->audit.file);
    json_member_str(&o, "egress_allow_http", w->config->egress.allow_http);
    json_member_str(&o, "egress_allow_private", w->config->egress.allow_private);
    json_member_bool(&o, "insecure_listen", w->config->insecure_listen);
    json_member_i64(&o, "retention_runs_ms", w->config->retention.runs);
    json_close(&o, '}');
    struct settings s = { w, a, buf_str(&text) };
    return store_write(w->hub->store, compare_settings, &s, why);
}

/* ---- start and stop ---- */

static enum err begin(struct audit_watch *w, struct fault *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct audit_heads_found heads;
    struct audit_entry start = { .action = STR("hub.start"), .after = STR("{\"version\":\"" RACCORD_VERSION "\"}") };
    enum err e = compare(w, &heads, a, why);
    if (e || (e = note_settings(w, a, why)))
        return e;
    if (!heads.there) {
        struct audit_entry anew = { .action = STR("audit.heads_begun"), .name = str_of(w->hub->audit_heads.path) };
        tell(w, &anew);
    }
    tell(w, &start);
    return export_now(w, why);
}

enum err audit_watch_start(struct hub *hub, const struct config *config, struct arena *boot, struct audit_watch **out,
                           struct fault *why)
{
    struct audit_watch *w = mem_zero(sizeof *w);
    w->hub = hub;
    w->config = config;
    w->last_export = clock_mono();
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    struct str file = config->audit.head_file.n ? config->audit.head_file
                                                : str_fmt(boot, "%.*s/audit-heads.log", STR_ARG(config->data));
    hub->audit_heads.path = arena_cstr(boot, file);
    hub->audit_heads.file = w->file = head_file_new(hub->audit_heads.path);
    hub->refusals = refusals_new();
    *out = w;
    enum err e = w->file ? begin(w, why) : fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of the audit log's heads");
    if (e == ERR_FILE && !config->audit.strict) {
        export_failed(w, why);
        e = ERR_NONE;
    }
    if (!e && pthread_create(&w->thread, NULL, watch_main, w))
        e = fault(why, ERR_INTERNAL, STR(""), "cannot start the audit log's thread");
    w->running = !e;
    if (!e)
        pthread_setname_np(w->thread, "audit");
    return e;
}

void audit_watch_seal(struct audit_watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->seal = true;
    pthread_cond_broadcast(&w->wake);
    while (w->running && !w->stop && !w->settled)
        pthread_cond_wait(&w->wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void audit_watch_stop(struct audit_watch *w)
{
    struct audit_entry stop = { .action = STR("hub.stop") };
    if (!w)
        return;
    if (w->running) {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_broadcast(&w->wake);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
        tell_refusals(w, true);
        tell(w, &stop);
        watch_once(w);
    }
    refusals_free(w->hub->refusals);
    w->hub->refusals = NULL;
    w->hub->audit_heads = (struct audit_heads){ 0 };
    head_file_free(w->file);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
