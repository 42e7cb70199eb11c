/* cmd/token_print.h - a token that was just made, shown once. */
#ifndef CMD_TOKEN_PRINT_H
#define CMD_TOKEN_PRINT_H

#include "cmd/client.h"

/* The token and nothing else on stdout, what it is on stderr; with --json the API's answer. */
int token_print(struct client *k, const struct client_answer *answer);

#endif
