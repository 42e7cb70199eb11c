/* auth/aws_role.h - how a session of an AWS role is had (auth/obtain.h). Private to auth/. */
#ifndef AUTH_AWS_ROLE_H
#define AUTH_AWS_ROLE_H

#include "auth/obtain.h"

/* Gives role_access_key_id, role_secret_access_key and role_session_token. */
extern const struct obtain obtain_aws_role;

#endif
