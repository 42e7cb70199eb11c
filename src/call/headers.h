/* call/headers.h - which headers pass, in either direction (requirements 1.8, 2.5, 2.8, 2.9; PRX-04, PRX-16). */
#ifndef CALL_HEADERS_H
#define CALL_HEADERS_H

#include "auth/method.h"
#include "http/head.h"

enum header_verdict {
    HEADER_PASSES,
    HEADER_STAYS,     /* dropped without a word: it belongs to the hop, or to the hub */
    HEADER_OVERRIDES, /* it would override what the connection sets */
};
/* A caller's header, on the way to the provider. */
enum header_verdict headers_request(const struct head *h, const struct header *header, const struct injections *injections);
/* A provider's header, on the way to the caller; without the mask, which is live_passes()' business. */
bool headers_response(const struct head *h, const struct header *header);

#endif
