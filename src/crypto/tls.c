#include "crypto/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"

struct tls_context {
    SSL_CTX *ssl;
    bool server;
    pthread_mutex_t lock; /* a server's: guards `ssl`, which tls_server_reload() replaces */
};

struct tls {
    SSL *ssl;
    enum tls_result state; /* TLS_FAILED: use no more */
    bool unwritable;       /* a write failed: what the peer said before it left may still be read */
    unsigned long error;
};

static int quiet_password(char *buffer, int size, int writing, void *unused)
{
    (void)buffer, (void)size, (void)writing, (void)unused;
    return 0; /* never ask on a terminal */
}

static SSL_CTX *context_base(const SSL_METHOD *method)
{
    SSL_CTX *c = SSL_CTX_new(method);
    if (!c)
        bug("SSL_CTX_new failed");
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_default_passwd_cb(c, quiet_password);
    SSL_CTX_set_read_ahead(c, 1); /* a record in one read() instead of two */
    return c;
}

enum err tls_client_context(struct str ca_file, struct tls_context **out, struct fault *why)
{
    SSL_CTX *c = context_base(TLS_client_method());
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_default_verify_paths(c);
    struct tls_context *t = mem_zero(sizeof *t);
    t->ssl = c;
    enum err e = ca_file.n ? tls_client_trust(t, ca_file, why) : ERR_NONE;
    if (e)
        tls_context_free(t);
    else
        *out = t;
    return e;
}

enum err tls_client_trust(struct tls_context *c, struct str ca_file, struct fault *why)
{
    char path[4096];
    if (SSL_CTX_load_verify_locations(c->ssl, str_copy(path, sizeof path, ca_file), NULL))
        return ERR_NONE;
    ERR_clear_error();
    return fault(why, ERR_CONFIG, STR("the file of trusted certificates (egress.ca_file) cannot be read as PEM"), "%s", path);
}

/* Chain and key from their files into a context; NULL and *why when they are of no use. */
static SSL_CTX *server_ssl(struct str certificate, struct str key, struct fault *why)
{
    SSL_CTX *c = context_base(TLS_server_method());
    char certificate_path[4096], key_path[4096];
    str_copy(certificate_path, sizeof certificate_path, certificate);
    str_copy(key_path, sizeof key_path, key);
    const char *problem = NULL;
    if (SSL_CTX_use_certificate_chain_file(c, certificate_path) != 1)
        problem = "tls.certificate cannot be read as a PEM chain";
    else if (SSL_CTX_use_PrivateKey_file(c, key_path, SSL_FILETYPE_PEM) != 1)
        problem = "tls.key cannot be read as a PEM private key";
    else if (SSL_CTX_check_private_key(c) != 1)
        problem = "tls.key does not belong to tls.certificate";
    if (problem) {
        SSL_CTX_free(c);
        ERR_clear_error();
        fault(why, ERR_CONFIG, str_of(problem), "%s, %s", certificate_path, key_path);
        return NULL;
    }
    static const unsigned char session_id[] = "raccord";
    SSL_CTX_set_session_id_context(c, session_id, sizeof session_id - 1);
    SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
    return c;
}

enum err tls_server_context(struct str certificate, struct str key, struct tls_context **out, struct fault *why)
{
    SSL_CTX *c = server_ssl(certificate, key, why);
    if (!c)
        return ERR_CONFIG;
    struct tls_context *t = mem_zero(sizeof *t);
    t->ssl = c;
    t->server = true;
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return ERR_NONE;
}

enum err tls_server_reload(struct tls_context *c, struct str certificate, struct str key, struct fault *why)
{
    SSL_CTX *fresh = server_ssl(certificate, key, why);
    if (!fresh)
        return ERR_CONFIG;
    pthread_mutex_lock(&c->lock);
    SSL_CTX *old = c->ssl;
    c->ssl = fresh;
    pthread_mutex_unlock(&c->lock);
    SSL_CTX_free(old); /* each connection under way holds it */
    return ERR_NONE;
}

