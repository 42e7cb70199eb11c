#include "crypto/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/sodium_ready.h"

/* libsodium's arguments are declared so, even where there are no bytes. */
static const char *never_null(struct str s) { return s.n ? s.p : ""; }

/* OpenSSL's, which uses the processor's instructions: from twice to six times as fast as libsodium's. Looked up once. */
static EVP_MD *fast;
static void find_fast(void) { fast = EVP_MD_fetch(NULL, "SHA256", NULL); }

void sha256(struct str in, unsigned char out[SHA256_SIZE])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_fast);
    if (!fast || !EVP_Digest(never_null(in), in.n, out, NULL, fast, NULL))
        bug("SHA-256 is not there");
}

static crypto_hash_sha256_state *state_of(struct sha256_run *r)
{
    _Static_assert(sizeof r->space == sizeof(crypto_hash_sha256_state), "libsodium's");
    return (crypto_hash_sha256_state *)(void *)r->space;
}

void sha256_begin(struct sha256_run *r) { crypto_hash_sha256_init(state_of(r)); }

void sha256_add(struct sha256_run *r, struct str in)
{
    crypto_hash_sha256_update(state_of(r), (const unsigned char *)never_null(in), in.n);
}

void sha256_done(struct sha256_run *r, unsigned char out[SHA256_SIZE]) { crypto_hash_sha256_final(state_of(r), out); }

#define HMAC_LONG 1024 /* from here on OpenSSL's takes less time than it needs to begin */

void hmac_sha256(struct str key, struct str in, unsigned char out[SHA256_SIZE])
{
    crypto_auth_hmacsha256_state s;
    unsigned n = SHA256_SIZE;
    if (in.n >= HMAC_LONG && HMAC(EVP_sha256(), never_null(key), (int)key.n, (const unsigned char *)in.p, in.n, out, &n))
        return;
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)never_null(key), key.n);
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)in.p, in.n);
    crypto_auth_hmacsha256_final(&s, out);
    secret_wipe(&s, sizeof s);
}

void hmac_sha1(struct str key, struct str in, unsigned char out[SHA1_SIZE])
{
    unsigned n = SHA1_SIZE;
    if (!HMAC(EVP_sha1(), never_null(key), (int)key.n, (const unsigned char *)never_null(in), in.n, out, &n) || n != SHA1_SIZE)
        bug("HMAC-SHA-1 is not there");
}

void keyed_digest(struct str key, struct str in, unsigned char out[32])
{
    if (crypto_generichash(out, 32, (const unsigned char *)never_null(in), in.n, (const unsigned char *)key.p, key.n))
        bug("a key of %zu bytes for a digest", key.n);
}

bool equal_constant_time(const void *a, const void *b, size_t n)
{
    return n == 0 || sodium_memcmp(a, b, n) == 0;
}

void random_bytes(void *p, size_t n)
{
    for (unsigned char *at = p; n;) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            bug("the system gives no random bytes: %m");
        at += got;
        n -= (size_t)got;
    }
}

void random_text(char *out, size_t n)
{
    unsigned char bytes[64];
    while (n) {
        size_t now = n < sizeof bytes ? n : sizeof bytes;
        random_bytes(bytes, now);
        for (size_t i = 0; i < now; i++)
            *out++ = "abcdefghijklmnopqrstuvwxyz234567"[bytes[i] & 31];
        n -= now;
    }
    secret_wipe(bytes, sizeof bytes);
}

/* ---- ids ---- */

__extension__ typedef unsigned __int128 u128; /* milliseconds << 80 | 80 random bits */
#define ID_CHARACTERS 26

/* One system call serves many ids. Ids are names, not secrets: the pool needs no locked memory. */
static void draw(void *p, size_t n)
{
    static _Thread_local unsigned char pool[480];
    static _Thread_local size_t left;
    if (left < n) {
        random_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= n;
    memcpy(p, pool + left, n);
}

/* Greater than every id this thread made before, also within one millisecond and when the clock steps back: lists are
 * ordered by id, and what was made later must not come earlier. */
static u128 next_id(void)
{
    static _Thread_local u128 last;
    struct { uint64_t low; uint16_t high; uint32_t step; } random;
    draw(&random.low, sizeof random.low);
    draw(&random.high, sizeof random.high);
    draw(&random.step, sizeof random.step);
    u128 id = (u128)(uint64_t)clock_wall() << 80 | (u128)random.high << 64 | random.low;
    if (id >> 80 <= last >> 80)
        id = last + 1 + random.step;
    return last = id;
}

char *id_new(char out[ID_SIZE], const char *prefix)
{
    size_t n = strlen(prefix);
    if (n + ID_CHARACTERS >= ID_SIZE)
        bug("the id prefix “%s” is too long", prefix);
    memcpy(out, prefix, n);
    u128 id = next_id();
    for (int i = ID_CHARACTERS; i--; id >>= 5)
        out[n + (size_t)i] = "0123456789abcdefghjkmnpqrstvwxyz"[(unsigned)id & 31];
    out[n + ID_CHARACTERS] = 0;
    return out;
}

/* ---- fingerprints ---- */

static unsigned char fingerprint_key[crypto_shorthash_siphashx24_KEYBYTES];
static pthread_once_t fingerprint_once = PTHREAD_ONCE_INIT;

static void draw_fingerprint_key(void) { random_bytes(fingerprint_key, sizeof fingerprint_key); }

struct fingerprint fingerprint(struct str x, struct str y)
{
    unsigned char text[512];
    struct fingerprint out;
    uint64_t lengths[2] = { x.n, y.n };
    pthread_once(&fingerprint_once, draw_fingerprint_key);
    if (sizeof lengths + x.n + y.n > sizeof text) {
        /* Longer than anything genuine: their digests stand in for them. */
        sha256(x, text);
        sha256(y, text + SHA256_SIZE);
        crypto_shorthash_siphashx24((unsigned char *)&out, text, 2 * SHA256_SIZE, fingerprint_key);
        return out;
    }
    memcpy(text, lengths, sizeof lengths);
    memcpy(text + sizeof lengths, never_null(x), x.n);
    memcpy(text + sizeof lengths + x.n, never_null(y), y.n);
    crypto_shorthash_siphashx24((unsigned char *)&out, text, sizeof lengths + x.n + y.n, fingerprint_key);
    secret_wipe(text, sizeof lengths + x.n);
    return out;
}
