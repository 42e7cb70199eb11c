#include "http/head.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What a byte may be part of. */
#define TOKEN 1u  /* RFC 9110 5.6.2 */
#define TARGET 2u /* 0x21-0x7e but '#': a fragment is never sent (RFC 9112 3.2) */
#define VALUE 4u  /* tab, space, 0x21-0x7e, 0x80-0xff (RFC 9110 5.5) */
#define HOST 8u   /* letters, digits, - . _ ~: no other byte can be part of a DNS name or IPv4 address */

#define T_ (TARGET | VALUE)
#define TT (TOKEN | T_)
#define TH (TOKEN | T_ | HOST)
static const unsigned char bytes[256] = {
    ['\t'] = VALUE, [' '] = VALUE,
    ['!'] = TT, ['"'] = T_, ['#'] = VALUE | TOKEN, ['$'] = TT, ['%'] = TT, ['&'] = TT, ['\''] = TT, ['('] = T_, [')'] = T_,
    ['*'] = TT, ['+'] = TT, [','] = T_, ['-'] = TH, ['.'] = TH, ['/'] = T_, ['0' ... '9'] = TH, [':'] = T_, [';'] = T_,
    ['<'] = T_, ['='] = T_, ['>'] = T_, ['?'] = T_, ['@'] = T_, ['A' ... 'Z'] = TH, ['['] = T_, ['\\'] = T_, [']'] = T_,
    ['^'] = TT, ['_'] = TH, ['`'] = TT, ['a' ... 'z'] = TH, ['{'] = T_, ['|'] = TT, ['}'] = T_, ['~'] = TH,
    [0x80 ... 0xff] = VALUE,
};
static inline bool is(char c, unsigned kind) { return bytes[(unsigned char)c] & kind; }

/* The texts of HEAD_BAD, one per rule, so that a log line names the rule. */
static const char BARE_CR[] = "bare CR";
static const char BARE_LF[] = "bare LF";

struct reader {
    const char *at, *end;
    const char *why;
};

static enum head_result bad(struct reader *r, const char *why)
{
    r->why = why;
    return HEAD_BAD;
}

/* First byte in [p, end) that may not stand in a value, or end. */
static const char *value_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v);
        __m128i refused = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), control), _mm_cmpeq_epi8(v, del));
        int mask = _mm_movemask_epi8(refused);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && is(*p, VALUE))
        p++;
    return p;
}

/* At a line's end: take CRLF, or say what stands there instead. */
static enum head_result take_crlf(struct reader *r, const char *otherwise)
{
    if (r->at == r->end)
        return HEAD_MORE;
    if (*r->at == '\n')
        return bad(r, BARE_LF);
    if (*r->at != '\r')
        return bad(r, otherwise);
    if (r->at + 1 == r->end)
        return HEAD_MORE;
    if (r->at[1] != '\n')
        return bad(r, BARE_CR);
    r->at += 2;
    return HEAD_DONE;
}

/* A header's name did not end at its colon: which rule is broken? */
static enum head_result bad_name(struct reader *r, const char *name, int count)
{
    char c = *r->at;
    if (c == '\n')
        return bad(r, BARE_LF);
    if (r->at == name && (c == ' ' || c == '\t'))
        return bad(r, count ? "folded header line" : "blank before the first header");
    if (r->at == name && c == ':')
        return bad(r, "empty header name");
    if (c == ' ' || c == '\t')
        return bad(r, "space before colon");
    if (c == '\r' && r->at + 1 < r->end && r->at[1] != '\n')
        return bad(r, BARE_CR);
    if (c == '\r')
        return bad(r, "header line without a colon");
    return bad(r, "header name is not a token");
}

static enum head_result header_line(struct reader *r, struct header *h, int count)
{
    const char *name = r->at, *end = r->end;
    const char *p = name;
    while (p < end && is(*p, TOKEN))
        p++;
    r->at = p;
    if (p == end)
        return HEAD_MORE;
    if (*p != ':' || p == name)
        return bad_name(r, name, count);
    h->name = (struct str){ name, (size_t)(p - name) };

