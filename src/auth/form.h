/* auth/form.h - what is sent to token endpoints: form bodies and HTTP Basic, in secret memory. RFC 6749 2.3.1 and B, RFC 7617.
 * Private to auth/.
 */
#ifndef AUTH_FORM_H
#define AUTH_FORM_H

#include "crypto/secret.h"

struct token_param { struct str name, value; }; /* the value is lent, and may be secret */

/* name=value&...; everything but unreserved characters is %XX, which a reader of forms and one of URLs take alike. The caller's to
 * end. */
struct secret form_encode(const struct token_param *p, size_t n);
/* One value, encoded in the same way. The caller's to end. */
struct secret form_text(struct str value);
/* "Basic ..." of a client: id and secret are form-encoded each before they are joined. The caller's to end. */
struct secret form_basic(struct str id, struct str secret);

#endif
