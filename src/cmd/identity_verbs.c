/* Verbs of identity providers. A body holds a client secret, so it comes from a file or from standard input, into locked memory. */
#include "cmd/errand.h"
#include "cmd/verbs.h"

#define BODY_MAX (64 * 1024)

int identity_providers_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "KEY", "key", COLUMN_TEXT },
        { "NAME", "name", COLUMN_TEXT },
        { "ISSUER", "issuer", COLUMN_TEXT },
        { "SIGN-IN CLIENT", "sign_in.client_id", COLUMN_TEXT },
        { "CALLERS' AUDIENCE", "jwt_callers.audience", COLUMN_TEXT },
        { "DISABLED", "disabled", COLUMN_TEXT },
    };
    struct listing l = { .path = "/identity-providers", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No identity providers yet: raccord help identity-providers create" };
    return errand_list(c, &l);
}

int identity_providers_get_run(struct command *c) { return errand_get(c, "/identity-providers"); }

int identity_providers_create_run(struct command *c)
{
    return errand_send_file(c, "POST", STR("/identity-providers"), BODY_MAX);
}

int identity_providers_update_run(struct command *c)
{
    return errand_send_file(c, "PATCH", client_path(c, "/identity-providers", ""), BODY_MAX);
}

int identity_providers_delete_run(struct command *c)
{
    return errand_delete(
        c, "/identity-providers",
        &(struct errand_harm){ "the identity provider", "name", ": nobody signs in or calls through it any more" });
}
