#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/demo_provider.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/demo_crm.h"
#include "crypto/tls.h"

struct shop {
    struct arena *arena;
    char directory[64];
    struct demo *demo;
    struct tls_context *tls;
};

static int with_shop(void **state)
{
    struct shop *s = mem_zero(sizeof *s);
    struct fault why = { 0 };
    s->arena = arena_new(64 * 1024);
    str_copy(s->directory, sizeof s->directory, STR("/tmp/raccord-demo-XXXXXX"));
    assert_non_null(mkdtemp(s->directory));
    assert_int_equal(demo_start(s->arena, str_of(s->directory), &s->demo, &why), ERR_NONE);
    assert_int_equal(tls_client_context(s->demo->ca_file, &s->tls, &why), ERR_NONE);
    *state = s;
    return 0;
}

static int drop_shop(void **state)
{
    struct shop *s = *state;
    char path[128];
    static const char *const names[] = { "demo/ca.pem", "demo/certificate.pem", "demo/key.pem", "demo", "" };
    demo_stop(s->demo);
    tls_context_free(s->tls);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", s->directory, names[i]);
        assert_int_equal(remove(path), 0);
    }
    arena_free(s->arena);
    free(s);
    return 0;
}

/* A blocking TLS client on a non-blocking engine. */
struct line {
    int fd;
    struct tls *tls;
};

static bool await(struct line *l, enum tls_result r)
{
    struct pollfd p = { l->fd, r == TLS_WANT_WRITE ? POLLOUT : POLLIN, 0 };
    return (r == TLS_WANT_READ || r == TLS_WANT_WRITE) && poll(&p, 1, 10000) == 1;
}

static enum tls_result dial(struct shop *s, struct line *l, const char *host, bool ip)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s->demo->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(l->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(l->fd, F_SETFL, O_NONBLOCK), 0);
    l->tls = tls_client(s->tls, l->fd, host, ip, NULL);
    enum tls_result r;
    while ((r = tls_handshake(l->tls)) != TLS_DONE && await(l, r))
        ;
    return r;
}

static void hang_up(struct line *l)
{
    tls_free(l->tls);
    close(l->fd);
}

static void say(struct line *l, struct str text)
{
    while (text.n) {
        size_t put = 0;
        enum tls_result r = tls_write(l->tls, text.p, text.n, &put);
        if (r == TLS_DONE)
            text = str_sub(text, put, text.n);
        else
            assert_true(await(l, r));
    }
}

/* Until the text ends with `end`, or until the connection does when it is NULL. */
static struct str hear(struct line *l, char *out, size_t size, const char *end)
{
    size_t n = 0;
    while (!end || !str_ends((struct str){ out, n }, str_of(end))) {
        size_t got = 0;
        assert_true(n < size);
        enum tls_result r = tls_read(l->tls, out + n, size - n, &got);
        n += got;
        if (r != TLS_DONE && !await(l, r))
            break;
    }
    return (struct str){ out, n };
}

static struct str request(struct shop *s, const char *first, const char *lines, const char *body)
{
    return str_fmt(s->arena, "%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n%s", first, s->demo->token, lines,
                   body);
}

static void its_certificate_verifies_for_both_of_its_names_and_no_other(void **state)
{
    struct shop *s = *state;
    struct line l;

    assert_int_equal(dial(s, &l, "localhost", false), TLS_DONE);
    hang_up(&l);
    assert_int_equal(dial(s, &l, "127.0.0.1", true), TLS_DONE);
    hang_up(&l);
    assert_int_equal(dial(s, &l, "elsewhere.example", false), TLS_FAILED);
    hang_up(&l);
}

static void one_connection_carries_many_requests_pipelined_ones_too(void **state)
{
    struct shop *s = *state;
    struct line l;
    char text[4096];
    assert_int_equal(dial(s, &l, "localhost", false), TLS_DONE);

    say(&l, request(s, "GET /v1/me", "", ""));
    say(&l, request(s, "HEAD /v1/me", "", ""));
    say(&l, request(s, "GET /v1/slow?ms=0", "Connection: close\r\n", ""));
    struct str all = hear(&l, text, sizeof text, NULL);

    assert_true(str_starts(all, STR("HTTP/1.1 200 OK\r\n")));
    assert_true(str_ends(all, STR("{\"waited_ms\":0}")));
    size_t answers = 0;
    for (size_t i = 0; i + 12 < all.n; i++)
        answers += str_starts(str_sub(all, i, all.n), STR("HTTP/1.1 200"));
    assert_int_equal(answers, 3);
    hang_up(&l);
}

