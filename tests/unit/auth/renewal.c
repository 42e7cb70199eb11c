/* Renewals: one at a time, nothing lost, on the real store and over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "auth/grant_row.h"
#include "auth/renewal.h"
#include "crypto/tls.h"
#include "http/address.h"
#include "vault/hub.h"
#include "vault/sealed.h"

#include "token_server.h"

#define WAIT_MS 20000

struct stage {
    struct hub *hub;
    struct family *family;
    struct token_server server;
    struct egress *egress;
    struct tls_context *tls;
    struct renewals *r;
    struct connection_row row;
    const struct obtain *how;
    _Atomic int changes, reports, unreachable;
    char last_report[160];
    struct fault why;
};

static const struct obtain *find_fetch(struct str auth_type)
{
    (void)auth_type;
    return &test_fetch;
}

/* How it gets its tokens is what its issuer says, who does not answer so many times. */
static const struct obtain *find_oauth(struct str auth_type)
{
    static const struct obtain oauth = {
        .auth_type = "bearer", .oauth = true, .by_person = true, .build = test_build, .read = test_read
    };
    (void)auth_type;
    return &oauth;
}

static enum err profile(void *context, struct db *db, struct arena *a, const struct connection_row *row,
                        const struct auth_input *in, struct oauth_profile *out, struct fault *why)
{
    struct stage *s = context;
    (void)db;
    (void)a;
    (void)row;
    (void)in;
    *out = (struct oauth_profile){ .client_auth = CLIENT_AUTH_NONE, .refresh_auth = CLIENT_AUTH_NONE };
    return atomic_fetch_sub(&s->unreachable, 1) > 0 ? fault(why, ERR_IDENTITY_PROVIDER, STR("localhost"), "away") : ERR_NONE;
}

static const struct json *no_options(void *context, struct str connector, struct str auth_type)
{
    (void)context;
    (void)connector;
    (void)auth_type;
    return NULL;
}

static void changed(void *context, struct str connection)
{
    (void)connection;
    atomic_fetch_add(&((struct stage *)context)->changes, 1);
}

static struct stage *reporting;

static void report(const char *event, const struct fault *why)
{
    if (getenv("SHOW"))
        fprintf(stderr, "# %s: %s %s %s\n", event, err_row(why->err)->code, why->subject, why->note);
    snprintf(reporting->last_report, sizeof reporting->last_report, "%s", event);
    atomic_fetch_add(&reporting->reports, 1);
}

static void start_as(struct stage *s, const char *node, int64_t lease_ms)
{
    struct renewals_config c = {
        .store = s->hub->store, .keyring = s->hub->keys, .egress = s->egress, .tls = s->tls, .data = str_of(s->hub->directory),
        .node = str_of(node), .threads = 4, .rate = 1000,
        .obtain = s->unreachable > 0 ? find_oauth : s->how == &test_fetch ? find_fetch : test_find, .profile = profile,
        .options = no_options, .changed = changed, .context = s, .report = report, .lease_ms = lease_ms,
    };
    assert_int_equal(renewals_start(&c, &s->r, &s->why), ERR_NONE);
}

static void start(struct stage *s) { start_as(s, "here", 0); }

static void stop(struct stage *s)
{
    renewals_stop(s->r, 5000);
    renewals_free(s->r);
    s->r = NULL;
}

static enum err insert(struct db *db, void *stage, struct fault *why)
{
    struct stage *s = stage;
    return connection_insert(db, s->hub->keys, s->hub->arena, &s->row, NULL, 0, why);
}

static void outside(struct stage *s)
{
    s->hub->arena = s->hub->arena;
    assert_int_equal(egress_new(s->hub->arena, STR("127.0.0.1"), STR("127.0.0.1"), STR(""), &s->egress, &s->why), ERR_NONE);
    assert_int_equal(tls_client_context(STR(""), &s->tls, &s->why), ERR_NONE);
}

