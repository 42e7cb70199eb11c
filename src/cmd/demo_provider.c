/* One thread per connection, blocking: short to read, and nothing like the hub's own server, so that the two check each other. */
#include "cmd/demo_provider.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/demo_crm.h"
#include "crypto/hash.h"
#include "crypto/tls.h"
#include "crypto/x509.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/head.h"

#define CERTIFICATE_DAYS 397 /* the longest that browsers take */
#define CLIENTS_MAX 512
#define IDLE_MS 60000
#define STEP_MS 30000        /* longest wait inside a request */
#define IN_SIZE (80 * 1024)  /* bytes: a whole head, and some of what follows */
#define BODY_MAX (1024 * 1024)
#define STACK_SIZE (256 * 1024)
#define STREAM_STEP (16 * 1024)

struct provider {
    struct demo shown;       /* first: what demo_start answers */
    struct demo_crm *crm;
    struct tls_context *tls;
    int listener, stop;      /* stop: an eventfd that becomes readable for ever */
    pthread_t acceptor;
    pthread_mutex_t lock;    /* over clients */
    pthread_cond_t left;
    int clients;
};

struct client {
    struct provider *provider;
    struct tls *tls;
    int fd;
    struct arena *arena;     /* one exchange */
    char in[IN_SIZE];
    size_t n;                /* bytes in `in` */
};

/* --- Bytes ---------------------------------------------------------------------------------------------------------- */

/* True when the socket is ready; false at the end of the time, of the connection or of the provider. */
static bool wait_for(struct client *c, short events, int ms)
{
    struct pollfd fds[] = { { c->fd, events, 0 }, { c->provider->stop, POLLIN, 0 } };
    int n;
    do
        n = poll(fds, COUNT(fds), ms);
    while (n < 0 && errno == EINTR);
    return n > 0 && !fds[1].revents;
}

/* DONE, or false: what TLS asked to wait for did not come. */
static bool go_on(struct client *c, enum tls_result r, int ms)
{
    if (r == TLS_WANT_READ)
        return wait_for(c, POLLIN, ms);
    return r == TLS_WANT_WRITE && wait_for(c, POLLOUT, ms);
}

static bool handshake(struct client *c)
{
    enum tls_result r;
    while ((r = tls_handshake(c->tls)) != TLS_DONE)
        if (!go_on(c, r, STEP_MS))
            return false;
    return true;
}

static bool read_more(struct client *c, int ms)
{
    size_t got = 0;
    if (c->n == IN_SIZE)
        return false;
    for (;;) {
        enum tls_result r = tls_read(c->tls, c->in + c->n, IN_SIZE - c->n, &got);
        if (r == TLS_DONE) {
            c->n += got;
            return true;
        }
        if (!go_on(c, r, ms))
            return false;
    }
}

static void consume(struct client *c, size_t n)
{
    c->n -= n;
    memmove(c->in, c->in + n, c->n);
}

static bool write_all(struct client *c, struct str s)
{
    while (s.n) {
        size_t put = 0;
        enum tls_result r = tls_write(c->tls, s.p, s.n, &put);
        if (r == TLS_DONE)
            s = str_sub(s, put, s.n);
        else if (!go_on(c, r, STEP_MS))
            return false;
    }
    return true;
}

/* --- Requests ------------------------------------------------------------------------------------------------------- */

/* Its texts point into c->in, so the bytes stay there until the exchange ends. */
static bool read_head(struct client *c, struct head *h, enum head_result *result)
{
    static const struct head_limits limits = HEAD_LIMITS_PRESET;
    size_t resume = 0;
    const char *why;
    while ((*result = head_request((struct str){ c->in, c->n }, &resume, &limits, h, &why)) == HEAD_MORE)
        if (!read_more(c, c->n ? STEP_MS : IDLE_MS))
            return false;
    return true;
}