static void a_body_is_taken_by_length_and_in_chunks(void **state)
{
    struct shop *s = *state;
    struct line l;
    char text[8192];
    assert_int_equal(dial(s, &l, "localhost", false), TLS_DONE);

    say(&l, request(s, "POST /v1/contacts", "Content-Length: 41\r\n", "{\"last_name\":\"A\",\"email\":\"a@example.com\"}"));
    say(&l, request(s, "POST /v1/contacts", "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                    "10\r\n{\"last_name\":\"B\"\r\n1a\r\n,\"email\":\"b@example.com\"}\n\r\n0\r\n\r\n"));
    struct str all = hear(&l, text, sizeof text, NULL);

    assert_true(str_find_str(all, STR("\"id\":3001")) != SIZE_MAX);
    assert_true(str_find_str(all, STR("\"id\":3002")) != SIZE_MAX);
    hang_up(&l);
}

static void a_download_has_the_length_and_the_bytes_that_it_says(void **state)
{
    struct shop *s = *state;
    struct line l;
    size_t size = 300 * 1024;
    char *text = mem_zero(size);
    assert_int_equal(dial(s, &l, "localhost", false), TLS_DONE);

    say(&l, request(s, "GET /v1/download?bytes=250000", "Connection: close\r\n", ""));
    struct str all = hear(&l, text, size, NULL);

    assert_true(str_find_str(all, STR("Content-Length: 250000\r\n")) != SIZE_MAX);
    struct str body = str_sub(all, str_find_str(all, STR("\r\n\r\n")) + 4, all.n);
    assert_int_equal(body.n, 250000);
    for (size_t i = 0; i < body.n; i++)
        if (body.p[i] != demo_byte(i))
            fail_msg("byte %zu differs", i);
    free(text);
    hang_up(&l);
}

static void a_stop_does_not_wait_for_slow_answers_or_idle_clients(void **state)
{
    struct shop *s = *state;
    struct line idle, slow;
    struct fault why = { 0 };
    assert_int_equal(dial(s, &idle, "localhost", false), TLS_DONE);
    assert_int_equal(dial(s, &slow, "localhost", false), TLS_DONE);
    say(&slow, request(s, "GET /v1/slow?ms=60000", "", ""));

    int64_t start = clock_mono().ms;
    demo_stop(s->demo);
    assert_true(clock_mono().ms - start < 10000);

    hang_up(&idle);
    hang_up(&slow);
    assert_int_equal(demo_start(s->arena, str_of(s->directory), &s->demo, &why), ERR_NONE);
}

static void the_private_key_is_for_its_owner_only_and_the_authoritys_is_nowhere(void **state)
{
    struct shop *s = *state;
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/demo/key.pem", s->directory);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    snprintf(path, sizeof path, "%s/demo", s->directory);
    DIR *d = opendir(path);
    int files = 0;
    for (struct dirent *e; (e = readdir(d));)
        files += e->d_name[0] != '.';
    closedir(d);
    assert_int_equal(files, 3);
}

static void each_start_has_another_token(void **state)
{
    struct shop *s = *state;
    char before[64];
    struct fault why = { 0 };
    str_copy(before, sizeof before, str_of(s->demo->token));
    demo_stop(s->demo);
    assert_int_equal(demo_start(s->arena, str_of(s->directory), &s->demo, &why), ERR_NONE);

    assert_int_equal(strlen(before), 45);
    assert_string_not_equal(before, s->demo->token);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, with_shop, drop_shop)
    const struct CMUnitTest tests[] = {
        CASE(its_certificate_verifies_for_both_of_its_names_and_no_other),
        CASE(one_connection_carries_many_requests_pipelined_ones_too),
        CASE(a_body_is_taken_by_length_and_in_chunks),
        CASE(a_download_has_the_length_and_the_bytes_that_it_says),
        CASE(a_stop_does_not_wait_for_slow_answers_or_idle_clients),
        CASE(the_private_key_is_for_its_owner_only_and_the_authoritys_is_nowhere),
        CASE(each_start_has_another_token),
    };
    return cmocka_run_group_tests_name("cmd/demo_provider", tests, NULL, NULL);
}
