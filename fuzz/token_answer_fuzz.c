/* No answer of a token endpoint, no pasted key and no path makes its reader fail in an unnamed way; what is given is fit to be
 * sent, and what is said is fit to be shown. */
#include <stdint.h>

#include "auth/device_code.h"
#include "auth/introspection.h"
#include "auth/token_answer.h"
#include "base/encode.h"
#include "base/json_path.h"
#include "crypto/private_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sendable(struct secret s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            bug("a token that breaks a header");
}

static void showable(struct str s)
{
    if (s.n > 512 || str_has_control(s) || !utf8_valid(s))
        bug("a text that cannot be shown");
}

static void read_answer(struct arena *a, struct str body, int how)
{
    static const int statuses[] = { 200, 201, 400, 401, 403, 429, 503, 302 };
    struct str headers[][2] = {
        { STR("Content-Type"), how & 8 ? STR("application/x-www-form-urlencoded") : STR("application/json") },
    };
    struct oauth_profile p = { .scope_separator = ' ', .dpop = how & 64,
                               .quirks = { .any_content_type = how & 16, .token_type_optional = how & 32 } };
    struct fetch_answer f = { .status = statuses[how & 7], .headers = headers, .header_count = 1, .body = body };
    struct token_answer t;
    struct device_code d;
    struct fault why;
    wall_ms expires;
    (void)introspection_read(&f, &expires);
    if (!device_code_read(a, &f, &d, &why))
        device_code_end(&d);
    token_answer_read(a, &p, &f, 1790000000000, &t);
    if ((t.outcome == TOKEN_GIVEN) != (t.access_token.n > 0) || (t.outcome == TOKEN_GIVEN && f.status / 100 != 2))
        bug("outcome %d with %zu bytes of token", t.outcome, t.access_token.n);
    if (t.expires_in_ms == 0 || t.expires_in_ms < -1)
        bug("a lifetime of %lld", (long long)t.expires_in_ms);
    sendable(t.access_token);
    sendable(t.refresh_token);
    showable(t.error);
    showable(t.description);
    token_answer_end(&t);
}

static void read_key(struct str text)
{
    struct secret pem, again;
    struct fault why;
    enum err e = private_key_read(text, &pem, &why);
    if (e && e != ERR_FIELD_INVALID && e != ERR_FIELD_REQUIRED)
        bug("a key answers %s", err_row(e)->code);
    if (e)
        return;
    if (private_key_read(secret_str(pem), &again, &why) || !secret_equal(pem, again))
        bug("a key that was read does not read again");
    secret_end(&pem);
    secret_end(&again);
}

static void follow_path(struct arena *a, struct str text)
{
    struct str path, document;
    struct json *v;
    struct fault why;
    if (!str_cut(text, '\n', &path, &document) || json_read(a, document, &v, &why))
        return;
    if (json_path(v, path) && !json_path_valid(path))
        bug("a path that is none leads somewhere");
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text = arena_str(a, (struct str){ (const char *)data + 1, size - 1 });
    if (data[0] < 128)
        read_answer(a, text, data[0]);
    else if (data[0] < 192)
        read_key(text);
    else
        follow_path(a, text);
    return 0;
}
