/* web/connection_oauth.h - what a connection has of OAuth: which client gets its tokens, and which scopes it asks for. Chosen when
 * it is made, changed later, shown.
 *
 * Hosts of token requests are as final as the allowed domain, once there is something that would be sent to them: secrets of the
 * connection's own, or a grant (OAU-06).
 */
#ifndef WEB_CONNECTION_OAUTH_H
#define WEB_CONNECTION_OAUTH_H

#include "auth/oauth_client.h"
#include "catalog/connector.h"
#include "vault/connection.h"
#include "web/web.h"

struct connection_oauth_order {
    bool applies;              /* the auth type has grants of OAuth */
    bool by_person;            /* the first of them takes a person */
    bool client_given, scopes_given;
    struct str client;         /* as asked: id or key; p == NULL: the connection's own, or a policy's */
    struct connection_oauth o; /* what is to be stored */
    bool ready;                /* nothing is missing but a grant */
    struct str hosts;          /* of token requests; empty: not known yet */
};

/* The members `oauth_client` and `scopes` of the body. ERR_FIELD_INVALID, also where the auth type takes none. */
enum err connection_oauth_read(struct web_request *q, struct str auth_type, struct connection_oauth_order *out,
                               struct fault *why) MUST_CHECK;
/* Finds the client, asks policies, and holds all of it together: connector, client, fields, secrets. May ask an issuer. `row`: what
 * will be stored. Pointers: /oauth_client, /fields/x, /credentials/x. */
enum err connection_oauth_settle(struct web_request *q, struct db *db, const struct connector *c, const struct connection_row *row,
                                 const struct json *fields, const struct connection_secret *secrets, size_t n,
                                 struct connection_oauth_order *order, struct fault *why) MUST_CHECK;
/* Inside the transaction of a change of `row`, whose fields were `before`: the body's members over what is stored. Called first on
 * a reader, where it may wait for an issuer: with `store` false it changes nothing. */
enum err connection_oauth_change(struct web_request *q, struct db *db, struct connection_row *row, struct str before, bool store,
                                 bool *another, struct fault *why) MUST_CHECK;
/* Other credentials came in place of the old ones: in the transaction. */
enum err connection_oauth_credentials(struct web_request *q, struct db *db, const struct connector *c, struct connection_row *row,
                                      const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;
/* The same before it, on a reader: what has to wait for an issuer does so here. */
enum err connection_oauth_rehearse(struct web_request *q, const struct connector *c, const struct connection_row *row,
                                   const struct connection_secret *secrets, size_t n, bool *another, struct fault *why) MUST_CHECK;
/* Of all three, *another: there is a grant, and it is of another client than the one that the connection has from now on. It has to
 * go, whatever the hosts: connection_oauth_leave() prepares that outside the transaction (NULL: nothing can be given back),
 * connection_oauth_left() does it inside, and revocation_go() or revocation_free() ends it. */
struct revocation;
struct revocation *connection_oauth_leave(struct web_request *q, struct str connection);
enum err connection_oauth_left(struct db *db, struct revocation *r, struct connection_row *row, struct fault *why) MUST_CHECK;

/* Does its first grant take a person, and is there one? */
enum err connection_oauth_granted(struct db *db, struct arena *a, const struct connection_row *row, bool *by_person, bool *granted,
                                  struct fault *why) MUST_CHECK;
/* Adds what the audit log keeps of it to the JSON of connection_audit(). */
enum err connection_oauth_audit(struct web_request *q, struct db *db, const struct connection_row *row, struct str *json,
                                struct fault *why) MUST_CHECK;

/* Does this auth type have grants of OAuth? */
bool connection_oauth_applies(struct str auth_type);
/* What a connection of such an auth type shows of it. */
struct connection_oauth_view {
    struct str client, client_key, client_name; /* client p == NULL: its own, or none */
    const struct json *client_settings;
    struct str scopes;         /* of its own; p == NULL: those of the client, or the connector's */
    struct str granted;        /* p == NULL: there is no grant */
};
/* Of a page of them: out[i] for connections->keys[i]. */
enum err connection_oauth_views(struct web_request *q, const struct many *connections, struct connection_oauth_view *out,
                                struct fault *why) MUST_CHECK;
/* The members `oauth_client` and `scopes`; v == NULL: the auth type has none. *missing: scopes that were asked for and not granted,
 * with one blank between; empty: none. */
void connection_oauth_write(struct web_request *q, struct json_out *o, const struct connection_row *row,
                            const struct connection_oauth_view *v, struct str *missing);

/* "scopes": three lists out of three texts, one blank between. */
void connection_scopes_write(struct json_out *o, struct str requested, struct str granted, struct str missing);
/* What was asked for and not given. offline_access asks for a refresh token (OpenID Connect Core 11); Entra never names it among
 * what it granted, so it is not missed. */
struct str connection_scopes_missing(struct arena *a, struct str requested, struct str granted);

#endif
