#include "auth/oauth_profile.h"

#include "base/json.h"

void oauth_expired_read(const struct json *options, struct oauth_expired *out)
{
    const struct json *rule = json_get(json_get(options, "oauth"), "expired");
    int64_t status;
    *out = (struct oauth_expired){ .pointer = json_str(rule, "pointer"), .equals = json_str(rule, "equals") };
    json_each(v, json_get(rule, "status")) {
        if (out->status_count < COUNT(out->statuses) && json_i64(v, &status))
            out->statuses[out->status_count++] = (int)status;
    }
}