    for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
        ;
    const char *value = p;
    r->at = p = value_end(p, end);
    while (p > value && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    h->value = (struct str){ value, (size_t)(p - value) };
    return take_crlf(r, "control byte in a header value");
}

static bool is_host(struct str name)
{
    return name.n == 4 && (name.p[0] | 0x20) == 'h' && (name.p[1] | 0x20) == 'o' && (name.p[2] | 0x20) == 's' &&
           (name.p[3] | 0x20) == 't';
}

/* Headers up to and including the empty line. `host` is NULL for responses. */
static enum head_result header_lines(struct reader *r, const struct head_limits *limits, struct head *out, struct str *host)
{
    int max = limits->max_headers < HEAD_HEADERS_MAX ? limits->max_headers : HEAD_HEADERS_MAX;
    for (;;) {
        if (r->at == r->end)
            return HEAD_MORE;
        if (*r->at == '\r')
            return take_crlf(r, BARE_CR);
        if (out->count == max) {
            r->why = "too many headers";
            return HEAD_TOO_MANY_HEADERS;
        }
        struct header *h = &out->headers[out->count];
        enum head_result e = header_line(r, h, out->count);
        if (e != HEAD_DONE)
            return e;
        out->count++;
        if (!host || !is_host(h->name))
            continue;
        if (host->p)
            return bad(r, "second Host header");
        *host = h->value;
    }
}

/* "HTTP/1.1": takes eight bytes. */
static enum head_result version(struct reader *r, struct head *out)
{
    static const char prefix[] = "HTTP/";
    size_t n = (size_t)(r->end - r->at);
    size_t known = n < 5 ? n : 5;
    if (memcmp(r->at, prefix, known) != 0)
        return bad(r, "no HTTP version where one must stand");
    if (n < 8)
        return HEAD_MORE;
    const char *v = r->at + 5;
    if (!ascii_digit(v[0]) || v[1] != '.' || !ascii_digit(v[2]))
        return bad(r, "malformed HTTP version");
    if (v[0] != '1' || v[2] > '1') {
        r->why = "HTTP version other than 1.0 and 1.1";
        return HEAD_VERSION;
    }
    out->minor = v[2] - '0';
    r->at += 8;
    return HEAD_DONE;
}

static enum head_result request_line(struct reader *r, const struct head_limits *limits, struct head *out)
{
    const char *start = r->at, *end = r->end;
    const char *p = start;
    while (p < end && is(*p, TOKEN))
        p++;
    if (p - start > HEAD_METHOD_MAX)
        return bad(r, "method too long");
    if (p == end)
        return HEAD_MORE;
    r->at = p;
    if (p == start)
        return bad(r, *p == ' ' || *p == '\t' ? "blank before the method" : "method is not a token");
    if (*p != ' ')
        return *p == '\n' ? bad(r, BARE_LF) : bad(r, "method is not a token");
    out->method = (struct str){ start, (size_t)(p - start) };

