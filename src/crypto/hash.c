#include "crypto/hash.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/sodium_ready.h"

/* libsodium's arguments are declared so, even where there are no bytes. */
static const char *never_null(struct str s) { return s.n ? s.p : ""; }

void sha256(struct str in, unsigned char out[SHA256_SIZE])
{
    crypto_hash_sha256(out, (const unsigned char *)in.p, in.n);
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

void hmac_sha256(struct str key, struct str in, unsigned char out[SHA256_SIZE])
{
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, (const unsigned char *)never_null(key), key.n);
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)in.p, in.n);
    crypto_auth_hmacsha256_final(&s, out);
    secret_wipe(&s, sizeof s);
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

/* ---- passwords ---- */

#define ARGON_PASSES 3
#define ARGON_MEMORY (64u * 1024 * 1024)
/* A password that nobody has, with the same parameters, so that an unknown user costs what a known one does. */
#define NOBODY "$argon2id$v=19$m=65536,t=3,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* Each hash takes 64 MiB: two at once is what sign-ins may cost (requirement 15.1). */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opened = PTHREAD_COND_INITIALIZER;
static int running;

static void gate_enter(void)
{
    sodium_ready();
    pthread_mutex_lock(&gate);
    while (running == 2)
        pthread_cond_wait(&gate_opened, &gate);
    running++;
    pthread_mutex_unlock(&gate);
}

static void gate_leave(void)
{
    pthread_mutex_lock(&gate);
    running--;
    pthread_cond_signal(&gate_opened);
    pthread_mutex_unlock(&gate);
}

enum err password_hash(struct arena *a, struct str password, struct str *out, struct fault *why)
{
    char text[crypto_pwhash_STRBYTES];
    gate_enter();
    int bad =
        crypto_pwhash_str_alg(text, never_null(password), password.n, ARGON_PASSES, ARGON_MEMORY, crypto_pwhash_ALG_ARGON2ID13);
    gate_leave();
    if (bad)
        return fault(why, ERR_OVERLOADED, STR_NONE, "no memory for Argon2id (%u bytes)", ARGON_MEMORY);
    *out = arena_str(a, str_of(text));
    return ERR_NONE;
}

bool password_check(struct str hash, struct str password)
{
    char text[crypto_pwhash_STRBYTES];
    if (hash.n >= sizeof text || !str_starts(hash, STR("$argon2id$"))) {
        password_check_nobody(password);
        return false;
    }
    str_copy(text, sizeof text, hash);
    gate_enter();
    bool right = crypto_pwhash_str_verify(text, never_null(password), password.n) == 0;
    gate_leave();
    return right;
}

void password_check_nobody(struct str password)
{
    (void)password_check(STR(NOBODY), password);
}

/* Of the lists of leaked passwords, those that are long enough to pass otherwise. Letter case is ignored. */
static const char *const common[] = {
    "123456789012",     "1234567890123",    "12345678901234",
    "123456789abc",     "0123456789ab",     "012345678901",
    "1q2w3e4r5t6y",     "1qaz2wsx3edc",     "1qazxsw23edc",
    "qwertyuiop12",     "qwertyuiop123",    "qwerty123456",
    "qwertyuiop[]",     "q1w2e3r4t5y6",     "azertyuiop12",
    "azertyuiop123",    "azerty123456",     "asdfghjkl123",
    "password1234",     "password12345",    "password123456",
    "passwordpassword", "password2024",     "password2025",
    "password2026",     "passw0rd1234",     "p@ssw0rd1234",
    "p@ssword1234",     "administrator",    "administrateur",
    "admin1234567",     "admin12345678",    "adminadminadmin",
    "changemeplease",   "changeme1234",     "changeme123456",
    "letmein12345",     "letmeinplease",    "welcome12345",
    "welcome123456",    "iloveyou1234",     "iloveyouforever",
    "motdepasse12",     "motdepasse123",    "motdepasse1234",
    "monmotdepasse",    "bonjour12345",     "bonjour123456",
    "soleil123456",     "jetaime12345",     "raccordraccord",
    "raccord12345",     "raccord123456",    "correcthorsebatterystaple",
    "abcdefghijkl",     "abcdefghijklm",    "abcdefghijklmnopqrstuvwxyz",
    "abcd12345678",     "abc123456789",     "a1b2c3d4e5f6",
    "unknownpassword",  "trustno1trustno1", "iamtheadministrator",
};

static bool is_common(struct str s)
{
    for (size_t i = 0; i < COUNT(common); i++)
        if (str_ieq(s, str_of(common[i])))
            return true;
    bool seen[256] = { false };
    int kinds = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)ascii_lower(s.p[i]);
        kinds += !seen[c];
        seen[c] = true;
    }
    return kinds < 4; /* aaaaaaaaaaaa, abababababab */
}

enum err password_acceptable(struct str password, struct fault *why)
{
    if (!utf8_valid(password))
        return fault(why, ERR_FIELD_INVALID, STR("the password is not valid UTF-8"), "password");
    size_t characters = 0;
    for (size_t i = 0; i < password.n; i++)
        characters += (password.p[i] & 0xc0) != 0x80;
    if (characters < 12)
        return fault(why, ERR_FIELD_INVALID, STR("a password has at least 12 characters"), "password of %zu", characters);
    if (password.n > 1024)
        return fault(why, ERR_FIELD_INVALID, STR("a password has at most 1024 bytes"), "password of %zu bytes", password.n);
    if (is_common(password))
        return fault(why, ERR_FIELD_INVALID, STR("this password is one of the first that others would try"), "common password");
    return ERR_NONE;
}

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