static int open_stage(void **state)
{
    struct stage *s = mem_zero(sizeof *s);
    signal(SIGPIPE, SIG_IGN);
    s->hub = hub_new_ready();
    s->family = mmap(NULL, sizeof *s->family, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s->family->lives_s = 3600;
    s->how = &test_obtain;
    reporting = s;
    token_server_bind(&s->server, s->family);
    snprintf(token_server_url, sizeof token_server_url, "http://127.0.0.1:%u/token", s->server.port);
    outside(s);
    s->row = (struct connection_row){
        .name = STR("crm"), .folder = STR("fld_a"), .connector = STR("http"), .connector_version = STR("1.0.0"),
        .auth_type = STR("bearer"), .allowed_domain = STR("api.example.com"), .fields = STR("{}"), .owner = STR("usr_1"),
        .state = CONNECTION_NEEDS_AUTH,
    };
    assert_int_equal(store_write(s->hub->store, insert, s, &s->why), ERR_NONE);
    token_server_run(&s->server);
    *state = s;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *s = *state;
    if (s->r)
        stop(s);
    token_server_end(&s->server);
    tls_context_free(s->tls);
    munmap(s->family, sizeof *s->family);
    hub_end(s->hub);
    free(s);
    return 0;
}

/* ---- what tests do ---- */

static const struct token_param code[] = { { { "code", 4 }, { "the-code", 8 } } };

static void obtain(struct stage *s)
{
    assert_int_equal(renewals_obtain(s->r, s->row.id, code, 1, false, &s->why), ERR_NONE);
}

static struct grant_row grant(struct stage *s)
{
    struct grant_row row;
    assert_int_equal(grant_row_get(store_reader(s->hub->store, &s->why), s->hub->arena, s->row.id, &row, &s->why), ERR_NONE);
    return row;
}

static void assert_token(struct stage *s, const char *name, const char *expected)
{
    struct grant_value values[GRANT_VALUES];
    size_t n;
    bool found = false;
    assert_int_equal(grant_open(store_reader(s->hub->store, &s->why), s->hub->keys, s->hub->arena, s->row.id, values, &n, &s->why),
                     ERR_NONE);
    for (size_t i = 0; i < n; i++) {
        if (str_is(values[i].name, name)) {
            found = true;
            assert_string_equal(str_fmt(s->hub->arena, "%.*s", STR_ARG(secret_str(values[i].value))).p, expected);
        }
        secret_end(&values[i].value);
    }
    assert_true(found);
}

static enum err renew(struct stage *s, int64_t generation, enum renewal_cause cause)
{
    return renewals_wait(s->r, s->row.id, generation, cause, WAIT_MS, &s->why);
}

static void fault_next(struct stage *s, int kind, int n)
{
    s->family->fault = kind;
    s->family->faults = n;
}

static void expire(struct stage *s)
{
    hub_sql(s->hub, "UPDATE connection_grant SET expires_ms = 1, obtained_ms = 1, next_ms = 0");
}

static int64_t number(struct stage *s, const char *sql)
{
    struct str text = hub_text(s->hub, sql);
    uint64_t n = 0;
    assert_true(str_u64(text, &n));
    return (int64_t)n;
}

static void wait_for(_Atomic int *n, int least)
{
    for (int i = 0; i < WAIT_MS && atomic_load(n) < least; i++)
        poll(NULL, 0, 1);
    assert_true(atomic_load(n) >= least);
}

/* ---- a grant begins ---- */

static void a_code_becomes_a_grant_and_its_connection_active(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    struct grant_row g = grant(s);
    assert_int_equal(g.grant.state, GRANT_GOOD);
    assert_int_equal(g.grant.generation, 1);
    assert_true(g.grant.refreshable);
    assert_true(g.grant.expires > clock_steady() + 3500000 && g.grant.expires <= clock_steady() + 3600000);
    int64_t lead = g.grant.expires - g.grant.next; /* 10 % of an hour, and a fifth more or less */
    assert_in_range(lead, 360000 * 8 / 10, 360000 * 12 / 10);
    assert_int_equal(g.holder.n, 0);
    assert_token(s, "access_token", "access-1");
    assert_string_equal(hub_text(s->hub, "SELECT state FROM connection").p, "active");
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "ok");
    assert_string_equal(hub_text(s->hub, "SELECT what || ' ' || cause FROM grant_event").p, "obtained authorized");
    assert_int_equal(s->changes, 1);
}

