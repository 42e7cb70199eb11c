/* auth/pat.c - a personal access token: a bearer token that belongs to a person and often ends on a known day. */
#include "auth/methods.h"

static const struct auth_field fields[] = { { "token", true }, { NULL, false } };

const struct auth_method auth_pat = { .name = "pat", .fields = fields, .check = bearer_check, .prepare = bearer_prepare };
