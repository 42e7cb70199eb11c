#include "crypto/x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "crypto/pair_inside.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define SERIAL_BITS 159 /* RFC 5280 4.1.2.2: positive, at most 20 octets */

struct x509_ca {
    EVP_PKEY *key;
    X509 *certificate;
};

enum err x509_failed(struct fault *why, const char *step)
{
    char text[160];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return fault(why, ERR_CRYPTO, STR_NONE, "certificate: %s: %s", step, text);
}

static bool set_serial(X509 *x)
{
    BIGNUM *n = BN_new();
    bool ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

static bool add_name(X509 *x, const char *part, struct str value)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(x), part, MBSTRING_UTF8, (const unsigned char *)value.p, (int)value.n,
                                      -1, 0) == 1;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

X509 *x509_new(struct str name, struct str organization, wall_ms not_before, wall_ms not_after, EVP_PKEY *key)
{
    X509 *x = X509_new();
    if (!x)
        return NULL;
    if (X509_set_version(x, X509_VERSION_3) && set_serial(x) &&
        ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(not_before / 1000)) &&
        ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(not_after / 1000)) && (!organization.n || add_name(x, "O", organization)) &&
        add_name(x, "CN", name) && X509_set_pubkey(x, key))
        return x;
    X509_free(x);
    return NULL;
}

bool x509_extend(X509 *x, X509 *issuer, const struct x509_extension *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!add_extension(x, issuer, e[i].nid, e[i].value))
            return false;
    return true;
}

bool x509_extend_authority(X509 *x)
{
    static const struct x509_extension extensions[] = {
        { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
        { NID_key_usage, "critical,keyCertSign,cRLSign" },
        { NID_subject_key_identifier, "hash" },
    };
    return x509_extend(x, x, extensions, COUNT(extensions));
}

/* A day earlier: a verifier whose clock is behind ours accepts it all the same. */
static X509 *from_yesterday(struct str name, int days, EVP_PKEY *key)
{
    wall_ms now = clock_wall();
    return x509_new(name, STR(""), now - DAY_MS, now + days * DAY_MS, key);
}

enum err x509_self_ca(struct str name, int days, struct x509_ca **out, struct fault *why)
{
    struct x509_ca *ca = mem_zero(sizeof *ca);

    ca->key = EVP_EC_gen("P-256");
    if (!ca->key)
        goto undo;
    ca->certificate = from_yesterday(name, days, ca->key);
    if (!ca->certificate || !X509_set_issuer_name(ca->certificate, X509_get_subject_name(ca->certificate)) ||
        !x509_extend_authority(ca->certificate) ||
        !X509_sign(ca->certificate, ca->key, EVP_sha256()))
        goto undo;
    *out = ca;
    return ERR_NONE;

undo:
    x509_ca_free(ca);
    return x509_failed(why, "authority");
}

void x509_ca_free(struct x509_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->key); /* clears the private number */
    free(ca);
}

struct str x509_pem(X509 *x, struct arena *a)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (!bio || !PEM_write_bio_X509(bio, x))
        bug("a finished certificate does not encode");
    long n = BIO_get_mem_data(bio, &p);
    struct str pem = arena_str(a, (struct str){ p, (size_t)n });
    BIO_free(bio);
    return pem;
}

struct str x509_ca_pem(struct x509_ca *ca, struct arena *a) { return x509_pem(ca->certificate, a); }

static bool key_pem(EVP_PKEY *key, struct secret *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *p = NULL;
    bool ok = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    if (ok) {
        long n = BIO_get_mem_data(bio, &p);
        *out = secret_from((struct str){ p, (size_t)n });
        secret_wipe(p, (size_t)n);
    }
    BIO_free(bio);
    return ok;
}

static bool is_ip(struct str host)
{
    char text[64];
    unsigned char ip[16];
    str_copy(text, sizeof text, host);
    return host.n < sizeof text && (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1);
}

/* "DNS:localhost,IP:127.0.0.1", and the first host as *first. False when a host could be taken for something else. */
static bool alternative_names(struct buf *out, struct str hosts, struct str *first)
{
    struct str host;
    while (str_piece(&hosts, ',', &host)) {
        host = str_trim(host);
        if (!host.n || str_has_control(host) || str_find(host, '"') != SIZE_MAX || str_find(host, '\\') != SIZE_MAX)
            return false;
        if (!out->n)
            *first = host;
        buf_fmt(out, "%s%s:%.*s", out->n ? "," : "", is_ip(host) ? "IP" : "DNS", STR_ARG(host));
    }
    buf_char(out, 0);
    return out->n > 1 && !buf_failed(out);
}

enum err x509_issue(struct x509_ca *ca, struct arena *a, struct str hosts, int days, struct str *certificate,
                    struct secret *key, struct fault *why)
{
    AUTO_BUF names;
    buf_init(&names, 4096);
    struct str first = STR_NONE;
    if (!alternative_names(&names, hosts, &first))
        return fault(why, ERR_INPUT_INVALID, STR("host names for a certificate"), "%zu bytes", hosts.n);

    const struct x509_extension extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "serverAuth" },
        { NID_subject_key_identifier, "hash" },
        { NID_authority_key_identifier, "keyid:always" },
        { NID_subject_alt_name, names.p },
    };
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x = pair ? from_yesterday(first, days, pair) : NULL;
    bool ok = x && X509_set_issuer_name(x, X509_get_subject_name(ca->certificate)) &&
              x509_extend(x, ca->certificate, extensions, COUNT(extensions)) && X509_sign(x, ca->key, EVP_sha256()) &&
              key_pem(pair, key);
    if (ok)
        *certificate = x509_pem(x, a);
    X509_free(x);
    EVP_PKEY_free(pair);
    return ok ? ERR_NONE : x509_failed(why, "issue");
}
