/* vault/domain.h - the allowed domain of a connection: where its credential may go (SEC-04 to SEC-14).
 *
 * Form: "api.example.com" (exactly that host) or "*.example.com" (example.com and every depth below it).
 * At most 128 characters after to-ASCII and lower-casing, labels 1-63 of letters, digits and hyphens (not at the ends), at least
 * one dot, no scheme, port, path, user part, IP literal, percent sign, trailing dot. "*." only as the first two characters. A
 * wildcard directly on a public suffix is refused (ICANN and private sections, wildcard and exception rules; an unlisted top level
 * counts as one).
 */
#ifndef VAULT_DOMAIN_H
#define VAULT_DOMAIN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* Load the Public Suffix List once at boot (text .dat or .dafsa). Empty: Debian's list, then libpsl's built-in one.
 * ERR_CONFIG when the file is unusable. Thread-safe afterwards. */
enum err domain_suffixes_load(struct str file, struct fault *why) MUST_CHECK;
void domain_suffixes_end(void);
/* e.g. "/usr/share/publicsuffix/public_suffix_list.dafsa, 2023-02-09"; boot lifetime. */
struct str domain_suffixes_describe(void);

/* Check and normalise what a person typed. `private_ok` says whether a host without a dot, an IP literal or a private name is
 * permitted (the administrator listed it in egress.allow_private); it may be NULL (never).
 * ERR_DOMAIN_INVALID, subject says which rule. *out is owned by `a`: lower-case A-label form, with "*." if given. */
enum err domain_check(struct arena *a, struct str typed, bool (*private_ok)(struct str host, void *context), void *context,
                      struct str *out, struct fault *why) MUST_CHECK;

/* Does the host (as http/url.h gives it) fall under the normalised allowed domain? */
bool domain_matches(struct str allowed, struct str host);

#endif
