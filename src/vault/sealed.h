/* vault/sealed.h - secrets of anything but a connection: people's second factors, a CA's key, preset credentials.
 *
 * A value has an owner (a kind and an id, such as { STR("user"), id }) and a name. It is sealed with its owner's data key and bound
 * to "sealed_value|<kind>|<id>|<name>|1": in another row it does not open. Rotation, backup and restore know these values without
 * being told. Kind, id and name: up to 128 bytes, no '|', no control bytes. A kind is lower-case letters and '_', once in the
 * program; "connection" is taken.
 *
 * Deleting is the owner's business: sealed_forget() in the transaction that deletes the owner.
 */
#ifndef VAULT_SEALED_H
#define VAULT_SEALED_H

#include "vault/data_key.h"

#define SEALED_MAX (64 * 1024) /* bytes of one value */

/* Inside store_write(): keep `value` under that name, in place of what was there. ERR_LIMIT when it is too large. */
enum err sealed_put(struct db *db, struct keyring *k, struct data_owner owner, struct str name, struct secret value,
                    struct fault *why) MUST_CHECK;
/* ERR_NOT_FOUND: there is none; ERR_CRYPTO: it does not open (damaged); ERR_SEALED. *out is the caller's to end. */
enum err sealed_get(struct db *db, struct keyring *k, struct data_owner owner, struct str name, struct secret *out,
                    struct fault *why) MUST_CHECK;
/* Inside store_write(). None there is fine. */
enum err sealed_remove(struct db *db, struct data_owner owner, struct str name, struct fault *why) MUST_CHECK;
/* Inside store_write(): all values of the owner, and the key that they need, so that no copy of the rows opens with this database.
 */
enum err sealed_forget(struct db *db, struct data_owner owner, struct fault *why) MUST_CHECK;

/* For rotation: all values of the owner under a fresh data key, inside store_write(). ERR_CRYPTO: one does not open; nothing is
 * changed. */
enum err sealed_renew(struct db *db, struct keyring *k, struct data_owner owner, struct fault *why) MUST_CHECK;

#endif
