#include "crypto/password.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

#include "base/encode.h"
#include "crypto/sodium_ready.h"

#define LENGTH_LEAST 12  /* characters */
#define LENGTH_MOST  1024 /* bytes; hashing reads them all */

/* ---- hashing ---- */

/* A password that nobody has, at today's cost, so that an unknown user costs what a known one does. */
#define NOBODY "$argon2id$v=19$m=%zu,t=%u,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static size_t memory = 64u * 1024 * 1024;
static unsigned passes = 3;

void password_cost(size_t bytes, unsigned times)
{
    memory = bytes < PASSWORD_MEMORY_LEAST ? PASSWORD_MEMORY_LEAST : bytes;
    passes = times < PASSWORD_PASSES_LEAST ? PASSWORD_PASSES_LEAST : times;
}

/* Each hash takes that memory: two at once is what sign-ins may cost. */
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

/* libsodium's arguments are declared so, even where there are no bytes. */
static const char *never_null(struct str s) { return s.n ? s.p : ""; }

enum err password_hash(struct arena *a, struct str password, struct str *out, struct fault *why)
{
    char text[crypto_pwhash_STRBYTES];
    gate_enter();
    int bad = crypto_pwhash_str_alg(text, never_null(password), password.n, passes, memory, crypto_pwhash_ALG_ARGON2ID13);
    gate_leave();
    if (bad)
        return fault(why, ERR_OVERLOADED, STR_NONE, "no memory for Argon2id (%zu bytes)", memory);
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
    char nobody[crypto_pwhash_STRBYTES];
    snprintf(nobody, sizeof nobody, NOBODY, memory / 1024, passes);
    (void)password_check(str_of(nobody), password);
}

bool password_stale(struct str hash)
{
    char text[crypto_pwhash_STRBYTES];
    if (hash.n >= sizeof text)
        return true;
    str_copy(text, sizeof text, hash);
    return crypto_pwhash_str_needs_rehash(text, passes, memory) != 0;
}

/* ---- which ones are taken ---- */

static const char *const common[] = {
#define C(piece) piece,
#include "crypto/common.def"
#undef C
};

/* Along these, fingers walk. Backwards too. */
static const char *const walks[] = {
    "abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "azertyuiop", "qsdfghjklm",
    "wxcvbn,;:!", "qwertzuiop", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
    "a1b2c3d4e5f6g7h8i9j0", "1a2b3c4d5e6f7g8h9i0j", "!@#$%^&*()", "qazwsxedcrfvtgbyhnujmikolp", "1qazxsw23edcvfr4", "147258369",
};

#define PIECES_LEAST 4   /* of which a password is made at least */
#define BLOCK_MOST   7   /* what is repeated to the end is no longer than it */
#define ABOUT_LEAST  3   /* characters of a part of the e-mail address that counts */
#define COST_READ    256 /* bytes that are looked at: what is longer is not among the first to be tried */

/* p4$$w0rd is password. */
static char unmasked(char c)
{
    static const char from[] = "0134578@$!|", to[] = "oleastbasii";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : c;
}

static bool ends_with(const char *s, size_t at, struct str piece)
{
    return piece.n <= at && memcmp(s + at - piece.n, piece.p, piece.n) == 0;
}

static bool walked(const char *s, size_t n, const char *walk)
{
    size_t length = strlen(walk);
    for (size_t from = 0; from + n <= length; from++) {
        size_t forth = 0, back = 0;
        while (forth < n && walk[from + forth] == s[forth])
            forth++;
        while (back < n && walk[from + n - 1 - back] == s[back])
            back++;
        if (forth == n || back == n)
            return true;
    }
    return false;
}

