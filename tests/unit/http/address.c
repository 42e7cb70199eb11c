#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "http/address.h"
#include "corpus.h"

static int with_arena(void **state)
{
    *state = arena_new(1 << 20);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static struct address at(const char *text, uint16_t port)
{
    struct address a;
    if (!address_parse(str_of(text), &a))
        fail_msg("not an address: %s", text);
    assert_int_equal(a.port, 0);
    a.port = port;
    return a;
}

static void only_plain_spellings_are_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", ".", "1", "1.2.3", "1.2.3.4.", ".1.2.3.4", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.+4",
        " 1.2.3.4", "1.2.3.4 ", "1..3.4", "1.2.3.4/8", "1.2.3.4:80", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1::",
        "1::2::3", "12345::", "g::", "::1%lo", "[::1]", ":1::", "1::2:", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "::1.2.3",
        "::1.2.3.4.5", "::01.2.3.4", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::1 ", "::-1", "::ffff:1.2.3.4:5", "localhost",
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct address a = { .family = 9 };
        if (address_parse(str_of(wrong[i]), &a))
            fail_msg("taken for an address: %s", wrong[i]);
        assert_int_equal(a.family, 9);
    }
    struct address a;
    assert_false(address_parse((struct str){ "1.2.3.4\0", 8 }, &a));
    assert_false(address_parse((struct str){ "::1\0", 4 }, &a));
}

