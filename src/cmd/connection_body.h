/* cmd/connection_body.h - a new connection as the options of a command line describe it, without credentials. */
#ifndef CMD_CONNECTION_BODY_H
#define CMD_CONNECTION_BODY_H

#include "base/json.h"
#include "cmd/command.h"

#define CONNECTION_BODY_MAX (256 * 1024)

/* Members of the body; `o` is inside the object. Says what is wrong and answers the exit code. In connection_verbs.c. */
int connection_body_write(struct command *c, struct json_out *o);

#endif
