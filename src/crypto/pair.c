#include "crypto/pair.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/encode.h"
#include "crypto/pair_inside.h"

#define RSA_BITS 3072
#define LEAST_STRENGTH 112 /* bits of security: RSA 2048, P-224; what TLS libraries accept today */
#define NAME_TEXT 512      /* bytes of a subject or issuer that are shown */

static enum err wrong(struct fault *why, enum err e, const char *pointer, const char *say)
{
    char text[120];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    ERR_clear_error();
    fault(why, e, str_of(say), "%s: %s", pointer, text);
    return fault_at(why, "%s", pointer);
}

void pair_free(struct pair *p)
{
    if (!p)
        return;
    EVP_PKEY_free(p->key); /* clears the private number */
    sk_X509_pop_free(p->chain, X509_free);
    free(p);
}

static struct pair *pair_of(EVP_PKEY *key, STACK_OF(X509) *chain)
{
    struct pair *p = mem_zero(sizeof *p);
    p->key = key;
    p->chain = chain;
    return p;
}

/* ---- reading ---- */

STACK_OF(X509) *pair_certificates(struct str pem, int most)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x;
    if (!all || !bio)
        bug("no memory for a chain of certificates");
    ERR_clear_error();
    while (sk_X509_num(all) <= most && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        sk_X509_push(all, x);
    BIO_free(bio);
    bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (ended && sk_X509_num(all) <= most) {
        ERR_clear_error();
        return all;
    }
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

static enum err read_chain(struct str pem, STACK_OF(X509) **out, struct fault *why)
{
    if (!pem.n)
        return wrong(why, ERR_FIELD_REQUIRED, "/certificate", "certificate");
    if (pem.n > PAIR_CHAIN_MAX)
        return wrong(why, ERR_FIELD_INVALID, "/certificate", "a certificate chain has at most 32 KiB");
    STACK_OF(X509) *chain = pair_certificates(pem, PAIR_CERTIFICATES);
    if (chain && sk_X509_num(chain)) {
        *out = chain;
        return ERR_NONE;
    }
    sk_X509_pop_free(chain, X509_free);
    return wrong(why, ERR_FIELD_INVALID, "/certificate", "the certificate is not a PEM chain of 1 to 10 certificates");
}

struct asked {
    struct str passphrase;
    bool asked;
};

static int give_passphrase(char *out, int size, int writing, void *context)
{
    struct asked *a = context;
    (void)writing;
    a->asked = true;
    if (!a->passphrase.n || a->passphrase.n > (size_t)size)
        return -1;
    memcpy(out, a->passphrase.p, a->passphrase.n);
    return (int)a->passphrase.n;
}

static enum err read_key(struct str pem, struct str passphrase, EVP_PKEY **out, struct fault *why)
{
    struct asked asked = { passphrase, false };
    if (!pem.n)
        return wrong(why, ERR_FIELD_REQUIRED, "/private_key", "private_key");
    if (pem.n > PAIR_KEY_MAX)
        return wrong(why, ERR_FIELD_INVALID, "/private_key", "a private key has at most 16 KiB");
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (!bio)
        bug("no memory for a private key");
    ERR_clear_error();
    *out = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &asked);
    BIO_free(bio);
    if (*out) {
        ERR_clear_error();
        return ERR_NONE;
    }
    if (asked.asked && !passphrase.n)
        return wrong(why, ERR_FIELD_REQUIRED, "/passphrase", "passphrase");
    if (asked.asked)
        return wrong(why, ERR_FIELD_INVALID, "/passphrase", "the passphrase does not open the private key");
    return wrong(why, ERR_FIELD_INVALID, "/private_key", "the private key is not PEM of PKCS#8, PKCS#1 or SEC1");
}

/* ---- judging ---- */

static bool in_order(STACK_OF(X509) *chain)
{
    for (int i = 0; i + 1 < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i + 1), sk_X509_value(chain, i)) != X509_V_OK)
            return false;
    return true;
}

static enum err judge(const struct pair *p, struct fault *why)
{
    X509 *leaf = sk_X509_value(p->chain, 0);
    if (X509_check_private_key(leaf, p->key) != 1)
        return wrong(why, ERR_FIELD_INVALID, "/private_key", "the private key does not belong to the first certificate");
    if (!in_order(p->chain))
        return wrong(why, ERR_FIELD_INVALID, "/certificate",
                     "the chain is out of order: the client's certificate comes first, then the one that issued it, and so on");
    if (EVP_PKEY_get_security_bits(p->key) < LEAST_STRENGTH)
        return wrong(why, ERR_FIELD_INVALID, "/private_key", "the key is too weak: RSA of 2048 bits or an elliptic curve at least");
    return ERR_NONE;
}

