/* auth/value.h - what the methods share: where a setting comes from, which bytes a credential may hold, and putting
 * secret pieces together without leaving a copy behind. Private to auth/.
 */
#ifndef AUTH_VALUE_H
#define AUTH_VALUE_H

#include "auth/method.h"

#define VALUE_MAX (8 * 1024) /* bytes of one credential, and of one injected value */

/* A text setting: the connection's own field when it is set, else the connector's; STR_NONE when neither. */
struct str value_option(const struct auth_input *in, const char *name);

/* A credential that must be there and may travel in a header: not empty, at most VALUE_MAX bytes, no control bytes, no blanks
 * at the ends (RFC 9110 5.5: a recipient would strip them).
 * Errors: ERR_FIELD_REQUIRED, ERR_FIELD_INVALID; pointer /credentials/NAME; never the value. */
enum err value_check_credential(const struct auth_input *in, const char *name, struct fault *why) MUST_CHECK;
/* The rule on bytes alone. What is wrong, or NULL. */
const char *value_flaw(struct str value);

/* The word before a credential: characters of a token (RFC 9110 5.6.2), then at most one blank; at most 64 bytes; empty is fine.
 * Errors: ERR_FIELD_INVALID at /fields/prefix. */
enum err value_check_prefix(struct str prefix, struct fault *why) MUST_CHECK;
/* A query parameter's name: [A-Za-z0-9_.-] and brackets, 1 to 128. Errors: ERR_FIELD_INVALID, without pointer. */
enum err value_check_parameter(struct str name, struct fault *why) MUST_CHECK;

/* Refuse, saying where; `why` may be NULL. Answers `e`. */
enum err value_refuse(enum err e, struct str subject, struct fault *why, const char *pointer, ...)
    __attribute__((format(printf, 4, 5)));
/* Say where a fault from further down sits; ERR_NONE passes through. */
enum err value_at(enum err e, struct fault *why, const char *pointer);

/* The pieces one after another, in secret memory; the caller's to end. */
struct secret value_join(const struct str *pieces, size_t count);
/* Takes over the bytes of `plain`: moves them to secret memory and wipes the buffer, which is left ended. */
struct secret value_take(struct buf *plain);

/* Takes over `value`. There is always room: check() has counted. */
void value_inject(struct injections *out, enum inject_where where, struct str name, struct secret value);

#endif
