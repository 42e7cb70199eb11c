/* auth/bearer.c - a token in the Authorization header (RFC 6750 2.1).
 *
 * Option `prefix`: the word before it, "Bearer" unless another is given; exactly one blank stands between them.
 */
#include "auth/methods.h"
#include "auth/value.h"

static const struct auth_field fields[] = { { "token", true }, { NULL, false } };

enum err bearer_check(const struct auth_input *in, struct fault *why)
{
    enum err e = value_check_prefix(value_option(in, "prefix"), why);
    return e ? e : value_check_credential(in, "token", why);
}

enum err bearer_prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a, (void)why;
    struct str word = str_trim(value_option(in, "prefix"));
    struct str token = secret_str(*auth_secret(in, "token"));
    out->count = 0;
    value_inject(out, INJECT_HEADER, STR("Authorization"),
                 value_join((struct str[]){ word.n ? word : STR("Bearer"), STR(" "), token }, 3));
    return ERR_NONE;
}

const struct auth_method auth_bearer = { .name = "bearer", .fields = fields, .check = bearer_check, .prepare = bearer_prepare };