    const char *target = ++p;
    while (p < end && is(*p, TARGET))
        p++;
    if ((size_t)(p - target) > limits->max_uri) {
        r->why = "request target too long";
        return HEAD_URI_TOO_LONG;
    }
    if (p == end)
        return HEAD_MORE;
    r->at = p;
    if (*p != ' ')
        return *p == '\n' ? bad(r, BARE_LF)
             : *p == '\r' ? bad(r, "request line without a version")
                          : bad(r, "byte that no request target may hold");
    if (p == target)
        return bad(r, "empty request target");
    out->target = (struct str){ target, (size_t)(p - target) };
    r->at = p + 1;
    enum head_result e = version(r, out);
    return e == HEAD_DONE ? take_crlf(r, "bytes after the HTTP version") : e;
}

static enum head_result status_line(struct reader *r, struct head *out)
{
    enum head_result e = version(r, out);
    if (e != HEAD_DONE)
        return e;
    if (r->end - r->at < 4)
        return HEAD_MORE;
    const char *p = r->at;
    if (p[0] != ' ' || !ascii_digit(p[1]) || !ascii_digit(p[2]) || !ascii_digit(p[3]))
        return bad(r, "status is not three digits");
    out->status = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    if (out->status < 100 || out->status > 599)
        return bad(r, "status outside 100-599");
    r->at = p += 4;
    if (p == r->end)
        return HEAD_MORE;
    /* A missing space before an empty reason is common and harmless. */
    if (*p == ' ') {
        r->at = value_end(++p, r->end);
        out->reason = (struct str){ p, (size_t)(r->at - p) };
    }
    return take_crlf(r, "control byte in the status line");
}

/* "name", "name:port", "[v6]", "[v6]:port"; port is empty when absent. */
static bool split_host(struct str s, struct str *name, struct str *port)
{
    size_t n = 0;
    if (s.n && s.p[0] == '[') {
        for (n = 1; n < s.n && (ascii_digit(s.p[n]) || (ascii_lower(s.p[n]) >= 'a' && ascii_lower(s.p[n]) <= 'f') ||
                                s.p[n] == ':' || s.p[n] == '.'); n++)
            ;
        if (n < 3 || n == s.n || s.p[n] != ']')
            return false;
        n++;
    } else {
        while (n < s.n && is(s.p[n], HOST))
            n++;
    }
    *name = str_sub(s, 0, n);
    *port = str_sub(s, s.n, s.n);
    if (!n)
        return false;
    if (n == s.n)
        return true;
    uint64_t number;
    *port = str_sub(s, n + 1, s.n);
    return s.p[n] == ':' && port->n <= 5 && str_u64(*port, &number) && number <= 65535;
}

/* Same host and port, the scheme's own port being the same as none. */
static bool same_host(struct str a, struct str b, const char *preset)
{
    struct str a_name, a_port, b_name, b_port;
    if (!split_host(a, &a_name, &a_port) || !split_host(b, &b_name, &b_port))
        return false;
    if (!a_port.n)
        a_port = str_of(preset);
    if (!b_port.n)
        b_port = str_of(preset);
    return str_ieq(a_name, b_name) && str_eq(a_port, b_port);
}

static void split_path(struct str s, struct head *out)
{
    if (!str_cut(s, '?', &out->path, &out->query))
        out->query = STR_NONE;
    if (!out->path.n)
        out->path = STR("/");
}

/* RFC 9112 3.2: the four forms of a target, and the Host that must go with it. */
static enum head_result target(struct reader *r, struct head *out)
{
    struct str t = out->target, name, port;
    if (!out->host.p && out->minor == 1)
        return bad(r, "no Host header");
    if (out->host.p && !split_host(out->host, &name, &port))
        return bad(r, "malformed Host header");
    if (str_is(out->method, "CONNECT"))
        return bad(r, "CONNECT is not served");
    if (t.p[0] == '/') {
        split_path(t, out);
        return HEAD_DONE;
    }
    if (str_is(t, "*")) {
        out->path = t;
        return str_is(out->method, "OPTIONS") ? HEAD_DONE : bad(r, "target * with a method other than OPTIONS");
    }
    bool https = str_istarts(t, STR("https://"));
    if (!https && !str_istarts(t, STR("http://")))
        return bad(r, "request target of no known form");
    struct str rest = str_sub(t, https ? 8 : 7, t.n);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    struct str authority = str_sub(rest, 0, n);
    if (!split_host(authority, &name, &port))
        return bad(r, "malformed host in the request target");
    if (out->host.p && !same_host(authority, out->host, https ? "443" : "80"))
        return bad(r, "host of the request target differs from Host");
    out->host = authority;
    split_path(str_sub(rest, n, rest.n), out);
    return HEAD_DONE;
}

static enum head_result read_request(struct reader *r, const struct head_limits *limits, struct head *out)
{
    /* RFC 9112 2.2: an empty line left over from the request before. */
    if (r->at < r->end && *r->at == '\r') {
        enum head_result e = take_crlf(r, BARE_CR);
        if (e != HEAD_DONE)
            return e;
    }
    if (r->at == r->end)
        return HEAD_MORE;
    enum head_result e = request_line(r, limits, out);
    if (e == HEAD_DONE)
        e = header_lines(r, limits, out, &out->host);
    return e == HEAD_DONE ? target(r, out) : e;
}

static enum head_result read_response(struct reader *r, const struct head_limits *limits, struct head *out)
{
    if (r->at == r->end)
        return HEAD_MORE;
    enum head_result e = status_line(r, out);
    return e == HEAD_DONE ? header_lines(r, limits, out, NULL) : e;
}

/* From `from` on, is there a line end that decides something: an empty line, or a bare LF? */
static bool line_decides(struct str in, size_t from)
{
    while (from < in.n) {
        const char *lf = memchr(in.p + from, '\n', in.n - from);
        if (!lf)
            return false;
        size_t at = (size_t)(lf - in.p);
        if (at == 0 || in.p[at - 1] != '\r' || at == 1 || in.p[at - 2] == '\n')
            return true;
        from = at + 1;
    }
    return false;
}

typedef enum head_result reading(struct reader *r, const struct head_limits *limits, struct head *out);

/* The first call reads what there is, since a head mostly comes whole. When it does not, later calls
 * only look for its end among the new bytes and read it again once: no sender can buy O(n^2) work with small pieces. */
static enum head_result read_head(reading *read, struct str in, size_t *resume, const struct head_limits *limits, struct head *out,
                                  const char **why)
{
    size_t n = in.n < limits->max_bytes ? in.n : limits->max_bytes;
    size_t from = *resume;
    *resume = n;
    if (from && in.n < limits->max_bytes && !line_decides(in, from))
        return HEAD_MORE;

    /* Not the headers: four kilobytes that need no zeros. */
    out->method = out->target = out->path = out->query = out->host = out->reason = STR_NONE;
    out->status = out->minor = out->count = 0;
    struct reader r = { .at = in.p, .end = in.p + n };
    enum head_result e = read(&r, limits, out);
    out->size = (size_t)(r.at - in.p);
    if (e == HEAD_MORE && n == limits->max_bytes) {
        r.why = "head too large";
        e = HEAD_TOO_LARGE;
    }
    if (e != HEAD_DONE && e != HEAD_MORE)
        *why = r.why;
    return e;
}

enum head_result head_request(struct str in, size_t *resume, const struct head_limits *limits, struct head *out, const char **why)
{
    return read_head(read_request, in, resume, limits, out, why);
}

enum head_result head_response(struct str in, size_t *resume, const struct head_limits *limits, struct head *out, const char **why)
{
    return read_head(read_response, in, resume, limits, out, why);
}

/* Lengths differ mostly: no call then. */
static inline bool same_name(struct str a, struct str b) { return a.n == b.n && str_ieq(a, b); }

const struct header *head_find(const struct head *h, struct str name)
{
    for (int i = 0; i < h->count; i++)
        if (same_name(h->headers[i].name, name))
            return &h->headers[i];
    return NULL;
}

struct str head_value(const struct head *h, struct str name)
{
    const struct header *found = head_find(h, name);
    return found ? found->value : STR_NONE;
}

/* Length of the first member of a list: up to a comma that no quoted string holds. */
static size_t member_size(struct str s)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < s.n; i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (quoted && s.p[i] == '\\' && i + 1 < s.n)
            i++;
        else if (!quoted && s.p[i] == ',')
            break;
    }
    return i;
}

