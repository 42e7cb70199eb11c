#include "access/role.h"

#define R(right) RIGHT_BIT(RIGHT_##right)

/* Deny by default: who has what stands here and nowhere else; docs/access.md is made from it. Setting connections up is for
 * administrators and editors (feature D4, preset of origin 004); a custodian turns keys and uses nothing (requirement 16.1). */
#define ANYBODY (R(OPEN) | R(SIGNED_IN) | R(TOKEN_OWN))
#define VIEWER_IN R(VIEW)
#define USER_IN (VIEWER_IN | R(USE))
#define EDITOR_IN (USER_IN | R(EDIT) | R(SECRETS_WRITE) | R(DELETE) | R(PUBLISH))
#define AUDITOR_IN (R(VIEW) | R(AUDIT))
#define ADMIN_IN (EDITOR_IN | R(SHARE) | R(APPROVE) | R(AUDIT))
#define ADMIN_WIDE (ANYBODY | R(CATALOG_VIEW) | R(PEOPLE) | R(POLICIES) | R(AUDIT_READ) | R(KEYS) | R(METRICS))

static const struct {
    const char *name;
    unsigned wide;       /* in the instance */
    unsigned in_folder;  /* where the role is held, under the usual preset */
    unsigned own;        /* in one's own workspace */
    bool everywhere;
    const char *says;
} roles[] = {
    [ROLE_NONE] = { "none", R(OPEN), 0, 0, false, "Nobody has signed in." },
    [ROLE_CUSTODIAN] = { "custodian", ANYBODY | R(KEYS), 0, 0, false, "Turns keys and backs up; sees and uses no connection." },
    [ROLE_AUDITOR] = { "auditor", ANYBODY | R(CATALOG_VIEW) | R(AUDIT_READ), AUDITOR_IN, AUDITOR_IN, true,
                       "Reads the audit log, and sees every shared folder; changes and uses nothing." },
    [ROLE_VIEWER] = { "viewer", ANYBODY | R(CATALOG_VIEW), VIEWER_IN, VIEWER_IN, false, "Sees connections and runs." },
    [ROLE_USER] = { "user", ANYBODY | R(CATALOG_VIEW), USER_IN, ADMIN_IN, false,
                    "Uses shared connections; sets up connections in the own workspace." },
    [ROLE_EDITOR] = { "editor", ANYBODY | R(CATALOG_VIEW), EDITOR_IN, ADMIN_IN, false, "Sets up and changes shared connections." },
    [ROLE_ADMIN] = { "admin", ADMIN_WIDE, ADMIN_IN, ADMIN_IN, true, "Administers people, folders, policies and keys." },
    [ROLE_OWNER] = { "owner", ADMIN_WIDE | R(OWNERS), ADMIN_IN, ADMIN_IN, true, "Administers all; makes and changes owners." },
};
_Static_assert(COUNT(roles) == ROLE_COUNT && RIGHT_COUNT <= 32, "a row for each role; a bit for each right");

static const struct {
    const char *name, *says;
} rights[] = {
    [RIGHT_MISSING] = { "missing", "Nobody's." },
    [RIGHT_OPEN] = { "open", "Doors that stand open, signed in or not." },
    [RIGHT_SIGNED_IN] = { "signed_in", "What anybody may who is known: the own account and session." },
    [RIGHT_VIEW] = { "view", "See folders, connections and their runs." },
    [RIGHT_USE] = { "use", "Call through connections." },
    [RIGHT_EDIT] = { "edit", "Make connections and change them." },
    [RIGHT_SECRETS_WRITE] = { "secrets_write", "Replace credentials (which nobody can read)." },
    [RIGHT_SHARE] = { "share", "Say who is in a folder, share a connection, move it away." },
    [RIGHT_DELETE] = { "delete", "Delete connections." },
    [RIGHT_PUBLISH] = { "publish", "Publish what others then run." },
    [RIGHT_APPROVE] = { "approve", "Approve what another has asked for." },
    [RIGHT_AUDIT] = { "audit", "See the audit log's records of a folder." },
    [RIGHT_CATALOG_VIEW] = { "catalog_view", "See the connectors." },
    [RIGHT_TOKEN_OWN] = { "token_own", "Make, see and revoke one's own tokens." },
    [RIGHT_PEOPLE] = { "people", "Users, groups, service accounts, and everybody's tokens." },
    [RIGHT_POLICIES] = { "policies", "Say what is allowed, preset or forbidden; keep OAuth clients." },
    [RIGHT_AUDIT_READ] = { "audit_read", "Read, verify and export the whole audit log." },
    [RIGHT_KEYS] = { "keys", "Turn keys, and back up." },
    [RIGHT_METRICS] = { "metrics", "Read the metrics." },
    [RIGHT_OWNERS] = { "owners", "Make owners, and change them." },
};
_Static_assert(COUNT(rights) == RIGHT_COUNT, "a name for each right");

