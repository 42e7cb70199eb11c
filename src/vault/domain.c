#include "vault/domain.h"

#include <arpa/inet.h>
#include <limits.h>
#include <libpsl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/idna.h"

#define DOMAIN_MAX 128
#define LABEL_MAX 63

/* ---- the Public Suffix List ---- */

static psl_ctx_t *loaded;        /* NULL: the built-in one */
static char description[512];

static const psl_ctx_t *suffixes(void)
{
    return loaded ? loaded : psl_builtin(); /* with NULL libpsl takes every name for a suffix: refuses */
}

static void date_of(time_t t, char out[11])
{
    char text[CLOCK_TEXT];
    str_copy(out, 11, str_of(clock_format((wall_ms)t * 1000, text)));
}

/* The list's own "// VERSION: 2026-08-01_..." near its top, or when the file was written. */
static void date_of_file(const char *file, char out[11])
{
    char line[128];
    struct stat st;
    out[0] = 0;
    FILE *f = fopen(file, "re");
    for (int i = 0; f && i < 20 && fgets(line, sizeof line, f); i++)
        if (str_starts(str_of(line), STR("// VERSION: ")))
            str_copy(out, 11, str_of(line + strlen("// VERSION: ")));
    if (!out[0] && f && !fstat(fileno(f), &st))
        date_of(st.st_mtime, out);
    if (f)
        fclose(f);
}

/* A list that does not know these is none, or not the whole of it. */
static bool list_sound(const psl_ctx_t *list)
{
    return list && psl_is_public_suffix2(list, "com", PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) &&
           psl_is_public_suffix2(list, "com.au", PSL_TYPE_ICANN) && !psl_is_public_suffix2(list, "example.com", PSL_TYPE_ANY) &&
           psl_is_public_suffix2(list, "github.io", PSL_TYPE_PRIVATE);
}

static bool load_file(const char *file)
{
    psl_ctx_t *list = psl_load_file(file);
    if (!list_sound(list)) {
        psl_free(list);
        return false;
    }
    char date[11];
    date_of_file(file, date);
    domain_suffixes_end();
    loaded = list;
    snprintf(description, sizeof description, "%s, %s", file, date);
    return true;
}

enum err domain_suffixes_load(struct str file, struct fault *why)
{
    static const char *const usual[] = {
        "/usr/share/publicsuffix/public_suffix_list.dafsa",
        "/usr/share/publicsuffix/public_suffix_list.dat",
    };
    if (file.n) {
        char name[PATH_MAX];
        if (file.n >= sizeof name || !load_file(str_copy(name, sizeof name, file)))
            return fault(why, ERR_CONFIG, STR("public_suffix_file is not a usable Public Suffix List"), "%.*s", STR_ARG(file));
        return ERR_NONE;
    }
    for (size_t i = 0; i < COUNT(usual); i++)
        if (load_file(usual[i]))
            return ERR_NONE;
    if (!list_sound(psl_builtin()))
        return fault(why, ERR_CONFIG, STR("no Public Suffix List; install publicsuffix or set public_suffix_file"),
                     "libpsl has none built in");
    domain_suffixes_end();
    char date[11];
    date_of(psl_builtin_file_time(), date);
    snprintf(description, sizeof description, "built into libpsl, %s", date);
    return ERR_NONE;
}

void domain_suffixes_end(void)
{
    psl_free(loaded);
    loaded = NULL;
    description[0] = 0;
}

struct str domain_suffixes_describe(void)
{
    return str_of(description);
}

/* ---- checking what a person typed ---- */

/* What people paste beside a host name, and what to do about it. The first that is found is told. */
static const struct { const char *found, *say; } pasted[] = {
    { "://", "leave out the scheme (https://); write the host name only, such as api.example.com" },
    { "/", "leave out the path; write the host name only, such as api.example.com" },
    { "\\", "leave out the backslash; write the host name only, such as api.example.com" },
    { "?", "leave out the query; write the host name only, such as api.example.com" },
    { "#", "leave out everything from the # on; write the host name only" },
    { "@", "leave out user name and @; write the host name only, such as api.example.com" },
    { "[", "write a host name, not an IP address in brackets" },
    { "]", "write a host name, not an IP address in brackets" },
    { ":", "leave out the port; write the host name only, such as api.example.com" },
    { "%", "percent signs are not permitted; write the host name as it is" },
    { " ", "leave out the spaces" },
    { "_", "host names have no underscores; use letters, digits and hyphens" },
    { "*", "a star may stand only for the whole first label, as in *.example.com" },
};

/* Names that no public registry gives out: RFC 6761, 6762 and its appendix G, 8375, and ICANN's .internal. */
static const char *const private_tops[] = {
    "corp", "home", "home.arpa", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private",
};

static enum err refuse(struct fault *why, const char *say, const char *note)
{
    return fault(why, ERR_DOMAIN_INVALID, str_of(say), "%s", note);
}

static enum err check_typed(struct str typed, struct fault *why)
{
    if (!typed.n)
        return refuse(why, "it is empty; write a host name, such as api.example.com", "empty");
    if (str_has_control(typed))
        return refuse(why, "it holds a control character; type it again", "control byte");
    for (size_t i = 0; i < COUNT(pasted); i++)
        if (str_find_str(typed, str_of(pasted[i].found)) != SIZE_MAX)
            return refuse(why, pasted[i].say, pasted[i].found);
    return ERR_NONE;
}

