/* cmd/node.h - the running hub: everything wired, and taken apart again in the reverse order. */
#ifndef CMD_NODE_H
#define CMD_NODE_H

#include "base/arena.h"
#include "base/err.h"
#include "cmd/config.h"
#include "web/web.h"

struct node;

struct node_extra {
    struct str allow_private; /* appended to egress.allow_private; may be empty */
    struct str ca_file;       /* trusted beside egress.ca_file; may be empty */
};

/* Opens everything, listens, starts the threads. Wipes config->master_key. Texts live in `boot`. *created_key: where a master key
 * was made now, or empty. */
enum err node_start(struct arena *boot, struct config *config, const struct node_extra *extra, struct node **out,
                    struct str *created_key, struct fault *why) MUST_CHECK;
struct hub *node_hub(struct node *n);
struct str node_url(struct node *n);     /* http://127.0.0.1:8640: where it listens */
struct str node_setup_code(struct node *n); /* empty when the hub has an owner */
/* Not ready at once; no new clients; requests finish. node_drained() turns true when the last client has left. */
void node_drain(struct node *n);
bool node_drained(struct node *n);
/* Wipe every key and prepared credential from memory, at once; nothing but health and metrics is answered until a restart. Calls
 * that run keep what they hold until their end. */
void node_seal(struct node *n);
/* Read the listener's certificate again; no connection notices. False when it serves plain http, and there is nothing to read. */
bool node_reload(struct node *n);
/* Closes what is left and frees. NULL is fine. */
void node_stop(struct node *n);

#endif
