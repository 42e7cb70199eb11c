/* Where a credential may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/idna.h"
#include "vault/domain.h"

static bool listed(struct str host, void *context)
{
    struct str rest = str_of(context), item;
    while (str_piece(&rest, ' ', &item))
        if (str_eq(host, item))
            return true;
    return false;
}

static struct str check(struct arena *a, struct str typed, struct fault *why)
{
    struct str out = STR_NONE;
    enum err e = domain_check(a, typed, NULL, NULL, &out, why);
    assert_int_equal(e, out.p ? ERR_NONE : ERR_DOMAIN_INVALID);
    if (e && why)
        assert_true(why->subject[0]);
    return out;
}

static const struct {
    const char *typed, *stored; /* NULL: refused */
} table[] = {
    { "api.example.com", "api.example.com" },
    { "API.Example.COM", "api.example.com" },
    { "*.example.com", "*.example.com" },
    { "*.EXAMPLE.com", "*.example.com" },
    { "*.a.b.example.com", "*.a.b.example.com" },
    { "bücher.example", "xn--bcher-kva.example" },
    { "*.bücher.example", "*.xn--bcher-kva.example" },
    { "xn--bcher-kva.example", "xn--bcher-kva.example" },
    { "ａｐｉ．example．com", "api.example.com" },
    { "ⓔxample.com", "example.com" },
    { "a--b.example.com", "a--b.example.com" },
    { "1.example.com", "1.example.com" },
    { "3com.com", "3com.com" },
    { "example.0xg", "example.0xg" },
    { "com.au", "com.au" }, /* one host, no wildcard */

    { "", NULL },
    { ".", NULL },
    { "*", NULL },
    { "*.", NULL },
    { "*.*", NULL },
    { "*.*.com", NULL },
    { "**.example.com", NULL },
    { "*example.com", NULL },
    { "exam*.com", NULL },
    { "my-*.example.com", NULL },
    { "api.*.example.com", NULL },
    { "api.example.*", NULL },
    { "＊.example.com", NULL },
    { ".example.com", NULL },
    { "*..example.com", NULL },
    { "a..example.com", NULL },
    { "example.com.", NULL },
    { "example.com。", NULL },
    { "*.example.com.", NULL },
    { "-a.example.com", NULL },
    { "a-.example.com", NULL },
    { "a_b.example.com", NULL },
    { "_dmarc.example.com", NULL },
    { "a＿b.example.com", NULL },
    { "exa mple.com", NULL },
    { " example.com", NULL },
    { "example.com ", NULL },
    { "exa\tmple.com", NULL },
    { "example.com\n", NULL },
    { "example.com\r", NULL },
    { "https://example.com", NULL },
    { "http:example.com", NULL },
    { "example.com/", NULL },
    { "example.com/v1", NULL },
    { "example.com:443", NULL },
    { "example.com:", NULL },
    { "user@example.com", NULL },
    { "user:pw@example.com", NULL },
    { "example.com#x", NULL },
    { "example.com?x", NULL },
    { "example.com\\@evil.example", NULL },
    { "ex%61mple.com", NULL },
    { "example.com%", NULL },
    { "a!b.com", NULL },
    { "a+b.com", NULL },
    { "a,b.com", NULL },
    { "a;b.com", NULL },
    { "a'b.com", NULL },
    { "a\"b.com", NULL },
    { "a=b.com", NULL },
    { "a~b.com", NULL },
    { "a$b.com", NULL },
    { "a&b.com", NULL },
    { "(a).com", NULL },
    { "{a}.com", NULL },
    { "\xff.com", NULL },
    { "localhost", NULL },
    { "intranet", NULL },
    { "com", NULL },
    { "db.local", NULL },
    { "a.b.internal", NULL },
    { "router.home.arpa", NULL },
    { "x.localhost", NULL },
    { "1.2.3.4", NULL },
    { "*.1.2.3.4", NULL },
    { "1.2.3", NULL },
    { "16909060", NULL },
    { "0x7f.1", NULL },
    { "0x7f000001", NULL },
    { "example.0x7f", NULL },
    { "example.0x", NULL },
    { "example.1", NULL },
    { "017700000001", NULL },
    { "１.２.３.４", NULL },
    { "①.2.3.4", NULL },
    { "127.0.0.1.", NULL },
    { "::1", NULL },
    { "[::1]", NULL },
    { "*.[::1]", NULL },
    { "[fe80::1%25eth0]", NULL },
    { "*.com", NULL },
    { "*.com.au", NULL },
    { "*.myshopify.com", NULL },
    { "*.COM.AU", NULL },
    { "*.localhost", NULL },
    { "*.unlisted-top-level", NULL },
};

