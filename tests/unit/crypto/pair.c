/* Pairs: every form in which people have a key, what is refused, and what is issued. Checked by OpenSSL's own verifier. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "crypto/pair.h"
#include "crypto/pair_inside.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define NOW 1800000000000LL /* 2027-01-15 */

struct kit {
    struct arena *a;
    struct pair *authority, *client;
    struct fault why;
};

static struct pair_wish wish(const char *name, enum pair_kind kind)
{
    return (struct pair_wish){ str_of(name), STR("Example Ltd"), kind, NOW - DAY_MS, NOW + 365 * DAY_MS };
}

static int setup(void **state)
{
    struct kit *k = mem_zero(sizeof *k);
    struct pair_wish w = wish("Test authority", PAIR_EC_P256), c = wish("client", PAIR_EC_P256);
    k->a = arena_new(16 * 1024);
    w.not_after = NOW + 3650 * DAY_MS;
    assert_int_equal(pair_make_authority(&w, &k->authority, &k->why), ERR_NONE);
    assert_int_equal(pair_issue(k->authority, &c, &k->client, &k->why), ERR_NONE);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;
    pair_free(k->client);
    pair_free(k->authority);
    arena_free(k->a);
    free(k);
    return 0;
}

/* ---- writing keys in the forms that people have ---- */

static struct str taken(struct kit *k, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct str text = arena_str(k->a, (struct str){ p, (size_t)n });
    BIO_free(bio);
    return text;
}

static struct str pkcs8(struct kit *k, EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_256_cbc() : NULL, passphrase,
                                              passphrase ? (int)strlen(passphrase) : 0, NULL, NULL));
    return taken(k, bio);
}

/* PKCS#1 or SEC1, as the key is. */
static struct str traditional(struct kit *k, EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PrivateKey_traditional(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                                     (const unsigned char *)passphrase, passphrase ? (int)strlen(passphrase) : 0,
                                                     NULL, NULL));
    return taken(k, bio);
}

static enum err read(struct kit *k, struct str chain, struct str key, const char *passphrase)
{
    struct pair *p = NULL;
    k->why = (struct fault){ 0 };
    enum err e = pair_read(chain, key, str_of(passphrase ? passphrase : ""), &p, &k->why);
    assert_int_equal(e == ERR_NONE, p != NULL);
    pair_free(p);
    return e;
}

#define assert_refused(e, error, where)                    \
    do {                                                   \
        assert_int_equal((e), (error));                    \
        assert_string_equal(k->why.pointer, where);        \
        assert_true(k->why.subject[0]);                    \
    } while (0)

static void every_form_of_a_key_is_read(void **state)
{
    struct kit *k = *state;
    static const enum pair_kind kinds[] = { PAIR_EC_P256, PAIR_EC_P384, PAIR_RSA_3072 };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct pair_wish w = wish("any", kinds[i]);
        struct pair *p;
        assert_int_equal(pair_issue(k->authority, &w, &p, &k->why), ERR_NONE);
        struct str chain = pair_chain(p, k->a);
        assert_int_equal(read(k, chain, pkcs8(k, p->key, NULL), NULL), ERR_NONE);
        assert_int_equal(read(k, chain, pkcs8(k, p->key, "open sesame"), "open sesame"), ERR_NONE);
        assert_int_equal(read(k, chain, traditional(k, p->key, NULL), NULL), ERR_NONE);
        assert_int_equal(read(k, chain, traditional(k, p->key, "open sesame"), "open sesame"), ERR_NONE);
        /* A passphrase that is not needed does no harm. */
        assert_int_equal(read(k, chain, pkcs8(k, p->key, NULL), "open sesame"), ERR_NONE);
        pair_free(p);
    }
}