static void nobody_authorized_it_is_said_without_a_request(void **state)
{
    struct stage *s = *state;
    start(s);
    assert_int_equal(renew(s, 0, RENEWAL_EXPIRED), ERR_NEEDS_AUTH);
    assert_int_equal(s->family->requests, 0);
}

static void a_fetch_needs_no_person(void **state)
{
    struct stage *s = *state;
    s->how = &test_fetch;
    start(s);
    assert_int_equal(renew(s, 0, RENEWAL_EXPIRED), ERR_NONE);
    assert_int_equal(grant(s).grant.generation, 1);
}

/* ---- one at a time ---- */

struct crowd {
    struct renewal_wait wait;
    _Atomic int *told, *failed;
};

static void told(struct renewal_wait *w, enum err e, const struct fault *why)
{
    struct crowd *m = list_entry(w, struct crowd, wait);
    (void)why;
    if (e)
        atomic_fetch_add(m->failed, 1);
    atomic_fetch_add(m->told, 1);
}

static void ten_thousand_callers_at_an_expired_token_make_one_request(void **state)
{
    struct stage *s = *state;
    _Atomic int told_count = 0, failed = 0;
    start(s);
    obtain(s);
    expire(s);
    fault_next(s, FAULT_HOLD, 1);
    struct crowd *all = mem_zero(10000 * sizeof *all);
    int64_t began = clock_mono_us();
    for (int i = 0; i < 10000; i++) {
        all[i] = (struct crowd){ .wait.done = told, .told = &told_count, .failed = &failed };
        renewals_ask(s->r, s->row.id, 1, i % 2 ? RENEWAL_EXPIRED : RENEWAL_REFUSED, &all[i].wait);
    }
    assert_true(clock_mono_us() - began < 2000000); /* asking never waits */
    wait_for(&s->family->holding, 1);
    s->family->release = true;
    wait_for(&told_count, 10000);
    assert_int_equal(failed, 0);
    assert_int_equal(s->family->requests, 2);
    assert_int_equal(grant(s).grant.generation, 2);
    assert_false(s->family->dead);
    free(all);
}

static void who_asks_about_an_older_generation_is_answered_without_a_request(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    assert_int_equal(renew(s, 0, RENEWAL_EXPIRED), ERR_NONE);
    assert_int_equal(s->family->requests, 1);
}

static void a_caller_that_leaves_is_not_called_and_cancels_nothing(void **state)
{
    struct stage *s = *state;
    _Atomic int told_count = 0, failed = 0;
    struct crowd one = { .wait.done = told, .told = &told_count, .failed = &failed };
    start(s);
    obtain(s);
    fault_next(s, FAULT_HOLD, 1);
    renewals_ask(s->r, s->row.id, 1, RENEWAL_EXPIRED, &one.wait);
    wait_for(&s->family->holding, 1);
    assert_true(renewals_leave(s->r, &one.wait));
    s->family->release = true;
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE);
    assert_int_equal(told_count, 0);
    assert_int_equal(s->family->requests, 2);
}

static void a_stop_finishes_what_is_under_way_and_keeps_its_answer(void **state)
{
    struct stage *s = *state;
    _Atomic int told_count = 0, failed = 0;
    struct crowd one = { .wait.done = told, .told = &told_count, .failed = &failed };
    start(s);
    obtain(s);
    fault_next(s, FAULT_HOLD, 1);
    renewals_ask(s->r, s->row.id, 1, RENEWAL_EXPIRED, &one.wait);
    wait_for(&s->family->holding, 1);
    s->family->release = true;
    stop(s);
    assert_int_equal(told_count, 1);
    assert_int_equal(failed, 0);
    assert_token(s, "refresh_token", "refresh-2");
}

