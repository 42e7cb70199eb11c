/* vault/header_name.h - which request header may carry an API key (SEC-15 to SEC-18, requirements 2.1 to 2.5). */
#ifndef VAULT_HEADER_NAME_H
#define VAULT_HEADER_NAME_H

#include "base/err.h"
#include "base/str.h"

/* 1-128 characters, letters, '-' and '_' (digits when `digits_ok`), not on the forbidden list, no forbidden prefix.
 * ERR_HEADER_NAME_INVALID, subject says which rule. */
enum err header_name_check(struct str name, bool digits_ok, struct fault *why) MUST_CHECK;

/* The same name to a provider, whatever the letter case and '_' for '-'. */
bool header_name_same(struct str a, struct str b);

#endif
