/* URLs: what is accepted reads the same when it is read again, and a joined path never leaves its base.
 * clang -g -O1 -std=gnu17 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Isrc fuzz/url_fuzz.c
 *     src/http/{url,address}.c src/base/{arena,buf,encode,err,idna,str}.c -lidn2 */
#include <stdlib.h>

#include "http/address.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool claim, const char *what)
{
    if (!claim)
        bug("%s", what);
}

static void check_url(struct arena *a, const struct url *u)
{
    must(u->host.n && u->path.n && u->path.p[0] == '/' && u->port, "no part is missing");
    for (size_t i = 0; i < u->host.n; i++)
        must(u->host.p[i] > 0x20 && u->host.p[i] < 0x7f && !strchr("/\\?#@%[]", u->host.p[i]), "a host is plain");
    struct address address;
    must(address_parse(u->host, &address) == u->ip, "an address is known as one");
    struct str text = str_fmt(a, "%s://%.*s%.*s%s%.*s", u->https ? "https" : "http", STR_ARG(url_authority(a, u)), STR_ARG(u->path),
                              u->query.p ? "?" : "", STR_ARG(u->query));
    struct url again;
    must(!url_parse(a, text, &again, NULL), "what we write we read");
    must(str_eq(again.host, u->host) && again.port == u->port && again.https == u->https && str_eq(again.path, u->path) &&
         str_eq(again.query, u->query), "and read alike");
}

/* Climbs as RFC 3986 says; must never be above the base. */
static void check_join(struct arena *a, const struct url *base, struct str path)
{
    must(str_starts(path, base->path), "a joined path starts with its base");
    struct url u;
    struct str text = str_fmt(a, "https://x%.*s", STR_ARG(path));
    must(!url_parse(a, text, &u, NULL) && str_is(u.host, "x"), "a joined path names no host");
    must(str_starts(u.path, str_sub(base->path, 0, base->path.n - 1)), "and resolves below its base");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str in = { (const char *)data, size };
    struct url u, base;
    struct fault why = { 0 };
    struct str path;
    if (!url_parse(a, in, &u, &why))
        check_url(a, &u);
    must(!url_parse(a, STR("https://base.example/a/b/"), &base, NULL), "the base is good");
    if (!url_resolve(a, &base, in, &u, &why))
        check_url(a, &u);
    if (!url_join_path(a, &base, in, &path, &why))
        check_join(a, &base, path);
    struct address address;
    char text[ADDRESS_TEXT];
    if (address_parse(in, &address))
        must(strlen(address_format(&address, text)) < ADDRESS_TEXT, "an address fits");
    return 0;
}
