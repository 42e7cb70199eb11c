/* access/role.h - roles, rights, and the one table that says which role has which.
 *
 * First storey: owner, admin and user. The schema foresees editor, viewer and auditor, members of folders and inherited rights.
 */
#ifndef ACCESS_ROLE_H
#define ACCESS_ROLE_H

#include "base/str.h"

enum role { ROLE_NONE, ROLE_USER, ROLE_ADMIN, ROLE_OWNER }; /* ordered: a greater one may all that a lesser one may */
const char *role_name(enum role r);            /* "none" for ROLE_NONE */
bool role_parse(struct str s, enum role *out); /* owner, admin, user */

/* What a door asks for. The table is in access/role.c. */
enum right {
    RIGHT_MISSING = 0,      /* a row without a right does not start */
    RIGHT_OPEN,             /* everybody, signed in or not */
    RIGHT_SIGNED_IN,
    RIGHT_CATALOG_VIEW,
    RIGHT_CONNECTION_VIEW, RIGHT_CONNECTION_USE, RIGHT_CONNECTION_EDIT,
    RIGHT_RUN_VIEW,
    RIGHT_TOKEN_OWN,        /* make and see one's own tokens */
    RIGHT_ADMINISTER,       /* users, everyone's tokens */
    RIGHT_METRICS,
    RIGHT_AUDIT,            /* read and check the audit log */
};
bool role_has(enum role r, enum right right); /* nobody has RIGHT_MISSING */
const char *right_name(enum right r);

#endif
