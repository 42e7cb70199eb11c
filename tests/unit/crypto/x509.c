#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/x509.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static X509 *read_certificate(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(x);
    return x;
}

/* What a TLS client does: chain to the root, purpose, name. */
static int verify(X509 *root, X509 *leaf, const char *host, const char *ip)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(check, store, leaf, NULL);
    X509_STORE_CTX_set_purpose(check, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(check);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    if (host)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (ip)
        X509_VERIFY_PARAM_set1_ip_asc(param, ip);
    int ok = X509_verify_cert(check);
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    return ok;
}

struct pair {
    struct arena *arena;
    struct x509_ca *ca;
    X509 *root, *leaf;
    struct str certificate;
    struct secret key;
};

static int with_pair(void **state)
{
    struct pair *p = mem_zero(sizeof *p);
    struct fault why = { 0 };
    p->arena = arena_new(16 * 1024);
    assert_int_equal(x509_self_ca(STR("A test root"), 30, &p->ca, &why), ERR_NONE);
    assert_int_equal(x509_issue(p->ca, p->arena, STR("localhost, 127.0.0.1,::1"), 30, &p->certificate, &p->key, &why), ERR_NONE);
    p->root = read_certificate(x509_ca_pem(p->ca, p->arena));
    p->leaf = read_certificate(p->certificate);
    *state = p;
    return 0;
}

static int drop_pair(void **state)
{
    struct pair *p = *state;
    X509_free(p->root);
    X509_free(p->leaf);
    secret_end(&p->key);
    x509_ca_free(p->ca);
    arena_free(p->arena);
    free(p);
    return 0;
}

static void an_issued_certificate_verifies_strictly_for_each_of_its_names(void **state)
{
    struct pair *p = *state;

    assert_int_equal(verify(p->root, p->leaf, "localhost", NULL), 1);
    assert_int_equal(verify(p->root, p->leaf, NULL, "127.0.0.1"), 1);
    assert_int_equal(verify(p->root, p->leaf, NULL, "::1"), 1);
}

static void an_issued_certificate_is_refused_for_any_other_name(void **state)
{
    struct pair *p = *state;

    assert_int_equal(verify(p->root, p->leaf, "localhost.example.com", NULL), 0);
    assert_int_equal(verify(p->root, p->leaf, NULL, "127.0.0.2"), 0);
}

static void another_authority_of_the_same_name_does_not_vouch_for_it(void **state)
{
    struct pair *p = *state;
    struct x509_ca *other;
    struct fault why = { 0 };
    assert_int_equal(x509_self_ca(STR("A test root"), 30, &other, &why), ERR_NONE);
    X509 *root = read_certificate(x509_ca_pem(other, p->arena));

    assert_int_equal(verify(root, p->leaf, "localhost", NULL), 0);

    X509_free(root);
    x509_ca_free(other);
}

static void the_issued_key_belongs_to_the_issued_certificate(void **state)
{
    struct pair *p = *state;
    BIO *bio = BIO_new_mem_buf(p->key.p, (int)p->key.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);

    assert_non_null(key);
    assert_int_equal(X509_check_private_key(p->leaf, key), 1);
    EVP_PKEY_free(key);
}

static void an_end_certificate_may_not_sign_others(void **state)
{
    struct pair *p = *state;

    assert_int_equal(X509_check_ca(p->leaf), 0);
    assert_int_equal(X509_check_ca(p->root), 1);
    assert_int_equal(X509_get_pathlen(p->root), 0);
}

static void a_host_that_could_smuggle_another_name_is_refused(void **state)
{
    struct pair *p = *state;
    struct str certificate = STR_NONE;
    struct secret key = SECRET_NONE;
    struct fault why = { 0 };

    assert_int_equal(x509_issue(p->ca, p->arena, STR(""), 30, &certificate, &key, &why), ERR_INPUT_INVALID);
    assert_int_equal(x509_issue(p->ca, p->arena, STR("a,,b"), 30, &certificate, &key, &why), ERR_INPUT_INVALID);
    assert_int_equal(x509_issue(p->ca, p->arena, STR("a\nb"), 30, &certificate, &key, &why), ERR_INPUT_INVALID);
    assert_null(certificate.p);
    assert_null(key.p);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, with_pair, drop_pair)
    const struct CMUnitTest tests[] = {
        CASE(an_issued_certificate_verifies_strictly_for_each_of_its_names),
        CASE(an_issued_certificate_is_refused_for_any_other_name),
        CASE(another_authority_of_the_same_name_does_not_vouch_for_it),
        CASE(the_issued_key_belongs_to_the_issued_certificate),
        CASE(an_end_certificate_may_not_sign_others),
        CASE(a_host_that_could_smuggle_another_name_is_refused),
    };
    return cmocka_run_group_tests_name("crypto/x509", tests, NULL, NULL);
}
