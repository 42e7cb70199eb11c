/* tests/unit/auth/token_server.h - a token endpoint on a thread, as strict as they come: each refresh token is good once; who sends
 * an old one ends the family. Faults are switched on for the next requests. Beside it an auth type that asks it.
 */
#ifndef TESTS_AUTH_TOKEN_SERVER_H
#define TESTS_AUTH_TOKEN_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/obtain.h"
#include "base/json.h"

enum fault_kind { FAULT_NONE, FAULT_DROP, FAULT_GARBLE, FAULT_503, FAULT_ODD, FAULT_INVALID_CLIENT, FAULT_HOLD, FAULT_OVER };

struct family { /* shared by processes where a test has several */
    _Atomic int number;         /* of the refresh token that is good */
    _Atomic int requests;       /* token requests since the start */
    _Atomic bool dead;
    _Atomic int fault, faults;  /* of the next so many requests */
    _Atomic int holding;        /* requests that wait for `release` */
    _Atomic bool release;
    _Atomic int lives_s;        /* of an access token; 0: not said */
    _Atomic bool keeps;         /* refresh tokens do not rotate */
};

struct token_server {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic bool stop;
    struct family *family;
};

static inline void server_say(int fd, int status, const char *body, const char *more)
{
    char out[1024];
    int n = snprintf(out, sizeof out, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                     strlen(body), more, body);
    if (write(fd, out, (size_t)n) < 0)
        perror("token server");
}

struct server_task {
    struct token_server *s;
    int fd;
};

static inline void server_grant(struct token_server *s, int fd, int fault, bool keeps)
{
    char body[512], ends[64] = "";
    int n = keeps ? atomic_load(&s->family->number) : atomic_fetch_add(&s->family->number, 1) + 1;
    static _Atomic int access;
    if (s->family->lives_s)
        snprintf(ends, sizeof ends, ",\"expires_in\":%d", s->family->lives_s);
    snprintf(body, sizeof body, "{\"access_token\":\"access-%d\",\"token_type\":\"Bearer\",\"refresh_token\":\"refresh-%d\"%s}",
             keeps ? atomic_fetch_add(&access, 1) + 1 : n, n, ends);
    if (fault == FAULT_DROP)
        return; /* given, and gone */
    if (fault == FAULT_GARBLE)
        body[40] = 0;
    server_say(fd, 200, body, "");
}