/* ---- faults ---- */

static void a_refused_refresh_token_ends_the_grant_and_is_said_once(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    fault_next(s, FAULT_OVER, 1);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_RECONNECT_REQUIRED);
    for (int i = 0; i < 20; i++)
        assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_RECONNECT_REQUIRED);
    assert_int_equal(s->family->requests, 2);
    assert_int_equal(grant(s).grant.state, GRANT_OVER);
    assert_string_equal(grant(s).grant.reason.p, "invalid_grant");
    assert_int_equal(s->reports, 1);
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "reconnect_required");
    assert_int_equal(
        number(s, "SELECT count(*) FROM audit WHERE action = 'connection.health' AND after_json LIKE '%invalid_grant%'"), 1);
    obtain(s); /* a person mends it */
    assert_int_equal(grant(s).grant.state, GRANT_GOOD);
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "ok");
}

static void a_server_that_is_not_well_is_asked_again_and_nobody_fails(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    fault_next(s, FAULT_503, 1);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE);
    assert_int_equal(s->family->requests, 3);
    assert_int_equal(grant(s).grant.failures, 0);
}

static void an_odd_answer_is_asked_about_once_and_then_believed(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    fault_next(s, FAULT_ODD, 1);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE);
    expire(s);
    fault_next(s, FAULT_ODD, 2);
    assert_int_equal(renew(s, 2, RENEWAL_EXPIRED), ERR_RECONNECT_REQUIRED);
    assert_int_equal(s->family->requests, 5);
}

static void a_client_that_is_refused_pauses_the_grant_until_it_is_changed(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    fault_next(s, FAULT_INVALID_CLIENT, 1);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_OAUTH_CLIENT);
    for (int i = 0; i < 10; i++)
        assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_OAUTH_CLIENT);
    assert_int_equal(s->family->requests, 2);
    assert_int_equal(s->reports, 1);
    assert_int_equal(grant(s).grant.state, GRANT_PAUSED);
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "ok");
    hub_sql(s->hub, "UPDATE connection_grant SET state = 'failing', again_ms = 0");
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE);
}

static void a_lost_answer_leaves_the_token_in_use_until_its_end(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    s->family->keeps = true; /* a server with a grace window */
    fault_next(s, FAULT_DROP, 1);
    assert_int_equal(renew(s, 1, RENEWAL_AHEAD), ERR_RENEWAL_FAILED);
    struct grant_row g = grant(s);
    assert_int_equal(g.unknown, 1);
    assert_int_equal(g.grant.next, g.grant.expires);
    assert_string_equal(g.grant.reason.p, "answer_lost");
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "ok");
    for (int i = 0; i < 5; i++)
        assert_int_equal(renew(s, 1, RENEWAL_ASKED), ERR_RENEWAL_FAILED);
    assert_int_equal(s->family->requests, 2);
    expire(s);
    hub_sql(s->hub, "UPDATE connection_grant SET again_ms = 1");
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE);
    assert_int_equal(s->family->requests, 3);
    assert_int_equal(grant(s).unknown, 0);
}

static void after_a_lost_answer_a_strict_server_is_asked_exactly_once_more(void **state)
{
    static const int kinds[] = { FAULT_DROP, FAULT_GARBLE };
    struct stage *s = *state;
    start(s);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        s->family->dead = false;
        obtain(s);
        int64_t generation = grant(s).grant.generation;
        int before = s->family->requests;
        expire(s);
        fault_next(s, kinds[i], 1);
        assert_int_equal(renew(s, generation, RENEWAL_EXPIRED), ERR_RECONNECT_REQUIRED);
        assert_int_equal(s->family->requests - before, 2);
        assert_string_equal(grant(s).grant.reason.p, "answer_lost");
        assert_int_equal(renew(s, generation, RENEWAL_EXPIRED), ERR_RECONNECT_REQUIRED);
        assert_int_equal(s->family->requests - before, 2);
    }
}