/* The longest run that ends at `at`: one character again and again, or a walk; 1 when there is none of three. */
static size_t run_before(const char *s, size_t at)
{
    size_t best = 1, same = 1;
    while (same < at && s[at - 1 - same] == s[at - 1])
        same++;
    if (same >= 3)
        best = same;
    for (size_t n = best < 3 ? 3 : best + 1; n <= at; n++) {
        bool found = false;
        for (size_t i = 0; i < COUNT(walks) && !found; i++)
            found = walked(s + at - n, n, walks[i]);
        if (!found)
            break;
        best = n;
    }
    return best;
}

static bool year_before(const char *s, size_t at)
{
    if (at < 4 || !ascii_digit(s[at - 1]) || !ascii_digit(s[at - 2]))
        return false;
    return memcmp(s + at - 4, "19", 2) == 0 || memcmp(s + at - 4, "20", 2) == 0;
}

static void shorter(unsigned *best, size_t at, size_t piece)
{
    if (best[at - piece] + 1 < best[at])
        best[at] = best[at - piece] + 1;
}

/* The fewest pieces that `n` characters of s are made of; `plain` is s with masks taken off. */
static unsigned pieces_of(const char *s, const char *plain, size_t n, struct str email)
{
    unsigned best[COST_READ + 1] = { 0 };
    for (size_t at = 1; at <= n; at++) {
        best[at] = best[at - 1] + 1;
        for (size_t back = run_before(s, at); back >= 3; back--)
            shorter(best, at, back);
        if (year_before(s, at))
            shorter(best, at, 4);
        for (size_t i = 0; i < COUNT(common); i++)
            if (ends_with(s, at, str_of(common[i])) || ends_with(plain, at, str_of(common[i])))
                shorter(best, at, strlen(common[i]));
        /* Parts of the address: marie, dupont, example of marie.dupont@example.com. */
        for (size_t from = 0, to = 0; from < email.n; from = to + 1) {
            for (to = from; to < email.n && (ascii_alpha(email.p[to]) || ascii_digit(email.p[to])); to++)
                ;
            struct str part = str_sub(email, from, to);
            if (part.n >= ABOUT_LEAST && (ends_with(s, at, part) || ends_with(plain, at, part)))
                shorter(best, at, part.n);
        }
    }
    return best[n];
}

static bool repeats(const char *s, size_t n)
{
    for (size_t block = 1; block <= BLOCK_MOST && block * 2 <= n; block++)
        if (memcmp(s, s + block, n - block) == 0)
            return true;
    return false;
}

static bool is_common(struct str password, struct str email)
{
    char s[COST_READ], plain[COST_READ], lower[COST_READ];
    if (password.n > COST_READ)
        return false;
    for (size_t i = 0; i < password.n; i++) {
        s[i] = ascii_lower(password.p[i]);
        plain[i] = unmasked(s[i]);
    }
    email.n = email.n < COST_READ ? email.n : COST_READ;
    for (size_t i = 0; i < email.n; i++)
        lower[i] = ascii_lower(email.p[i]);
    bool bad = repeats(s, password.n) || pieces_of(s, plain, password.n, (struct str){ lower, email.n }) < PIECES_LEAST;
    sodium_memzero(s, sizeof s);
    sodium_memzero(plain, sizeof plain);
    return bad;
}

enum err password_acceptable(struct str password, struct str email, struct fault *why)
{
    if (!utf8_valid(password))
        return fault(why, ERR_FIELD_INVALID, STR("the password is not valid UTF-8"), "password");
    size_t characters = 0;
    for (size_t i = 0; i < password.n; i++)
        characters += (password.p[i] & 0xc0) != 0x80;
    if (characters < LENGTH_LEAST)
        return fault(why, ERR_FIELD_INVALID, STR("a password has at least 12 characters"), "password of %zu", characters);
    if (password.n > LENGTH_MOST)
        return fault(why, ERR_FIELD_INVALID, STR("a password has at most 1024 bytes"), "password of %zu bytes", password.n);
    if (is_common(password, email))
        return fault(why, ERR_FIELD_INVALID, STR("this password is one of the first that others would try"), "common password");
    return ERR_NONE;
}
