/* auth/obtain_inside.h - what the rows of auth/obtain.h share. Private to auth/. */
#ifndef AUTH_OBTAIN_INSIDE_H
#define AUTH_OBTAIN_INSIDE_H

#include "auth/obtain.h"

extern const struct obtain obtain_authorization_code, obtain_client_credentials, obtain_password, obtain_device_code,
    obtain_jwt_bearer, obtain_token_exchange, obtain_google, obtain_github_app, obtain_custom;

/* A text of the connection's fields; STR_NONE. */
struct str obtain_field(const struct obtain_input *q, const char *name);
/* A stored secret as text; STR_NONE. */
struct str obtain_secret(const struct obtain_input *q, const char *name);
/* The scopes to ask for, as the server separates them. */
struct str obtain_scope(struct arena *a, const struct obtain_input *q);

/* To the token endpoint, with the key and nonce of DPoP where they are used. */
enum err obtain_send(struct arena *a, const struct obtain_input *q, enum token_step step, const struct token_param *params,
                     size_t n, struct token_request *out, struct fault *why) MUST_CHECK;
/* What a person just made, or the refresh token. False: neither is there, *e untouched. */
bool obtain_again(struct arena *a, const struct obtain_input *q, struct token_request *out, enum err *e, struct fault *why);
/* RFC 6749 5.1 and 6: a refresh token that the answer does not replace goes on. */
void obtain_read(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                 struct obtained *out);
/* A description that repeats one of the connection's secrets is dropped. */
void obtain_hide_echo(const struct obtain_input *q, struct token_answer *t);
/* Takes over `value`. */
void obtain_put(struct obtained *out, struct str name, struct secret value);

#endif
