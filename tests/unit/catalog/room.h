/* What the tests of catalog/ share. */
#ifndef TEST_CATALOG_ROOM_H
#define TEST_CATALOG_ROOM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "catalog/connector.h"

static inline int with_arena(void **state)
{
    *state = arena_new(64 * 1024);
    return 0;
}

static inline int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}
#define in_arena(test) cmocka_unit_test_setup_teardown(test, with_arena, drop_arena)

/* `text` with one place changed; the place must be there. */
static inline struct str replaced(struct arena *a, struct str text, const char *old, const char *new)
{
    size_t at = str_find_str(text, str_of(old));
    if (at == SIZE_MAX)
        fail_msg("“%s” is not in the text", old);
    return str_fmt(a, "%.*s%s%.*s", (int)at, text.p, new, (int)(text.n - at - strlen(old)), text.p + at + strlen(old));
}

static inline struct json *parsed(struct arena *a, const char *text)
{
    struct json *v = NULL;
    struct fault why = { 0 };
    if (text && json_read(a, arena_str(a, str_of(text)), &v, &why))
        fail_msg("test JSON: %s in %s", why.subject, text);
    return v;
}

#define expect_str(s, literal) \
    do { \
        struct str expect_is = (s), expect_wanted = STR(literal); \
        if (!str_eq(expect_is, expect_wanted)) \
            fail_msg("is “%.*s”, wanted “%.*s”", STR_ARG(expect_is), STR_ARG(expect_wanted)); \
    } while (0)

#endif
