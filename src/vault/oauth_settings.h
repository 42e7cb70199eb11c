/* vault/oauth_settings.h - what is written of an OAuth server: one grammar for the `oauth` member of a connector's auth entry and
 * for an OAuth client, and the rule where their URLs may point.
 *
 * Settings stay a JSON object: auth/oauth_profile.c lays a client's over a connector's, and reads what is in force. Checked when
 * written, so that no call meets a setting that cannot be used. docs/connector-format.md and docs/oauth-clients.md tell them.
 */
#ifndef VAULT_OAUTH_SETTINGS_H
#define VAULT_OAUTH_SETTINGS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

#define OAUTH_URL_MAX 2048
#define OAUTH_PARAMETERS 32      /* of one map */
#define OAUTH_SCOPES 256         /* of one list */
#define OAUTH_TOKEN_HOSTS 32
#define OAUTH_REPEATED 16        /* of one parameter */

enum oauth_place {
    OAUTH_IN_HOST,      /* the value decides where a credential goes */
    OAUTH_IN_URL,       /* path or query */
    OAUTH_IN_TEXT,      /* a parameter */
    OAUTH_IN_ASSERTION  /* a claim */
};

struct oauth_settings_rules {
    bool of_client;     /* an OAuth client's; else a connector's */
    /* May {{name}} stand there? `whole`: it is the URL's beginning, scheme and all. */
    bool (*placeholder)(void *context, struct str name, enum oauth_place place, bool whole);
    void *context;
};

/* `at`: JSON pointer of the object. ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD with the pointer. */
enum err oauth_settings_check(const struct json *settings, const struct oauth_settings_rules *rules, const char *at,
                              struct fault *why) MUST_CHECK;
/* Its members that hold a URL, ended by NULL; those to which no credential is sent: the first `*quiet`. */
const char *const *oauth_settings_urls(size_t *quiet);

/* The parts of a URL template: all that stands before the authority, the authority, the rest. The authority is empty when a
 * placeholder stands for the whole beginning. False: not such a URL. */
bool oauth_url_split(struct str url, struct str *scheme, struct str *authority, struct str *rest);
/* Where the URLs to which credentials go may point: hosts, and "*.suffix" where a placeholder stands for what is before. Each once,
 * in order. A URL whose whole host is a placeholder adds nothing. */
void oauth_settings_hosts(struct arena *a, const struct json *settings, struct str out[OAUTH_TOKEN_HOSTS], size_t *n);
/* Is `host` one of the JSON array's hosts or patterns? NULL: no. */
bool oauth_hosts_hold(const struct json *hosts, struct str host);

/* May a parameter of that name stand in a request more than once? `audience` (RFC 8693 2.1), `resource` (RFC 8707 2). */
bool oauth_parameter_repeats(struct str name);
/* One scope: no blank, no control character, no comma. */
bool oauth_scope_valid(struct str scope);

#endif
