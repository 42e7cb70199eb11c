/* cmd/sign_in.h - a session for the length of one verb: what only people may do, and no token of theirs. */
#ifndef CMD_SIGN_IN_H
#define CMD_SIGN_IN_H

#include "cmd/client.h"

/* Signs in as --email, by a password that is asked for or comes from --password-file, and a code where the hub wants one (--code,
 * or asked for). *k is opened; *session is the API's. Says what went wrong, and answers the exit code. */
int session_open(struct command *c, struct client *k, struct client_answer *session);
/* The hub gave a new one in its place: `answer` brought the cookie, `session` is its document. */
void session_renewed(struct client *k, const struct client_answer *answer, const struct json *session);
/* Signs out. */
int session_close(struct client *k);

#endif
