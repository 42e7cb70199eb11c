/* access/narrow.h - what is left of a right: by action, method, risk, path and source address.
 *
 * A token's grants are one, a policy's rules for calls another. Read and prepared once, then asked for every call: narrow_check()
 * takes no lock, no memory and no SQL. A list that is not set leaves everything; one that is set leaves what it names, and nothing
 * when it is empty.
 *
 * Risk comes from the method (RFC 9110 9.2.1, 9.2.2): GET, HEAD, OPTIONS read; POST, PUT, PATCH write; DELETE, and any
 * method that we do not know, destroys.
 */
#ifndef ACCESS_NARROW_H
#define ACCESS_NARROW_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum narrow_kind {
    NARROW_CONNECTION,
    NARROW_FOLDER,
    NARROW_ACTION,
    NARROW_METHOD,
    NARROW_RISK,
    NARROW_ADDRESS,
    NARROW_PATH,
    NARROW_KINDS
};
const char *narrow_kind_name(enum narrow_kind k);   /* "connection": as stored */
const char *narrow_kind_member(enum narrow_kind k); /* "connections": as the API spells it */

struct narrow_list {
    bool set;
    struct str *at;
    size_t count;
};
struct narrow_range {
    unsigned char family, bits; /* 4 or 6; leading bits that count */
    unsigned char ip[16];
};
bool narrow_list_holds(const struct narrow_list *l, struct str text);
/* Everything is in the arena it was made with. Zeroed: nothing is narrowed. */
struct narrow {
    struct narrow_list lists[NARROW_KINDS]; /* texts; connections and folders are ids, and not asked here */
    /* Of narrow_prepare() */
    bool calls;                 /* something about calls is narrowed: method, risk, address or path */
    unsigned methods;           /* bits that are left, risk taken into account */
    struct narrow_range *ranges;
};

/* One bit per method; the last is for all that we do not know. */
unsigned narrow_method(struct str name);
const char *narrow_risk(unsigned method); /* "read", "write", "destructive" */
bool narrow_risk_known(struct str word);

/* Check one entry as a person typed it, and give its stored form. Connections and folders are the caller's to look up.
 * ERR_FIELD_INVALID; subject says what is expected. */
enum err narrow_entry(struct arena *a, enum narrow_kind k, struct str typed, struct str *out, struct fault *why) MUST_CHECK;
/* Fill what narrow_check() asks. An entry that cannot be read leaves nothing. */
void narrow_prepare(struct arena *a, struct narrow *n);

/* One call. `path`: as the caller sends it, relative to the connection; p == NULL: not known yet, so not asked. `family` and
 * `ip` as in struct address; family 0: not known, so outside every range. On refusal *which says the kind, if it is not NULL. */
bool narrow_permits(const struct narrow *n, unsigned method, struct str path, unsigned char family, const unsigned char *ip,
                    enum narrow_kind *which);
/* The same for a token: ERR_TOKEN_NOT_GRANTED, the subject says which narrowing refused. */
enum err narrow_check(const struct narrow *n, struct str method, struct str path, unsigned char family, const unsigned char *ip,
                      struct fault *why) MUST_CHECK;
bool narrow_permits_address(const struct narrow *n, unsigned char family, const unsigned char *ip);
/* Is the action's key covered by one of the patterns ('*': any run of characters, '?': one)? True when actions are not narrowed. */
bool narrow_permits_action(const struct narrow *n, struct str key);
bool narrow_glob(struct str pattern, struct str text);

/* Does `inner` leave nothing that `outer` does not? On false *which says the kind. Strict: connections and folders are compared
 * as ids, two patterns as patterns, so what lies deeper or is spelled unusually may be refused, never let through. */
bool narrow_within(const struct narrow *inner, const struct narrow *outer, enum narrow_kind *which);

#endif