static void what_was_just_renewed_for_a_refusal_is_not_renewed_for_the_next(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    assert_int_equal(renew(s, 1, RENEWAL_REFUSED), ERR_NONE);
    assert_int_equal(renew(s, 1, RENEWAL_REFUSED), ERR_NONE); /* there is a newer one */
    assert_int_equal(renew(s, 2, RENEWAL_REFUSED), ERR_RENEWAL_FAILED);
    assert_int_equal(s->family->requests, 2);
}

static void a_server_that_is_not_there_was_not_asked(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    snprintf(token_server_url, sizeof token_server_url, "http://127.0.0.1:1/token");
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_RENEWAL_FAILED);
    assert_int_equal(grant(s).unknown, 0);
    assert_int_equal(grant(s).grant.state, GRANT_FAILING);
    assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "ok");
}

static void a_token_without_an_end_is_not_renewed_by_itself(void **state)
{
    struct stage *s = *state;
    s->family->lives_s = 0;
    start(s);
    obtain(s);
    assert_int_equal(grant(s).grant.expires, 0);
    assert_int_equal(grant(s).grant.next, 0);
    assert_int_equal(renew(s, 1, RENEWAL_REFUSED), ERR_NONE);
}

static void what_is_due_is_renewed_ahead_of_its_end(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    hub_sql(s->hub, "UPDATE connection_grant SET next_ms = 1, expires_ms = obtained_ms + 600000");
    start(s);
    wait_for(&s->family->requests, 2);
    wait_for(&s->changes, 2);
    assert_string_equal(hub_text(s->hub, "SELECT cause FROM grant_event ORDER BY number DESC LIMIT 1").p, "ahead");
}

/* ---- crashes ---- */

/* The child dies by SIGKILL when the server has its request; `late`: after the answer's first durable write. */
static pid_t spawn(struct stage *s, void (*child)(struct stage *s))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid)
        return pid;
    struct keyring *keys;
    struct store *store;
    struct fault why;
    if (room_open_store(s->hub->directory, &store, &why) || keyring_open(store, hub_master(1), &keys, &why))
        _exit(9);
    s->hub->store = store;
    s->hub->keys = keys;
    child(s);
    _exit(0);
}

static void child_renews(struct stage *s)
{
    start_as(s, "child", 0);
    renew(s, 1, RENEWAL_EXPIRED);
}

/* Nothing of this process but the server's thread may run while it forks: the child opens the store anew. */
static void close_house(struct stage *s)
{
    if (s->r)
        stop(s);
    keyring_close(s->hub->keys);
    store_close(s->hub->store);
}

static void open_house(struct stage *s)
{
    hub_open(s->hub);
    assert_int_equal(keyring_open(s->hub->store, hub_master(1), &s->hub->keys, &s->why), ERR_NONE);
}

