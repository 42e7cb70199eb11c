/* web/connection_fields.h - changing the fields of a connection that is there, and what a link lets somebody else change of them.
 *
 * A link that may change fields keeps what its person entered until it takes effect: with the credentials that they entered, in one
 * transaction, or when they come back from the provider. Until then the connection is as it was.
 */
#ifndef WEB_CONNECTION_FIELDS_H
#define WEB_CONNECTION_FIELDS_H

#include "auth/connect_session.h"
#include "catalog/connector.h"
#include "vault/connection.h"
#include "web/web.h"

/* Stored fields with the patch laid over them; null takes one away (RFC 7396). Held against the connector's rules and the frozen
 * domain: row->fields becomes the whole, *out the same as JSON. Pointers /fields/x. */
enum err connection_fields_lay(struct web_request *q, const struct connector *c, struct connection_row *row,
                               const struct json *patch, const struct json **out, struct fault *why) MUST_CHECK;

/* May the person behind this link change it? `session` of a connection that is there. */
bool connection_field_changes(const struct connect_session *s, const struct connector_field *f);
/* The row as it will be when what the person entered takes effect; as it is where they changed nothing. */
enum err connection_fields_to_be(struct web_request *q, const struct connect_session *s, struct connection_row *row,
                                 struct fault *why) MUST_CHECK;
/* It takes effect, as a PATCH of the link's maker would: same rights, same checks, same record. *row is what is stored then. */
enum err connection_fields_take_effect(struct web_request *q, struct reply *r, const struct connect_session *s,
                                       struct connection_row *row, struct fault *why) MUST_CHECK;

#endif