/* The head's bytes stay at the front; what belongs to the body is taken from behind it. */
static bool take_span(struct client *c, size_t front, struct str *span)
{
    if (c->n == front && !read_more(c, STEP_MS))
        return false;
    *span = (struct str){ c->in + front, c->n - front };
    return true;
}

static void took(struct client *c, size_t front, size_t n)
{
    memmove(c->in + front, c->in + front + n, c->n - front - n);
    c->n -= n;
}

static bool read_length(struct client *c, size_t front, uint64_t length, struct buf *body)
{
    struct str span;
    while (length) {
        if (!take_span(c, front, &span))
            return false;
        size_t n = span.n < length ? span.n : (size_t)length;
        buf_add(body, str_sub(span, 0, n));
        took(c, front, n);
        length -= n;
    }
    return true;
}

static bool read_chunks(struct client *c, size_t front, struct buf *body)
{
    struct chunked d;
    chunked_init(&d);
    for (;;) {
        struct str span, data;
        size_t consumed;
        if (!take_span(c, front, &span))
            return false;
        enum chunked_result r = chunked_next(&d, span, &data, &consumed);
        if (r == CHUNKED_DATA)
            buf_add(body, data);
        if (r == CHUNKED_BAD || buf_failed(body))
            return false;
        took(c, front, consumed);
        if (r == CHUNKED_END)
            return true;
    }
}

static bool read_body(struct client *c, const struct head *h, const struct framing *f, struct str *out)
{
    AUTO_BUF body;
    bool ok = true;
    buf_init(&body, BODY_MAX);
    if (f->kind == FRAMING_LENGTH && f->length > BODY_MAX)
        return false;
    if (f->expect == EXPECT_CONTINUE && !write_all(c, STR("HTTP/1.1 100 Continue\r\n\r\n")))
        return false;
    if (f->kind == FRAMING_LENGTH)
        ok = read_length(c, h->size, f->length, &body);
    else if (f->kind == FRAMING_CHUNKED)
        ok = read_chunks(c, h->size, &body);
    *out = arena_str(c->arena, buf_str(&body));
    return ok && !buf_failed(&body);
}

/* --- Answers -------------------------------------------------------------------------------------------------------- */