static void an_ed25519_key_is_read(void **state)
{
    struct kit *k = *state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x = x509_new(STR("ed"), STR(""), NOW, NOW + DAY_MS, key);
    assert_true(X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_sign(x, key, NULL));
    assert_int_equal(read(k, x509_pem(x, k->a), pkcs8(k, key, NULL), NULL), ERR_NONE);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void a_locked_key_without_its_passphrase_asks_for_it(void **state)
{
    struct kit *k = *state;
    struct str chain = pair_chain(k->client, k->a), locked = pkcs8(k, k->client->key, "open sesame");
    assert_refused(read(k, chain, locked, NULL), ERR_FIELD_REQUIRED, "/passphrase");
    assert_refused(read(k, chain, locked, "wrong"), ERR_FIELD_INVALID, "/passphrase");
    assert_refused(read(k, chain, traditional(k, k->client->key, "open sesame"), "wrong"), ERR_FIELD_INVALID, "/passphrase");
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    struct kit *k = *state;
    assert_refused(read(k, pair_chain(k->client, k->a), pkcs8(k, k->authority->key, NULL), NULL), ERR_FIELD_INVALID,
                   "/private_key");
}

static void a_chain_out_of_order_is_refused(void **state)
{
    struct kit *k = *state;
    struct str leaf = pair_chain(k->client, k->a), root = pair_chain(k->authority, k->a), key = pkcs8(k, k->client->key, NULL);
    assert_int_equal(read(k, arena_join(k->a, leaf, root), key, NULL), ERR_NONE);
    assert_refused(read(k, arena_join(k->a, root, leaf), key, NULL), ERR_FIELD_INVALID, "/private_key");
    assert_refused(read(k, arena_join(k->a, leaf, leaf), key, NULL), ERR_FIELD_INVALID, "/certificate");
}

static void a_weak_key_is_refused(void **state)
{
    struct kit *k = *state;
    EVP_PKEY *key = EVP_RSA_gen(1024);
    X509 *x = x509_new(STR("weak"), STR(""), NOW, NOW + DAY_MS, key);
    assert_true(X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_sign(x, key, EVP_sha256()));
    assert_refused(read(k, x509_pem(x, k->a), pkcs8(k, key, NULL), NULL), ERR_FIELD_INVALID, "/private_key");
    X509_free(x);
    EVP_PKEY_free(key);
}

static void what_is_no_pem_or_too_much_of_it_is_refused(void **state)
{
    struct kit *k = *state;
    struct str chain = pair_chain(k->client, k->a), key = pkcs8(k, k->client->key, NULL), many = chain;
    assert_refused(read(k, STR(""), key, NULL), ERR_FIELD_REQUIRED, "/certificate");
    assert_refused(read(k, chain, STR(""), NULL), ERR_FIELD_REQUIRED, "/private_key");
    assert_refused(read(k, STR("nothing"), key, NULL), ERR_FIELD_INVALID, "/certificate");
    assert_refused(read(k, key, key, NULL), ERR_FIELD_INVALID, "/certificate");
    assert_refused(read(k, chain, chain, NULL), ERR_FIELD_INVALID, "/private_key");
    assert_refused(read(k, str_sub(chain, 0, chain.n / 2), key, NULL), ERR_FIELD_INVALID, "/certificate");
    for (int i = 0; i < PAIR_CERTIFICATES; i++)
        many = arena_join(k->a, many, pair_chain(k->authority, k->a));
    assert_refused(read(k, many, key, NULL), ERR_FIELD_INVALID, "/certificate");
    char *huge = arena_zero(k->a, PAIR_CHAIN_MAX + 1);
    memset(huge, 'x', PAIR_CHAIN_MAX + 1);
    assert_refused(read(k, (struct str){ huge, PAIR_CHAIN_MAX + 1 }, key, NULL), ERR_FIELD_INVALID, "/certificate");
    assert_refused(read(k, chain, (struct str){ huge, PAIR_KEY_MAX + 1 }, NULL), ERR_FIELD_INVALID, "/private_key");
}

static struct str pkcs12(struct kit *k, const char *passphrase, bool with_root)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    unsigned char *der = NULL;
    if (with_root)
        sk_X509_push(others, sk_X509_value(k->authority->chain, 0));
    PKCS12 *file = PKCS12_create(passphrase, "client", k->client->key, sk_X509_value(k->client->chain, 0), others, 0, 0, 0, 0, 0);
    assert_non_null(file);
    int n = i2d_PKCS12(file, &der);
    struct str out = arena_str(k->a, (struct str){ (char *)der, (size_t)n });
    OPENSSL_free(der);
    PKCS12_free(file);
    sk_X509_free(others);
    return out;
}

