#include "http/framing.h"

/* What the headers say, before the rules are applied. */
struct claims {
    int lengths, encodings;
    struct str length, encoding;
    bool close, keep_alive, names_headers;
    bool expects, expects_other;
    bool disguised; /* a name that other programs read as one of the two framing headers */
};

static char dashed(char c) { return c == '_' ? '-' : ascii_lower(c); }

/* Letter case ignored, and '_' taken for '-' as CGI-like readers do. */
static bool resembles(struct str name, struct str known)
{
    for (size_t i = 0; i < known.n; i++)
        if (dashed(name.p[i]) != known.p[i])
            return false;
    return true;
}

/* True when the name is `known`; notes a name that only resembles it. Both have the same length. */
static bool framing_name(struct str name, struct str known, struct claims *c)
{
    if (!resembles(name, known))
        return false;
    bool exact = !memchr(name.p, '_', name.n);
    c->disguised |= !exact;
    return exact;
}

static void connection_options(struct str value, struct claims *c)
{
    struct str option;
    while (str_piece(&value, ',', &option)) {
        option = str_trim(option);
        bool close = str_ieq(option, STR("close")), keep_alive = str_ieq(option, STR("keep-alive"));
        c->close |= close;
        c->keep_alive |= keep_alive;
        c->names_headers |= !close && !keep_alive && option.n;
    }
}

/* The lengths of the names part them: most headers cost one comparison. */
static struct claims claims_of(const struct head *h)
{
    struct claims c = { 0 };
    for (int i = 0; i < h->count; i++) {
        struct str name = h->headers[i].name, value = h->headers[i].value;
        switch (name.n) {
        case sizeof "expect" - 1:
            if (!str_ieq(name, STR("expect")))
                break;
            c.expects = true;
            c.expects_other |= !str_ieq(value, STR("100-continue"));
            break;
        case sizeof "connection" - 1:
            if (str_ieq(name, STR("connection")))
                connection_options(value, &c);
            break;
        case sizeof "content-length" - 1:
            if (!framing_name(name, STR("content-length"), &c))
                break;
            c.lengths++;
            c.length = value;
            break;
        case sizeof "transfer-encoding" - 1:
            if (!framing_name(name, STR("transfer-encoding"), &c))
                break;
            c.encodings++;
            c.encoding = value;
            break;
        default:
            break;
        }
    }
    return c;
}

/* Rules that requests and responses share. NULL when none is broken. */
static const char *broken(const struct head *h, const struct claims *c, uint64_t *length)
{
    if (c->disguised)
        return "header that resembles Content-Length or Transfer-Encoding";
    if (c->lengths && c->encodings)
        return "both Content-Length and Transfer-Encoding"; /* RFC 9112 6.3, rule 3 */
    if (c->lengths > 1)
        return "more than one Content-Length";
    if (c->lengths && (!str_u64(c->length, length) || *length > INT64_MAX))
        return "Content-Length is not a number";
    if (!c->encodings)
        return NULL;
    if (h->minor == 0)
        return "Transfer-Encoding in HTTP/1.0"; /* RFC 9112 6.1 */
    if (c->encodings > 1 || !str_ieq(c->encoding, STR("chunked")))
        return "Transfer-Encoding other than chunked";
    return NULL;
}

static bool stays_open(const struct head *h, const struct claims *c)
{
    return !c->close && (h->minor == 1 || c->keep_alive); /* RFC 9112 9.3 */
}

struct framing framing_request(const struct head *h)
{
    struct claims c = claims_of(h);
    struct framing f = { 0 };
    f.why = broken(h, &c, &f.length);
    if (f.why)
        return (struct framing){ .kind = FRAMING_BAD, .why = f.why };

    f.kind = c.encodings ? FRAMING_CHUNKED : c.lengths ? FRAMING_LENGTH : FRAMING_NONE;
    f.keep_alive = stays_open(h, &c);
    f.names_headers = c.names_headers;
    if (c.expects_other)
        f.expect = EXPECT_UNKNOWN;
    else if (c.expects && h->minor == 1) /* HTTP/1.0 cannot wait for it: RFC 9110 10.1.1 */
        f.expect = EXPECT_CONTINUE;
    return f;
}

struct framing framing_response(const struct head *h, bool head_request)
{
    struct claims c = claims_of(h);
    struct framing f = { 0 };
    f.why = broken(h, &c, &f.length);
    /* RFC 9112 6.1 and 6.2: neither header may stand there; a reader that believes it waits for a body. */
    if (!f.why && h->status < 200 && (c.encodings || f.length))
        f.why = "interim answer that announces a body";
    if (f.why)
        return (struct framing){ .kind = FRAMING_BAD, .why = f.why };

    f.keep_alive = stays_open(h, &c);
    f.names_headers = c.names_headers;
    if (h->status < 200 || h->status == 204) {
        /* A 204 that announces a body may well send one: do not wait for it, and do not go on behind it. */
        f.keep_alive &= !c.encodings && !f.length;
        f.length = 0;
        return f;
    }
    if (h->status == 304 || head_request)
        return f;
    if (c.encodings) {
        f.kind = FRAMING_CHUNKED;
    } else if (c.lengths) {
        f.kind = FRAMING_LENGTH;
    } else {
        f.kind = FRAMING_UNTIL_CLOSE;
        f.keep_alive = false;
    }
    return f;
}

/* The lengths of the names, as bits: asked of every header that passes, and most have another length. */
static const struct str hop_by_hop[] = {
    { "connection", 10 },       { "keep-alive", 10 },         { "proxy-connection", 16 },
    { "te", 2 },                { "trailer", 7 },             { "transfer-encoding", 17 },
    { "upgrade", 7 },           { "proxy-authenticate", 18 }, { "proxy-authorization", 19 },
};
#define HOP_BY_HOP_LENGTHS (1u << 2 | 1u << 7 | 1u << 10 | 1u << 16 | 1u << 17 | 1u << 18 | 1u << 19)

bool framing_hop_by_hop(const struct head *h, struct str name)
{
    if (name.n < 32 && HOP_BY_HOP_LENGTHS >> name.n & 1)
        for (size_t i = 0; i < COUNT(hop_by_hop); i++)
            if (name.n == hop_by_hop[i].n && str_ieq(name, hop_by_hop[i]))
                return true;
    return h && head_list_has(h, STR("connection"), name);
}
