/* base/yaml_scalar.h - what a YAML scalar says: the core schema and the two quoted styles. For base/yaml.c. */
#ifndef BASE_YAML_SCALAR_H
#define BASE_YAML_SCALAR_H

#include "base/json.h"

/* The type of a plain scalar by the core schema. For JSON_NUMBER *number is its text as JSON writes it, owned by
 * `a`: the same digits, without a plus in front or leading zeros; octal and hexadecimal as decimal. */
enum json_type yaml_plain(struct arena *a, struct str s, struct str *number);

/* Append what stands between the quotes, lines folded. The parser has found the quotes and line prefixes sound.
 * False: an escape that is none or makes no character. */
void yaml_single_quoted(struct buf *out, struct str raw);
bool yaml_double_quoted(struct buf *out, struct str raw) __attribute__((warn_unused_result));

#endif
