#include "call/run.h"

static const char *const via_names[] = { [RUN_PROXY] = "proxy", [RUN_CALL] = "call", [RUN_VERIFY] = "verify" };
static const char *const outcome_names[] = {
    [RUN_SUCCESS] = "success", [RUN_PROVIDER_ERROR] = "provider_error", [RUN_FAILED] = "failed",
    [RUN_REFUSED] = "refused", [RUN_CANCELLED] = "cancelled",
};

const char *run_via_name(enum run_via v) { return via_names[v]; }
const char *run_outcome_name(enum run_outcome o) { return outcome_names[o]; }

bool run_outcome_parse(struct str s, enum run_outcome *out)
{
    for (size_t i = 0; i < COUNT(outcome_names); i++)
        if (str_is(s, outcome_names[i])) {
            *out = (enum run_outcome)i;
            return true;
        }
    return false;
}

/* ---- showing ---- */

/* Microseconds inside, milliseconds with three decimals outside. */
static const struct timing {
    const char *name;
    size_t at;
} timings[] = {
    { "resolve", offsetof(struct run, resolve_us) },       { "connect", offsetof(struct run, connect_us) },
    { "tls", offsetof(struct run, tls_us) },               { "first_byte", offsetof(struct run, first_byte_us) },
    { "total", offsetof(struct run, total_us) },
};

static int32_t timing_of(const struct run *r, const struct timing *t) { return *(const int32_t *)((const char *)r + t->at); }

static void put_ms(struct json_out *o, int32_t us)
{
    char text[STR_U64_MAX + 4];
    size_t n = str_put_u64(text, (uint64_t)us / 1000);
    text[n++] = '.';
    for (int32_t unit = 100; unit; unit /= 10)
        text[n++] = (char)('0' + us / unit % 10);
    json_put_raw(o, (struct str){ text, n });
}

void run_write_timing(struct json_out *o, const struct run *r)
{
    json_open(o, '{');
    for (size_t i = 0; i < COUNT(timings); i++) {
        int32_t us = timing_of(r, &timings[i]);
        json_key(o, timings[i].name);
        if (us > 0)
            put_ms(o, us);
        else
            json_put_null(o);
    }
    json_member_bool(o, "reused", r->reused);
    json_close(o, '}');
}

static void member_text_or_null(struct json_out *o, const char *key, const char *text)
{
    if (text[0])
        json_member_str(o, key, str_of(text));
    else
        json_member_null(o, key);
}

void run_write(struct json_out *o, const struct run *r)
{
    json_open(o, '{');
    json_member_str(o, "id", str_of(r->id));
    json_member_time(o, "started_at", r->started);
    json_key(o, "connection");
    if (r->connection[0]) {
        json_open(o, '{');
        json_member_str(o, "id", str_of(r->connection));
        member_text_or_null(o, "key", r->connection_key);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    member_text_or_null(o, "caller", r->caller);
    member_text_or_null(o, "token", r->token);
    json_member_str(o, "via", str_of(run_via_name(r->via)));
    json_member_str(o, "method", str_of(r->method));
    json_member_str(o, "host", str_of(r->host));
    json_member_str(o, "path", str_of(r->path));
    json_key(o, "status");
    if (r->status)
        json_put_i64(o, r->status);
    else
        json_put_null(o);
    json_member_str(o, "outcome", str_of(run_outcome_name(r->outcome)));
    member_text_or_null(o, "error", r->error ? err_row(r->error)->code : "");
    json_member_i64(o, "request_bytes", r->request_bytes);
    json_member_i64(o, "response_bytes", r->response_bytes);
    json_key(o, "timing_ms");
    run_write_timing(o, r);
    json_close(o, '}');
}
