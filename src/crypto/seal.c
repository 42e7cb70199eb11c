#include "crypto/seal.h"

#include <sodium.h>

#include "crypto/hash.h"
#include "crypto/sodium_ready.h"

#define FORMAT 0x01
#define HEAD 5 /* format and key id: authenticated, not encrypted */
#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(SEAL_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_OVERHEAD == HEAD + NONCE + TAG, "overhead");

/* What is authenticated beside the ciphertext: the head as stored, then the caller's text. */
static struct str bound_to(struct str head, struct str associated, char **memory)
{
    char *p = *memory = mem_zero(HEAD + associated.n);
    memcpy(p, head.p, HEAD);
    if (associated.n)
        memcpy(p + HEAD, associated.p, associated.n);
    return (struct str){ p, HEAD + associated.n };
}

void seal(struct arena *a, struct secret key, uint32_t key_id, struct str associated, struct str plain, struct str *out)
{
    if (key.n != SEAL_KEY)
        bug("a sealing key of %zu bytes", key.n);
    sodium_ready();

    unsigned char *p = arena_alloc(a, SEAL_OVERHEAD + plain.n);
    p[0] = FORMAT;
    for (int i = 0; i < 4; i++)
        p[1 + i] = (unsigned char)(key_id >> (24 - 8 * i));
    random_bytes(p + HEAD, NONCE); /* 192 bits: random ones never meet, also after a fork or a restored snapshot */

    char *memory;
    struct str ad = bound_to((struct str){ (char *)p, HEAD }, associated, &memory);
    unsigned long long n;
    crypto_aead_xchacha20poly1305_ietf_encrypt(p + HEAD + NONCE, &n, (const unsigned char *)plain.p, plain.n,
                                               (const unsigned char *)ad.p, ad.n, NULL, p + HEAD, key.p);
    free(memory);
    *out = (struct str){ (char *)p, HEAD + NONCE + (size_t)n };
}

bool seal_key_id(struct str sealed, uint32_t *key_id)
{
    if (sealed.n < SEAL_OVERHEAD || sealed.p[0] != FORMAT)
        return false;
    const unsigned char *p = (const unsigned char *)sealed.p + 1;
    *key_id = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return true;
}

enum err seal_open(struct secret key, struct str associated, struct str sealed, struct secret *out, struct fault *why)
{
    uint32_t key_id;
    if (!seal_key_id(sealed, &key_id))
        return fault(why, ERR_CRYPTO, STR_NONE, "%zu bytes that are not in the sealed form", sealed.n);
    if (key.n != SEAL_KEY)
        bug("an opening key of %zu bytes", key.n);
    sodium_ready();

    char *memory;
    struct str ad = bound_to(sealed, associated, &memory);
    const unsigned char *p = (const unsigned char *)sealed.p;
    struct secret plain = secret_new(sealed.n - SEAL_OVERHEAD);
    unsigned long long n;
    int bad = crypto_aead_xchacha20poly1305_ietf_decrypt(plain.p, &n, NULL, p + HEAD + NONCE, sealed.n - HEAD - NONCE,
                                                         (const unsigned char *)ad.p, ad.n, p + HEAD, key.p);
    free(memory);
    if (bad) {
        secret_end(&plain);
        return fault(why, ERR_CRYPTO, STR_NONE, "altered, or sealed for another place or by another key (id %u)", key_id);
    }
    *out = plain;
    return ERR_NONE;
}