static void what_was_typed_is_stored_in_one_form_or_refused(void **state)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        struct fault why = { 0 };
        struct str out = check(*state, str_of(table[i].typed), &why);
        if (!str_is(out, table[i].stored ? table[i].stored : "") || (out.p != NULL) != (table[i].stored != NULL))
            fail_msg("“%s”: %.*s%s", table[i].typed, STR_ARG(out), why.subject);
    }
    assert_null(check(*state, STR("example.com\0.evil.example"), NULL).p);
}

static void a_stored_domain_is_its_own_form(void **state)
{
    for (size_t i = 0; i < COUNT(table); i++)
        if (table[i].stored)
            assert_true(str_is(check(*state, str_of(table[i].stored), NULL), table[i].stored));
}

static void a_refusal_says_what_to_do(void **state)
{
    static const struct { const char *typed, *says; } rows[] = {
        { "https://api.example.com/v1", "scheme" }, { "api.example.com/v1", "path" }, { "api.example.com:8443", "port" },
        { "me@example.com", "user name" }, { "a_b.example.com", "underscores" }, { "exa mple.com", "spaces" },
        { "exam%70le.com", "percent" }, { "my-*.example.com", "first label" }, { "example.com.", "dot at the end" },
        { "*.com.au", "public suffix" }, { "localhost", "allow_private" }, { "10.0.0.1", "allow_private" }, { "[::1]", "brackets" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fault why = { 0 };
        assert_null(check(*state, str_of(rows[i].typed), &why).p);
        if (!strstr(why.subject, rows[i].says))
            fail_msg("%s: %s", rows[i].typed, why.subject);
        assert_true(strlen(why.subject) < sizeof why.subject - 1); /* not cut */
    }
}

/* A password that was pasted with a URL stays out of answers and logs. */
static void a_refusal_repeats_nothing_of_what_was_typed(void **state)
{
    struct fault why = { 0 };
    assert_null(check(*state, STR("https://me:canary-77@api.example.com/?canary-77"), &why).p);
    assert_null(strstr(why.subject, "canary"));
    assert_null(strstr(why.note, "canary"));
}

static struct str long_name(struct arena *a, size_t n, size_t label, const char *before)
{
    size_t head = strlen(before);
    char *p = arena_alloc(a, n);
    for (size_t i = 0; i < n; i++)
        p[i] = i < head ? before[i] : 'a';
    size_t run = 0;
    for (size_t i = head; i < n; i++)
        if (run == label && i + 1 < n)
            p[i] = '.', run = 0;
        else
            run++;
    return (struct str){ p, n };
}

static void the_longest_domain_has_128_characters_and_a_label_63(void **state)
{
    struct arena *a = *state;
    assert_int_equal(check(a, long_name(a, 128, 31, ""), NULL).n, 128);
    assert_null(check(a, long_name(a, 129, 31, ""), NULL).p);
    assert_int_equal(check(a, long_name(a, 128, 31, "*."), NULL).n, 128); /* the star counts */
    assert_null(check(a, long_name(a, 129, 31, "*."), NULL).p);
    assert_non_null(check(a, str_fmt(a, "%.*s.com", STR_ARG(long_name(a, 63, 63, ""))), NULL).p);
    assert_null(check(a, str_fmt(a, "%.*s.com", STR_ARG(long_name(a, 64, 64, ""))), NULL).p);
    /* In A-labels, not in what is seen: 40 u-umlauts and a top level take more than they show. */
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 8; i++)
        buf_add(&b, STR("üäöüäöüäöü."));
    buf_add(&b, STR("com"));
    assert_null(check(a, buf_str(&b), NULL).p);
    buf_end(&b);
}