/* Whose rights a role has where a preset holds; itself, where nothing is said. */
static const enum role acts_as[PRESET_COUNT][ROLE_COUNT] = {
    [PRESET_OPEN_FOLDER] = { [ROLE_USER] = ROLE_EDITOR },
    [PRESET_ADMINISTRATORS_ONLY] = { [ROLE_EDITOR] = ROLE_USER },
};

static const char *const preset_names[] = {
    [PRESET_INHERITED] = "inherited",
    [PRESET_EDITORS_EDIT] = "editors_edit",
    [PRESET_OPEN_FOLDER] = "open_folder",
    [PRESET_ADMINISTRATORS_ONLY] = "administrators_only",
};
_Static_assert(COUNT(preset_names) == PRESET_COUNT, "a name for each preset");

static bool role_known(enum role r) { return (unsigned)r < ROLE_COUNT; }

const char *role_name(enum role r) { return role_known(r) ? roles[r].name : "none"; }

const char *role_says(enum role r) { return role_known(r) ? roles[r].says : ""; }

bool role_parse(struct str s, enum role *out)
{
    for (size_t i = ROLE_NONE + 1; i < COUNT(roles); i++)
        if (str_is(s, roles[i].name)) {
            *out = (enum role)i;
            return true;
        }
    return false;
}

const char *right_name(enum right r) { return (unsigned)r < RIGHT_COUNT ? rights[r].name : "missing"; }

const char *right_says(enum right r) { return (unsigned)r < RIGHT_COUNT ? rights[r].says : ""; }

bool right_in_folder(enum right r) { return r >= RIGHT_VIEW && r <= RIGHT_AUDIT; }

const char *preset_name(enum preset p) { return (unsigned)p < PRESET_COUNT ? preset_names[p] : preset_names[PRESET_INHERITED]; }

bool preset_parse(struct str s, enum preset *out)
{
    for (size_t i = 0; i < COUNT(preset_names); i++)
        if (str_is(s, preset_names[i])) {
            *out = (enum preset)i;
            return true;
        }
    return false;
}

bool role_has(enum role r, enum right right)
{
    return role_known(r) && right != RIGHT_MISSING && (unsigned)right < RIGHT_COUNT &&
           ((roles[r].wide | roles[r].in_folder) & RIGHT_BIT(right));
}

unsigned role_rights_in(enum role r, enum preset p)
{
    if (!role_known(r))
        return 0;
    enum role as = (unsigned)p < PRESET_COUNT ? acts_as[p][r] : ROLE_NONE;
    return roles[as ? as : r].in_folder;
}

unsigned role_rights_own(enum role r) { return role_known(r) ? roles[r].own : 0; }

bool role_everywhere(enum role r) { return role_known(r) && roles[r].everywhere; }

bool role_within(enum role r, enum role own)
{
    if (!role_known(r) || !role_known(own) || r == ROLE_NONE)
        return false;
    unsigned more =
        (roles[r].wide & ~roles[own].wide) | (roles[r].in_folder & ~roles[own].in_folder) | (roles[r].own & ~roles[own].own);
    return !more && (!roles[r].everywhere || roles[own].everywhere);
}