static void an_ipv6_address_is_written_the_shortest_way(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "1.2.3.4", "1.2.3.4" },
        { "255.255.255.255", "255.255.255.255" },
        { "::", "::" },
        { "0:0:0:0:0:0:0:1", "::1" },
        { "1::", "1::" },
        { "1:0:0:0:0:0:0:0", "1::" },
        { "2001:DB8::1", "2001:db8::1" },
        { "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
        { "1:0:0:2:3:0:0:4", "1::2:3:0:0:4" },
        { "1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7" },
        { "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
        { "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
        { "0001:0020:0300:4000:0:0:0:0", "1:20:300:4000::" },
        { "::ffff:1.2.3.4", "::ffff:102:304" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
        { "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address a = at(rows[i][0], 0), again;
        char text[ADDRESS_TEXT];
        assert_string_equal(address_format(&a, text), rows[i][1]);
        assert_true(address_parse(str_of(text), &again));
        assert_memory_equal(&a, &again, sizeof a);
    }
}

/* The C library's reader as a second opinion, over texts made from the pieces that matter. */
static void reading_agrees_with_the_c_library(void **state)
{
    (void)state;
    static const char *const pieces[] = { ":", "::", "0", "1", "ffff", "a:b", "1.2.3.4", ":0:", "10000", "g" };
    for (size_t i = 0; i < 10 * 10 * 10 * 10; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s%s%s%s%s%s", pieces[i % 10], pieces[i / 10 % 10], pieces[i / 100 % 10],
                 pieces[i / 1000], i & 1 ? ":2:3" : "", i & 2 ? ":4:5" : "");
        struct address a;
        unsigned char theirs[16];
        bool ours = address_parse(str_of(text), &a) && a.family == 6;
        bool both = inet_pton(AF_INET6, text, theirs) == 1;
        if (ours != both || (ours && memcmp(a.ip, theirs, 16) != 0))
            fail_msg("%s: we say %d, the C library %d", text, ours, both);
    }
}

static const char *const class_names[] = { "public", "loopback", "private", "link-local", "shared", "multicast", "reserved",
                                           "unspecified", "embedded", "metadata" };

static void every_special_range_is_classed_at_both_its_ends(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum address_class class;
    } rows[] = {
        { "0.0.0.0", ADDRESS_UNSPECIFIED },      { "0.0.0.1", ADDRESS_RESERVED },
        { "0.255.255.255", ADDRESS_RESERVED },   { "1.0.0.0", ADDRESS_PUBLIC },
        { "9.255.255.255", ADDRESS_PUBLIC },     { "10.0.0.0", ADDRESS_PRIVATE },
        { "10.255.255.255", ADDRESS_PRIVATE },   { "11.0.0.0", ADDRESS_PUBLIC },
        { "100.63.255.255", ADDRESS_PUBLIC },    { "100.64.0.0", ADDRESS_SHARED },
        { "100.127.255.255", ADDRESS_SHARED },   { "100.128.0.0", ADDRESS_PUBLIC },
        { "100.100.100.200", ADDRESS_METADATA }, { "100.100.100.201", ADDRESS_SHARED },
        { "126.255.255.255", ADDRESS_PUBLIC },   { "127.0.0.0", ADDRESS_LOOPBACK },
        { "127.255.255.255", ADDRESS_LOOPBACK }, { "128.0.0.0", ADDRESS_PUBLIC },
        { "168.63.129.16", ADDRESS_METADATA },   { "168.63.129.17", ADDRESS_PUBLIC },
        { "169.253.255.255", ADDRESS_PUBLIC },   { "169.254.0.0", ADDRESS_LINK_LOCAL },
        { "169.254.169.253", ADDRESS_LINK_LOCAL }, { "169.254.169.254", ADDRESS_METADATA },
        { "169.254.170.2", ADDRESS_METADATA },   { "169.254.170.23", ADDRESS_METADATA },
        { "169.254.255.255", ADDRESS_LINK_LOCAL }, { "169.255.0.0", ADDRESS_PUBLIC },
        { "172.15.255.255", ADDRESS_PUBLIC },    { "172.16.0.0", ADDRESS_PRIVATE },
        { "172.31.255.255", ADDRESS_PRIVATE },   { "172.32.0.0", ADDRESS_PUBLIC },
        { "191.255.255.255", ADDRESS_PUBLIC },   { "192.0.0.0", ADDRESS_RESERVED },
        { "192.0.0.192", ADDRESS_METADATA },     { "192.0.0.255", ADDRESS_RESERVED },
        { "192.0.1.0", ADDRESS_PUBLIC },         { "192.0.2.0", ADDRESS_RESERVED },
        { "192.0.2.255", ADDRESS_RESERVED },     { "192.0.3.0", ADDRESS_PUBLIC },
        { "192.88.99.0", ADDRESS_RESERVED },     { "192.88.99.255", ADDRESS_RESERVED },
        { "192.88.100.0", ADDRESS_PUBLIC },      { "192.167.255.255", ADDRESS_PUBLIC },
        { "192.168.0.0", ADDRESS_PRIVATE },      { "192.168.255.255", ADDRESS_PRIVATE },
        { "192.169.0.0", ADDRESS_PUBLIC },       { "198.17.255.255", ADDRESS_PUBLIC },
        { "198.18.0.0", ADDRESS_RESERVED },      { "198.19.255.255", ADDRESS_RESERVED },
        { "198.20.0.0", ADDRESS_PUBLIC },        { "198.51.100.0", ADDRESS_RESERVED },
        { "198.51.100.255", ADDRESS_RESERVED },  { "198.51.101.0", ADDRESS_PUBLIC },
        { "203.0.113.0", ADDRESS_RESERVED },     { "203.0.113.255", ADDRESS_RESERVED },
        { "203.0.114.0", ADDRESS_PUBLIC },       { "223.255.255.255", ADDRESS_PUBLIC },
        { "224.0.0.0", ADDRESS_MULTICAST },      { "239.255.255.255", ADDRESS_MULTICAST },
        { "240.0.0.0", ADDRESS_RESERVED },       { "255.255.255.255", ADDRESS_RESERVED },

        { "::", ADDRESS_UNSPECIFIED },           { "::1", ADDRESS_LOOPBACK },
        { "::2", ADDRESS_EMBEDDED },             { "::8.8.8.8", ADDRESS_EMBEDDED },
        { "::169.254.169.254", ADDRESS_METADATA }, { "::ffff:8.8.8.8", ADDRESS_EMBEDDED },
        { "::ffff:127.0.0.1", ADDRESS_EMBEDDED }, { "::ffff:169.254.169.254", ADDRESS_METADATA },
        { "::ffff:100.100.100.200", ADDRESS_METADATA }, { "::ffff:0:8.8.8.8", ADDRESS_EMBEDDED },
        { "::ffff:0:169.254.169.254", ADDRESS_METADATA }, { "64:ff9b::8.8.8.8", ADDRESS_EMBEDDED },
        { "64:ff9b::169.254.169.254", ADDRESS_METADATA }, { "64:ff9b:1::10.0.0.1", ADDRESS_EMBEDDED },
        { "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ADDRESS_EMBEDDED }, { "64:ff9b:1::169.254.169.254", ADDRESS_METADATA },
        { "64:ff9b:1:a9fe:00a9:fe00::", ADDRESS_METADATA }, { "64:ff9b:2::1", ADDRESS_RESERVED },
        { "64:ff9c::1", ADDRESS_RESERVED },      { "100::1", ADDRESS_RESERVED },
        { "1fff:ffff::", ADDRESS_RESERVED },     { "2000::", ADDRESS_PUBLIC },
        { "2001::1", ADDRESS_EMBEDDED },         { "2001:0:a9fe:a9fe::1", ADDRESS_METADATA },
        { "2001:0:808:808:8000:63bf:5601:5601", ADDRESS_METADATA }, /* client obscured by exclusive or */
        { "2001:1::1", ADDRESS_RESERVED },       { "2001:20::1", ADDRESS_RESERVED },
        { "2001:1ff:ffff::", ADDRESS_RESERVED }, { "2001:200::", ADDRESS_PUBLIC },
        { "2001:db7:ffff::", ADDRESS_PUBLIC },   { "2001:db8::", ADDRESS_RESERVED },
        { "2001:db8:ffff::", ADDRESS_RESERVED }, { "2001:db9::", ADDRESS_PUBLIC },
        { "2002:808:808::1", ADDRESS_EMBEDDED }, { "2002:a9fe:a9fe::1", ADDRESS_METADATA },
        { "2002:a9fe:a9fe:ffff:ffff:ffff:ffff:ffff", ADDRESS_METADATA }, { "2003::", ADDRESS_PUBLIC },
        { "2606:4700:4700::1111", ADDRESS_PUBLIC }, { "2606:4700::5efe:8.8.8.8", ADDRESS_EMBEDDED },
        { "2606:4700::200:5efe:10.0.0.1", ADDRESS_EMBEDDED }, { "2606:4700::5efe:169.254.169.254", ADDRESS_METADATA },
        { "fe80::5efe:169.254.169.254", ADDRESS_METADATA }, { "fe80::5efe:10.0.0.1", ADDRESS_LINK_LOCAL },
        { "3ffe:ffff::", ADDRESS_PUBLIC },       { "3fff::", ADDRESS_RESERVED },
        { "3fff:fff:ffff::", ADDRESS_RESERVED }, { "3fff:1000::", ADDRESS_PUBLIC },
        { "4000::", ADDRESS_RESERVED },          { "5f00::1", ADDRESS_RESERVED },
        { "fbff::", ADDRESS_RESERVED },          { "fc00::", ADDRESS_PRIVATE },
        { "fdff:ffff::", ADDRESS_PRIVATE },      { "fd00:ec2::254", ADDRESS_METADATA },
        { "fd00:ec2::23", ADDRESS_METADATA },    { "fd00:ec2::253", ADDRESS_PRIVATE },
        { "fd20:ce::254", ADDRESS_METADATA },    { "fe00::", ADDRESS_RESERVED },
        { "fe80::", ADDRESS_LINK_LOCAL },        { "febf:ffff::", ADDRESS_LINK_LOCAL },
        { "fec0::", ADDRESS_PRIVATE },           { "feff:ffff::", ADDRESS_PRIVATE },
        { "ff00::", ADDRESS_MULTICAST },         { "ff02::1", ADDRESS_MULTICAST },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_MULTICAST },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address a = at(rows[i].address, 443);
        enum address_class class = address_classify(&a);
        if (class != rows[i].class)
            fail_msg("%s is %s, not %s", rows[i].address, class_names[class], class_names[rows[i].class]);
    }
    struct address none = { .family = 0 };
    assert_int_equal(address_classify(&none), ADDRESS_RESERVED);
}

static struct egress *policy(struct arena *a, const char *private, const char *http, const char *ports)
{
    struct egress *e = NULL;
    struct fault why = { 0 };
    if (egress_new(a, str_of(private), str_of(http), str_of(ports), &e, &why))
        fail_msg("%s", why.subject);
    return e;
}

static bool may(const struct egress *e, const char *host, const char *address, uint16_t port)
{
    struct address to = at(address, port);
    struct fault why = { 0 };
    enum err refused = egress_check(e, str_of(host), &to, &why);
    if (!refused)
        return true;
    assert_int_equal(refused, ERR_ADDRESS_NOT_ALLOWED);
    assert_string_equal(why.subject, host); /* the subject is shown: never what the name resolved to */
    return false;
}

static void without_a_list_only_public_addresses_may_be_dialled(void **state)
{
    struct egress *e = policy(*state, "", "", "");
    assert_true(may(e, "api.example.com", "93.184.216.34", 443));
    assert_true(may(e, "api.example.com", "2606:4700:4700::1111", 443));
    static const char *const shut[] = { "127.0.0.1", "10.1.2.3", "169.254.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
                                        "::1", "::", "fe80::1", "fd00::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
                                        "ff02::1", "169.254.169.254" };
    for (size_t i = 0; i < COUNT(shut); i++)
        if (may(e, "api.example.com", shut[i], 443))
            fail_msg("dialled: %s", shut[i]);
}

static void a_listed_range_opens_itself_and_nothing_else(void **state)
{
    struct egress *e = policy(*state, " 10.1.0.0/16 ,fd12::/16,192.168.7.0/24:8443,[fd34::]/16:99", "", "");
    assert_true(may(e, "crm.corp", "10.1.0.0", 443));
    assert_true(may(e, "crm.corp", "10.1.255.255", 8080));
    assert_false(may(e, "crm.corp", "10.2.0.0", 443));
    assert_false(may(e, "crm.corp", "10.0.255.255", 443));
    assert_true(may(e, "crm.corp", "fd12::1", 443));
    assert_false(may(e, "crm.corp", "fd13::1", 443));
    assert_true(may(e, "crm.corp", "192.168.7.9", 8443));
    assert_false(may(e, "crm.corp", "192.168.7.9", 443));
    assert_true(may(e, "crm.corp", "fd34::1", 99));
    assert_false(may(e, "crm.corp", "fd34::1", 443));
    assert_false(may(e, "crm.corp", "127.0.0.1", 443));
    assert_false(may(e, "crm.corp", "::ffff:10.1.0.1", 443)); /* another spelling is another address */
    assert_false(egress_allows_private_host(e, STR("crm.corp"), 443));
    assert_false(egress_allows_private_host(e, STR("localhost"), 443));
    assert_true(egress_allows_private_host(e, STR("10.1.0.0"), 443)); /* a literal is its own address */
    assert_false(egress_allows_private_host(e, STR("10.0.0.0"), 443));
}

static void a_listed_host_opens_itself_at_its_port(void **state)
{
    struct egress *e = policy(*state, "Intranet,localhost:9443,127.0.0.1:9000,[::1]:9001,fd00::7", "", "");
    assert_true(may(e, "intranet", "10.1.2.3", 443));
    assert_true(may(e, "intranet", "::ffff:10.1.2.3", 443));
    assert_true(may(e, "localhost", "127.0.0.1", 9443));
    assert_true(may(e, "localhost", "::1", 9443));
    assert_false(may(e, "localhost", "127.0.0.1", 9442));
    assert_false(may(e, "other", "127.0.0.1", 9443));
    assert_false(may(e, "xintranet", "10.1.2.3", 443));
    assert_false(may(e, "intranet.evil.example", "10.1.2.3", 443));
    assert_true(may(e, "127.0.0.1", "127.0.0.1", 9000));
    assert_true(may(e, "rebound.example", "127.0.0.1", 9000)); /* an address is a range of one */
    assert_false(may(e, "127.0.0.1", "127.0.0.1", 9001));
    assert_true(may(e, "::1", "::1", 9001));
    assert_true(may(e, "fd00::7", "fd00::7", 1));
    assert_true(egress_allows_private_host(e, STR("intranet"), 1));
    assert_true(egress_allows_private_host(e, STR("INTRANET"), 1));
    assert_true(egress_allows_private_host(e, STR("localhost"), 9443));
    assert_false(egress_allows_private_host(e, STR("localhost"), 443));
    assert_true(egress_allows_private_host(e, STR("127.0.0.1"), 9000));
    assert_true(egress_allows_private_host(e, STR("localhost"), 9000)); /* the same address, RFC 6761 */
    assert_false(egress_allows_private_host(e, STR("localhost"), 9002));
    assert_true(egress_allows_private_host(e, STR("::1"), 9001));
    assert_false(egress_allows_private_host(e, STR("unlisted"), 443));
}

static void metadata_stays_shut_whatever_is_listed(void **state)
{
    struct egress *e = policy(*state,
                              "0.0.0.0/0,::/0,metadata,169.254.169.254,fd00:ec2::254,100.100.100.200,169.254.169.254:80,"
                              "::ffff:169.254.169.254",
                              "", "");
    static const char *const shut[] = {
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "::ffff:100.100.100.200",
        "64:ff9b::100.100.100.200",
        "::ffff:0:169.254.169.254",
        "fe80::5efe:169.254.169.254",
        "168.63.129.16",
    };
    for (size_t i = 0; i < COUNT(shut); i++)
        if (may(e, "metadata", shut[i], 80) || may(e, "169.254.169.254", shut[i], 80))
            fail_msg("dialled: %s", shut[i]);
    assert_true(may(e, "metadata", "169.254.169.253", 80));
}

static void a_listed_nat64_range_opens_no_private_address_behind_it(void **state)
{
    struct egress *e = policy(*state, "64:ff9b::/96,10.5.0.0/16,host6", "", "");
    assert_true(may(e, "api.example.com", "64:ff9b::8.8.8.8", 443));
    assert_true(may(e, "api.example.com", "64:ff9b::10.5.0.1", 443)); /* listed itself */
    assert_false(may(e, "api.example.com", "64:ff9b::10.6.0.1", 443));
    assert_false(may(e, "api.example.com", "64:ff9b::127.0.0.1", 443));
    assert_true(may(e, "host6", "64:ff9b::10.6.0.1", 443));
}

static void the_hub_never_dials_itself(void **state)
{
    struct egress *e = policy(*state, "0.0.0.0/0,::/0,localhost", "", "");
    struct address listener = at("127.0.0.1", 8080), public = at("93.184.216.34", 443), six = at("::1", 8081);
    egress_add_self(e, &listener);
    egress_add_self(e, &public);
    egress_add_self(e, &six);
    assert_false(may(e, "localhost", "127.0.0.1", 8080));
    assert_false(may(e, "localhost", "::ffff:127.0.0.1", 8080));
    assert_false(may(e, "localhost", "0.0.0.0", 8080)); /* which reaches loopback */
    assert_false(may(e, "localhost", "64:ff9b::127.0.0.1", 8080));
    assert_false(may(e, "hub.example.com", "93.184.216.34", 443));
    assert_false(may(e, "localhost", "::1", 8081));
    assert_false(may(e, "localhost", "::", 8081));
    assert_true(may(e, "localhost", "127.0.0.1", 8082));
    assert_true(may(e, "localhost", "127.0.0.2", 8080));
    assert_true(may(e, "hub.example.com", "93.184.216.35", 443));
}

static void a_listener_on_every_address_covers_all_of_loopback(void **state)
{
    static const char *const anywhere[] = { "0.0.0.0", "::" };
    for (size_t i = 0; i < COUNT(anywhere); i++) {
        struct egress *e = policy(*state, "0.0.0.0/0,::/0,localhost", "", "");
        struct address listener = at(anywhere[i], 8080);
        egress_add_self(e, &listener);
        static const char *const own[] = { "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0" };
        for (size_t k = 0; k < COUNT(own); k++)
            if (may(e, "localhost", own[k], 8080) || !may(e, "localhost", own[k], 8081))
                fail_msg("listening on %s, dialled %s", anywhere[i], own[k]);
    }
}

static void plain_http_goes_only_where_it_is_listed(void **state)
{
    struct egress *e = policy(*state, "localhost", "LocalHost:8081, old.example.com,[::1]:80,127.0.0.1", "");
    struct fault why = { 0 };
    assert_int_equal(egress_check_url(e, true, STR("anything.example"), 443, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("localhost"), 8081, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("old.example.com"), 80, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("old.example.com"), 8080, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("::1"), 80, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("127.0.0.1"), 80, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, false, STR("localhost"), 80, &why), ERR_SCHEME_NOT_ALLOWED);
    assert_string_equal(why.subject, "localhost");
    assert_int_equal(egress_check_url(e, false, STR("example.com"), 80, &why), ERR_SCHEME_NOT_ALLOWED);
    assert_int_equal(egress_check_url(e, false, STR("x.old.example.com"), 80, &why), ERR_SCHEME_NOT_ALLOWED);
    /* Plain http is no leave to dial a private address. */
    assert_false(may(e, "old.example.com", "10.0.0.1", 80));
}

static void a_list_of_ports_shuts_the_others(void **state)
{
    struct fault why = { 0 };
    struct egress *any = policy(*state, "", "", "");
    assert_int_equal(egress_check_url(any, true, STR("a.example"), 22, &why), ERR_NONE);
    assert_int_equal(egress_check_url(any, true, STR("a.example"), 0, &why), ERR_PORT_NOT_ALLOWED);

    struct egress *e = policy(*state, "localhost:9443,intranet", "old.example:8080", "443, 8443");
    assert_int_equal(egress_check_url(e, true, STR("a.example"), 443, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, true, STR("a.example"), 8443, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, true, STR("a.example"), 444, &why), ERR_PORT_NOT_ALLOWED);
    assert_string_equal(why.subject, "444");
    assert_int_equal(egress_check_url(e, true, STR("localhost"), 9443, &why), ERR_NONE); /* listed with its port */
    assert_int_equal(egress_check_url(e, false, STR("old.example"), 8080, &why), ERR_NONE);
    assert_int_equal(egress_check_url(e, true, STR("intranet"), 9443, &why), ERR_PORT_NOT_ALLOWED);
}

static void a_bad_item_of_the_policy_is_named(void **state)
{
    static const struct {
        const char *private, *http, *ports;
        const char *named;
    } rows[] = {
        { "10.0.0.0/33", "", "", "10.0.0.0/33" },       { "10.0.0.1/8", "", "", "10.0.0.1/8" },
        { "10.0.0.0/", "", "", "10.0.0.0/" },           { "10.0.0/8", "", "", "10.0.0/8" },
        { "/8", "", "", "/8" },                         { "fd00::/129", "", "", "fd00::/129" },
        { "10.0.0.0/8:0", "", "", "10.0.0.0/8:0" },     { "10.0.0.0/8:x", "", "", "10.0.0.0/8:x" },
        { "ok,*.corp", "", "", "*.corp" },              { "host:", "", "", "host:" },
        { "host:65536", "", "", "host:65536" },         { "host:1:2", "", "", "host:1:2" },
        { "a b", "", "", "a b" },                       { "0x7f.1", "", "", "0x7f.1" },
        { "010.0.0.0/8", "", "", "010.0.0.0/8" },       { "[::1", "", "", "[::1" },
        { "https://host", "", "", "https://host" },     { "", "10.0.0.0/8", "", "10.0.0.0/8" },
        { "", "host:0", "", "host:0" },                 { "", "", "443,x", "x" },
        { "", "", "0", "0" },                           { "", "", "70000", "70000" },
        { "", "", "443-444", "443-444" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct egress *e = NULL;
        struct fault why = { 0 };
        enum err refused = egress_new(*state, str_of(rows[i].private), str_of(rows[i].http), str_of(rows[i].ports), &e, &why);
        if (refused != ERR_CONFIG || !strstr(why.subject, rows[i].named) || e)
            fail_msg("%s|%s|%s: %s", rows[i].private, rows[i].http, rows[i].ports, why.subject);
    }
    policy(*state, ",, 10.0.0.0/8 , ,", " , ", ",443,"); /* empty items are nothing */
}

/* ---- corpora ---- */

static void other_guards_verdicts_are_ours_or_looser(void **state)
{
    struct corpus *all = corpus_read(*state, "ssrf/ip-classify-smokescreen.json");
    const struct corpus *cases = all ? corpus_get(all, "cases") : NULL;
    int n = 0;
    for (const struct corpus *item = cases ? cases->first : NULL; item; item = item->next, n++) {
        struct str text = corpus_str(item, "addr");
        struct address a;
        assert_true(address_parse(text, &a));
        bool public = address_classify(&a) == ADDRESS_PUBLIC, theirs = str_is(corpus_str(item, "verdict"), "ipAllowDefault");
        /* Outside 2000::/3 nothing is global unicast: we are the stricter there. */
        if (public != theirs && !str_is(text, "64:ff9c::1"))
            fail_msg("%.*s: public %d", STR_ARG(text), public);
        if (public && !theirs)
            fail_msg("%.*s is not public", STR_ARG(text));
    }
    if (all)
        printf("%d verdicts\n", n);
}

static void both_ends_of_other_guards_ranges_are_shut(void **state)
{
    struct corpus *all = corpus_read(*state, "ssrf/blocked-cidrs-safeurl.json");
    struct egress *e = policy(*state, "", "", "");
    int n = 0;
    for (const struct corpus *item = all ? all->first : NULL; item; item = item->next, n++) {
        struct str net, bits;
        uint64_t size;
        struct address first;
        assert_true(str_cut(corpus_str(item, "cidr"), '/', &net, &bits) && str_u64(bits, &size) && address_parse(net, &first));
        struct address last = first;
        for (unsigned i = (unsigned)size; i < (first.family == 4 ? 32 : 128); i++)
            last.ip[i / 8] |= (unsigned char)(0x80 >> i % 8);
        first.port = last.port = 443;
        if (!egress_check(e, STR("a.example"), &first, NULL) || !egress_check(e, STR("a.example"), &last, NULL))
            fail_msg("open: %.*s", STR_ARG(corpus_str(item, "cidr")));
    }
    if (all)
        printf("%d ranges\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, with_arena, drop_arena)
        T(only_plain_spellings_are_addresses),
        T(an_ipv6_address_is_written_the_shortest_way),
        T(reading_agrees_with_the_c_library),
        T(every_special_range_is_classed_at_both_its_ends),
        T(without_a_list_only_public_addresses_may_be_dialled),
        T(a_listed_range_opens_itself_and_nothing_else),
        T(a_listed_host_opens_itself_at_its_port),
        T(metadata_stays_shut_whatever_is_listed),
        T(a_listed_nat64_range_opens_no_private_address_behind_it),
        T(the_hub_never_dials_itself),
        T(a_listener_on_every_address_covers_all_of_loopback),
        T(plain_http_goes_only_where_it_is_listed),
        T(a_list_of_ports_shuts_the_others),
        T(a_bad_item_of_the_policy_is_named),
        T(other_guards_verdicts_are_ours_or_looser),
        T(both_ends_of_other_guards_ranges_are_shut),
    };
    return cmocka_run_group_tests_name("http/address", tests, NULL, NULL);
}
