/* Heads, framing and chunks: whatever comes in, one reading goes out, and it does not depend on how the bytes arrive.
 * clang -g -O1 -std=gnu17 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Isrc fuzz/http_head_fuzz.c
 *     src/http/{head,framing,chunked}.c src/base/{str,err}.c */
#include <stdlib.h>

#include "base/err.h"
#include "http/chunked.h"
#include "http/framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum head_result reading(struct str, size_t *, const struct head_limits *, struct head *, const char **);

static const struct head_limits limits = { .max_bytes = 2048, .max_uri = 256, .max_headers = 20 };

static void must(bool claim, const char *what)
{
    if (!claim)
        bug("%s", what);
}

static void check_headers(const struct head *h, struct str in)
{
    for (int i = 0; i < h->count; i++) {
        must(head_is_token(h->headers[i].name), "a name is a token");
        must(head_is_value(h->headers[i].value), "a value is plain");
    }
    must(h->size <= in.n && h->size <= limits.max_bytes, "the head lies inside the input");
    must(memcmp(in.p + h->size - 2, "\r\n", 2) == 0, "a head ends in an empty line");
}

/* Byte by byte, the result is the same. */
static enum head_result trickle(reading *read, struct str in, struct head *h)
{
    size_t resume = 0;
    const char *why = NULL;
    enum head_result e = HEAD_MORE;
    for (size_t n = 0; n <= in.n && e == HEAD_MORE; n++)
        e = read(str_sub(in, 0, n), &resume, &limits, h, &why);
    return e;
}

static void one_head(reading *read, struct str in, bool request)
{
    static struct head h, again;
    size_t resume = 0;
    const char *why = NULL;
    enum head_result e = read(in, &resume, &limits, &h, &why), slow = trickle(read, in, &again);
    must((e == HEAD_DONE) == (slow == HEAD_DONE), "arrival changes nothing");
    must((e == HEAD_DONE || e == HEAD_MORE) == !why, "each refusal has a reason");
    if (e != HEAD_DONE)
        return;
    must(h.size == again.size && h.count == again.count, "arrival changes no detail");
    check_headers(&h, in);
    struct framing f = request ? framing_request(&h) : framing_response(&h, false);
    must((f.kind == FRAMING_BAD) == (f.why != NULL), "bad framing has a reason");
    if (request)
        must(f.kind != FRAMING_UNTIL_CLOSE, "no request ends with its connection");
    if (f.kind != FRAMING_BAD && head_find(&h, STR("content-length")))
        must(!head_find(&h, STR("transfer-encoding")), "one framing header at most");
}

static enum chunked_result decode(struct str in, size_t step, uint64_t *sum, size_t *used)
{
    struct chunked d;
    enum chunked_result r = CHUNKED_MORE;
    chunked_init(&d);
    *sum = *used = 0;
    while (*used < in.n && (r == CHUNKED_MORE || r == CHUNKED_DATA)) {
        struct str span = str_sub(in, *used, in.n), data;
        size_t n;
        if (span.n > step)
            span.n = step;
        r = chunked_next(&d, span, &data, &n);
        must(n <= span.n, "no more is consumed than given");
        for (size_t i = 0; i < data.n; i++)
            *sum = *sum * 31 + (unsigned char)data.p[i];
        *used += n;
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    one_head(head_request, in, true);
    one_head(head_response, in, false);
    uint64_t sum, slow_sum;
    size_t used, slow_used;
    enum chunked_result r = decode(in, size, &sum, &used), slow = decode(in, 1, &slow_sum, &slow_used);
    must((r == CHUNKED_BAD) == (slow == CHUNKED_BAD) && (r == CHUNKED_END) == (slow == CHUNKED_END), "spans change nothing");
    must(sum == slow_sum && (r == CHUNKED_BAD || used == slow_used), "spans change no byte");
    return 0;
}