static void a_pkcs12_file_is_read_with_its_passphrase_only(void **state)
{
    struct kit *k = *state;
    struct pair *p = NULL;
    struct str locked = pkcs12(k, "open sesame", true);
    assert_int_equal(pair_read_pkcs12(locked, STR("open sesame"), &p, &k->why), ERR_NONE);
    assert_int_equal(sk_X509_num(p->chain), 2);
    assert_true(str_eq(pair_facts(p, k->a).fingerprint, pair_facts(k->client, k->a).fingerprint));
    pair_free(p);
    assert_int_equal(pair_read_pkcs12(pkcs12(k, "", false), STR(""), &p, &k->why), ERR_NONE);
    pair_free(p);
    assert_refused(pair_read_pkcs12(locked, STR("wrong"), &p, &k->why), ERR_FIELD_INVALID, "/passphrase");
    assert_refused(pair_read_pkcs12(locked, STR(""), &p, &k->why), ERR_FIELD_REQUIRED, "/passphrase");
    assert_refused(pair_read_pkcs12(STR("nothing"), STR(""), &p, &k->why), ERR_FIELD_INVALID, "/pkcs12");
    assert_refused(pair_read_pkcs12(str_sub(locked, 0, locked.n / 2), STR("open sesame"), &p, &k->why), ERR_FIELD_INVALID,
                   "/pkcs12");
}

static void what_is_kept_opens_again_and_not_with_another_key(void **state)
{
    struct kit *k = *state;
    struct pair *p = NULL;
    AUTO_SECRET key = SECRET_NONE;
    AUTO_SECRET other = SECRET_NONE;
    struct str chain = pair_chain(k->client, k->a);
    assert_int_equal(pair_key(k->client, &key, &k->why), ERR_NONE);
    assert_int_equal(pair_key(k->authority, &other, &k->why), ERR_NONE);
    assert_int_equal(pair_open(chain, key, &p, &k->why), ERR_NONE);
    assert_true(EVP_PKEY_eq(p->key, k->client->key) == 1);
    pair_free(p);
    assert_int_equal(pair_open(chain, other, &p, &k->why), ERR_CRYPTO);
    key.p[key.n / 2] ^= 1;
    key.n -= 1;
    assert_int_equal(pair_open(chain, key, &p, &k->why), ERR_CRYPTO);
}

/* ---- what is issued ---- */

static int verified(struct kit *k, const struct pair *p, wall_ms at, int purpose)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *c = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, sk_X509_value(k->authority->chain, 0));
    assert_true(X509_STORE_CTX_init(c, store, sk_X509_value(p->chain, 0), NULL));
    X509_STORE_CTX_set_purpose(c, purpose);
    X509_STORE_CTX_set_time(c, 0, (time_t)(at / 1000));
    X509_STORE_CTX_set_flags(c, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_verify_cert(c);
    int result = X509_STORE_CTX_get_error(c);
    X509_STORE_CTX_free(c);
    X509_STORE_free(store);
    return result;
}

