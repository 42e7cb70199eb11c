/* http/fetch.h - one blocking HTTP request, for the CLI and for tools: no pool, no credential rules.
 *
 * Plain http or https, certificate verified against the system's roots and `ca_file`. Not for providers' calls: those
 * leave through call/.
 */
#ifndef HTTP_FETCH_H
#define HTTP_FETCH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct fetch_request {
    struct str method, url;
    struct str headers[16][2];
    size_t header_count;
    struct str body;            /* p == NULL: none */
    struct str ca_file;
    int64_t timeout_ms;
    size_t response_max;        /* bytes */
};
struct fetch_answer {
    int status;
    struct str (*headers)[2];
    size_t header_count;
    struct str body;
};
/* Everything in `a`. ERR_URL_INVALID, ERR_INPUT_INVALID, ERR_UPSTREAM_*, ERR_RESPONSE_TOO_LARGE. */
enum err fetch(struct arena *a, const struct fetch_request *q, struct fetch_answer *out, struct fault *why) MUST_CHECK;
struct str fetch_header(const struct fetch_answer *f, const char *name); /* STR_NONE when absent */

#endif
