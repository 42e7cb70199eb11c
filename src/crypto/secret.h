/* crypto/secret.h - a value that must not be seen: locked memory, wiped on end, compared in constant time.
 *
 * Backed by pages of our own that are locked (mlock), kept out of core dumps (MADV_DONTDUMP) and wiped
 * when given back. No function prints one. A secret is owned by exactly one holder, who ends it.
 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include "base/str.h"

struct secret {
    unsigned char *p;
    size_t n;
};

#define SECRET_NONE ((struct secret){ NULL, 0 })

/* Process-wide: no core dumps, not dumpable. Call once, first thing in main. */
void secret_protect_process(void);

struct secret secret_new(size_t n);              /* zeroed; never NULL (aborts when memory is gone) */
struct secret secret_from(struct str s);         /* a copy; the source is the caller's to wipe */
struct secret secret_copy(struct secret s);
void secret_end(struct secret *s);               /* wipes, gives back; SECRET_NONE afterwards */
bool secret_equal(struct secret a, struct secret b); /* constant time for equal lengths */
/* Borrow as text, for building a request. Do not keep, do not log. */
static inline struct str secret_str(struct secret s) { return (struct str){ (const char *)s.p, s.n }; }

/* A wipe that the compiler keeps. */
void secret_wipe(void *p, size_t n);

/* Pages that could not be locked since start (0 is good; shown by doctor and /metrics). */
size_t secret_unlocked_pages(void);

#define AUTO_SECRET __attribute__((cleanup(secret_end))) struct secret

#endif
