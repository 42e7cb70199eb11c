#include "auth/device_code.h"

#include "base/encode.h"

#define CODE_MAX 4096     /* bytes of the code that we send */
#define USER_CODE_MAX 64  /* of the one that a person types */
#define URI_MAX 2048
#define LIFETIME_MS (10 * 60 * 1000) /* expires_in is required; where it cannot be read */

static enum err malformed(struct fault *why, struct str subject)
{
    return fault(why, ERR_UPSTREAM_INVALID, subject, "device code");
}

/* 3.3.1: shown to people and made a link of. */
static bool uri_ok(struct str s) { return s.n <= URI_MAX && str_istarts(s, STR("https://")) && !str_has_control(s); }

static int64_t seconds(const struct json *v, int64_t otherwise_ms, int64_t most_ms, wall_ms now)
{
    int64_t ms = token_duration(v, now);
    return ms < 0 ? otherwise_ms : ms > most_ms ? most_ms : ms;
}

static enum err read_members(struct arena *a, const struct json *body, struct device_code *out, struct fault *why)
{
    struct str code = json_str(body, "device_code"), user = json_str(body, "user_code"), uri = json_str(body, "verification_uri");
    struct str complete = json_str(body, "verification_uri_complete");
    if (!uri.n)
        uri = json_str(body, "verification_url"); /* Google's, from before the RFC */
    if (!code.n || code.n > CODE_MAX || str_has_control(code))
        return malformed(why, STR("no device code in it"));
    if (!user.n || user.n > USER_CODE_MAX || str_has_control(user))
        return malformed(why, STR("no code for a person in it"));
    if (!uri_ok(uri))
        return malformed(why, STR("no address for a person in it, or not an https one"));
    *out = (struct device_code){
        .code = secret_from(code), .user_code = arena_str(a, user), .uri = arena_str(a, uri),
        .uri_complete = uri_ok(complete) ? arena_str(a, complete) : STR(""),
        .expires_in_ms = seconds(json_get(body, "expires_in"), LIFETIME_MS, DEVICE_LIFETIME_MOST_MS, 0),
        .interval_ms = seconds(json_get(body, "interval"), DEVICE_INTERVAL_MS, DEVICE_INTERVAL_MOST_MS, 0),
    };
    return ERR_NONE;
}

enum err device_code_read(struct arena *a, const struct fetch_answer *f, struct device_code *out, struct fault *why)
{
    AUTO_ARENA scratch = arena_new(16 * 1024);
    struct json *body;
    struct fault unused;
    *out = (struct device_code){ 0 };
    if (json_read_lenient_keys(scratch, f->body, &body, &unused) || !json_is(body, JSON_OBJECT))
        return malformed(why, STR("not a JSON object"));
    return read_members(a, body, out, why);
}

void device_code_end(struct device_code *d) { secret_end(&d->code); }

void device_code_params(const struct device_code *d, struct token_param out[DEVICE_PARAMS])
{
    out[0] = (struct token_param){ STR("grant_type"), STR("urn:ietf:params:oauth:grant-type:device_code") };
    out[1] = (struct token_param){ STR("device_code"), secret_str(d->code) };
}

static int64_t capped(int64_t ms) { return ms < DEVICE_INTERVAL_MOST_MS ? ms : DEVICE_INTERVAL_MOST_MS; }

int64_t device_code_next(int64_t interval_ms, enum token_outcome outcome, int64_t retry_after_ms)
{
    switch (outcome) {
    case TOKEN_PENDING:
    case TOKEN_NONCE: return interval_ms;
    case TOKEN_SLOW_DOWN: return capped(interval_ms + DEVICE_INTERVAL_MS);
    case TOKEN_LATER:
    case TOKEN_UNKNOWN: return capped(retry_after_ms > 2 * interval_ms ? retry_after_ms : 2 * interval_ms);
    default: return 0;
    }
}
