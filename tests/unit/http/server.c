#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/server.h"
#include "wire.h"

/* A server whose handler does what the path says; a raw client at the other end. */
struct house {
    struct machine machine;
    struct server *server;
    uint16_t port;
    struct tally entered, gone, drained;
    struct exchange *held;        /* of /hold; loop thread only */
    size_t body_max;              /* of /sum */
    _Atomic long long written;    /* by /flood */
    char block[65536];
};

struct visit {
    struct house *house;
    char text[64 * 1024];
    size_t n, body;
    bool paused;
    uint64_t flood_left;
};

static struct house *house_of(struct exchange *x) { return ((struct visit *)exchange_user(x))->house; }
static void on_gone(struct exchange *x) { tally_add(&house_of(x)->gone); }

/* ---- handlers ---- */

static size_t echo_sink(struct exchange *x, struct str span, bool end)
{
    struct visit *v = exchange_user(x);
    if (end) {
        exchange_status(x, 200, STR_NONE);
        exchange_body(x, FRAMING_CHUNKED, 0);
        exchange_write(x, (struct str){ v->text, v->n });
        exchange_end(x);
        return 0;
    }
    assert_true(v->n + span.n <= sizeof v->text);
    memcpy(v->text + v->n, span.p, span.n);
    v->n += span.n;
    return span.n;
}

/* Adds up, and refuses what is too long. */
static size_t sum_sink(struct exchange *x, struct str span, bool end)
{
    struct visit *v = exchange_user(x);
    char text[32];
    v->body += span.n;
    if (v->body > v->house->body_max) {
        exchange_answer(x, 413, "text/plain", STR("too large"));
        return span.n;
    }
    if (end)
        exchange_answer(x, 200, "text/plain", (struct str){ text, (size_t)snprintf(text, sizeof text, "%zu", v->body) });
    return span.n;
}

static void resume_it(struct timer *t);
struct resuming {
    struct timer timer;
    struct exchange *x;
};

/* Takes 10 bytes, then waits a tick: for back-pressure on uploads. */
static size_t sip_sink(struct exchange *x, struct str span, bool end)
{
    struct visit *v = exchange_user(x);
    if (end) {
        exchange_answer(x, 200, "text/plain", (struct str){ v->text, v->n });
        return 0;
    }
    size_t n = span.n < 10 ? span.n : 10;
    memcpy(v->text + v->n, span.p, n);
    v->n += n;
    if (n < span.n) {
        struct resuming *r = arena_zero(exchange_arena(x), sizeof *r);
        r->x = x;
        timer_set(exchange_loop(x), &r->timer, 0, resume_it);
    }
    return n;
}

static void resume_it(struct timer *t) { exchange_resume(list_entry(t, struct resuming, timer)->x); }

static void flood(struct exchange *x)
{
    struct visit *v = exchange_user(x);
    while (v->flood_left) {
        size_t n = v->flood_left < sizeof v->house->block ? (size_t)v->flood_left : sizeof v->house->block;
        size_t taken = exchange_write(x, (struct str){ v->house->block, n });
        v->flood_left -= taken;
        v->house->written += (long long)taken;
        if (taken < n)
            return;
    }
    exchange_end(x);
}

static void enter(struct exchange *x, void *context)
{
    struct house *h = context;
    struct visit *v = arena_zero(exchange_arena(x), sizeof *v);
    const struct head *head = exchange_head(x);
    v->house = h;
    exchange_set_user(x, v);
    exchange_on_gone(x, on_gone);
    if (str_is(head->path, "/echo")) {
        exchange_read(x, echo_sink);
    } else if (str_is(head->path, "/sum")) {
        exchange_read(x, sum_sink);
    } else if (str_is(head->path, "/sip")) {
        exchange_read(x, sip_sink);
    } else if (str_is(head->path, "/hold")) {
        h->held = x;
    } else if (str_is(head->path, "/half")) {
        exchange_status(x, 200, STR_NONE);
        exchange_body(x, str_is(head->query, "chunked") ? FRAMING_CHUNKED : FRAMING_LENGTH, 100);
        exchange_write(x, STR("half of it"));
        exchange_flush(x);
        exchange_abort(x);
    } else if (str_is(head->path, "/short")) { /* ends without what it announced */
        exchange_status(x, 200, STR_NONE);
        exchange_body(x, FRAMING_LENGTH, 100);
        exchange_write(x, STR("half of it"));
        exchange_end(x);
    } else if (str_is(head->path, "/trickle")) { /* says a little and no more for now */
        exchange_status(x, 200, STR_NONE);
        exchange_body(x, FRAMING_CHUNKED, 0);
        exchange_write(x, STR("tick"));
    } else if (str_is(head->path, "/flood")) {
        v->flood_left = 64ull << 20;
        exchange_on_drained(x, flood);
        exchange_status(x, 200, STR_NONE);
        exchange_body(x, str_is(head->query, "chunked") ? FRAMING_CHUNKED : FRAMING_LENGTH, v->flood_left);
        flood(x);
    } else {
        exchange_answer(x, 200, "text/plain", head->path);
    }
    tally_add(&h->entered);
}

