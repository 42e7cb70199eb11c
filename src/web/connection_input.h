/* web/connection_input.h - what creating a connection and changing one share. */
#ifndef WEB_CONNECTION_INPUT_H
#define WEB_CONNECTION_INPUT_H

#include "catalog/setup.h"
#include "vault/connection.h"
#include "web/web.h"

/* Bytes read at all; what a name, a key or notes may be is the vault's rule. */
#define CONNECTION_NAME_BYTES 1024
#define CONNECTION_NOTES_BYTES (64 * 1024)
/* Where a body has a client certificate, and from whom it may be asked for. */
#define CONNECTION_CERTIFICATE "/credentials/client_certificate"
extern const char *const connection_issued_kinds[];

/* The method's own look at what will be stored: values in range, names legal. Pointers into the body. */
enum err connection_check_auth(struct web_request *q, const struct connector *c, struct str auth_type, const struct json *fields,
                               const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;
/* ERR_CONNECTOR_NOT_FOUND at /connector. */
enum err connection_find_connector(const struct web_request *q, struct str id, const struct connector **out,
                                   struct fault *why) MUST_CHECK;
/* `json`, an object of the audit log, with which credentials `s` sets (NULL: none), each as the hash by which an auditor may look
 * up where a value was used. */
struct str connection_with_credentials(struct web_request *q, struct str json, const struct setup *s);

#endif
