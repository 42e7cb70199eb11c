/* cmd/password.h - a new password: from --password-file, asked for twice at a terminal, or from standard input. */
#ifndef CMD_PASSWORD_H
#define CMD_PASSWORD_H

#include "cmd/command.h"

/* Says what is wrong on stderr; answers the exit code. *out is the caller's to end. */
int password_read(struct command *c, struct secret *out);
/* The same from that option's file, or at a terminal. */
int password_read_new(struct command *c, enum option file, const char *prompt, struct secret *out);

#endif
