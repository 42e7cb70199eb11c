/* base/str.h - borrowed text: a pointer and a length, passed by value.
 *
 * A str owns nothing and need not end in NUL; it may hold any byte. Whoever made the bytes
 * says how long they live. Functions here never allocate.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
#define STR_ARG(s) (int)(s).n, (s).p /* for "%.*s" */
#define COUNT(array) (sizeof(array) / sizeof *(array))

static inline struct str str_of(const char *cstr)
{
    return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}
static inline struct str str_sub(struct str s, size_t from, size_t to)
{
    return (struct str){ s.p + from, to - from };
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str s, const char *cstr)
{
    return str_eq(s, str_of(cstr));
}
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}
static inline bool ascii_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool ascii_alpha(char c) { return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'; }

bool str_ieq(struct str a, struct str b);        /* ASCII letter case ignored */
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_among(struct str s, const struct str *list, size_t n); /* is it one of them? */
int str_cmp(struct str a, struct str b);         /* bytewise order, like memcmp */
struct str str_trim(struct str s);               /* spaces, tabs, CR, LF off both ends */

/* Offset of the first match, or SIZE_MAX. */
size_t str_find(struct str s, char c);
size_t str_find_str(struct str s, struct str needle);

/* Split at the first `c`: *head gets what stands before it, *tail what follows.
 * Without a `c`: *head is all of s, *tail empty, and the answer is false. */
bool str_cut(struct str s, char c, struct str *head, struct str *tail);

/* Next piece of a separated list: takes it off *rest. False at the end. Pieces are not trimmed. */
bool str_piece(struct str *rest, char separator, struct str *piece);

/* Next word of what people type as a list, with any of these characters between: takes it off *rest. False at the end; no word is
 * empty. */
bool str_word(struct str *rest, const char *between, struct str *word);

/* Decimal digits only, no sign, no spaces; false on anything else or overflow. */
bool str_u64(struct str s, uint64_t *out);

/* Decimal digits of n; answers how many. No NUL. */
#define STR_U64_MAX 20
size_t str_put_u64(char out[STR_U64_MAX], uint64_t n);

/* True when any byte is a control byte (0x00-0x1f, 0x7f). */
bool str_has_control(struct str s);

/* Copy with a NUL into a fixed array, cut to fit; answers dst. */
char *str_copy(char *dst, size_t size, struct str s);

#endif