static const char *reason(int status)
{
    static const struct { int status; const char *reason; } rows[] = {
        { 200, "OK" }, { 201, "Created" }, { 204, "No Content" }, { 302, "Found" }, { 304, "Not Modified" }, { 400, "Bad Request" },
        { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
        { 412, "Precondition Failed" }, { 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
        { 500, "Internal Server Error" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "As Asked";
}

static bool write_stream(struct client *c, uint64_t bytes)
{
    char *block = arena_alloc(c->arena, STREAM_STEP);
    for (uint64_t at = 0; at < bytes;) {
        size_t n = bytes - at < STREAM_STEP ? (size_t)(bytes - at) : STREAM_STEP;
        for (size_t i = 0; i < n; i++)
            block[i] = demo_byte(at + i);
        if (!write_all(c, (struct str){ block, n }))
            return false;
        at += n;
    }
    return true;
}

static bool write_answer(struct client *c, const struct head *h, const struct demo_answer *answer, bool keep)
{
    AUTO_BUF b;
    buf_init(&b, 64 * 1024);
    bool no_body = answer->status == 204 || answer->status == 304;
    bool is_head = str_is(h->method, "HEAD");
    uint64_t length = answer->stream ? answer->stream : answer->body.n;

    buf_fmt(&b, "HTTP/1.1 %d %s\r\nServer: demonstration\r\n", answer->status, reason(answer->status));
    for (size_t i = 0; i < answer->header_count; i++)
        buf_fmt(&b, "%.*s: %.*s\r\n", STR_ARG(answer->headers[i][0]), STR_ARG(answer->headers[i][1]));
    if (!no_body)
        buf_fmt(&b, "Content-Type: %s\r\nContent-Length: %llu\r\n",
                answer->body.n ? "application/json; charset=utf-8" : "application/octet-stream", (unsigned long long)length);
    buf_fmt(&b, "%s\r\n", keep ? "" : "Connection: close\r\n");
    if (!no_body && !is_head && !answer->stream)
        buf_add(&b, answer->body);
    if (!write_all(c, buf_str(&b)))
        return false;
    return is_head || !answer->stream || write_stream(c, answer->stream);
}

static bool rest(struct client *c, int64_t ms)
{
    struct pollfd stop = { c->provider->stop, POLLIN, 0 };
    return !ms || poll(&stop, 1, (int)ms) == 0;
}

/* One request and its answer. False: the connection ends. */
static bool exchange(struct client *c)
{
    struct head h;
    enum head_result result;
    if (!read_head(c, &h, &result))
        return false;
    if (result != HEAD_DONE) {
        (void)write_all(c, STR("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        return false;
    }
    struct framing f = framing_request(&h);
    struct demo_request q = { .arena = c->arena, .head = &h };
    struct demo_answer answer;
    if (f.kind == FRAMING_BAD || !read_body(c, &h, &f, &q.body)) {
        (void)write_all(c, STR("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        return false;
    }
    demo_crm_answer(c->provider->crm, &q, &answer);
    bool ok = rest(c, answer.wait_ms) && write_answer(c, &h, &answer, f.keep_alive);
    consume(c, h.size);
    return ok && f.keep_alive;
}

static void client_end(struct client *c)
{
    struct provider *p = c->provider;
    if (c->tls)
        tls_shutdown(c->tls);
    tls_free(c->tls);
    close(c->fd);
    arena_free(c->arena);
    free(c);
    pthread_mutex_lock(&p->lock);
    p->clients--;
    pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->lock);
}

static void *client_main(void *what)
{
    struct client *c = what;
    c->arena = arena_new(16 * 1024);
    c->tls = tls_server(c->provider->tls, c->fd);
    if (c->tls && handshake(c))
        while (exchange(c))
            arena_reset(c->arena);
    client_end(c);
    return NULL;
}

/* --- Connections ---------------------------------------------------------------------------------------------------- */

static bool client_admitted(struct provider *p)
{
    pthread_mutex_lock(&p->lock);
    bool ok = p->clients < CLIENTS_MAX;
    p->clients += ok;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

/* Detached: the count of clients says when the last has gone. */
static void client_begin(struct provider *p, int fd)
{
    if (!client_admitted(p)) {
        close(fd);
        return;
    }
    struct client *c = mem_zero(sizeof *c);
    *c = (struct client){ .provider = p, .fd = fd };
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (pthread_create(&thread, &attributes, client_main, c) != 0)
        client_end(c);
    pthread_attr_destroy(&attributes);
}

static void *acceptor_main(void *what)
{
    struct provider *p = what;
    struct pollfd fds[] = { { p->listener, POLLIN, 0 }, { p->stop, POLLIN, 0 } };
    for (;;) {
        int n = poll(fds, COUNT(fds), -1);
        if (fds[1].revents)
            return NULL;
        if (n <= 0 || !fds[0].revents)
            continue;
        int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            client_begin(p, fd);
        else if (errno == EMFILE || errno == ENFILE)
            poll(&fds[1], 1, 100); /* no descriptor is free; the listener stays readable meanwhile */
    }
}

static enum err listen_on_loopback(struct provider *p, struct fault *why)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, size) != 0 || listen(p->listener, 128) != 0 ||
        getsockname(p->listener, (struct sockaddr *)&at, &size) != 0)
        return fault(why, ERR_INTERNAL, STR_NONE, "demonstration provider: cannot listen: %m");
    p->shown.port = ntohs(at.sin_port);
    return ERR_NONE;
}

/* --- Start and stop ------------------------------------------------------------------------------------------------- */

static enum err write_file(const char *path, mode_t mode, struct str bytes, struct fault *why)
{
    char subject[160];
    /* Another start's file is replaced, not written through: it may be a link to somewhere. */
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (ok)
        return ERR_NONE;
    snprintf(subject, sizeof subject, "%s cannot be written: %s", path, strerror(error));
    return fault(why, ERR_FILE, str_of(subject), "demonstration provider");
}

static enum err make_directory(const char *path, struct fault *why)
{
    char subject[160];
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return ERR_NONE;
    snprintf(subject, sizeof subject, "%s cannot be made: %s", path, strerror(errno));
    return fault(why, ERR_FILE, str_of(subject), "demonstration provider");
}

static enum err make_certificates(struct arena *boot, struct str directory, struct provider *p, struct fault *why)
{
    struct x509_ca *ca;
    struct str certificate;
    AUTO_SECRET key = SECRET_NONE;
    const char *folder = str_fmt(boot, "%.*s/demo", STR_ARG(directory)).p;
    p->shown.ca_file = str_fmt(boot, "%s/ca.pem", folder);
    struct str certificate_file = str_fmt(boot, "%s/certificate.pem", folder), key_file = str_fmt(boot, "%s/key.pem", folder);

    enum err e = make_directory(arena_cstr(boot, directory), why);
    if (e || (e = make_directory(folder, why)) || (e = x509_self_ca(STR("Raccord demonstration"), CERTIFICATE_DAYS, &ca, why)))
        return e;
    if (!(e = x509_issue(ca, boot, STR("localhost,127.0.0.1"), CERTIFICATE_DAYS, &certificate, &key, why)) &&
        !(e = write_file(p->shown.ca_file.p, 0644, x509_ca_pem(ca, boot), why)) &&
        !(e = write_file(certificate_file.p, 0644, certificate, why)) && !(e = write_file(key_file.p, 0600, secret_str(key), why)))
        e = tls_server_context(certificate_file, key_file, &p->tls, why);
    x509_ca_free(ca);
    return e;
}

/* Signals are for the main thread; a write to a socket whose peer has gone is an error, not a SIGPIPE. */
static enum err start_acceptor(struct provider *p, struct fault *why)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&p->acceptor, NULL, acceptor_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? fault(why, ERR_INTERNAL, STR_NONE, "demonstration provider: no thread: %s", strerror(error)) : ERR_NONE;
}

static void provider_free(struct provider *p)
{
    if (p->listener >= 0)
        close(p->listener);
    if (p->stop >= 0)
        close(p->stop);
    demo_crm_free(p->crm);
    tls_context_free(p->tls);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->left);
    secret_wipe(p->shown.token, sizeof p->shown.token);
    free(p);
}

#define TOKEN_PREFIX "demo_"
#define TOKEN_RANDOM 40

enum err demo_start(struct arena *boot, struct str directory, struct demo **out, struct fault *why)
{
    struct provider *p = mem_zero(sizeof *p);
    enum err e;

    p->listener = -1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->left, NULL);
    memcpy(p->shown.token, TOKEN_PREFIX, sizeof TOKEN_PREFIX - 1);
    random_text(p->shown.token + sizeof TOKEN_PREFIX - 1, TOKEN_RANDOM);
    p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->stop < 0) {
        e = fault(why, ERR_INTERNAL, STR_NONE, "demonstration provider: eventfd: %m");
        goto undo;
    }
    if ((e = listen_on_loopback(p, why)) || (e = make_certificates(boot, directory, p, why)))
        goto undo;
    p->crm = demo_crm_new(str_fmt(boot, "https://localhost:%u", p->shown.port), str_of(p->shown.token));
    if ((e = start_acceptor(p, why)))
        goto undo;
    *out = &p->shown;
    return ERR_NONE;

undo:
    provider_free(p);
    return e;
}

void demo_stop(struct demo *d)
{
    if (!d)
        return;
    struct provider *p = (struct provider *)d;
    uint64_t one = 1;
    if (write(p->stop, &one, sizeof one) != (ssize_t)sizeof one)
        bug("an eventfd refuses a write: %s", strerror(errno));
    pthread_join(p->acceptor, NULL);
    pthread_mutex_lock(&p->lock);
    while (p->clients)
        pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
    provider_free(p);
}