static void a_private_host_needs_its_administrator(void **state)
{
    struct arena *a = *state;
    static const struct { const char *typed, *stored;
    } rows[] = {
        { "LOCALHOST", "localhost" },
        { "intranet", "intranet" },
        { "db.corp.internal", "db.corp.internal" },
        { "127.0.0.1", "127.0.0.1" },
        { "::1", "::1" },
        { "fd00::5:1", "fd00::5:1" },
        { "localhost.", NULL },
        { "127.1", NULL },
        { "0x7f.0.0.1", NULL },
        { "0127.0.0.1", NULL },
        { "10.0.0.1", NULL },
        { "other", NULL },
        { "x.corp.internal", NULL },
        { "[::1]", NULL },
        { "0:0:0:0:0:0:0:1", NULL },
        { "::2", NULL },
        { "::ffff:127.0.0.1", NULL },
        { "fe80::1%eth0", NULL },
        { "*.localhost", NULL },
        { "*.intranet", NULL },
        { "*.127.0.0.1", NULL },
        { "*.::1", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out = STR_NONE;
        enum err e = domain_check(a, str_of(rows[i].typed), listed,
                                  "localhost intranet db.corp.internal 127.0.0.1 127.1 0x7f.0.0.1 ::1 fd00::5:1 ::ffff:127.0.0.1",
                                  &out, NULL);
        if ((e == ERR_NONE) != (rows[i].stored != NULL) || !str_is(out, rows[i].stored ? rows[i].stored : ""))
            fail_msg("%s: %.*s", rows[i].typed, STR_ARG(out));
    }
}

static void a_credential_goes_to_its_domain_only(void **state)
{
    (void)state;
    static const struct { const char *allowed, *host; bool goes; } rows[] = {
        { "api.example.com", "api.example.com", true },
        { "api.example.com", "example.com", false },
        { "api.example.com", "x.api.example.com", false },
        { "api.example.com", "xapi.example.com", false },
        { "api.example.com", "api.example.com.evil.test", false },
        { "api.example.com", "api.example.com.", false },
        { "api.example.com", "", false },
        { "*.example.com", "example.com", true },
        { "*.example.com", "a.example.com", true },
        { "*.example.com", "a.b.c.d.example.com", true },
        { "*.example.com", "evil-example.com", false },
        { "*.example.com", "evilexample.com", false },
        { "*.example.com", "example.com.evil.test", false },
        { "*.example.com", "example.org", false },
        { "*.example.com", "com", false },
        { "*.example.com", "", false },
        { "*.example.com", "*.example.com", true }, /* no host has this name */
        { "", "", false },
        { "*.", "", false },
        { "*.", "com.", false },
        { "127.0.0.1", "127.0.0.1", true },
        { "127.0.0.1", "27.0.0.1", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (domain_matches(str_of(rows[i].allowed), str_of(rows[i].host)) != rows[i].goes)
            fail_msg("%s / %s", rows[i].allowed, rows[i].host);
    assert_false(domain_matches(STR_NONE, STR_NONE));
}

/* Rules that every list of the last years has, in each of its kinds: ICANN, private, wildcard, exception, IDN. */
static void wildcards_on_public_suffixes_are_refused(void **state)
{
    struct arena *a = *state;
    static const struct { const char *base; bool suffix; } rows[] = {
        { "com", true }, { "co.uk", true }, { "com.au", true }, { "myshopify.com", true }, { "github.io", true },
        { "example.com", false }, { "example.co.uk", false }, { "shop.myshopify.com", false }, { "me.github.io", false },
        { "ck", true }, { "anything.ck", true }, { "www.ck", false }, { "a.anything.ck", false },
        { "kobe.jp", true }, { "c.kobe.jp", true }, { "city.kobe.jp", false },
        { "中国", true }, { "xn--fiqs8s", true }, { "食狮.中国", false }, { "xn--85x722f.xn--fiqs8s", false },
        { "公司.cn", true }, { "xn--55qx5d.cn", true }, { "食狮.公司.cn", false }, { "xn--85x722f.xn--55qx5d.cn", false },
        { "unlisted", true }, { "example.unlisted", false },
    };
    static const char *const lists[] = { "/usr/share/publicsuffix/public_suffix_list.dafsa",
                                         "/usr/share/publicsuffix/public_suffix_list.dat", CORPORA "/psl/public_suffix_list.dat",
                                         "" };
    for (size_t l = 0; l < COUNT(lists); l++) {
        if (lists[l][0] && access(lists[l], R_OK)) {
            print_message("left out: no %s\n", lists[l]);
            continue;
        }
        assert_int_equal(domain_suffixes_load(str_of(lists[l]), NULL), ERR_NONE);
        print_message("%.*s\n", STR_ARG(domain_suffixes_describe()));
        for (size_t i = 0; i < COUNT(rows); i++) {
            if ((check(a, str_fmt(a, "*.%s", rows[i].base), NULL).p == NULL) != rows[i].suffix)
                fail_msg("*.%s, by %s", rows[i].base, lists[l]);
        }
    }
}

/* One expectation of the list's own tests: the registrable part of a name, or none. A name with none is a suffix or no name;
 * the registrable part is none, and what stands above it is one. */
static void hold(struct arena *a, struct str name, struct str registrable, int *verdicts)
{
    bool name_taken = check(a, arena_join(a, STR("*."), name), NULL).p != NULL;
    if (name_taken != (registrable.p != NULL))
        fail_msg("*.%.*s %s", STR_ARG(name), name_taken ? "taken" : "refused");
    ++*verdicts;
    if (!registrable.p)
        return;
    struct str head, above;
    assert_true(str_cut(registrable, '.', &head, &above));
    if (!check(a, arena_join(a, STR("*."), registrable), NULL).p || check(a, arena_join(a, STR("*."), above), NULL).p)
        fail_msg("*.%.*s", STR_ARG(registrable));
    *verdicts += 2;
}

static void the_public_suffix_list_s_own_tests_hold(void **state)
{
    struct arena *a = *state;
    static char line[512];
    FILE *calls = fopen(CORPORA "/psl/test_psl.txt", "re"), *pairs = fopen(CORPORA "/psl/tests.txt", "re");
    if (!calls || !pairs) {
        print_message("left out: corpora not here\n");
        return;
    }
    assert_int_equal(domain_suffixes_load(STR(CORPORA "/psl/public_suffix_list.dat"), NULL), ERR_NONE);

    int lines = 0, verdicts = 0;
    while (fgets(line, sizeof line, calls)) {
        char name[128], registrable[128];
        if (sscanf(line, "checkPublicSuffix('%127[^']', '%127[^']');", name, registrable) == 2)
            hold(a, arena_str(a, str_of(name)), arena_str(a, str_of(registrable)), &verdicts), lines++;
        else if (sscanf(line, "checkPublicSuffix('%127[^']', null);", name) == 1)
            hold(a, arena_str(a, str_of(name)), STR_NONE, &verdicts), lines++;
    }
    while (fgets(line, sizeof line, pairs)) {
        char name[128], registrable[128];
        if (line[0] == '/' || sscanf(line, "%127s %127s", name, registrable) != 2 || !strcmp(name, "null"))
            continue;
        hold(a, arena_str(a, str_of(name)), strcmp(registrable, "null") ? arena_str(a, str_of(registrable)) : STR_NONE, &verdicts);
        lines++;
    }
    fclose(calls);
    fclose(pairs);
    print_message("%d lines, %d verdicts\n", lines, verdicts);
    assert_true(lines >= 140);
}

/* Every rule of the newest list, in the spelling of the list and in A-labels. */
static void no_rule_of_the_list_can_carry_a_wildcard(void **state)
{
    struct arena *a = *state;
    static char line[512];
    FILE *f = fopen(CORPORA "/psl/public_suffix_list.dat", "re");
    if (!f) {
        print_message("left out: corpora not here\n");
        return;
    }
    assert_int_equal(domain_suffixes_load(STR(CORPORA "/psl/public_suffix_list.dat"), NULL), ERR_NONE);
    int rules = 0, longer = 0;
    while (fgets(line, sizeof line, f)) {
        struct str rule = str_trim(str_of(line)), ascii;
        if (!rule.n || str_starts(rule, STR("//")))
            continue;
        struct arena_mark mark = arena_mark(a);
        bool exception = rule.p[0] == '!';
        if (exception)
            rule = str_sub(rule, 1, rule.n);
        if (str_starts(rule, STR("*.")))
            rule = arena_join(a, STR("whatever"), str_sub(rule, 1, rule.n));
        assert_true(idna_to_ascii(a, rule, &ascii));
        struct fault why = { 0 };
        bool taken = check(a, arena_join(a, STR("*."), rule), &why).p;
        bool taken_ascii = check(a, arena_join(a, STR("*."), ascii), NULL).p;
        if (taken != exception || taken_ascii != exception)
            fail_msg("*.%.*s: %s", STR_ARG(rule), taken ? "taken" : why.subject);
        longer += !exception && !strstr(why.subject, "public suffix");
        rules++;
        arena_rewind(a, mark);
    }
    fclose(f);
    print_message("%d rules, %d of them refused for another reason first\n", rules, longer);
    assert_true(rules > 9000);
    assert_true(longer < 20);
}

static void a_file_that_is_no_list_is_not_used(void **state)
{
    (void)state;
    struct fault why = { 0 };
    char name[] = "/tmp/raccord-psl-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    static const char *const contents[] = { "", "nothing\n", "com\ncom.au\n", "\x89PNG\r\n" };
    for (size_t i = 0; i < COUNT(contents); i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, contents[i], strlen(contents[i]), 0), (ssize_t)strlen(contents[i]));
        assert_int_equal(domain_suffixes_load(str_of(name), &why), ERR_CONFIG);
    }
    close(fd);
    unlink(name);
    assert_int_equal(domain_suffixes_load(str_of(name), &why), ERR_CONFIG);
    /* and the one that was in use still is */
    assert_null(check(*state, STR("*.com.au"), NULL).p);
}

static int with_arena(void **state)
{
    *state = arena_new(64 * 1024);
    return 0;
}

static int drop_arena(void **state)
{
    arena_free(*state);
    domain_suffixes_end();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_typed_is_stored_in_one_form_or_refused),
        TEST(a_stored_domain_is_its_own_form),
        TEST(a_refusal_says_what_to_do),
        TEST(a_refusal_repeats_nothing_of_what_was_typed),
        TEST(the_longest_domain_has_128_characters_and_a_label_63),
        TEST(a_private_host_needs_its_administrator),
        TEST(a_credential_goes_to_its_domain_only),
        TEST(wildcards_on_public_suffixes_are_refused),
        TEST(the_public_suffix_list_s_own_tests_hold),
        TEST(no_rule_of_the_list_can_carry_a_wildcard),
        TEST(a_file_that_is_no_list_is_not_used),
    };
    return cmocka_run_group_tests_name("vault/domain", tests, NULL, NULL);
}
