#include "auth/form.h"

#include "base/encode.h"

static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"; /* RFC 3986 2.3 */

static bool plain(char c) { return c && strchr(unreserved, c); }

static size_t encoded_size(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += plain(s.p[i]) ? 1 : 3;
    return n;
}

static unsigned char *put(unsigned char *to, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (plain(s.p[i])) {
            *to++ = c;
            continue;
        }
        *to++ = '%';
        *to++ = (unsigned char)hex[c >> 4];
        *to++ = (unsigned char)hex[c & 15];
    }
    return to;
}

struct secret form_encode(const struct token_param *p, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += encoded_size(p[i].name) + encoded_size(p[i].value) + 2;
    struct secret form = secret_new(size);
    unsigned char *to = form.p;
    for (size_t i = 0; i < n; i++) {
        if (i)
            *to++ = '&';
        to = put(to, p[i].name);
        *to++ = '=';
        to = put(to, p[i].value);
    }
    form.n = (size_t)(to - form.p);
    return form;
}

struct secret form_text(struct str value)
{
    struct secret text = secret_new(encoded_size(value));
    put(text.p, value);
    return text;
}

struct secret form_basic(struct str id, struct str secret)
{
    static const char scheme[] = "Basic ";
    AUTO_SECRET pair = secret_new(encoded_size(id) + 1 + encoded_size(secret));
    unsigned char *to = put(pair.p, id);
    *to++ = ':';
    put(to, secret);
    struct secret value = secret_new(sizeof scheme - 1 + base64_size(pair.n));
    memcpy(value.p, scheme, sizeof scheme - 1);
    value.n = sizeof scheme - 1 + base64_write((char *)value.p + sizeof scheme - 1, secret_str(pair), BASE64_STANDARD);
    return value;
}