/* ---- set-up ---- */

static struct server_limits limits_preset(void)
{
    return (struct server_limits){ .head = HEAD_LIMITS_PRESET, .head_ms = 60000, .idle_ms = 60000, .total_ms = 60000,
                                   .body_window_ms = 60000, .write_ms = 60000, .body_rate = 500, .clients = 100 };
}

static struct house *house_open(struct server_limits limits)
{
    struct house *h = calloc(1, sizeof *h);
    struct address at = { .family = 4, .ip = { 127, 0, 0, 1 } };
    struct fault why;
    int fd;
    *h = (struct house){ .entered = TALLY, .gone = TALLY, .drained = TALLY, .body_max = 1000 };
    memset(h->block, 'x', sizeof h->block);
    machine_start(&h->machine);
    assert_int_equal(server_listen(&at, &fd, &at, &why), ERR_NONE);
    h->port = at.port;
    struct server_config c = { .loop = h->machine.loop, .limits = limits, .enter = enter, .context = h };
    assert_int_equal(server_new(&c, fd, &h->server, &why), ERR_NONE);
    machine_run(&h->machine);
    return h;
}

static void free_server(void *what)
{
    struct house *h = what;
    server_free(h->server);
}

static void house_close(struct house *h)
{
    on_loop(&h->machine, free_server, h);
    machine_join(&h->machine);
    loop_free(h->machine.loop);
    free(h);
}

static int setup(void **state)
{
    *state = house_open(limits_preset());
    return 0;
}

static int teardown(void **state)
{
    house_close(*state);
    return 0;
}

