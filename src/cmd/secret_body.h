/* cmd/secret_body.h - a request's body that holds secrets: from a file or from standard input, in locked memory; never from the
 * command line, which other users can read. */
#ifndef CMD_SECRET_BODY_H
#define CMD_SECRET_BODY_H

#include "cmd/client.h"
#include "crypto/secret.h"

#define SECRET_BODY_MAX (128 * 1024)

/* --body @FILE or -; the caller ends it. Answers an exit code. */
int secret_body_read(struct command *c, struct secret *out);
/* Reads it, sends it, shows the answer. */
int secret_body_send(struct command *c, const char *method, struct str path);

#endif
