/* access/role.h - roles, rights, and the one table that says which role has which.
 *
 * A person has one role in the instance and may have others in folders, where rights add up (access/rights.h). Roles are not steps
 * of one ladder: a custodian turns keys and sees no connection; an auditor sees all and uses nothing. So nobody compares roles; one
 * asks for a right, or whether all rights of one role are among those of another.
 */
#ifndef ACCESS_ROLE_H
#define ACCESS_ROLE_H

#include "base/str.h"

enum role { ROLE_NONE, ROLE_CUSTODIAN, ROLE_AUDITOR, ROLE_VIEWER, ROLE_USER, ROLE_EDITOR, ROLE_ADMIN, ROLE_OWNER, ROLE_COUNT };
#define ROLE_NAMES "owner, admin, editor, user, viewer, auditor, custodian"
#define ROLE_NAMES_IN_FOLDERS "admin, editor, user, viewer, auditor"
const char *role_name(enum role r);            /* "none" for ROLE_NONE */
bool role_parse(struct str s, enum role *out); /* ROLE_NAMES; what is none of them leaves *out alone */
const char *role_says(enum role r);            /* one sentence, for the generated page */

/* What a door asks for. Those from VIEW to AUDIT are held in a folder, and count for what is in it. */
enum right {
    RIGHT_MISSING = 0,      /* a row without a right does not start */
    RIGHT_OPEN,             /* everybody, signed in or not */
    RIGHT_SIGNED_IN,
    RIGHT_VIEW, RIGHT_USE, RIGHT_EDIT, RIGHT_SECRETS_WRITE, RIGHT_SHARE, RIGHT_DELETE, RIGHT_PUBLISH, RIGHT_APPROVE, RIGHT_AUDIT,
    RIGHT_CATALOG_VIEW,
    RIGHT_TOKEN_OWN,        /* make and see one's own tokens */
    RIGHT_PEOPLE,           /* users, groups, service accounts, everyone's tokens */
    RIGHT_POLICIES,
    RIGHT_AUDIT_READ,
    RIGHT_KEYS,             /* turn keys, back up */
    RIGHT_METRICS,
    RIGHT_OWNERS,           /* make owners, and change them */
    RIGHT_COUNT
};
#define RIGHT_BIT(right) (1u << (right))
const char *right_name(enum right r);           /* "secrets_write" */
const char *right_says(enum right r);           /* what it lets do; for the generated page */
bool right_in_folder(enum right r);

/* What a folder makes of roles (feature D4). INHERITED: as the folder above. */
enum preset { PRESET_INHERITED, PRESET_EDITORS_EDIT, PRESET_OPEN_FOLDER, PRESET_ADMINISTRATORS_ONLY, PRESET_COUNT };
#define PRESET_NAMES "inherited, editors_edit, open_folder, administrators_only"
const char *preset_name(enum preset p);
bool preset_parse(struct str s, enum preset *out);

/* Does the table give it? Folder rights as in a shared folder of the usual preset. Nobody has RIGHT_MISSING. */
bool role_has(enum role r, enum right right);
unsigned role_rights_in(enum role r, enum preset p); /* RIGHT_BIT()s of a shared folder in which the role is held */
unsigned role_rights_own(enum role r);               /* in one's own personal workspace */
bool role_everywhere(enum role r); /* held in every shared folder, narrowed ones included */
/* Nobody gives a right that they do not have: may someone of role `own` give, or change someone of, role `r`? */
bool role_within(enum role r, enum role own);

#endif