/* Sends all, reads until the end. */
static struct heard exchange_raw(struct house *h, struct str bytes)
{
    struct heard got = { 0 };
    int fd = tcp_connect(h->port, 0);
    tcp_send(fd, bytes);
    hear_all(fd, &got);
    close(fd);
    return got;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

/* ---- keep-alive and pipelines ---- */

static void a_connection_is_kept_for_the_next_request(void **state)
{
    struct house *h = *state;
    struct heard got = { 0 };
    int fd = tcp_connect(h->port, 0);
    say(fd, GET("/one"));
    assert_true(hear_until(fd, &got, "/one", 1));
    say(fd, LAST("/two"));
    hear_all(fd, &got);
    assert_non_null(strstr(got.p, "/two"));
    assert_int_equal(got.ending, END_ORDERLY);
    assert_int_equal(server_accepted(h->server), 1);
    assert_int_equal(count_of(&got, "Connection: close"), 1);
    assert_int_equal(count_of(&got, "\r\nDate: "), 2);
    close(fd);
    heard_free(&got);
}

static void ten_requests_in_one_write_are_answered_in_order(void **state)
{
    struct house *h = *state;
    struct heard got = exchange_raw(
        h,
        STR(GET("/0") GET("/1") GET("/2") GET("/3") "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n/4.." GET("/5") GET(
            "/6") "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/7\r\n0\r\nTrailer: x\r\n\r\n" GET("/8")
                LAST("/9")));
    const char *at = got.p;
    assert_int_equal(count_of(&got, "HTTP/1.1 200 OK\r\n"), 10);
    for (int i = 0; i < 10; i++) {
        char path[4];
        snprintf(path, sizeof path, "/%d", i);
        assert_non_null(at = strstr(at, path));
    }
    heard_free(&got);
}

static void a_request_that_comes_byte_by_byte_is_understood(void **state)
{
    struct house *h = *state;
    struct str all = STR("POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3;a=\"b\"\r\nabc\r\n000a\r\n0123456789\r\n0\r\nX: y\r\n\r\n");
    struct heard got = { 0 };
    int fd = tcp_connect(h->port, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (size_t i = 0; i < all.n; i++)
        tcp_send(fd, str_sub(all, i, i + 1));
    hear_all(fd, &got);
    assert_non_null(strstr(got.p, "\r\n\r\nd\r\nabc0123456789\r\n0\r\n\r\n"));
    close(fd);
    heard_free(&got);
}

static void head_gets_the_head_of_get_and_no_body(void **state)
{
    struct house *h = *state;
    struct heard got =
        exchange_raw(h, STR("HEAD /path HTTP/1.1\r\nHost: h\r\n\r\nHEAD /flood?chunked HTTP/1.1\r\nHost: h\r\n\r\n" LAST("/z")));
    assert_int_equal(count_of(&got, "HTTP/1.1 200"), 3);
    assert_non_null(strstr(got.p, "Content-Length: 5\r\n"));
    assert_int_equal(count_of(&got, "xxx"), 0);
    assert_null(strstr(got.p, "\r\n\r\n/path"));
    heard_free(&got);
}

static void http_1_0_is_closed_unless_it_asks_for_more(void **state)
{
    struct house *h = *state;
    struct heard got = exchange_raw(h, STR("GET /a HTTP/1.0\r\n\r\n"));
    assert_non_null(strstr(got.p, "Connection: close\r\n"));
    assert_int_equal(got.ending, END_ORDERLY);
    heard_free(&got);

    got = exchange_raw(h, STR("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n"));
    assert_int_equal(count_of(&got, "HTTP/1.1 200"), 2);
    assert_non_null(strstr(got.p, "Connection: keep-alive\r\n"));
    heard_free(&got);

    /* It knows no chunks: the end of the connection is the end of the body. */
    got = exchange_raw(h, STR("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"));
    assert_null(strstr(got.p, "chunked"));
    assert_non_null(strstr(got.p, "\r\n\r\nabc"));
    assert_int_equal(got.ending, END_ORDERLY);
    heard_free(&got);
}

/* ---- Expect ---- */

static void who_expects_100_is_told_to_go_on_when_the_body_is_wanted(void **state)
{
    struct house *h = *state;
    struct heard got = { 0 };
    int fd = tcp_connect(h->port, 0);
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n");
    assert_true(hear_until(fd, &got, "HTTP/1.1 100 Continue\r\n\r\n", 1));
    say(fd, "body");
    hear_all(fd, &got);
    assert_non_null(strstr(got.p, "body"));
    close(fd);
    heard_free(&got);
}

static void who_expects_100_and_gets_an_answer_is_closed_as_nobody_knows_what_follows(void **state)
{
    struct house *h = *state;
    struct heard got = exchange_raw(h, STR("POST /other HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
    assert_null(strstr(got.p, "100 Continue"));
    assert_non_null(strstr(got.p, "Connection: close\r\n"));
    assert_int_equal(got.ending, END_ORDERLY);
    heard_free(&got);
}

/* ---- refusals ---- */

static void what_cannot_be_understood_is_answered_and_closed(void **state)
{
    static const struct {
        const char *sent, *status;
    } rows[] = {
        { "GET / HTTP/1.1\r\n\r\n", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400" },
        { "GET / HTTP/1.1\nHost: a\n\n", "400" },
        { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "400" },
        { "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "400" },
        { "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400" },
        { "POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400" },
        { "POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "400" },
        { "POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "400" },
        { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505" },
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 1\r\n\r\nx", "417" },
        { "\x16\x03\x01\x02", "400" },
    };
    struct house *h = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char all[512];
        snprintf(all, sizeof all, "%s" LAST("/smuggled"), rows[i].sent);
        struct heard got = exchange_raw(h, str_of(all));
        if (!got.p || strncmp(got.p + 9, rows[i].status, 3) != 0)
            fail_msg("row %zu: %s instead of %s", i, got.p ? got.p : "nothing", rows[i].status);
        assert_int_equal(count_of(&got, "HTTP/1.1"), 1);
        assert_non_null(strstr(got.p, "Connection: close\r\n"));
        assert_null(strstr(got.p, "smuggled"));
        assert_int_equal(got.ending, END_ORDERLY);
        heard_free(&got);
    }
    assert_int_equal(tally_now(&h->gone), 3); /* those with a bad chunk had a handler */
}

static void a_head_at_its_limits_is_read_and_one_byte_more_refused(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.head = (struct head_limits){ .max_bytes = 2048, .max_uri = 100, .max_headers = 10 };
    struct house *h = house_open(limits);
    char all[8192];
    static const struct { int uri, headers, fill; const char *status;
    } rows[] = {
        { 100, 2, 0, "200" }, { 101, 2, 0, "414" },   { 10, 10, 0, "200" },
        { 10, 11, 0, "431" }, { 10, 3, 2048, "200" }, { 10, 3, 2049, "431" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int n = snprintf(all, sizeof all, "GET /%0*d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", rows[i].uri - 1, 7);
        for (int k = 2; k < rows[i].headers; k++)
            n += snprintf(all + n, sizeof all - (size_t)n, rows[i].fill ? "X: %0*d\r\n" : "X: %0*d\r\n",
                          rows[i].fill ? rows[i].fill - n - 7 : 1, 1);
        n += snprintf(all + n, sizeof all - (size_t)n, "\r\n");
        if (rows[i].fill)
            assert_int_equal(n, rows[i].fill);
        struct heard got = exchange_raw(h, (struct str){ all, (size_t)n });
        if (!got.p || strncmp(got.p + 9, rows[i].status, 3) != 0)
            fail_msg("row %zu: %s instead of %s", i, got.p ? got.p : "nothing", rows[i].status);
        heard_free(&got);
    }
    house_close(h);
}

/* ---- bodies that are too large ---- */

static void who_sends_too_much_still_receives_the_refusal(void **state)
{
    struct house *h = *state;
    static char megabyte[1 << 20];
    static const char *const heads[] = {
        "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 20971520\r\n\r\n",
        "POST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1400000\r\n",
        "POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 20971520\r\n\r\n", /* answered without a look at the body */
    };
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct heard got = { 0 };
        int fd = tcp_connect(h->port, 0);
        bool sent = tcp_send(fd, str_of(heads[i]));
        for (int k = 0; k < 20; k++)
            sent = sent && tcp_send(fd, (struct str){ megabyte, sizeof megabyte });
        assert_true(sent); /* a client that sends first and reads then must not be cut off */
        hear_all(fd, &got);
        assert_non_null(got.p);
        assert_non_null(strstr(got.p, i == 2 ? "200 OK" : "413 Content Too Large"));
        assert_int_equal(got.ending, END_ORDERLY);
        close(fd);
        heard_free(&got);
    }
}

static void a_small_body_that_nobody_read_does_not_cost_the_connection(void **state)
{
    struct house *h = *state;
    struct heard got = exchange_raw(h, STR("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nHELLO" LAST("/next")));
    assert_int_equal(count_of(&got, "200 OK"), 2);
    assert_non_null(strstr(got.p, "/next"));
    heard_free(&got);
}

/* ---- time ---- */

static void a_head_that_does_not_come_whole_is_answered_408(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.head_ms = 200;
    struct house *h = house_open(limits);
    struct heard got = exchange_raw(h, STR("GET / HTTP/1.1\r\nHost: a\r\nX: "));
    assert_non_null(got.p);
    assert_non_null(strstr(got.p, "408 Request Timeout"));
    heard_free(&got);
    got = exchange_raw(h, STR("")); /* who says nothing at all gets nothing */
    assert_int_equal(got.n, 0);
    assert_int_equal(got.ending, END_ORDERLY);
    heard_free(&got);
    house_close(h);
}

static void an_idle_connection_is_closed(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.idle_ms = 200;
    struct house *h = house_open(limits);
    struct heard got = exchange_raw(h, STR(GET("/a")));
    assert_int_equal(count_of(&got, "200 OK"), 1);
    assert_int_equal(got.ending, END_ORDERLY);
    heard_free(&got);
    house_close(h);
}

static void a_body_slower_than_the_rate_is_answered_408_and_the_handler_told(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.body_window_ms = 300;
    struct house *h = house_open(limits);
    struct heard got = exchange_raw(h, STR("POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\nslow"));
    assert_non_null(strstr(got.p, "408 Request Timeout"));
    assert_int_equal(tally_now(&h->gone), 1);
    heard_free(&got);
    house_close(h);
}

/* The sink takes ten bytes a tick: the sender is not to blame for the pauses. */
static void a_slow_handler_is_not_taken_for_a_slow_client(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.body_window_ms = 300;
    limits.total_ms = 400;
    struct house *h = house_open(limits);
    struct heard got = exchange_raw(h, STR("POST /sip HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 90\r\n\r\n"
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"));
    assert_non_null(strstr(got.p, "200 OK"));
    assert_non_null(strstr(got.p, "\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789"));
    assert_int_equal(tally_now(&h->gone), 0);
    heard_free(&got);
    house_close(h);
}

static void a_handler_that_takes_too_long_is_told_and_the_client_answered_408(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.total_ms = 200;
    struct house *h = house_open(limits);
    struct heard got = exchange_raw(h, STR(GET("/hold")));
    assert_non_null(strstr(got.p, "408 "));
    assert_int_equal(tally_now(&h->gone), 1);
    heard_free(&got);
    house_close(h);
}

static void a_reader_that_takes_nothing_is_given_up(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.write_ms = 300;
    struct house *h = house_open(limits);
    int fd = tcp_connect(h->port, 4096);
    say(fd, GET("/flood"));
    assert_true(tally_wait(&h->gone, 1));
    close(fd);
    house_close(h);
}

/* ---- clients that leave ---- */

static void a_client_that_leaves_is_noticed_once_in_every_phase(void **state)
{
    struct house *h = *state;
    static const char *const sent[] = {
        GET("/hold"),
        "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome",
        "POST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        GET("/trickle"),
        GET("/flood"),
        GET("/flood?chunked"),
    };
    for (int i = 0; i < (int)COUNT(sent); i++)
        for (int reset = 0; reset < 2; reset++) {
            int fd = tcp_connect(h->port, 4096), before = tally_now(&h->gone), entered = tally_now(&h->entered);
            struct linger now = { 1, 0 };
            tcp_send(fd, str_of(sent[i]));
            assert_true(tally_wait(&h->entered, entered + 1));
            if (reset)
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(fd);
            if (!tally_wait(&h->gone, before + 1))
                fail_msg("row %d: nobody noticed", i);
            assert_int_equal(tally_now(&h->gone), before + 1);
        }
    /* Before a handler has it, nobody is told. */
    int gone = tally_now(&h->gone), fd = tcp_connect(h->port, 0);
    say(fd, "GET / HT");
    close(fd);
    struct heard got = exchange_raw(h, STR(LAST("/still-here")));
    assert_non_null(strstr(got.p, "/still-here"));
    assert_int_equal(tally_now(&h->gone), gone);
    heard_free(&got);
}

/* ---- half answers ---- */

static void half_an_answer_never_looks_whole(void **state)
{
    struct house *h = *state;
    static const char *const sent[] = { GET("/half"), GET("/half?chunked"), "GET /half?chunked HTTP/1.0\r\n\r\n", GET("/short") };
    for (size_t i = 0; i < COUNT(sent); i++) {
        struct heard got = exchange_raw(h, str_of(sent[i]));
        if (got.ending != END_RESET)
            fail_msg("row %zu: an orderly end after %s", i, got.p);
        assert_true(!got.p || !strstr(got.p, "\r\n0\r\n"));
        heard_free(&got);
    }
}

static void an_answer_that_trickles_leaves_at_once(void **state)
{
    struct house *h = *state;
    struct heard got = { 0 };
    int fd = tcp_connect(h->port, 0);
    say(fd, GET("/trickle"));
    assert_true(hear_until(fd, &got, "4\r\ntick\r\n", 1));
    close(fd);
    heard_free(&got);
}

/* ---- back-pressure ---- */

static void a_slow_reader_holds_the_writer_and_gets_every_byte(void **state)
{
    struct house *h = *state;
    static const char *const sent[] = { LAST("/flood"), LAST("/flood?chunked") };
    for (int i = 0; i < 2; i++) {
        struct heard got = { 0 };
        int fd = tcp_connect(h->port, 4096);
        h->written = 0;
        tcp_send(fd, str_of(sent[i]));
        assert_true(hear(fd, &got));
        /* Another request goes through its whole life meanwhile: the writer had its time, and the kernel's buffers are what it
         * could fill. */
        for (int k = 0; k < 20; k++) {
            struct heard other = exchange_raw(h, STR(LAST("/other")));
            heard_free(&other);
        }
        assert_true(h->written < 16ll << 20);
        hear_all(fd, &got);
        assert_true(got.n > 64u << 20);
        if (i)
            assert_memory_equal(got.p + got.n - 7, "\r\n0\r\n\r\n", 7);
        else
            assert_int_equal(got.n - (size_t)(strstr(got.p, "\r\n\r\n") + 4 - got.p), 64 << 20);
        close(fd);
        heard_free(&got);
    }
}

/* ---- the end ---- */

static void on_drained(void *context) { tally_add(&((struct house *)context)->drained); }

static void drain(void *what)
{
    struct house *h = what;
    server_drain(h->server, on_drained, h);
}

static void end_held(void *what)
{
    struct house *h = what;
    exchange_answer(h->held, 200, "text/plain", STR("held"));
}

static void a_drain_closes_the_idle_and_waits_for_the_busy(void **state)
{
    struct house *h = *state;
    struct heard idle = { 0 }, busy = { 0 };
    int idle_fd = tcp_connect(h->port, 0), busy_fd = tcp_connect(h->port, 0);
    say(idle_fd, GET("/a"));
    assert_true(hear_until(idle_fd, &idle, "/a", 1));
    int entered = tally_now(&h->entered);
    say(busy_fd, GET("/hold"));
    assert_true(tally_wait(&h->entered, entered + 1));

    on_loop(&h->machine, drain, h);
    hear_all(idle_fd, &idle);
    assert_int_equal(idle.ending, END_ORDERLY);
    assert_int_equal(tally_now(&h->drained), 0);

    on_loop(&h->machine, end_held, h);
    hear_all(busy_fd, &busy);
    assert_non_null(strstr(busy.p, "held"));
    assert_non_null(strstr(busy.p, "Connection: close"));
    close(busy_fd);
    close(idle_fd);
    assert_true(tally_wait(&h->drained, 1));
    heard_free(&idle);
    heard_free(&busy);
}

static void a_server_that_ends_tells_handlers_that_their_clients_are_gone(void **state)
{
    (void)state;
    struct house *h = house_open(limits_preset());
    int fd = tcp_connect(h->port, 0);
    say(fd, GET("/hold"));
    assert_true(tally_wait(&h->entered, 1));
    on_loop(&h->machine, free_server, h);
    assert_int_equal(tally_now(&h->gone), 1);
    machine_join(&h->machine);
    loop_free(h->machine.loop);
    free(h);
    close(fd);
}

static void beyond_its_limit_of_clients_the_server_lets_them_wait(void **state)
{
    (void)state;
    struct server_limits limits = limits_preset();
    limits.clients = 2;
    struct house *h = house_open(limits);
    struct heard a = { 0 }, c = { 0 };
    int first = tcp_connect(h->port, 0), second = tcp_connect(h->port, 0);
    say(first, GET("/a"));
    assert_true(hear_until(first, &a, "/a", 1));
    int third = tcp_connect(h->port, 0);
    say(third, LAST("/c"));
    say(first, GET("/b"));
    assert_true(hear_until(first, &a, "/b", 1)); /* the others are served as before */
    close(second);
    hear_all(third, &c);
    assert_non_null(strstr(c.p, "/c"));
    close(first);
    close(third);
    heard_free(&a);
    heard_free(&c);
    house_close(h);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_connection_is_kept_for_the_next_request),
        CASE(ten_requests_in_one_write_are_answered_in_order),
        CASE(a_request_that_comes_byte_by_byte_is_understood),
        CASE(head_gets_the_head_of_get_and_no_body),
        CASE(http_1_0_is_closed_unless_it_asks_for_more),
        CASE(who_expects_100_is_told_to_go_on_when_the_body_is_wanted),
        CASE(who_expects_100_and_gets_an_answer_is_closed_as_nobody_knows_what_follows),
        CASE(what_cannot_be_understood_is_answered_and_closed),
        cmocka_unit_test(a_head_at_its_limits_is_read_and_one_byte_more_refused),
        CASE(who_sends_too_much_still_receives_the_refusal),
        CASE(a_small_body_that_nobody_read_does_not_cost_the_connection),
        cmocka_unit_test(a_head_that_does_not_come_whole_is_answered_408),
        cmocka_unit_test(an_idle_connection_is_closed),
        cmocka_unit_test(a_body_slower_than_the_rate_is_answered_408_and_the_handler_told),
        cmocka_unit_test(a_slow_handler_is_not_taken_for_a_slow_client),
        cmocka_unit_test(a_handler_that_takes_too_long_is_told_and_the_client_answered_408),
        cmocka_unit_test(a_reader_that_takes_nothing_is_given_up),
        CASE(a_client_that_leaves_is_noticed_once_in_every_phase),
        CASE(half_an_answer_never_looks_whole),
        CASE(an_answer_that_trickles_leaves_at_once),
        CASE(a_slow_reader_holds_the_writer_and_gets_every_byte),
        CASE(a_drain_closes_the_idle_and_waits_for_the_busy),
        cmocka_unit_test(a_server_that_ends_tells_handlers_that_their_clients_are_gone),
        cmocka_unit_test(beyond_its_limit_of_clients_the_server_lets_them_wait),
    };
    return cmocka_run_group_tests_name("http/server", tests, NULL, NULL);
}