static void an_issued_certificate_verifies_for_clients_within_its_time_only(void **state)
{
    struct kit *k = *state;
    assert_int_equal(verified(k, k->client, NOW, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    assert_int_equal(verified(k, k->client, NOW, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(verified(k, k->client, NOW + 366 * DAY_MS, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_CERT_HAS_EXPIRED);
    assert_int_equal(verified(k, k->client, NOW - 2 * DAY_MS, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_CERT_NOT_YET_VALID);
}

static void what_another_authority_issues_does_not_verify(void **state)
{
    struct kit *k = *state;
    struct pair_wish w = wish("Test authority", PAIR_EC_P256), c = wish("client", PAIR_EC_P256);
    struct pair *other, *client;
    assert_int_equal(pair_make_authority(&w, &other, &k->why), ERR_NONE);
    assert_int_equal(pair_issue(other, &c, &client, &k->why), ERR_NONE);
    assert_int_not_equal(verified(k, client, NOW, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    pair_free(client);
    pair_free(other);
}

/* A client's certificate cannot be used to issue others. */
static void an_issued_certificate_is_no_authority(void **state)
{
    struct kit *k = *state;
    X509 *leaf = sk_X509_value(k->client->chain, 0);
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_int_equal(X509_get_pathlen(sk_X509_value(k->authority->chain, 0)), 0);
}

static void a_certificate_does_not_outlive_its_authority(void **state)
{
    struct kit *k = *state;
    struct pair_wish c = wish("client", PAIR_EC_P256);
    struct pair *client;
    c.not_after = NOW + 5000 * DAY_MS;
    assert_int_equal(pair_issue(k->authority, &c, &client, &k->why), ERR_NONE);
    assert_int_equal(pair_facts(client, k->a).not_after, NOW + 3650 * DAY_MS);
    pair_free(client);
}

static void the_facts_are_those_of_the_leaf(void **state)
{
    struct kit *k = *state;
    struct pair_facts f = pair_facts(k->client, k->a);
    assert_true(str_is(f.subject, "CN=client,O=Example Ltd"));
    assert_true(str_is(f.issuer, "CN=Test authority,O=Example Ltd"));
    assert_int_equal(f.fingerprint.n, 64);
    assert_true(f.serial.n >= 30 && f.serial.n <= 40);
    assert_int_equal(f.not_before, NOW - DAY_MS);
    assert_int_equal(f.not_after, NOW + 365 * DAY_MS);
    assert_true(f.client_auth);
}

static void names_with_accents_stay_readable(void **state)
{
    struct kit *k = *state;
    struct pair_wish w = wish("Zoé, née \"Ü\"", PAIR_EC_P256);
    struct pair *p;
    assert_int_equal(pair_issue(k->authority, &w, &p, &k->why), ERR_NONE);
    assert_true(str_is(pair_facts(p, k->a).subject, "CN=Zoé\\, née \\\"Ü\\\",O=Example Ltd"));
    pair_free(p);
}

static void trusted_roots_are_counted(void **state)
{
    struct kit *k = *state;
    struct str root = pair_chain(k->authority, k->a);
    size_t n = 0;
    assert_int_equal(pair_check_authorities(arena_join(k->a, root, root), &n, &k->why), ERR_NONE);
    assert_int_equal(n, 2);
    assert_int_equal(pair_check_authorities(STR(""), &n, &k->why), ERR_FIELD_INVALID);
    assert_int_equal(pair_check_authorities(str_sub(root, 0, root.n - 30), &n, &k->why), ERR_FIELD_INVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_form_of_a_key_is_read),
        T(an_ed25519_key_is_read),
        T(a_locked_key_without_its_passphrase_asks_for_it),
        T(a_key_of_another_certificate_is_refused),
        T(a_chain_out_of_order_is_refused),
        T(a_weak_key_is_refused),
        T(what_is_no_pem_or_too_much_of_it_is_refused),
        T(a_pkcs12_file_is_read_with_its_passphrase_only),
        T(what_is_kept_opens_again_and_not_with_another_key),
        T(an_issued_certificate_verifies_for_clients_within_its_time_only),
        T(what_another_authority_issues_does_not_verify),
        T(an_issued_certificate_is_no_authority),
        T(a_certificate_does_not_outlive_its_authority),
        T(the_facts_are_those_of_the_leaf),
        T(names_with_accents_stay_readable),
        T(trusted_roots_are_counted),
    };
    return cmocka_run_group_tests_name("crypto/pair", tests, NULL, NULL);
}
