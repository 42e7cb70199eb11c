/* auth/methods.h - the methods, one file each. Private to auth/. */
#ifndef AUTH_METHODS_H
#define AUTH_METHODS_H

#include "auth/method.h"

extern const struct auth_method auth_none, auth_api_key, auth_basic, auth_bearer, auth_pat, auth_custom_fields;
extern const struct auth_method auth_oauth2_authorization_code, auth_oauth2_client_credentials, auth_oauth2_password,
    auth_oauth2_jwt_bearer, auth_oauth2_device_code, auth_google_service_account, auth_github_app, auth_custom_oauth;

/* A personal access token is a bearer token with a name of its own. */
enum err bearer_check(const struct auth_input *in, struct fault *why) MUST_CHECK;
enum err bearer_prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why) MUST_CHECK;

#endif