/* The context's SSL_CTX, held until SSL_CTX_free(): another thread may replace a server's. */
static SSL_CTX *ssl_of(struct tls_context *c)
{
    if (c->server)
        pthread_mutex_lock(&c->lock);
    SSL_CTX *ssl = c->ssl;
    SSL_CTX_up_ref(ssl);
    if (c->server)
        pthread_mutex_unlock(&c->lock);
    return ssl;
}

wall_ms tls_server_not_after(struct tls_context *c)
{
    SSL_CTX *ssl = ssl_of(c);
    struct tm end = { 0 };
    X509 *leaf = SSL_CTX_get0_certificate(ssl);
    wall_ms t = leaf && ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &end) ? (wall_ms)timegm(&end) * 1000 : 0;
    SSL_CTX_free(ssl);
    return t;
}

void tls_context_free(struct tls_context *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ssl);
    if (c->server)
        pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct tls *tls_new(struct tls_context *c, int fd)
{
    struct tls *t = mem_zero(sizeof *t);
    SSL_CTX *ssl = ssl_of(c);
    t->ssl = SSL_new(ssl);
    SSL_CTX_free(ssl);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
        bug("SSL_new failed");
    return t;
}

struct tls *tls_client(struct tls_context *c, int fd, const char *host, bool ip, struct tls_session *resume)
{
    struct tls *t = tls_new(c, fd);
    if (ip) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host);
    } else {
        SSL_set_tlsext_host_name(t->ssl, host);
        SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(t->ssl, host);
    }
    if (resume)
        SSL_set_session(t->ssl, (SSL_SESSION *)resume);
    SSL_set_connect_state(t->ssl);
    return t;
}

struct tls *tls_server(struct tls_context *c, int fd)
{
    struct tls *t = tls_new(c, fd);
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

static enum tls_result outcome(struct tls *t, int answer)
{
    switch (SSL_get_error(t->ssl, answer)) {
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return TLS_EOF;
    default: break;
    }
    t->state = TLS_FAILED;
    t->error = ERR_peek_last_error();
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_result tls_handshake(struct tls *t)
{
    ERR_clear_error();
    int answer = SSL_do_handshake(t->ssl);
    return answer == 1 ? TLS_DONE : outcome(t, answer);
}

enum tls_result tls_read(struct tls *t, void *p, size_t n, size_t *got)
{
    if (t->state == TLS_FAILED)
        return TLS_FAILED;
    ERR_clear_error();
    int answer = SSL_read_ex(t->ssl, p, n, got);
    return answer == 1 ? TLS_DONE : outcome(t, answer);
}

enum tls_result tls_write(struct tls *t, const void *p, size_t n, size_t *put)
{
    if (t->state == TLS_FAILED || t->unwritable)
        return TLS_FAILED;
    ERR_clear_error();
    int answer = SSL_write_ex(t->ssl, p, n, put);
    if (answer == 1)
        return TLS_DONE;
    bool lost = SSL_get_error(t->ssl, answer) == SSL_ERROR_SYSCALL;
    enum tls_result r = outcome(t, answer);
    if (lost) {
        t->unwritable = true;
        t->state = TLS_DONE;
    }
    return r;
}

bool tls_write_held(struct tls *t) { return !SSL_in_init(t->ssl); }

void tls_shutdown(struct tls *t)
{
    if (t->state == TLS_FAILED || t->unwritable || !SSL_is_init_finished(t->ssl))
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

struct tls_session *tls_take_session(struct tls *t)
{
    SSL_SESSION *s = SSL_get1_session(t->ssl);
    if (s && SSL_SESSION_is_resumable(s))
        return (struct tls_session *)s;
    SSL_SESSION_free(s);
    return NULL;
}

void tls_session_free(struct tls_session *s) { SSL_SESSION_free((SSL_SESSION *)s); }

const char *tls_error(struct tls *t, char *out, size_t size)
{
    long verify = SSL_get_verify_result(t->ssl);
    const char *reason = t->error ? ERR_reason_error_string(t->error) : NULL;
    if (verify != X509_V_OK)
        snprintf(out, size, "certificate: %s", X509_verify_cert_error_string(verify));
    else
        snprintf(out, size, "%s", reason ? reason : "connection lost");
    return out;
}
