/* base/json.h - RFC 8259 reader and writer that keep the text of numbers.
 *
 * Reading gives a tree in an arena. A number is its text, untouched: 19.99, 9007199254740993 and a
 * 30-digit integer leave as they came (invariant 10). Refused: invalid UTF-8, duplicate keys, nesting
 * deeper than JSON_DEPTH, text after the value, lone surrogates, a byte order mark, anything RFC 8259
 * does not allow.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define JSON_DEPTH 64 /* arrays and objects within each other; one more is refused */

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    struct str key;      /* in an object: the member's name, decoded */
    struct str text;     /* string: decoded; number: its source text */
    struct json *child;  /* first member or element */
    struct json *next;   /* next sibling */
    size_t count;        /* members or elements */
    void *index;         /* private: set on objects with many members */
};

/* Read one value. Strings without escapes and numbers point into `text`, which must outlive the tree
 * (copy it into `a` first when in doubt); all else is owned by `a`.
 * Errors: ERR_JSON_INVALID with line and column as subject (never content). */
enum err json_read(struct arena *a, struct str text, struct json **out, struct fault *why) MUST_CHECK;
/* The same, but a key may come twice: all members are kept, look-ups find the last. For what others wrote
 * and we only pass on; never for requests to the hub, where two readers may differ on which one counts. */
enum err json_read_lenient_keys(struct arena *a, struct str text, struct json **out, struct fault *why) MUST_CHECK;

/* Building a tree by hand: `v` (its key set, when the parent is an object) becomes the last child.
 * *last is the builder's note of where the parent ends; NULL at first. The key is not compared with others. */
struct json *json_new(struct arena *a, enum json_type type);
void json_link(struct arena *a, struct json *parent, struct json **last, struct json *v);

/* The member, or NULL. NULL and non-objects are fine to ask. Constant time on large objects. */
struct json *json_get(const struct json *object, const char *key);
struct json *json_get_str(const struct json *object, struct str key);
bool json_is(const struct json *v, enum json_type type); /* NULL is never anything */
/* What a JSON pointer (RFC 6901) names, or NULL; "" is the whole document. `a` holds names while they are decoded. */
const struct json *json_at(struct arena *a, const struct json *document, struct str pointer);
/* Is it this text? Numbers and booleans compare as written; NULL, null, arrays and objects are no text. */
bool json_scalar_is(const struct json *v, struct str text);

/* Member of the right type, or the fallback. */
struct str json_str(const struct json *object, const char *key);      /* STR_NONE when absent or no string */
bool json_bool(const struct json *object, const char *key, bool fallback);
/* Integer text within int64; false otherwise (fractions, exponents, out of range, other types). */
bool json_i64(const struct json *v, int64_t *out);

#define json_each(v, parent) for (struct json *v = (parent) ? (parent)->child : NULL; v; v = v->next)

/* Writing: values one after another into a buf; commas are put in by the writer. */
struct json_out {
    struct buf *buf;
    int depth;
    bool comma;         /* a comma is due before the next item */
};

struct json_out json_out(struct buf *b);
void json_open(struct json_out *o, char bracket);                  /* '{' or '[' */
void json_close(struct json_out *o, char bracket);                 /* '}' or ']' */
void json_key(struct json_out *o, const char *key);
void json_put_str(struct json_out *o, struct str s);               /* invalid UTF-8 becomes U+FFFD */
void json_put_i64(struct json_out *o, int64_t n);
void json_put_bool(struct json_out *o, bool b);
void json_put_null(struct json_out *o);
void json_put_raw(struct json_out *o, struct str text);            /* already JSON; trusted */
void json_put(struct json_out *o, const struct json *v);           /* numbers as they came */
/* key and value in one */
void json_member_str(struct json_out *o, const char *key, struct str s);   /* s.p == NULL writes null */
void json_member_i64(struct json_out *o, const char *key, int64_t n);
void json_member_bool(struct json_out *o, const char *key, bool b);
void json_member_null(struct json_out *o, const char *key);
void json_member_time(struct json_out *o, const char *key, int64_t wall);  /* 0 writes null */
void json_member_raw(struct json_out *o, const char *key, struct str text);

/* The escaped inside of a JSON string, without quotes. */
void json_escape(struct buf *b, struct str s);

/* Refuse members that are not in `allowed` (NULL-terminated): ERR_UNKNOWN_FIELD with the pointer
 * `prefix`/name. */
enum err json_only(const struct json *object, const char *const *allowed, const char *prefix,
                   struct fault *why) MUST_CHECK;

#endif
