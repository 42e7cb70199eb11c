/* cmd/connection_use.h - asking before something is done to a connection that others depend on. */
#ifndef CMD_CONNECTION_USE_H
#define CMD_CONNECTION_USE_H

#include "cmd/client.h"

/* Nothing to ask when nobody depends on the connection of the first argument, or with --yes. EXIT_DONE: go on. `doing`: "Disabling
 * it concerns others.". */
int connection_confirm_use(struct command *c, struct client *k, const char *doing);

#endif
