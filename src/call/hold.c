#include "call/hold.h"

#include "base/json.h"

enum hold_verdict hold_judge(const struct oauth_expired *x, int status)
{
    for (size_t i = 0; i < x->status_count; i++)
        if (x->statuses[i] == status)
            return x->pointer.n || x->word_count ? HOLD_LOOK_AT_BODY : HOLD_OVER;
    return status == 401 ? HOLD_OVER : HOLD_NO; /* RFC 6750 3.1 */
}

struct hold *hold_new(struct arena *a, const struct head *h, const struct framing *f)
{
    struct hold *held = arena_zero(a, sizeof *held);
    held->head.status = h->status;
    held->head.minor = h->minor;
    held->head.reason = arena_str(a, h->reason);
    held->head.count = h->count;
    for (int i = 0; i < h->count; i++)
        held->head.headers[i] = (struct header){ arena_str(a, h->headers[i].name), arena_str(a, h->headers[i].value) };
    held->framing = *f;
    buf_init(&held->body, HOLD_MAX);
    return held;
}

bool hold_add(struct hold *h, struct str span)
{
    if (h->let_go || buf_str(&h->body).n + span.n > HOLD_MAX)
        return false;
    buf_add(&h->body, span);
    return true;
}

bool hold_says_over(struct hold *h, struct arena *a, const struct oauth_expired *x)
{
    struct fault unused;
    struct json *body;
    for (size_t i = 0; i < x->word_count; i++)
        if (str_find_str(buf_str(&h->body), x->contains[i]) != SIZE_MAX)
            return true;
    return x->pointer.n && !json_read_lenient_keys(a, buf_str(&h->body), &body, &unused) &&
           json_scalar_is(json_at(a, body, x->pointer), x->equals);
}

struct str hold_left(const struct hold *h)
{
    struct str all = buf_str(&h->body);
    return str_sub(all, h->given, all.n);
}

void hold_end(struct hold *h)
{
    if (h)
        buf_end(&h->body);
}
