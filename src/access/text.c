#include "access/text.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/hash.h"

#define NAME_CHARACTERS 100

struct str text_hash(struct str text, char out[TEXT_HASH])
{
    unsigned char digest[SHA256_SIZE];
    sha256(text, digest);
    hex_write(out, (struct str){ (const char *)digest, sizeof digest });
    return (struct str){ out, TEXT_HASH };
}

struct query *text_link_query(struct db *db, const char *sql, struct str link, struct str browser, struct link_hashes *h)
{
    struct query *q = query_begin(db, sql);
    query_text(q, text_hash(link, h->link));
    query_i64(q, clock_wall());
    query_text(q, browser.n ? text_hash(browser, h->browser) : STR("-"));
    return q;
}

enum err text_check_name(struct str name, const char *field, struct fault *why)
{
    char said[80];
    size_t characters = 0;
    if (!name.n)
        return fault(why, ERR_FIELD_REQUIRED, str_of(field), "no %s", field);
    for (size_t i = 0; i < name.n; i++)
        characters += ((unsigned char)name.p[i] & 0xc0) != 0x80;
    if (characters <= NAME_CHARACTERS && utf8_valid(name) && !str_has_control(name) && str_eq(str_trim(name), name))
        return ERR_NONE;
    snprintf(said, sizeof said, "%s (1 to %d characters)", field, NAME_CHARACTERS);
    return fault(why, ERR_FIELD_INVALID, str_of(said), "%s of %zu bytes", field, name.n);
}
