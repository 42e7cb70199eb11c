/* base/embed.h - files compiled into the binary; tools/embed writes the tables. */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#include "base/str.h"

struct embedded_file {
    const char *name;  /* base name */
    struct str bytes;  /* a NUL follows, not counted */
};

/* From connectors/ */
extern const struct embedded_file embedded_connectors[];
extern const size_t embedded_connectors_count;
/* From src/web/assets/ */
extern const struct embedded_file embedded_assets[];
extern const size_t embedded_assets_count;

#endif
