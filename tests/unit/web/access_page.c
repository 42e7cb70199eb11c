/* docs/access.md is made of the tables in access/role.c and web/routes.c: who may do what, and which right opens which door. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "web/web.h"

static const enum role shown[] = { ROLE_OWNER, ROLE_ADMIN, ROLE_EDITOR, ROLE_USER, ROLE_VIEWER, ROLE_AUDITOR, ROLE_CUSTODIAN };

static void put(struct buf *b, const char *text) { buf_add(b, str_of(text)); }

static void head_row(struct buf *b, const char *first)
{
    buf_fmt(b, "| %s |", first);
    for (size_t i = 0; i < COUNT(shown); i++)
        buf_fmt(b, " %s |", role_name(shown[i]));
    put(b, "\n|---|");
    for (size_t i = 0; i < COUNT(shown); i++)
        put(b, ":-:|");
    put(b, "\n");
}

typedef bool has(enum role role, enum right right);

static bool wide(enum role role, enum right right) { return role_has(role, right); }
static bool in_shared(enum role role, enum right right) { return role_rights_in(role, PRESET_EDITORS_EDIT) & RIGHT_BIT(right); }
static bool in_open(enum role role, enum right right) { return role_rights_in(role, PRESET_OPEN_FOLDER) & RIGHT_BIT(right); }
static bool in_closed(enum role role, enum right right)
{
    return role_rights_in(role, PRESET_ADMINISTRATORS_ONLY) & RIGHT_BIT(right);
}
static bool in_own(enum role role, enum right right) { return role_rights_own(role) & RIGHT_BIT(right); }
static bool in_narrowed(enum role role, enum right right) { return role_everywhere(role) && in_shared(role, right); }

static void matrix(struct buf *b, const char *title, const char *says, bool of_folders, has *held)
{
    buf_fmt(b, "## %s\n\n%s\n\n", title, says);
    head_row(b, "right");
    for (enum right right = RIGHT_SIGNED_IN; right < RIGHT_COUNT; right++) {
        if (right_in_folder(right) != of_folders)
            continue;
        buf_fmt(b, "| `%s` |", right_name(right));
        for (size_t i = 0; i < COUNT(shown); i++)
            put(b, held(shown[i], right) ? " x |" : " |");
        put(b, "\n");
    }
    put(b, "\n");
}

static void roles_and_rights(struct buf *b)
{
    put(b, "## Roles\n\n| role | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT(shown); i++)
        buf_fmt(b, "| %s | %s |\n", role_name(shown[i]), role_says(shown[i]));
    put(b, "\n## Rights\n\n| right | held | lets |\n|---|---|---|\n");
    for (enum right right = RIGHT_OPEN; right < RIGHT_COUNT; right++)
        buf_fmt(b, "| `%s` | %s | %s |\n", right_name(right), right_in_folder(right) ? "in a folder" : "in the instance",
                right_says(right));
    put(b, "\n");
}

static void doors(struct buf *b)
{
    static const struct { unsigned method; const char *name;
    } methods[] = {
        { METHOD_GET, "GET" },     { METHOD_POST, "POST" },     { METHOD_PUT, "PUT" },
        { METHOD_PATCH, "PATCH" }, { METHOD_DELETE, "DELETE" },
    };
    size_t n;
    const struct route *routes = routes_all(&n);
    put(b, "## Doors\n\nA right of folders is asked for on the object: the connection's folder, the folder itself. What the caller "
           "may not\n"
           "see is not there (404); what it sees and may not do is refused (403), and the refusal names right and folder.\n"
           "`/proxy/{connection}/...` asks for `use`.\n\n"
           "| method | path | right | asked |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < COUNT(methods); k++)
            if (routes[i].methods & methods[k].method)
                buf_fmt(b, "| %s | `%s` | `%s` | %s |\n", methods[k].name, routes[i].path, right_name(routes[i].right),
                        right_in_folder(routes[i].right) ? "on the object" : "at the door");
}

static void page(struct buf *b)
{
    put(b, "# Who may do what\n\nMade from the tables in `src/access/role.c` and `src/web/routes.c`: change those, then run\n"
           "`RACCORD_WRITE_DOCS=1 build/tests/unit/web/web_access_page`. How to work with folders, groups and shares:\n"
           "[people-and-folders.md](people-and-folders.md).\n\n");
    roles_and_rights(b);
    matrix(b, "In the instance", "What a role lets do that belongs to no folder.", false, wide);
    matrix(b, "In a shared folder",
           "Where the role is held: an instance role in `shared` and below it, a membership in its folder and below.", true,
           in_shared);
    matrix(b, "In an open folder", "The preset `open_folder`: users edit.", true, in_open);
    matrix(b, "In a folder of administrators", "The preset `administrators_only`: editors use.", true, in_closed);
    matrix(b, "In a folder that does not inherit", "By instance role alone. Its members have the rights of their membership.", true,
           in_narrowed);
    matrix(b, "In one's own workspace", "Nobody else sees it, administrators included.", true, in_own);
    doors(b);
}

static void the_page_of_roles_rights_and_doors_is_what_the_tables_say(void **state)
{
    (void)state;
    const char *path = RACCORD_SOURCE "/docs/access.md";
    static char there[256 * 1024];
    struct buf made;
    buf_init(&made, 256 * 1024);
    page(&made);
    assert_false(buf_failed(&made));
    FILE *f = fopen(path, getenv("RACCORD_WRITE_DOCS") ? "we" : "re");
    assert_non_null(f);
    if (getenv("RACCORD_WRITE_DOCS")) {
        assert_int_equal(fwrite(made.p, 1, made.n, f), made.n);
        fclose(f);
    } else {
        size_t n = fread(there, 1, sizeof there, f);
        fclose(f);
        if (n != made.n || memcmp(there, made.p, n) != 0)
            fail_msg("docs/access.md differs from the tables; run this test with RACCORD_WRITE_DOCS=1 and commit the result");
    }
    buf_end(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_page_of_roles_rights_and_doors_is_what_the_tables_say) };
    return cmocka_run_group_tests_name("web/access_page", tests, NULL, NULL);
}
