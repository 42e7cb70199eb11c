/* auth/sorted_form.h - parameters in the one order and spelling that signatures are made over: names and values percent-encoded
 * (RFC 3986 unreserved characters stay), sorted by name, then by value, written name=value with '&' between. Private to auth/.
 *
 * Rules: RFC 5849 3.4.1.3.2; the canonical query string of AWS.
 */
#ifndef AUTH_SORTED_FORM_H
#define AUTH_SORTED_FORM_H

#include "base/arena.h"
#include "base/buf.h"

struct sorted_form {
    struct arena *arena;
    struct str *pairs;  /* encoded; name and value apart by a byte that sorts before all that are left */
    size_t count, room;
};

void sorted_form_init(struct sorted_form *f, struct arena *a);
void sorted_form_add(struct sorted_form *f, struct str name, struct str value);
/* A raw query or an application/x-www-form-urlencoded body: '+' is a blank, escapes are undone (broken ones stay as they are). */
void sorted_form_read(struct sorted_form *f, struct str text);
void sorted_form_put(struct sorted_form *f, struct buf *out);

#endif
