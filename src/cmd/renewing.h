/* cmd/renewing.h - what auth/renewal.h must know of the rooms above and beside it: connectors, prepared connections, fields. */
#ifndef CMD_RENEWING_H
#define CMD_RENEWING_H

#include "cmd/config.h"
#include "web/web.h"

/* hub->renewals; after the switchboard is there, before calls are taken. */
enum err renewing_start(struct hub *hub, const struct config *c, struct tls_context *tls, struct fault *why) MUST_CHECK;

#endif
