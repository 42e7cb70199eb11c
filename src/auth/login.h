/* auth/login.h - the login request of custom_oauth: what a connector or a connection says of it. Private to auth/.
 *
 * The member `login` of the auth entry; over it, for connectors that leave it to their users, the connection's own fields
 * login_url, login_method, login_headers, login_body, login_content_type, login_values, login_expires_in, login_lifetime,
 * login_success_pointer and login_success_equals. docs/connector-format.md tells them.
 */
#ifndef AUTH_LOGIN_H
#define AUTH_LOGIN_H

#include "auth/method.h"

#define LOGIN_HEADERS 8
#define LOGIN_VALUES 8 /* of a grant's: all that it keeps */

struct login {
    struct str method, url, body, content_type;  /* templates, but for method and content_type */
    const struct json *headers;                  /* name -> template; may be NULL */
    const struct json *values;                   /* name -> where the answer has it (base/json_path.h) */
    const struct json *statuses;                 /* those of success; NULL: 200 to 299 */
    struct str pointer, equals;                  /* a place in the answer, and what stands there on success; pointer empty: none */
    struct str expires_in;                       /* a place in the answer; empty: none */
    int64_t lifetime_ms;                         /* where the answer says nothing; 0: not known */
};
void login_read(struct arena *a, const struct auth_input *in, struct login *out);
/* ERR_FIELD_REQUIRED, ERR_FIELD_INVALID with the pointer of the field that a person can change. */
enum err login_check(const struct login *l, struct fault *why) MUST_CHECK;

#endif
