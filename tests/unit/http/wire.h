/* What the tests of server and upstream share: a loop on a thread, and raw sockets with deadlines. Nothing sleeps. */
#ifndef TESTS_HTTP_WIRE_H
#define TESTS_HTTP_WIRE_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "loop/loop.h"

#define DEADLINE_MS 60000 /* sanitizers on a busy machine are slow */

/* ---- a loop of its own thread ---- */

struct machine {
    struct loop *loop;
    pthread_t thread;
};

static void *machine_main(void *context)
{
    loop_run(((struct machine *)context)->loop);
    return NULL;
}

static void machine_start(struct machine *m)
{
    struct fault why;
    assert_int_equal(loop_new(0, &m->loop, &why), ERR_NONE);
}

static void machine_run(struct machine *m) { assert_int_equal(pthread_create(&m->thread, NULL, machine_main, m), 0); }

struct errand {
    struct loop_job job;
    void (*run)(void *what);
    void *what;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool over;
};

static void run_errand(struct loop_job *job)
{
    struct errand *e = list_entry(job, struct errand, job);
    e->run(e->what);
    pthread_mutex_lock(&e->lock);
    e->over = true;
    pthread_cond_signal(&e->done);
    pthread_mutex_unlock(&e->lock);
}

/* Runs it on the loop's thread and waits. */
static void on_loop(struct machine *m, void (*run)(void *what), void *what)
{
    struct errand e = { { NULL, run_errand }, run, what, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
    loop_post(m->loop, &e.job);
    pthread_mutex_lock(&e.lock);
    while (!e.over)
        pthread_cond_wait(&e.done, &e.lock);
    pthread_mutex_unlock(&e.lock);
}

static void stop_loop(void *loop) { loop_stop(loop); }

static void machine_join(struct machine *m)
{
    on_loop(m, stop_loop, m->loop);
    pthread_join(m->thread, NULL);
}

/* ---- what threads tell each other ---- */

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n;
};
#define TALLY { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline void tally_add(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    t->n++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static inline int tally_now(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    int n = t->n;
    pthread_mutex_unlock(&t->lock);
    return n;
}

/* False when it has not come to n in time. */
static inline bool tally_wait(struct tally *t, int n)
{
    struct timespec until;
    int e = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&t->lock);
    while (t->n < n && !e)
        e = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
    return !e;
}

/* ---- raw sockets ---- */

static inline int tcp_connect(uint16_t port, int receive_buffer)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static inline int tcp_listen(uint16_t *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static inline bool tcp_ready(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    int r;
    do
        r = poll(&p, 1, DEADLINE_MS);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

/* False when the peer is gone. */
static inline bool tcp_send(int fd, struct str bytes)
{
    while (bytes.n) {
        if (!tcp_ready(fd, POLLOUT))
            return false;
        ssize_t r = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return false;
        bytes = str_sub(bytes, (size_t)r, bytes.n);
    }
    return true;
}

#define say(fd, literal) tcp_send(fd, STR(literal))

enum ending { END_NOT_YET, END_ORDERLY, END_RESET, END_SILENCE };

/* What has come, NUL behind it; grows as needed. */
struct heard {
    char *p;
    size_t n, size;
    enum ending ending;
};

static inline void heard_free(struct heard *h)
{
    free(h->p);
    *h = (struct heard){ 0 };
}

static inline bool hear(int fd, struct heard *h)
{
    if (h->size - h->n < 65536) {
        h->size = h->size * 2 + 131072;
        h->p = mem_grow(h->p, h->size);
    }
    if (!tcp_ready(fd, POLLIN)) {
        h->ending = END_SILENCE;
        return false;
    }
    ssize_t r = recv(fd, h->p + h->n, h->size - h->n - 1, 0);
    h->n += r > 0 ? (size_t)r : 0;
    h->p[h->n] = 0;
    if (r <= 0)
        h->ending = r == 0 ? END_ORDERLY : END_RESET;
    return r > 0;
}

/* Reads until `what` stands there `times` times. */
static inline bool hear_until(int fd, struct heard *h, const char *what, int times)
{
    for (;;) {
        int n = 0;
        for (const char *p = h->p ? h->p : ""; (p = strstr(p, what)); p++)
            n++;
        if (n >= times)
            return true;
        if (!hear(fd, h))
            return false;
    }
}

static inline void hear_all(int fd, struct heard *h)
{
    while (hear(fd, h))
        ;
}

static inline int count_of(const struct heard *h, const char *what)
{
    int n = 0;
    for (const char *p = h->p ? h->p : ""; (p = strstr(p, what)); p++)
        n++;
    return n;
}

#endif
