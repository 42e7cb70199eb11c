/* cmd/demo.h - the demonstration: a connection to the demonstration provider, made through the hub's own API as a user would. */
#ifndef CMD_DEMO_H
#define CMD_DEMO_H

#include "base/arena.h"
#include "cmd/demo_provider.h"
#include "store/db.h"

#define DEMO_CONNECTION "demo"

/* Replaces the connection "demo" by one to this provider and verifies it. *token: for calls, good for a day. Texts are in `boot`.
 */
enum err demo_connect(struct arena *boot, struct store *store, struct str url, const struct demo *provider, struct str *token,
                      struct fault *why) MUST_CHECK;

#endif
