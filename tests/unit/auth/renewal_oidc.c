/* Renewals against a real authorization server that rotates refresh tokens and ends a family whose old one comes back: the npm
 * package oidc-provider. Left out, with a word, where it is not installed. RACCORD_KILLS: how many seconds of kill -9 (preset: 12).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "auth/grant_row.h"
#include "auth/obtain.h"
#include "auth/renewal.h"
#include "crypto/hash.h"
#include "crypto/tls.h"
#include "http/address.h"
#include "vault/hub.h"

#define WAIT_MS 30000

struct stage {
    struct hub *hub;
    struct egress *egress;
    struct tls_context *tls;
    struct renewals *r;
    struct connection_row row;
    struct fault why;
};

static struct { pid_t pid; int in, out; char issuer[128]; } authority;
static struct json *entry; /* what a connector's file would say */
static struct arena *boot;

/* ---- the server ---- */

static bool authority_start(void)
{
    int in[2], out[2];
    if (access(SOURCE "/tests/e2e/oidc/node_modules/oidc-provider", R_OK) || pipe(in) || pipe(out))
        return false;
    authority.pid = fork();
    if (!authority.pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        if (!freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp("node", "node", SOURCE "/tests/e2e/oidc/authority.mjs", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    authority.in = in[1];
    FILE *said = fdopen(out[0], "r");
    char line[512];
    while (said && fgets(line, sizeof line, said))
        if (sscanf(line, "issuer: %127s", authority.issuer) == 1)
            return true;
    return false;
}

static struct json *control(struct stage *s, const char *path, const char *body)
{
    struct fetch_answer answer;
    struct json *v = NULL;
    struct fetch_request q = {
        .method = STR("POST"), .url = str_fmt(s->hub->arena, "%s%s", authority.issuer, path), .body = str_of(body ? body : ""),
        .timeout_ms = WAIT_MS, .response_max = 65536,
    };
    assert_int_equal(fetch(s->hub->arena, &q, &answer, &s->why), ERR_NONE);
    assert_int_equal(json_read(s->hub->arena, answer.body, &v, &s->why), ERR_NONE);
    return v;
}

static void faults(struct stage *s, const char *what) { control(s, "/_faults", what); }

static int64_t logged(struct stage *s, const char *name)
{
    int64_t n = -1;
    assert_true(json_i64(json_get(control(s, "/_log", NULL), name), &n));
    return n;
}

/* ---- the hub's side ---- */

static const struct json *options(void *context, struct str connector, struct str auth_type)
{
    (void)context;
    (void)connector;
    (void)auth_type;
    return entry;
}

static enum err profile(void *context, struct db *db, struct arena *a, const struct connection_row *row,
                        const struct auth_input *in, struct oauth_profile *out, struct fault *why)
{
    return oauth_profile_of(db, ((struct stage *)context)->hub->keys, a, in, row->id, out, why);
}

static void report(const char *event, const struct fault *why)
{
    if (getenv("SHOW"))
        fprintf(stderr, "# %s: %s %s %s\n", event, err_row(why->err)->code, why->subject, why->note);
}

static void start_as(struct stage *s, const char *node)
{
    struct renewals_config c = {
        .store = s->hub->store, .keyring = s->hub->keys, .egress = s->egress, .tls = s->tls, .data = str_of(s->hub->directory),
        .node = str_of(node), .threads = 4, .rate = 1000, .obtain = obtain_find, .profile = profile, .options = options,
        .context = s, .report = report,
    };
    assert_int_equal(renewals_start(&c, &s->r, &s->why), ERR_NONE);
}

static void start(struct stage *s) { start_as(s, "here"); }

static void stop(struct stage *s)
{
    renewals_stop(s->r, 5000);
    renewals_free(s->r);
    s->r = NULL;
}

static enum err insert(struct db *db, void *stage, struct fault *why)
{
    struct stage *s = stage;
    const struct connection_secret secrets[] = {
        { STR("client_id"), { (unsigned char *)(uintptr_t) "raccord", 7 } },
        { STR("client_secret"), { (unsigned char *)(uintptr_t) "s3cr:et/+ %", 11 } },
    };
    return connection_insert(db, s->hub->keys, s->hub->arena, &s->row, secrets, COUNT(secrets), why);
}

static int open_stage(void **state)
{
    if (!authority.issuer[0]) {
        *state = NULL;
        return 0;
    }
    struct stage *s = mem_zero(sizeof *s);
    signal(SIGPIPE, SIG_IGN);
    s->hub = hub_new_ready();
    assert_int_equal(egress_new(boot, STR("127.0.0.1"), STR("127.0.0.1"), STR(""), &s->egress, &s->why), ERR_NONE);
    assert_int_equal(tls_client_context(STR(""), &s->tls, &s->why), ERR_NONE);
    s->row = (struct connection_row){
        .name = STR("crm"), .folder = STR("fld_a"), .connector = STR("http"), .connector_version = STR("1.0.0"),
        .auth_type = STR("oauth2_authorization_code"), .allowed_domain = STR("api.example.com"), .fields = STR("{}"),
        .owner = STR("usr_1"), .state = CONNECTION_NEEDS_AUTH,
    };
    assert_int_equal(store_write(s->hub->store, insert, s, &s->why), ERR_NONE);
    *state = s;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *s = *state;
    if (!s)
        return 0;
    faults(s, "null");
    if (s->r)
        stop(s);
    tls_context_free(s->tls);
    hub_end(s->hub);
    free(s);
    return 0;
}

static void obtain(struct stage *s)
{
    static const struct token_param params[] = {
        { { "grant_type", 10 }, { "password", 8 } }, { { "username", 8 }, { "alice", 5 } }, { { "password", 8 }, { "sesame", 6 } },
    };
    enum err e = renewals_obtain(s->r, s->row.id, params, COUNT(params), false, &s->why);
    if (e)
        fail_msg("%s: %s: %s", err_row(e)->code, s->why.subject, s->why.note);
    control(s, "/_forget", NULL);
}

static struct grant_row grant(struct stage *s)
{
    struct grant_row row;
    assert_int_equal(grant_row_get(store_reader(s->hub->store, &s->why), s->hub->arena, s->row.id, &row, &s->why), ERR_NONE);
    return row;
}

static void expire(struct stage *s)
{
    hub_sql(s->hub, "UPDATE connection_grant SET expires_ms = 1, obtained_ms = 1, next_ms = 0, again_ms = 0");
}

static enum err renew(struct stage *s, int64_t generation)
{
    return renewals_wait(s->r, s->row.id, generation, RENEWAL_EXPIRED, WAIT_MS, &s->why);
}

#define NEEDS_SERVER(s)                                                                                      \
    if (!(s)) {                                                                                              \
        fputs("left out: oidc-provider not here (tests/e2e/oidc/install)\n", stderr);                        \
        return;                                                                                              \
    }

/* ---- tests ---- */

struct caller {
    struct renewal_wait wait;
    _Atomic int *told, *failed;
};

static void told(struct renewal_wait *w, enum err e, const struct fault *why)
{
    struct caller *c = list_entry(w, struct caller, wait);
    (void)why;
    if (e)
        atomic_fetch_add(c->failed, 1);
    atomic_fetch_add(c->told, 1);
}

static void ten_thousand_callers_are_one_request_in_the_servers_log(void **state)
{
    struct stage *s = *state;
    NEEDS_SERVER(s)
    _Atomic int done = 0, failed = 0;
    start(s);
    obtain(s);
    expire(s);
    struct caller *all = mem_zero(10000 * sizeof *all);
    for (int i = 0; i < 10000; i++) {
        all[i] = (struct caller){ .wait.done = told, .told = &done, .failed = &failed };
        renewals_ask(s->r, s->row.id, 1, RENEWAL_EXPIRED, &all[i].wait);
    }
    for (int i = 0; i < WAIT_MS && atomic_load(&done) < 10000; i++)
        poll(NULL, 0, 1);
    assert_int_equal(done, 10000);
    assert_int_equal(failed, 0);
    free(all);
    assert_int_equal(logged(s, "requests"), 1);
    assert_int_equal(grant(s).grant.generation, 2);
    assert_int_equal(renew(s, 2), ERR_NONE); /* the family lives */
    assert_int_equal(logged(s, "revoked"), 0);
}

static void an_answer_lost_on_its_way_costs_exactly_one_more_request(void **state)
{
    static const char *const kinds[] = { "{\"kind\":\"drop\",\"n\":1}", "{\"kind\":\"garble\",\"n\":1}" };
    struct stage *s = *state;
    NEEDS_SERVER(s)
    start(s);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        obtain(s);
        int64_t generation = grant(s).grant.generation;
        expire(s);
        faults(s, kinds[i]);
        assert_int_equal(renew(s, generation), ERR_RECONNECT_REQUIRED);
        assert_int_equal(renew(s, generation), ERR_RECONNECT_REQUIRED);
        assert_int_equal(logged(s, "requests"), 2);
        assert_string_equal(grant(s).grant.reason.p, "answer_lost");
        assert_string_equal(hub_text(s->hub, "SELECT health FROM connection").p, "reconnect_required");
    }
}

static void a_server_that_is_not_well_or_slow_fails_nobody(void **state)
{
    static const char *const kinds[] = {
        "{\"kind\":\"status\",\"status\":503,\"n\":1}", "{\"kind\":\"status\",\"status\":429,\"after\":1,\"n\":1}",
        "{\"kind\":\"delay\",\"ms\":300,\"n\":1}", "{\"kind\":\"delay\",\"ms\":300,\"commit\":true,\"n\":1}",
    };
    struct stage *s = *state;
    NEEDS_SERVER(s)
    start(s);
    obtain(s);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        expire(s);
        faults(s, kinds[i]);
        assert_int_equal(renew(s, (int64_t)i + 1), ERR_NONE);
    }
    assert_int_equal(logged(s, "revoked"), 0);
    assert_string_equal(grant(s).grant.granted.p, "openid offline_access read");
}

static void a_stop_waits_for_the_answer_and_keeps_it(void **state)
{
    struct stage *s = *state;
    NEEDS_SERVER(s)
    _Atomic int done = 0, failed = 0;
    struct caller one = { .wait.done = told, .told = &done, .failed = &failed };
    start(s);
    obtain(s);
    expire(s);
    faults(s, "{\"kind\":\"delay\",\"ms\":700,\"commit\":true,\"n\":1}");
    renewals_ask(s->r, s->row.id, 1, RENEWAL_EXPIRED, &one.wait);
    for (int i = 0; i < WAIT_MS && !logged(s, "given"); i++)
        poll(NULL, 0, 1);
    stop(s);
    assert_int_equal(done, 1);
    assert_int_equal(failed, 0);
    assert_int_equal(grant(s).grant.generation, 2);
    start(s);
    assert_int_equal(renew(s, 2), ERR_NONE);
}

/* ---- kill -9 ---- */

static void open_house(struct stage *s)
{
    hub_open(s->hub);
    assert_int_equal(keyring_open(s->hub->store, hub_master(1), &s->hub->keys, &s->why), ERR_NONE);
}

static void close_house(struct stage *s)
{
    if (s->r)
        stop(s);
    keyring_close(s->hub->keys);
    store_close(s->hub->store);
}

/* ---- several nodes, one database ---- */

#define NODES 3
#define CALLERS 64

struct node {
    pid_t pid;
    int orders, reports;
};

/* For each generation that comes in: so many callers find its token over. Answers how many were failed. */
static void serve_callers(struct stage *s, const char *name, int orders, int reports)
{
    int64_t generation;
    open_house(s);
    start_as(s, name);
    while (read(orders, &generation, sizeof generation) == sizeof generation) {
        _Atomic int done = 0, failed = 0;
        struct caller all[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            all[i] = (struct caller){ .wait.done = told, .told = &done, .failed = &failed };
            renewals_ask(s->r, s->row.id, generation, RENEWAL_EXPIRED, &all[i].wait);
        }
        for (int i = 0; i < WAIT_MS && atomic_load(&done) < CALLERS; i++)
            poll(NULL, 0, 1);
        int bad = failed + CALLERS - done;
        if (write(reports, &bad, sizeof bad) != sizeof bad)
            break;
    }
    stop(s);
}

static struct node node_start(struct stage *s, const char *name)
{
    int orders[2], reports[2];
    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        close(orders[1]);
        close(reports[0]);
        serve_callers(s, name, orders[0], reports[1]);
        _exit(0);
    }
    close(orders[0]);
    close(reports[1]);
    return (struct node){ pid, orders[1], reports[0] };
}

