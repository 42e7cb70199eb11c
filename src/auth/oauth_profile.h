/* auth/oauth_profile.h - everything that is known of how one connection gets its tokens: what the connector's auth entry says under
 * `oauth`, over that the OAuth client's own settings, over that the connection's; expanded, checked, ready to be used.
 *
 * Sources: RFC 6749, 7636, 8414, 8628, 9126, 9449; features OAU-01..OAU-08, OAU-17, OAU-30..OAU-32.
 */
#ifndef AUTH_OAUTH_PROFILE_H
#define AUTH_OAUTH_PROFILE_H

#include "auth/method.h"
#include "base/clock.h"
#include "store/db.h"
#include "vault/keyring.h"

/* How the client proves itself at the token endpoint (RFC 6749 2.3, 7523, 8705). Never two at once. */
enum client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_BASIC, CLIENT_AUTH_POST, CLIENT_AUTH_SECRET_JWT, CLIENT_AUTH_PRIVATE_KEY_JWT,
                   CLIENT_AUTH_TLS, CLIENT_AUTH_SELF_SIGNED_TLS };
const char *client_auth_name(enum client_auth a); /* "client_secret_basic" ... as RFC 7591 spells them */
bool client_auth_parse(struct str s, enum client_auth *out);
/* By a certificate that it shows: RFC 8705 2.1, and 2.2 for one that nobody else signed. */
static inline bool client_auth_by_tls(enum client_auth a) { return a == CLIENT_AUTH_TLS || a == CLIENT_AUTH_SELF_SIGNED_TLS; }

/* What a provider does otherwise than RFC 6749 says; all off by default (OAU-17). Pointers: RFC 6901, empty: the usual place. */
struct token_quirks {
    bool json_body;                 /* the request is JSON, not a form */
    bool token_type_optional, token_type_na; /* na: N_A is fine, for what is no access token (RFC 8693 2.2.1) */
    bool any_content_type;
    struct str access_token, refresh_token, expires_in, scope, ok, error;
};

/* A provider's own "this token is over", beside 401: a status, and in the body a member with a value, or one of some words (each
 * may be missing). */
struct oauth_expired {
    int statuses[8];
    size_t status_count;
    struct str pointer, equals;     /* of a JSON body */
    struct str contains[4];         /* of any body */
    size_t word_count;
};
/* `rule` was checked when it was stored; NULL is fine: 401 alone. Texts stay the rule's. */
void oauth_expired_read(const struct json *rule, struct oauth_expired *out);
/* A stored connection's: its OAuth client's, else that of the connector's auth entry. Texts in `a`, or the entry's. */
enum err oauth_expired_of(struct db *db, struct arena *a, struct str connection, const struct json *options,
                          struct oauth_expired *out, struct fault *why) MUST_CHECK;

struct oauth_profile {
    struct str issuer;              /* empty: none is configured */
    struct str authorization_url, token_url, revocation_url, device_url, introspection_url, par_url; /* empty: none */
    struct str client_id;
    enum client_auth client_auth, refresh_auth;
    struct secret client_secret;    /* SECRET_NONE: a public client; ended by oauth_profile_end(), as are those below */
    struct secret next_secret;      /* during rotation: tried when the other is refused (OAU-04) */
    struct secret private_key;      /* PKCS#8 PEM */
    struct str key_id, algorithm;   /* algorithm: empty, the key says it */
    struct str certificate;         /* PEM chain that tls_client_auth shows, with private_key (crypto/pair.h); empty: none */
    struct str thumbprint;          /* x5t#S256 of the certificate, base64url; empty: none */
    struct secret next_key;         /* as next_secret, with what belongs to it */
    struct str next_key_id, next_certificate, next_thumbprint;
    struct str *scopes;             /* those to ask for */
    size_t scope_count;
    char scope_separator;
    const struct json *authorize_parameters, *token_parameters, *refresh_parameters; /* objects of texts, and of
                                       lists of texts where parameters repeat; may be NULL */
    const struct json *resources;   /* a list of URIs (RFC 8707), where no map of parameters says otherwise; may be NULL */
    const struct json *assertion;   /* claims for grants that sign (RFC 7523); may be NULL */
    const struct json *capture;     /* connection field -> pointer into the token answer (OAU-23); may be NULL */
    bool pkce, dpop, par, names_itself; /* names_itself: answers to the browser carry `iss` (RFC 9207) */
    struct token_quirks quirks;
    struct oauth_expired expired;
    int64_t max_idle_ms;            /* 0: idle grants live */
    int64_t lifetime_ms;            /* of a token whose answer says nothing; 0: not known */
    struct str client;              /* cli_...: the OAuth client; pol_.../connector: a policy's; empty: the connection's own */
};
#define OAUTH_TIMES_MOST (400ll * 24 * 60 * 60 * 1000)

/* For a stored connection, or one about to be: `in` has the connector's auth entry, the fields and the secrets, `client` the id or
 * key of an OAuth client or STR_NONE (then client_id and client_secret are the connection's). Texts in `a` or in what `in` lends.
 * ERR_FIELD_REQUIRED, ERR_FIELD_INVALID with the pointer; ERR_NOT_FOUND "oauth client". */
enum err oauth_profile_load(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str client,
                            struct oauth_profile *out, struct fault *why) MUST_CHECK;
/* The same for a stored connection, whose client and scopes stand in the table connection_oauth (auth/oauth_client.h). */
enum err oauth_profile_of(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str connection,
                          struct oauth_profile *out, struct fault *why) MUST_CHECK;
/* A client alone (cli_..., or pol_.../connector): its id and its secrets. ERR_NOT_FOUND "oauth client". */
enum err oauth_profile_client(struct db *db, struct keyring *k, struct arena *a, struct str client, struct oauth_profile *out,
                              struct fault *why) MUST_CHECK;
/* The connection's own scopes, one blank between, in place of what the client or the connector says; p == NULL: those stay. */
void oauth_profile_ask(struct arena *a, struct oauth_profile *p, struct str scopes);
/* A scope as it is written, with the fields' values put in; as it is when it cannot be. */
struct str oauth_profile_scope_in(struct arena *a, struct str scope, const struct json *fields);
/* The scopes as one text, with the provider's separator. */
struct str oauth_profile_scope(struct arena *a, const struct oauth_profile *p);
void oauth_profile_end(struct oauth_profile *p);

/* *out is p with what proves the client next in the place of what does now, and the other way round: lent, or moved where it takes
 * p's own place. False: nothing comes next. */
bool oauth_profile_next(const struct oauth_profile *p, struct oauth_profile *out);

/* Where token requests of such a connection go: the hosts of its URLs that get credentials, in order, each once, commas between. It
 * must not change while a connection holds secrets or a grant: they would travel to another place. Errors as for loading. */
enum err oauth_profile_hosts(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str client,
                             struct str *out, struct fault *why) MUST_CHECK;

/* Who is asked for what is not written, where only an issuer is; once, at the start. Lent for the life of the process. */
struct issuers;
void oauth_profile_discover_with(struct issuers *s);

/* Does the text show one of the client's secrets (auth/told.h)? */
bool oauth_profile_shown(const struct oauth_profile *p, struct str text);

#endif
