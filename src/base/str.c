#include "base/str.h"

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_ieq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

bool str_among(struct str s, const struct str *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    if (order)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct str str_trim(struct str s)
{
    while (s.n && blank(s.p[0]))
        s = str_sub(s, 1, s.n);
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t str_find(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : SIZE_MAX;
}

size_t str_find_str(struct str s, struct str needle)
{
    if (!needle.n)
        return 0;
    const char *at = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return at ? (size_t)(at - s.p) : SIZE_MAX;
}

bool str_cut(struct str s, char c, struct str *head, struct str *tail)
{
    size_t at = str_find(s, c);
    if (at == SIZE_MAX) {
        *head = s;
        *tail = STR("");
        return false;
    }
    *head = str_sub(s, 0, at);
    *tail = str_sub(s, at + 1, s.n);
    return true;
}

bool str_piece(struct str *rest, char separator, struct str *piece)
{
    if (!rest->p)
        return false;
    if (!str_cut(*rest, separator, piece, rest))
        *rest = STR_NONE;
    return true;
}

bool str_word(struct str *rest, const char *between, struct str *word)
{
    struct str set = str_of(between);
    size_t from = 0;
    while (from < rest->n && str_find(set, rest->p[from]) != SIZE_MAX)
        from++;
    size_t to = from;
    while (to < rest->n && str_find(set, rest->p[to]) == SIZE_MAX)
        to++;
    *word = str_sub(*rest, from, to);
    *rest = str_sub(*rest, to, rest->n);
    return word->n > 0;
}

bool str_u64(struct str s, uint64_t *out)
{
    uint64_t value = 0;
    if (!s.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_digit(s.p[i]))
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

size_t str_put_u64(char out[STR_U64_MAX], uint64_t n)
{
    char digits[STR_U64_MAX];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

bool str_has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

char *str_copy(char *dst, size_t size, struct str s)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    if (n)
        memcpy(dst, s.p, n);
    dst[n] = 0;
    return dst;
}
