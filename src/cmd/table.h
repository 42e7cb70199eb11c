/* cmd/table.h - aligned columns for people. */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"

enum column_kind {
    COLUMN_TEXT,    /* as it is; an array's scalars joined by ", " */
    COLUMN_FEW,     /* of an array, as many as take little room, then how many more: "bearer, basic, +9" */
    COLUMN_TIME,    /* an RFC 3339 time, shown to the second */
    COLUMN_NUMBER,  /* to the right */
};
struct column {
    const char *title;
    const char *path;  /* "folder.path" */
    enum column_kind kind;
};

/* One row per item. On a terminal the longest columns are cut ("…") so that a row fits it; elsewhere nothing is. `columns`: of the
 * terminal, or 0. */
void table_print(FILE *to, struct arena *a, const struct column *column, size_t n, struct json *const *items, size_t count,
                 int columns);
/* One object as "name  value" lines, nested names joined by dots. */
void table_print_object(FILE *to, struct arena *a, const struct json *object);
/* The text of a cell: "-" for what is absent, null or empty. */
struct str table_cell(struct arena *a, const struct json *v, enum column_kind kind);

#endif
