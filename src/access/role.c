#include "access/role.h"

#define R(right) (1u << RIGHT_##right)

/* Deny by default: who has what stands here and nowhere else. A user uses connections; setting them up is for administrators
 * (feature D4, preset of origin 004). */
#define USER_RIGHTS \
    (R(OPEN) | R(SIGNED_IN) | R(CATALOG_VIEW) | R(CONNECTION_VIEW) | R(CONNECTION_USE) | R(RUN_VIEW) | R(TOKEN_OWN))
#define ADMIN_RIGHTS (USER_RIGHTS | R(CONNECTION_EDIT) | R(ADMINISTER) | R(METRICS) | R(AUDIT))

static const struct {
    const char *name;
    unsigned rights;
} roles[] = {
    [ROLE_NONE]  = { "none",  R(OPEN) },
    [ROLE_USER]  = { "user",  USER_RIGHTS },
    [ROLE_ADMIN] = { "admin", ADMIN_RIGHTS },
    [ROLE_OWNER] = { "owner", ADMIN_RIGHTS },
};

static const char *const right_names[] = {
    [RIGHT_MISSING] = "missing",
    [RIGHT_OPEN] = "open",
    [RIGHT_SIGNED_IN] = "signed_in",
    [RIGHT_CATALOG_VIEW] = "catalog.view",
    [RIGHT_CONNECTION_VIEW] = "connection.view",
    [RIGHT_CONNECTION_USE] = "connection.use",
    [RIGHT_CONNECTION_EDIT] = "connection.edit",
    [RIGHT_RUN_VIEW] = "run.view",
    [RIGHT_TOKEN_OWN] = "token.own",
    [RIGHT_ADMINISTER] = "administer",
    [RIGHT_METRICS] = "metrics",
    [RIGHT_AUDIT] = "audit",
};

const char *role_name(enum role r) { return (unsigned)r < COUNT(roles) ? roles[r].name : "none"; }

bool role_parse(struct str s, enum role *out)
{
    for (size_t i = ROLE_USER; i < COUNT(roles); i++)
        if (str_is(s, roles[i].name)) {
            *out = (enum role)i;
            return true;
        }
    return false;
}

bool role_has(enum role r, enum right right)
{
    return (unsigned)r < COUNT(roles) && right != RIGHT_MISSING && (unsigned)right < COUNT(right_names) &&
           (roles[r].rights & 1u << right);
}

const char *right_name(enum right r) { return (unsigned)r < COUNT(right_names) ? right_names[r] : "missing"; }