static void a_process_that_dies_while_it_waits_leaves_the_token_in_use(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    close_house(s);
    fault_next(s, FAULT_HOLD, 1);
    pid_t pid = spawn(s, child_renews);
    wait_for(&s->family->holding, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    s->family->release = true;
    open_house(s);
    start(s);
    struct grant_row g = grant(s);
    assert_int_equal(g.unknown, 1);
    assert_int_equal(g.holder.n, 0);
    assert_int_equal(g.grant.next, g.grant.expires);
    assert_int_equal(renew(s, 1, RENEWAL_AHEAD), ERR_RENEWAL_FAILED);
    assert_int_equal(s->family->requests, 2);
    assert_token(s, "access_token", "access-1");
}

/* As a process that died between the journal and the database. */
static void leave_answer(struct stage *s, int64_t fence, const char *body)
{
    struct answer_journal *j;
    struct answer_slot *slot;
    assert_int_equal(answer_journal_open(str_of(s->hub->directory), 4, s->hub->keys, &j, &s->why), ERR_NONE);
    hub_sql(s->hub, str_fmt(s->hub->arena,
                            "UPDATE connection_grant SET holder = '%s', fence = %d, intent_ms = 1, intent_print = 'abc'",
                            answer_journal_holder(j), (int)fence).p);
    struct str headers[1][2] = { { STR("content-type"), STR("application/json") } };
    struct kept_answer k = {
        .connection = s->row.id, .fence = fence, .received = clock_steady(),
        .http = { .status = 200, .headers = headers, .header_count = 1, .body = str_of(body) },
    };
    assert_int_equal(answer_slot_take(j, &slot, &s->why), ERR_NONE);
    assert_int_equal(answer_slot_keep(slot, &k, &s->why), ERR_NONE);
    answer_journal_close(j);
}

#define FROM_THE_DISK "{\"access_token\":\"from-the-disk\",\"refresh_token\":\"refresh-2\",\"expires_in\":60}"

static void an_answer_that_reached_the_disk_is_taken_up_at_the_next_start(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    leave_answer(s, 7, FROM_THE_DISK);
    struct str files = hub_files(s->hub);
    assert_int_equal(str_find_str(files, STR("from-the-disk")), SIZE_MAX); /* sealed */
    free((char *)(uintptr_t)files.p);
    start(s);
    struct grant_row g = grant(s);
    assert_int_equal(g.grant.generation, 2);
    assert_int_equal(g.grant.state, GRANT_GOOD);
    assert_int_equal(g.holder.n, 0);
    assert_token(s, "access_token", "from-the-disk");
    assert_int_equal(s->family->requests, 1);
    stop(s);
    start(s); /* and only once */
    assert_int_equal(grant(s).grant.generation, 2);
}

static void an_answer_for_a_connection_that_was_disabled_meanwhile_is_kept(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    leave_answer(s, 7, FROM_THE_DISK);
    hub_sql(s->hub, "UPDATE connection SET state = 'disabled'");
    start(s);
    assert_int_equal(grant(s).grant.generation, 2);
    assert_token(s, "refresh_token", "refresh-2");
}

static void an_answer_that_cannot_be_read_yet_waits_and_nobody_spends_the_old_token(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    leave_answer(s, 7, FROM_THE_DISK);
    s->unreachable = 1;
    start(s);
    assert_int_equal(grant(s).grant.generation, 1);
    assert_int_equal(grant(s).holder.n > 0, 1);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE); /* waits for the next try */
    assert_int_equal(grant(s).grant.generation, 2);
    assert_token(s, "access_token", "from-the-disk");
    assert_int_equal(s->family->requests, 1);
}

static void an_answer_that_cannot_be_read_before_a_stop_is_read_after_it(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    leave_answer(s, 7, FROM_THE_DISK);
    s->unreachable = 1;
    start(s);
    stop(s);
    start(s);
    assert_int_equal(grant(s).grant.generation, 2);
    assert_token(s, "refresh_token", "refresh-2");
}

static void an_answer_of_an_older_fence_is_not_taken(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    stop(s);
    struct answer_journal *j;
    struct answer_slot *slot;
    assert_int_equal(answer_journal_open(str_of(s->hub->directory), 4, s->hub->keys, &j, &s->why), ERR_NONE);
    hub_sql(s->hub, "UPDATE connection_grant SET holder = '', fence = 9");
    struct kept_answer k = { .connection = s->row.id, .fence = 8, .received = clock_steady(),
                             .http = { .status = 200, .body = STR("{\"access_token\":\"stale\"}") } };
    assert_int_equal(answer_slot_take(j, &slot, &s->why), ERR_NONE);
    assert_int_equal(answer_slot_keep(slot, &k, &s->why), ERR_NONE);
    answer_journal_close(j);
    start(s);
    assert_int_equal(grant(s).grant.generation, 1);
    assert_token(s, "access_token", "access-1");
}

/* ---- two processes, one database ---- */

static void child_renews_with_a_short_lease(struct stage *s)
{
    start_as(s, "child", 1800);
    renew(s, 1, RENEWAL_EXPIRED);
    stop(s);
}