static enum err judged(struct pair *p, struct pair **out, struct fault *why)
{
    enum err e = judge(p, why);
    if (e)
        pair_free(p);
    else
        *out = p;
    return e;
}

enum err pair_read(struct str certificate, struct str key, struct str passphrase, struct pair **out, struct fault *why)
{
    STACK_OF(X509) *chain;
    EVP_PKEY *private;
    enum err e = read_chain(certificate, &chain, why);
    if (e)
        return e;
    if ((e = read_key(key, passphrase, &private, why))) {
        sk_X509_pop_free(chain, X509_free);
        return e;
    }
    return judged(pair_of(private, chain), out, why);
}

/* ---- PKCS#12 ---- */

/* The file says nothing of order: from the leaf on, each time the one that issued the last. */
static STACK_OF(X509) *sorted(X509 *leaf, STACK_OF(X509) *others)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (!chain || !sk_X509_push(chain, leaf))
        bug("no memory for a chain of certificates");
    for (bool found = true; found && sk_X509_num(chain) < PAIR_CERTIFICATES;) {
        X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);
        found = false;
        for (int i = 0; !found && i < sk_X509_num(others); i++) {
            X509 *x = sk_X509_value(others, i);
            if (x == last || X509_cmp(x, last) == 0 || X509_check_issued(x, last) != X509_V_OK)
                continue;
            X509_up_ref(x);
            sk_X509_push(chain, x);
            found = true;
        }
    }
    return chain;
}

static enum err open_pkcs12(PKCS12 *file, const char *passphrase, struct pair **out, struct fault *why)
{
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;
    STACK_OF(X509) *others = NULL;
    if (!PKCS12_verify_mac(file, passphrase, -1) && !(!*passphrase && PKCS12_verify_mac(file, NULL, 0)))
        return *passphrase ? wrong(why, ERR_FIELD_INVALID, "/passphrase", "the passphrase does not open the PKCS#12 file")
                           : wrong(why, ERR_FIELD_REQUIRED, "/passphrase", "passphrase");
    if (!PKCS12_parse(file, passphrase, &key, &leaf, &others))
        return wrong(why, ERR_FIELD_INVALID, "/pkcs12", "the PKCS#12 file is enciphered in an old way; export it again with AES");
    if (!key || !leaf) {
        EVP_PKEY_free(key);
        X509_free(leaf);
        sk_X509_pop_free(others, X509_free);
        return wrong(why, ERR_FIELD_INVALID, "/pkcs12", "the PKCS#12 file holds no certificate with its private key");
    }
    struct pair *p = pair_of(key, sorted(leaf, others));
    sk_X509_pop_free(others, X509_free);
    return judged(p, out, why);
}

enum err pair_read_pkcs12(struct str der, struct str passphrase, struct pair **out, struct fault *why)
{
    const unsigned char *at = (const unsigned char *)der.p;
    PKCS12 *file = der.n && der.n <= PAIR_PKCS12_MAX ? d2i_PKCS12(NULL, &at, (long)der.n) : NULL;
    if (!file)
        return wrong(why, ERR_FIELD_INVALID, "/pkcs12", "this is not a PKCS#12 file of at most 64 KiB");
    AUTO_SECRET text = secret_new(passphrase.n + 1); /* ends in NUL */
    if (passphrase.n)
        memcpy(text.p, passphrase.p, passphrase.n);
    enum err e = open_pkcs12(file, (const char *)text.p, out, why);
    PKCS12_free(file);
    return e;
}

/* ---- keeping ---- */

struct str pair_chain(const struct pair *p, struct arena *a)
{
    struct str all = STR("");
    for (int i = 0; i < sk_X509_num(p->chain); i++)
        all = arena_join(a, all, x509_pem(sk_X509_value(p->chain, i), a));
    return all;
}

enum err pair_key(const struct pair *p, struct secret *out, struct fault *why)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(p->key);
    int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
    if (n > 0) {
        *out = secret_new((size_t)n);
        unsigned char *at = out->p;
        i2d_PKCS8_PRIV_KEY_INFO(info, &at);
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* clears it */
    return n > 0 ? ERR_NONE : x509_failed(why, "private key");
}

enum err pair_open(struct str chain, struct secret key, struct pair **out, struct fault *why)
{
    const unsigned char *at = key.p;
    STACK_OF(X509) *certificates = pair_certificates(chain, PAIR_CERTIFICATES);
    EVP_PKEY *private = key.n ? d2i_AutoPrivateKey(NULL, &at, (long)key.n) : NULL;
    if (certificates && sk_X509_num(certificates) && private &&
        X509_check_private_key(sk_X509_value(certificates, 0), private) == 1) {
        *out = pair_of(private, certificates);
        return ERR_NONE;
    }
    EVP_PKEY_free(private);
    sk_X509_pop_free(certificates, X509_free);
    return x509_failed(why, "a stored certificate or its key is damaged");
}

