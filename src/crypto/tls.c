#include "crypto/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "crypto/pair_inside.h"

struct tls_context {
    SSL_CTX *ssl;
    bool server;
    pthread_mutex_t lock; /* a server's: guards `ssl`, which tls_server_reload() replaces */
    /* A connection's own. Not in an SSL_CTX: that would stay alive, key and all, as long as any socket made from it. */
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* the leaf first */
    X509_STORE *roots;     /* NULL: those of `ssl` */
};

struct tls {
    SSL *ssl;
    enum tls_result state; /* TLS_FAILED: use no more */
    bool own;              /* holds a certificate of its own until the handshake is over */
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

/* The roots of `base` and these; certificates are shared, not copied. NULL when the text is of no use. */
static X509_STORE *roots_with(SSL_CTX *base, struct str authorities)
{
    STACK_OF(X509) *own = pair_certificates(authorities, PAIR_CERTIFICATES);
    X509_STORE *from = SSL_CTX_get_cert_store(base), *all = X509_STORE_new();
    if (!own || !all) {
        sk_X509_pop_free(own, X509_free);
        X509_STORE_free(all);
        return NULL;
    }
    X509_STORE_lock(from); /* its directory of roots adds to it during handshakes */
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(from);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (x)
            X509_STORE_add_cert(all, x);
    }
    X509_STORE_unlock(from);
    X509_LOOKUP *directory = X509_STORE_add_lookup(all, X509_LOOKUP_hash_dir());
    if (directory)
        X509_LOOKUP_add_dir(directory, NULL, X509_FILETYPE_DEFAULT);
    for (int i = 0; i < sk_X509_num(own); i++)
        X509_STORE_add_cert(all, sk_X509_value(own, i));
    sk_X509_pop_free(own, X509_free);
    ERR_clear_error();
    return all;
}

static bool put_own(const struct tls_context *c, SSL *ssl)
{
    if (c->roots && !SSL_set1_verify_cert_store(ssl, c->roots))
        return false;
    if (!c->key)
        return true;
    /* What was given is sent, and nothing that the library would look up. */
    SSL_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
    STACK_OF(X509) *issuers = sk_X509_new_null();
    for (int i = 1; i < sk_X509_num(c->chain); i++)
        sk_X509_push(issuers, sk_X509_value(c->chain, i));
    bool good = SSL_use_cert_and_key(ssl, sk_X509_value(c->chain, 0), c->key, issuers, 1) == 1;
    sk_X509_free(issuers);
    return good;
}

enum err tls_client_own(struct tls_context *base, const struct pair *pair, struct str authorities, struct tls_context **out,
                        struct fault *why)
{
    struct tls_context *t = mem_zero(sizeof *t);
    t->ssl = base->ssl;
    SSL_CTX_up_ref(t->ssl);
    if (pair) {
        t->key = pair->key;
        EVP_PKEY_up_ref(t->key);
        t->chain = X509_chain_up_ref(pair->chain);
    }
    t->roots = authorities.n ? roots_with(base->ssl, authorities) : NULL;
    /* Tried once: a pair that the library does not take is found here, not in each call. */
    SSL *trial = SSL_new(t->ssl);
    bool good = trial && (!authorities.n || t->roots) && put_own(t, trial);
    SSL_free(trial);
    if (good) {
        *out = t;
        return ERR_NONE;
    }
    tls_context_free(t);
    return x509_failed(why, "the certificate or its authorities cannot be used for TLS");
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
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    X509_STORE_free(c->roots);
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
    t->own = c->key;
    if (!put_own(c, t->ssl))
        bug("a certificate that was tried is refused now");
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
    if (answer != 1)
        return outcome(t, answer);
    /* The key has signed: a socket that is kept for later must not keep it in memory. */
    if (t->own)
        SSL_certs_clear(t->ssl);
    return TLS_DONE;
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

bool tls_certificate_refused(const struct tls *t)
{
    if (ERR_GET_LIB(t->error) != ERR_LIB_SSL)
        return false;
    switch (ERR_GET_REASON(t->error)) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
    }
}

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