static void a_holder_that_was_stopped_loses_its_lease_and_writes_nothing(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    close_house(s);
    s->family->keeps = true; /* the second request is no theft to this server */
    fault_next(s, FAULT_HOLD, 1);
    pid_t pid = spawn(s, child_renews_with_a_short_lease);
    wait_for(&s->family->holding, 1);
    kill(pid, SIGSTOP);
    open_house(s);
    start_as(s, "here", 1800);
    assert_int_equal(renew(s, 1, RENEWAL_EXPIRED), ERR_NONE); /* when the lease is known to be dead */
    struct grant_row g = grant(s);
    assert_int_equal(g.grant.generation, 2);
    assert_int_equal(s->family->requests, 3);
    s->family->release = true;
    kill(pid, SIGCONT);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(s->family->requests, 3);
    assert_int_equal(grant(s).grant.generation, 2); /* its answer came too late */
    assert_int_equal(grant(s).fence, g.fence);
    assert_int_equal(number(s, "SELECT count(*) FROM grant_event WHERE what = 'lost' AND node = 'child'"), 1);
}

static void child_waits_for_another(struct stage *s)
{
    start_as(s, "child", 0);
    _exit(renew(s, 1, RENEWAL_EXPIRED) == ERR_NONE ? 0 : 3);
}

static void two_processes_that_want_the_same_make_one_request(void **state)
{
    struct stage *s = *state;
    start(s);
    obtain(s);
    expire(s);
    close_house(s);
    fault_next(s, FAULT_HOLD, 1);
    pid_t one = spawn(s, child_waits_for_another);
    wait_for(&s->family->holding, 1);
    pid_t two = spawn(s, child_waits_for_another);
    poll(NULL, 0, 700); /* it looks at the lease by now, twice */
    s->family->release = true;
    int status;
    assert_int_equal(waitpid(one, &status, 0), one);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(waitpid(two, &status, 0), two);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    open_house(s);
    assert_int_equal(s->family->requests, 2);
    assert_false(s->family->dead);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_code_becomes_a_grant_and_its_connection_active),
        T(nobody_authorized_it_is_said_without_a_request),
        T(a_fetch_needs_no_person),
        T(ten_thousand_callers_at_an_expired_token_make_one_request),
        T(who_asks_about_an_older_generation_is_answered_without_a_request),
        T(a_caller_that_leaves_is_not_called_and_cancels_nothing),
        T(a_stop_finishes_what_is_under_way_and_keeps_its_answer),
        T(a_refused_refresh_token_ends_the_grant_and_is_said_once),
        T(a_server_that_is_not_well_is_asked_again_and_nobody_fails),
        T(an_odd_answer_is_asked_about_once_and_then_believed),
        T(a_client_that_is_refused_pauses_the_grant_until_it_is_changed),
        T(a_lost_answer_leaves_the_token_in_use_until_its_end),
        T(after_a_lost_answer_a_strict_server_is_asked_exactly_once_more),
        T(what_was_just_renewed_for_a_refusal_is_not_renewed_for_the_next),
        T(a_server_that_is_not_there_was_not_asked),
        T(a_token_without_an_end_is_not_renewed_by_itself),
        T(what_is_due_is_renewed_ahead_of_its_end),
        T(a_process_that_dies_while_it_waits_leaves_the_token_in_use),
        T(an_answer_that_reached_the_disk_is_taken_up_at_the_next_start),
        T(an_answer_for_a_connection_that_was_disabled_meanwhile_is_kept),
        T(an_answer_that_cannot_be_read_yet_waits_and_nobody_spends_the_old_token),
        T(an_answer_that_cannot_be_read_before_a_stop_is_read_after_it),
        T(an_answer_of_an_older_fence_is_not_taken),
        T(a_holder_that_was_stopped_loses_its_lease_and_writes_nothing),
        T(two_processes_that_want_the_same_make_one_request),
    };
    return cmocka_run_group_tests_name("auth/renewal", tests, NULL, NULL);
}