/* ---- facts ---- */

static struct str name_text(struct arena *a, X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (!bio)
        bug("no memory for a name");
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    long n = BIO_get_mem_data(bio, &p);
    struct str text = { p, n < 0 ? 0 : (size_t)n };
    while (text.n > NAME_TEXT || !utf8_valid(text)) /* cut, and cut between characters */
        text.n--;
    text = arena_str(a, text);
    BIO_free(bio);
    return text;
}

static struct str hex_text(struct arena *a, const unsigned char *p, size_t n)
{
    char *out = arena_alloc(a, 2 * n + 1);
    return (struct str){ out, hex_write(out, (struct str){ (const char *)p, n }) };
}

static struct str serial_text(struct arena *a, X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    return hex_text(a, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
}

static wall_ms time_of(const ASN1_TIME *t)
{
    struct tm tm = { 0 };
    return ASN1_TIME_to_tm(t, &tm) ? (wall_ms)timegm(&tm) * 1000 : 0;
}

struct pair_facts pair_facts(const struct pair *p, struct arena *a)
{
    X509 *leaf = sk_X509_value(p->chain, 0);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    X509_digest(leaf, EVP_sha256(), digest, &n);
    return (struct pair_facts){
        .subject = name_text(a, X509_get_subject_name(leaf)),
        .issuer = name_text(a, X509_get_issuer_name(leaf)),
        .serial = serial_text(a, leaf),
        .fingerprint = hex_text(a, digest, n),
        .not_before = time_of(X509_get0_notBefore(leaf)),
        .not_after = time_of(X509_get0_notAfter(leaf)),
        .client_auth = X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1,
    };
}

/* ---- making ---- */

static EVP_PKEY *new_key(enum pair_kind kind)
{
    switch (kind) {
    case PAIR_EC_P384: return EVP_EC_gen("P-384");
    case PAIR_RSA_3072: return EVP_RSA_gen(RSA_BITS);
    default: return EVP_EC_gen("P-256");
    }
}

/* Takes key and certificate; *out is theirs, unless something failed. */
static enum err finish(EVP_PKEY *key, X509 *x, bool good, struct pair **out, struct fault *why)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (!good || !chain || !sk_X509_push(chain, x)) {
        sk_X509_free(chain);
        X509_free(x);
        EVP_PKEY_free(key);
        return x509_failed(why, "client certificate");
    }
    *out = pair_of(key, chain);
    return ERR_NONE;
}

enum err pair_make_authority(const struct pair_wish *w, struct pair **out, struct fault *why)
{
    EVP_PKEY *key = new_key(w->kind);
    X509 *x = key ? x509_new(w->name, w->organization, w->not_before, w->not_after, key) : NULL;
    bool good =
        x && X509_set_issuer_name(x, X509_get_subject_name(x)) && x509_extend_authority(x) && X509_sign(x, key, EVP_sha256());
    return finish(key, x, good, out, why);
}

enum err pair_issue(const struct pair *authority, const struct pair_wish *w, struct pair **out, struct fault *why)
{
    static const struct x509_extension extensions[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },    { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "clientAuth" },               { NID_subject_key_identifier, "hash" },
        { NID_authority_key_identifier, "keyid:always" },
    };
    X509 *issuer = sk_X509_value(authority->chain, 0);
    wall_ms end = time_of(X509_get0_notAfter(issuer));
    EVP_PKEY *key = new_key(w->kind);
    X509 *x = key ? x509_new(w->name, w->organization, w->not_before, w->not_after < end ? w->not_after : end, key) : NULL;
    bool good = x && X509_set_issuer_name(x, X509_get_subject_name(issuer)) &&
                x509_extend(x, issuer, extensions, COUNT(extensions)) && X509_sign(x, authority->key, EVP_sha256());
    return finish(key, x, good, out, why);
}

enum err pair_check_authorities(struct str pem, size_t *count, struct fault *why)
{
    STACK_OF(X509) *all = pem.n <= PAIR_CHAIN_MAX ? pair_certificates(pem, PAIR_CERTIFICATES) : NULL;
    int n = all ? sk_X509_num(all) : 0;
    sk_X509_pop_free(all, X509_free);
    if (n < 1)
        return wrong(why, ERR_FIELD_INVALID, "", "PEM of 1 to 10 certificates is expected, at most 32 KiB");
    *count = (size_t)n;
    return ERR_NONE;
}