static enum err check_label(struct str label, struct fault *why)
{
    if (!label.n)
        return refuse(why, "two dots stand together, or one at the start", "empty label");
    if (label.n > LABEL_MAX)
        return refuse(why, "a part between two dots is longer than 63 characters", "long label");
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return refuse(why, "a part between two dots starts or ends with a hyphen", "hyphen at an end");
    for (size_t i = 0; i < label.n; i++)
        if (!ascii_alpha(label.p[i]) && !ascii_digit(label.p[i]) && label.p[i] != '-')
            return refuse(why, "use letters, digits and hyphens only", "not a letter, digit or hyphen");
    return ERR_NONE;
}

static enum err check_labels(struct str host, struct fault *why)
{
    if (str_ends(host, STR(".")))
        return refuse(why, "leave out the dot at the end", "trailing dot");
    struct str rest = host, label;
    while (str_piece(&rest, '.', &label)) {
        enum err e = check_label(label, why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

/* WHATWG "ends in a number": such a host is read as an IPv4 address, in one of its many spellings, or as none. */
static bool ends_in_number(struct str host)
{
    size_t at = host.n;
    while (at && host.p[at - 1] != '.')
        at--;
    struct str last = str_sub(host, at, host.n);
    bool hex = str_istarts(last, STR("0x"));
    for (size_t i = hex ? 2 : 0; i < last.n; i++)
        if (!ascii_digit(last.p[i]) && !(hex && ascii_lower(last.p[i]) >= 'a' && ascii_lower(last.p[i]) <= 'f'))
            return false;
    return true;
}

/* The one spelling of an address that the URL parser answers, too. Embedded IPv4 has several in IPv6: none is taken. */
static bool canonical_ip(struct str text, int family)
{
    unsigned char bytes[16];
    char typed[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN];
    if (text.n >= sizeof typed || memchr(text.p, 0, text.n))
        return false;
    return inet_pton(family, str_copy(typed, sizeof typed, text), bytes) == 1 && inet_ntop(family, bytes, again, sizeof again) &&
           !strcmp(typed, again) && (family == AF_INET || !strchr(again, '.'));
}

static bool private_name(struct str host)
{
    for (size_t i = 0; i < COUNT(private_tops); i++) {
        struct str top = str_of(private_tops[i]);
        if (str_eq(host, top) || (str_ends(host, top) && host.p[host.n - top.n - 1] == '.'))
            return true;
    }
    return false;
}

/* What only the administrator can permit, host by host. */
static const char *private_reason(struct str host, bool number)
{
    if (number)
        return "IP addresses are not permitted; write a host name (an administrator can list the address in egress.allow_private)";
    if (str_find(host, '.') == SIZE_MAX)
        return "a host name has at least one dot (an administrator can list the host in egress.allow_private)";
    if (private_name(host))
        return "this name belongs to private networks (an administrator can list the host in egress.allow_private)";
    return NULL;
}

static enum err check_wildcard(struct str host, bool number, struct fault *why)
{
    if (number)
        return refuse(why, "a wildcard needs a host name, not an IP address", "wildcard on a number");
    if (psl_is_public_suffix2(suffixes(), host.p, PSL_TYPE_ANY))
        return refuse(why,
                      "a wildcard here would cover other people's domains (it stands on a public suffix); add your own name, as in "
                      "*.example.com",
                      "wildcard on a public suffix");
    return ERR_NONE;
}

enum err domain_check(struct arena *a, struct str typed, bool (*private_ok)(struct str host, void *context), void *context,
                      struct str *out, struct fault *why)
{
    if (private_ok && canonical_ip(typed, AF_INET6) && private_ok(typed, context)) {
        *out = arena_str(a, typed);
        return ERR_NONE;
    }
    bool wildcard = str_starts(typed, STR("*."));
    struct str name = str_sub(typed, wildcard ? 2 : 0, typed.n), host;
    enum err e = check_typed(name, why);
    if (e)
        return e;
    if (!idna_to_ascii(a, name, &host))
        return refuse(why, "it is not the name of a host; check its letters, or write its xn-- form", "no A-label form");
    if ((e = check_labels(host, why)))
        return e;
    if (host.n + (wildcard ? 2 : 0) > DOMAIN_MAX)
        return refuse(why, "it is longer than 128 characters (counted in its xn-- form)", "too long");

    bool number = ends_in_number(host);
    if (wildcard && (e = check_wildcard(host, number, why)))
        return e;
    const char *reason = private_reason(host, number);
    if (reason && !(private_ok && (!number || canonical_ip(host, AF_INET)) && private_ok(host, context)))
        return refuse(why, reason, "not permitted by the egress policy");
    *out = wildcard ? arena_join(a, STR("*."), host) : host;
    return ERR_NONE;
}

bool domain_matches(struct str allowed, struct str host)
{
    if (!str_starts(allowed, STR("*.")))
        return allowed.n && str_eq(allowed, host);
    struct str base = str_sub(allowed, 2, allowed.n);
    if (!base.n || !str_ends(host, base))
        return false;
    return host.n == base.n || host.p[host.n - base.n - 1] == '.';
}
