/* auth/methods.h - the methods, one file each. Private to auth/. */
#ifndef AUTH_METHODS_H
#define AUTH_METHODS_H

#include "auth/method.h"

extern const struct auth_method auth_none, auth_api_key, auth_basic, auth_bearer, auth_pat, auth_custom_fields;
extern const struct auth_method auth_oauth2_authorization_code, auth_oauth2_client_credentials, auth_oauth2_password,
    auth_oauth2_jwt_bearer, auth_oauth2_token_exchange, auth_oauth2_device_code, auth_google_service_account, auth_github_app,
    auth_custom_oauth;

extern const struct auth_method auth_aws_sigv4, auth_aws_assume_role, auth_digest, auth_oauth1, auth_hmac;

/* Tokens that are bound to a key (auth/dpop_signer.c): those of a grant that has a "dpop_key". */
bool dpop_bound(const struct auth_input *in);
void dpop_inject(struct secret token, struct injections *out);
enum err dpop_signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why) MUST_CHECK;
void dpop_signer_free(struct signer *s);
enum sign_body dpop_signs_body(const struct signer *s);
enum err dpop_sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                   struct signature *out, struct fault *why) MUST_CHECK;
enum err dpop_challenged(struct signer *s, const struct signature *sent, struct str host, int status, const struct head *answer,
                         bool *again, struct fault *why) MUST_CHECK;

/* A personal access token is a bearer token with a name of its own. */
enum err bearer_check(const struct auth_input *in, struct fault *why) MUST_CHECK;
enum err bearer_prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why) MUST_CHECK;

/* What the two AWS methods share: a key of its own, and one of a role's session. */
struct signer;
enum err aws_check_place(const struct auth_input *in, struct fault *why) MUST_CHECK;
enum err aws_check_key(const struct auth_input *in, struct fault *why) MUST_CHECK;
enum err aws_prepare(struct injections *out, const struct secret *token) MUST_CHECK;
struct signer *aws_signer(struct arena *a, const struct auth_input *in, const struct secret *id, const struct secret *secret,
                          const struct secret *token);
void aws_signer_free(struct signer *s);
enum sign_body aws_signs_body(const struct signer *s);
enum err aws_sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                  struct signature *out, struct fault *why) MUST_CHECK;

#endif
