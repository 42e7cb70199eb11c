/* fuzz/domain_fuzz.c - whatever is typed as an allowed domain: refused, or stored in the one form that the header promises. */
#include <stdint.h>
#include <stdlib.h>

#include "base/idna.h"
#include "vault/domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool private_fine(struct str host, void *context)
{
    (void)context;
    return host.n % 2;
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Lengths, letters and dots of a host; an IPv6 literal may have been permitted. */
static void judge(struct str host)
{
    size_t label = 0;
    if (str_find(host, ':') != SIZE_MAX)
        return;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool plain = (c >= 'a' && c <= 'z') || ascii_digit(c) || c == '-';
        must(plain || (c == '.' && label));
        label = c == '.' ? 0 : label + 1;
        must(label <= 63);
    }
    must(label > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str typed = { (const char *)data, size }, stored, again, ascii;
    bool (*private_ok)(struct str, void *) = size && data[0] & 1 ? private_fine : NULL;
    if (domain_check(a, typed, private_ok, NULL, &stored, NULL))
        return 0;

    bool wildcard = str_starts(stored, STR("*."));
    struct str host = str_sub(stored, wildcard ? 2 : 0, stored.n);
    must(stored.n > 0 && stored.n <= 128);
    judge(host);
    must(private_ok || (str_find(host, '.') != SIZE_MAX && str_find(host, ':') == SIZE_MAX));
    /* The form is its own form, and its host is what a URL parser makes of it. */
    must(!domain_check(a, stored, private_ok, NULL, &again, NULL) && str_eq(stored, again));
    must(str_find(host, ':') != SIZE_MAX || (idna_to_ascii(a, host, &ascii) && str_eq(host, ascii)));
    /* It matches its own host, and no host that merely starts or ends alike. */
    must(domain_matches(stored, host));
    must(domain_matches(stored, arena_join(a, STR("sub."), host)) == wildcard);
    must(!domain_matches(stored, arena_join(a, STR("x"), host)));
    must(!domain_matches(stored, arena_join(a, host, STR("x"))));
    return 0;
}