static inline void *server_task_main(void *context)
{
    struct server_task *t = context;
    struct token_server *s = t->s;
    struct family *f = s->family;
    char in[8192];
    size_t n = 0;
    for (;;) {
        ssize_t got = read(t->fd, in + n, sizeof in - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        in[n] = 0;
        char *body = strstr(in, "\r\n\r\n"), *length = strstr(in, "Content-Length: ");
        if (!body || !length || strlen(body + 4) < (size_t)strtol(length + 16, NULL, 10))
            continue;
        int number = -1, fault = FAULT_NONE;
        char *token = strstr(body, "refresh-");
        if (token)
            number = (int)strtol(token + 8, NULL, 10);
        atomic_fetch_add(&f->requests, 1);
        if (atomic_load(&f->faults) > 0) {
            atomic_fetch_sub(&f->faults, 1);
            fault = atomic_load(&f->fault);
        }
        if (fault == FAULT_HOLD) {
            atomic_fetch_add(&f->holding, 1);
            while (!atomic_load(&f->release))
                poll(NULL, 0, 2);
            atomic_fetch_sub(&f->holding, 1);
        }
        if (fault == FAULT_503)
            server_say(t->fd, 503, "{}", "");
        else if (fault == FAULT_ODD)
            server_say(t->fd, 400, "", "");
        else if (fault == FAULT_INVALID_CLIENT)
            server_say(t->fd, 401, "{\"error\":\"invalid_client\"}", "");
        else if (fault == FAULT_OVER || atomic_load(&f->dead) || (token && number != atomic_load(&f->number))) {
            atomic_store(&f->dead, fault != FAULT_OVER);
            server_say(t->fd, 400, "{\"error\":\"invalid_grant\"}", "");
        } else
            server_grant(s, t->fd, fault, f->keeps);
        break;
    }
    shutdown(t->fd, SHUT_RDWR);
    close(t->fd);
    free(t);
    return NULL;
}

static inline void *server_main(void *context)
{
    struct token_server *s = context;
    while (!atomic_load(&s->stop)) {
        struct pollfd p = { s->fd, POLLIN, 0 };
        pthread_t thread;
        if (poll(&p, 1, 20) != 1)
            continue;
        struct server_task *t = mem_zero(sizeof *t);
        *t = (struct server_task){ s, accept(s->fd, NULL, NULL) };
        if (t->fd < 0 || pthread_create(&thread, NULL, server_task_main, t))
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static inline void token_server_bind(struct token_server *s, struct family *f)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    *s = (struct token_server){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .family = f };
    if (bind(s->fd, (struct sockaddr *)&at, sizeof at) || listen(s->fd, 512) || getsockname(s->fd, (struct sockaddr *)&at, &size))
        abort();
    s->port = ntohs(at.sin_port);
}

static inline void token_server_run(struct token_server *s)
{
    if (pthread_create(&s->thread, NULL, server_main, s))
        abort();
}

static inline void token_server_end(struct token_server *s)
{
    atomic_store(&s->family->release, true);
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/* ---- an auth type that asks it ---- */

static char token_server_url[64];

static enum err test_build(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    const struct secret *refresh = obtain_value(q, "refresh_token");
    (void)why;
    *out = (struct token_request){ 0 };
    struct str body = q->params ? str_fmt(a, "code=%.*s", STR_ARG(q->params[0].value))
                      : refresh ? str_fmt(a, "grant_type=refresh_token&refresh_token=%.*s", STR_ARG(secret_str(*refresh)))
                                : STR("grant_type=client_credentials");
    out->body = secret_from(body);
    out->http = (struct fetch_request){ .method = STR("POST"), .url = str_of(token_server_url), .body = secret_str(out->body) };
    return ERR_NONE;
}

static void test_read(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                      struct obtained *out)
{
    struct json *body = NULL;
    struct fault unused;
    int64_t seconds;
    (void)q;
    (void)received;
    *out = (struct obtained){ .answer = { .outcome = TOKEN_UNKNOWN, .expires_in_ms = -1, .skew_ms = INT64_MIN, .error = STR("") } };
    bool well = f->body.n && !json_read(a, f->body, &body, &unused);
    struct str error = well ? json_str(body, "error") : STR("");
    if (f->status == 503)
        out->answer.outcome = TOKEN_LATER;
    else if (str_is(error, "invalid_grant"))
        out->answer.outcome = TOKEN_GRANT_OVER;
    else if (str_is(error, "invalid_client"))
        out->answer.outcome = TOKEN_CLIENT_WRONG;
    else if (f->status == 400)
        out->answer.outcome = TOKEN_ODD;
    if (!well || f->status != 200)
        return;
    out->answer.outcome = TOKEN_GIVEN;
    if (json_i64(json_get(body, "expires_in"), &seconds))
        out->answer.expires_in_ms = seconds * 1000;
    out->values[out->count++] = (struct grant_value){ STR("access_token"), secret_from(json_str(body, "access_token")) };
    if (json_get(body, "refresh_token"))
        out->values[out->count++] = (struct grant_value){ STR("refresh_token"), secret_from(json_str(body, "refresh_token")) };
}

static const struct obtain test_obtain = { .auth_type = "bearer", .by_person = true, .build = test_build, .read = test_read };
static const struct obtain test_fetch = { .auth_type = "bearer", .build = test_build, .read = test_read };
static const struct obtain *test_find(struct str auth_type)
{
    (void)auth_type;
    return &test_obtain;
}

#endif
