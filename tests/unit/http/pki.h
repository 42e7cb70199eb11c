/* A root of its own and certificates for a provider on loopback, as files in a folder that goes with the test. */
#ifndef TESTS_HTTP_PKI_H
#define TESTS_HTTP_PKI_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct certified {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline void pki_extend(X509 *c, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, c, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(e);
    X509_add_ext(c, e, -1);
    X509_EXTENSION_free(e);
}

/* `issuer` NULL: signs itself. `names`: "DNS:localhost"; NULL: a root. */
static inline struct certified pki_issue(const struct certified *issuer, const char *names, long from_s, long to_s)
{
    static long serial = 1;
    struct certified c = { EVP_EC_gen("P-256"), X509_new() };
    X509_NAME *name = X509_get_subject_name(c.certificate);
    X509_set_version(c.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c.certificate), to_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)(names ? "a provider" : "a root"), -1, -1, 0);
    X509_set_issuer_name(c.certificate, issuer ? X509_get_subject_name(issuer->certificate) : name);
    X509_set_pubkey(c.certificate, c.key);
    X509 *by = issuer ? issuer->certificate : c.certificate;
    if (names)
        pki_extend(c.certificate, by, NID_subject_alt_name, names);
    else
        pki_extend(c.certificate, by, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(c.certificate, issuer ? issuer->key : c.key, EVP_sha256()) > 0);
    return c;
}

static inline void pki_write(const struct certified *c, const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, c->certificate), 1);
    fclose(f);
}

static inline void pki_free(struct certified *c)
{
    EVP_PKEY_free(c->key);
    X509_free(c->certificate);
}

#endif
