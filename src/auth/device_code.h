/* auth/device_code.h - a person authorizes at another device: what its server says at first, and how often it may be asked whether
 * the person has done so. RFC 8628; requirement 8.9. The asking is token_request_build() with device_code_params().
 */
#ifndef AUTH_DEVICE_CODE_H
#define AUTH_DEVICE_CODE_H

#include "auth/token_answer.h"
#include "auth/token_request.h"

#define DEVICE_INTERVAL_MS 5000 /* where the server says none (3.2), and what slow_down adds (3.5) */
#define DEVICE_INTERVAL_MOST_MS (5 * 60 * 1000)
#define DEVICE_LIFETIME_MOST_MS (60 * 60 * 1000)

struct device_code {
    struct secret code;            /* device_code_end() */
    struct str user_code, uri,
        uri_complete; /* for the person; texts without control characters, https only. uri_complete may be empty */
    int64_t expires_in_ms, interval_ms;
};
/* ERR_UPSTREAM_INVALID: no such answer, its subject a class of reasons; ERR_UPSTREAM_... never: the caller has judged the status.
 */
enum err device_code_read(struct arena *a, const struct fetch_answer *f, struct device_code *out, struct fault *why) MUST_CHECK;
void device_code_end(struct device_code *d);
/* What asks for the token; two of them, lent by `d`. */
#define DEVICE_PARAMS 2
void device_code_params(const struct device_code *d, struct token_param out[DEVICE_PARAMS]);

/* After an answer, or (TOKEN_UNKNOWN, TOKEN_LATER, no answer at all) a failure: how long to wait from now on. Grows for good with
 * slow_down, and doubles with each failure (3.5: exponential back-off on a timeout). 0: it is over. */
int64_t device_code_next(int64_t interval_ms, enum token_outcome outcome, int64_t retry_after_ms);

#endif
