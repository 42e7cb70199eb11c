/* auth/basic.c - HTTP Basic (RFC 7617): Authorization: Basic base64(user ":" password), in UTF-8.
 *
 * User and password may both be empty. Option `username_suffix` is put behind the user name unless it is there already
 * (Zendesk's "/token").
 */
#include "auth/methods.h"
#include "auth/value.h"
#include "base/encode.h"

static const struct auth_field fields[] = { { "username", true }, { "password", false }, { NULL, false } };

/* RFC 7617 2: neither may hold control characters. Blanks at the ends are part of a password. */
static enum err check_part(struct str part, const char *name, struct fault *why)
{
    const char *flaw = part.n > VALUE_MAX       ? "longer than 8 KiB"
                       : str_has_control(part)  ? "holds a line break or another control character"
                       : !utf8_valid(part)      ? "is not UTF-8"
                                                : NULL;
    return flaw ? value_refuse(ERR_FIELD_INVALID, str_of(flaw), why, "/credentials/%s", name) : ERR_NONE;
}

static enum err check(const struct auth_input *in, struct fault *why)
{
    const struct secret *user = auth_secret(in, "username"), *password = auth_secret(in, "password");
    if (!user)
        return value_refuse(ERR_FIELD_REQUIRED, STR("username"), why, "/credentials/username");
    /* RFC 7617 2: the first colon ends the user name. */
    if (str_find(secret_str(*user), ':') != SIZE_MAX)
        return value_refuse(ERR_FIELD_INVALID, STR("a user name cannot hold “:” with HTTP Basic"), why, "/credentials/username");
    enum err e = check_part(secret_str(*user), "username", why);
    if (!e && password)
        e = check_part(secret_str(*password), "password", why);
    return e;
}

static enum err prepare(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why)
{
    (void)a, (void)why;
    static const char scheme[] = "Basic ";
    const struct secret *password = auth_secret(in, "password");
    struct str user = secret_str(*auth_secret(in, "username"));
    struct str suffix = json_str(in->options, "username_suffix");
    if (str_ends(user, suffix))
        suffix = STR("");

    AUTO_SECRET pair =
        value_join((struct str[]){ user, suffix, STR(":"), password ? secret_str(*password) : STR("") }, 4);
    struct secret value = secret_new(sizeof scheme - 1 + base64_size(pair.n));
    memcpy(value.p, scheme, sizeof scheme - 1);
    base64_write((char *)value.p + sizeof scheme - 1, secret_str(pair), BASE64_STANDARD);

    out->count = 0;
    value_inject(out, INJECT_HEADER, STR("Authorization"), value);
    return ERR_NONE;
}

const struct auth_method auth_basic = { .name = "basic", .fields = fields, .check = check, .prepare = prepare };