/* Requirement 10.1. A later node has the pipes of the earlier ones open, so each is told to stop from the last to the first. */
static void three_nodes_make_one_request_for_each_token_that_is_over(void **state)
{
    struct stage *s = *state;
    NEEDS_SERVER(s)
    struct node nodes[NODES];
    int64_t rounds = getenv("RACCORD_EXPIRIES") ? strtol(getenv("RACCORD_EXPIRIES"), NULL, 10) : 100;
    start(s);
    obtain(s);
    close_house(s);
    for (int i = 0; i < NODES; i++)
        nodes[i] = node_start(s, (const char *[]){ "one", "two", "three" }[i]);
    open_house(s);
    for (int64_t generation = 1; generation <= rounds; generation++) {
        expire(s);
        for (int i = 0; i < NODES; i++)
            assert_int_equal(write(nodes[i].orders, &generation, sizeof generation), sizeof generation);
        for (int i = 0, bad = -1; i < NODES; i++) {
            assert_int_equal(read(nodes[i].reports, &bad, sizeof bad), sizeof bad);
            assert_int_equal(bad, 0);
        }
        assert_int_equal(grant(s).grant.generation, generation + 1);
    }
    assert_int_equal(logged(s, "requests"), rounds);
    assert_int_equal(logged(s, "revoked"), 0);
    for (int i = NODES, status; i-- > 0;) {
        close(nodes[i].orders);
        close(nodes[i].reports);
        assert_int_equal(waitpid(nodes[i].pid, &status, 0), nodes[i].pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* Answers how long it lived, in microseconds. */
static int64_t run_and_kill(struct stage *s, int64_t after_us)
{
    int64_t began = clock_mono_us();
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        open_house(s);
        start(s);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        _exit(renew(s, grant(s).grant.generation));
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) == 1)
        began = clock_mono_us();
    close(ready[0]);
    struct timespec t = { after_us / 1000000, after_us % 1000000 * 1000 };
    if (after_us >= 0)
        nanosleep(&t, NULL);
    if (after_us >= 0)
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return clock_mono_us() - began;
}

/* Did an answer reach its room on the disk? */
static bool answer_on_disk(struct stage *s)
{
    struct str files = hub_files(s->hub);
    bool found = str_find_str(files, STR("answer 1")) != SIZE_MAX;
    free((char *)(uintptr_t)files.p);
    return found;
}

static void killed_at_any_moment_no_answer_that_arrived_is_lost(void **state)
{
    struct stage *s = *state;
    NEEDS_SERVER(s)
    int before = 0, kept = 0, window = 0, taken_up = 0;
    int64_t seconds = getenv("RACCORD_KILLS") ? strtol(getenv("RACCORD_KILLS"), NULL, 10) : 12;
    start(s);
    obtain(s);
    expire(s);
    close_house(s);
    int64_t whole = run_and_kill(s, -1); /* how long one takes */
    open_house(s);
    int64_t until = clock_mono_us() + seconds * 1000000;
    while (clock_mono_us() < until) {
        start(s);
        obtain(s);
        int64_t generation = grant(s).grant.generation;
        expire(s);
        close_house(s);
        uint64_t dice;
        random_bytes(&dice, sizeof dice);
        run_and_kill(s, (int64_t)(dice % (uint64_t)(whole * 5 / 4)));
        bool on_disk = answer_on_disk(s);
        open_house(s);
        start(s);
        bool newer = grant(s).grant.generation > generation;
        bool given = logged(s, "given") > 0;
        assert_true(given || !newer);
        assert_true(newer || !on_disk);
        taken_up += on_disk;
        expire(s);
        enum err e = renew(s, generation + newer);
        if (newer || !given) {
            if (e)
                fail_msg("%s: %s: %s", err_row(e)->code, s->why.subject, s->why.note);
            kept += newer;
            before += !newer;
        } else {
            /* Given, and the process died before the answer was on the disk: only a person can mend it, and that is said. */
            assert_int_equal(e, ERR_RECONNECT_REQUIRED);
            assert_string_equal(grant(s).grant.reason.p, "answer_lost");
            window++;
        }
        stop(s);
    }
    start(s);
    fprintf(stderr, "# %d kills: %d before the server gave, %d with the answer kept (%d from the journal), %d between\n",
            before + kept + window, before, kept, taken_up, window);
    assert_true(before + kept > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ten_thousand_callers_are_one_request_in_the_servers_log),
        T(three_nodes_make_one_request_for_each_token_that_is_over),
        T(an_answer_lost_on_its_way_costs_exactly_one_more_request),
        T(a_server_that_is_not_well_or_slow_fails_nobody),
        T(a_stop_waits_for_the_answer_and_keeps_it),
        T(killed_at_any_moment_no_answer_that_arrived_is_lost),
    };
    struct fault why;
    boot = arena_new(64 * 1024);
    if (authority_start()) {
        struct str text =
            str_fmt(boot,
                    "{\"type\":\"oauth2_authorization_code\",\"oauth\":{\"token_url\":\"%s/token\","
                    "\"client_authentication\":\"client_secret_basic\",\"scopes\":[\"openid\",\"offline_access\",\"read\"]}}",
                    authority.issuer);
        if (json_read(boot, text, &entry, &why))
            return 2;
    }
    int failed = cmocka_run_group_tests_name("auth/renewal_oidc", tests, NULL, NULL);
    if (authority.pid > 0) {
        close(authority.in);
        waitpid(authority.pid, NULL, 0);
    }
    arena_free(boot);
    return failed;
}
