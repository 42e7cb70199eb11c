/* cmd/certificate_watch.h - client certificates kept up by the clock: renewed, put to use, warned of, and said in the log. */
#ifndef CMD_CERTIFICATE_WATCH_H
#define CMD_CERTIFICATE_WATCH_H

#include "web/web.h"

/* One round, on the upkeep thread. */
void certificate_watch(struct hub *h, wall_ms now);

#endif