bool head_list(const struct head *h, struct str name, struct head_list *at, struct str *member)
{
    for (;;) {
        while (at->rest.n) {
            size_t n = member_size(at->rest);
            *member = str_trim(str_sub(at->rest, 0, n));
            at->rest = str_sub(at->rest, n < at->rest.n ? n + 1 : n, at->rest.n);
            if (member->n)
                return true;
        }
        while (at->next < h->count && !same_name(h->headers[at->next].name, name))
            at->next++;
        if (at->next == h->count)
            return false;
        at->rest = h->headers[at->next++].value;
    }
}

bool head_list_has(const struct head *h, struct str name, struct str member)
{
    struct head_list at = { 0 };
    struct str found;
    while (head_list(h, name, &at, &found))
        if (same_name(found, member))
            return true;
    return false;
}

bool head_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is(s.p[i], TOKEN))
            return false;
    return s.n;
}

bool head_is_value(struct str s)
{
    if (!s.n)
        return true;
    char first = s.p[0], last = s.p[s.n - 1];
    return first != ' ' && first != '\t' && last != ' ' && last != '\t' && value_end(s.p, s.p + s.n) == s.p + s.n;
}

int64_t head_retry_after(struct str value, wall_ms now)
{
    uint64_t seconds;
    wall_ms at;
    if (str_u64(value, &seconds))
        return seconds > INT64_MAX / 1000 ? INT64_MAX : (int64_t)seconds * 1000;
    return clock_parse_http(value, &at) && at > now ? at - now : 0;
}
