/* Client certificates through the years, on a clock of the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "hub.h"
#include "vault/certificate.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define START 1800000000000LL /* 2027-01-15 */

static const struct certificate_rules rules = {
    .organization = STR("Example Ltd"), .kind = PAIR_EC_P256, .valid_ms = 365 * DAY_MS, .authority_ms = 3650 * DAY_MS,
    .publish_ms = 60 * DAY_MS, .activate_ms = 30 * DAY_MS, .keep_ms = 7 * DAY_MS,
};

/* One piece of work in one transaction. */
struct work {
    struct hub *h;
    enum { CONNECT, ISSUE, KEEP, ACTIVATE, UPKEEP, TLS, HEALTH, DELETE } kind;
    struct str id;
    wall_ms now;
    int64_t valid_ms;
    const struct pair *pair;
    const struct certificate_rules *rules;
    struct connection_tls tls;
    struct certificate_row row;
    struct connection_row connection;
    struct certificate_news news[CERTIFICATE_NEWS];
    size_t n;
};

static enum err do_it(struct db *db, void *context, struct fault *why)
{
    struct work *w = context;
    struct hub *h = w->h;
    struct certificate_row row = w->row;
    enum err e;
    switch (w->kind) {
    case CONNECT: return connection_insert(db, h->keys, h->arena, &w->connection, NULL, 0, why);
    case ISSUE: e = certificate_issue(db, h->keys, h->arena, w->rules, w->valid_ms, w->now, &row, why); break;
    case KEEP: e = certificate_keep(db, h->keys, h->arena, w->pair, w->now, &row, why); break;
    case ACTIVATE: e = certificate_activate(db, h->arena, w->id, w->now, &row, why); break;
    case UPKEEP: return certificate_upkeep(db, h->keys, h->arena, w->rules, w->now, w->news, &w->n, why);
    case TLS: return connection_tls_put(db, w->id, &w->tls, why);
    case HEALTH: return connection_set_health(db, w->id, HEALTH_OK, 1, STR_NONE, why);
    default: return connection_delete(db, w->id, why);
    }
    if (!e)
        w->row = row;
    return e;
}

static enum err work(struct work *w)
{
    memset(&w->h->why, 0, sizeof w->h->why);
    if (!w->rules)
        w->rules = &rules;
    return store_write(w->h->store, do_it, w, &w->h->why);
}

#define do_well(...)                                                    \
    ({                                                                  \
        struct work w_ = { .h = h, __VA_ARGS__ };                       \
        enum err e_ = work(&w_);                                        \
        if (e_)                                                         \
            fail_msg("%s: %s (%s)", err_row(e_)->code, h->why.subject, h->why.note); \
        w_;                                                             \
    })

static struct db *reader(struct hub *h) { return store_reader(h->store, &h->why); }

static struct connection_row connect_one(struct hub *h, const char *key, const char *domain)
{
    return do_well(.kind = CONNECT, .connection = { .key = str_of(key),
                                                    .name = str_of(key),
                                                    .folder = STR("fld_a"),
                                                    .connector = STR("http"),
                                                    .connector_version = STR("1.0.0"),
                                                    .auth_type = STR("none"),
                                                    .allowed_domain = str_of(domain),
                                                    .fields = STR("{}"),
                                                    .owner = STR("usr_1"),
                                                    .state = CONNECTION_ACTIVE })
        .connection;
}

static struct certificate_row issue(struct hub *h, enum certificate_source source, struct str owner, enum certificate_state state,
                                    wall_ms now)
{
    return do_well(.kind = ISSUE, .row = { .source = source, .owner = owner, .state = state }, .now = now).row;
}

/* A connection that shows a certificate, issued at START. */
static struct connection_row connected(struct hub *h, const char *key, enum certificate_source source)
{
    struct connection_row c = connect_one(h, key, "api.example.com");
    do_well(.kind = TLS, .id = c.id, .tls = { .has_certificate = true, .source = source });
    if (source == CERTIFICATE_CONNECTION)
        issue(h, source, c.id, CERTIFICATE_CURRENT, START);
    return c;
}

/* All that is due, as the upkeep thread does it. Answers how many of `what` there were, and the last of them. */
static size_t upkeep(struct hub *h, wall_ms now, int what, struct certificate_news *last)
{
    size_t found = 0;
    for (int rounds = 0;; rounds++) {
        assert_true(rounds < 20);
        struct work w = do_well(.kind = UPKEEP, .now = now);
        for (size_t i = 0; i < w.n; i++)
            if ((int)w.news[i].what == what) {
                found++;
                if (last)
                    *last = w.news[i];
            }
        if (!w.n)
            return found;
    }
}

static bool row_of(struct hub *h, struct str owner, enum certificate_state state, struct certificate_row *out)
{
    bool found;
    assert_int_equal(certificate_of(reader(h), h->arena, owner, state, out, &found, &h->why), ERR_NONE);
    return found;
}

static enum err opened(struct hub *h, struct str connection, struct str *fingerprint)
{
    struct connection_row c;
    struct pair *pair = NULL;
    struct str authorities;
    assert_int_equal(connection_get(reader(h), h->arena, connection, &c, &h->why), ERR_NONE);
    enum err e = certificate_open(reader(h), h->keys, h->arena, &c, &pair, &authorities, &h->why);
    if (!e && pair && fingerprint)
        *fingerprint = pair_facts(pair, h->arena).fingerprint;
    if (!e && !pair && fingerprint)
        *fingerprint = STR_NONE;
    pair_free(pair);
    return e;
}

static enum connection_health health(struct hub *h, struct str connection)
{
    struct connection_row c;
    assert_int_equal(connection_get(reader(h), h->arena, connection, &c, &h->why), ERR_NONE);
    return c.health;
}

static int setup(void **state)
{
    *state = hub_new_ready();
    return 0;
}

static int teardown(void **state)
{
    hub_end(*state);
    return 0;
}

/* ---- making ---- */

static void the_first_certificate_makes_the_authority_and_the_second_uses_it(void **state)
{
    struct hub *h = *state;
    struct certificate_row authority, other;
    struct connection_row c = connected(h, "crm", CERTIFICATE_CONNECTION);
    struct certificate_row shared = issue(h, CERTIFICATE_INSTANCE, STR_NONE, CERTIFICATE_CURRENT, START), own;
    assert_true(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_CURRENT, &authority));
    assert_false(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_NEXT, &other));
    assert_true(row_of(h, c.id, CERTIFICATE_CURRENT, &own));
    assert_true(str_eq(own.issuer, authority.subject) && str_eq(shared.issuer, authority.subject));
    assert_true(str_is(own.subject, "CN=crm,O=Example Ltd"));
    assert_int_equal(own.not_after, START + 365 * DAY_MS);
    assert_int_equal(authority.not_after, START + 3650 * DAY_MS);
}

static void a_certificate_that_is_over_or_not_begun_is_not_kept(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connect_one(h, "crm", "api.example.com");
    struct pair_wish wish = { STR("mine"), STR(""), PAIR_EC_P256, START, START + 10 * DAY_MS };
    struct pair *pair;
    struct work w = { .h = h, .kind = KEEP, .row = { .source = CERTIFICATE_OWN, .owner = c.id, .state = CERTIFICATE_CURRENT } };
    assert_int_equal(pair_make_authority(&wish, &pair, &h->why), ERR_NONE);
    w.pair = pair;
    w.now = START + 11 * DAY_MS;
    assert_int_equal(work(&w), ERR_FIELD_INVALID);
    w.now = START - DAY_MS;
    assert_int_equal(work(&w), ERR_FIELD_INVALID);
    assert_string_equal(h->why.pointer, "/certificate");
    /* Published ahead it may be, but not put to use before its time. */
    w.row.state = CERTIFICATE_NEXT;
    assert_int_equal(work(&w), ERR_NONE);
    struct work early = { .h = h, .kind = ACTIVATE, .id = w.row.id, .now = START - DAY_MS };
    assert_int_equal(work(&early), ERR_CERTIFICATE_NOT_USABLE);
    do_well(.kind = ACTIVATE, .id = w.row.id, .now = START + DAY_MS);
    pair_free(pair);
}

/* ---- turning ---- */

static void a_year_goes_by_with_a_certificate_in_use_every_day(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connected(h, "crm", CERTIFICATE_CONNECTION);
    struct certificate_row current, next;
    struct str first = STR_NONE, second = STR_NONE, now_used;
    assert_int_equal(opened(h, c.id, &first), ERR_NONE);
    for (int day = 0; day < 400; day++) {
        wall_ms now = START + day * DAY_MS + 1;
        upkeep(h, now, CERTIFICATE_WARNING, NULL);
        assert_true(row_of(h, c.id, CERTIFICATE_CURRENT, &current));
        assert_true(current.not_after > now);
        bool published = row_of(h, c.id, CERTIFICATE_NEXT, &next);
        assert_int_equal(published, day >= 305 && day < 335);
        if (published)
            second = next.fingerprint;
        assert_int_equal(opened(h, c.id, &now_used), ERR_NONE);
        assert_true(str_eq(now_used, day < 335 ? first : second));
    }
    assert_true(str_is(current.subject, "CN=crm,O=Example Ltd"));
}

static void a_retired_certificate_may_be_taken_back_until_its_key_is_destroyed(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connected(h, "crm", CERTIFICATE_CONNECTION);
    struct certificate_row first, row;
    struct str used;
    assert_true(row_of(h, c.id, CERTIFICATE_CURRENT, &first));
    struct certificate_row second = issue(h, CERTIFICATE_CONNECTION, c.id, CERTIFICATE_CURRENT, START + DAY_MS);
    assert_int_equal(opened(h, c.id, &used), ERR_NONE);
    assert_true(str_eq(used, second.fingerprint));
    do_well(.kind = ACTIVATE, .id = first.id, .now = START + 2 * DAY_MS);
    assert_int_equal(opened(h, c.id, &used), ERR_NONE);
    assert_true(str_eq(used, first.fingerprint));

    upkeep(h, START + 8 * DAY_MS, CERTIFICATE_WARNING, NULL);
    assert_int_equal(certificate_get(reader(h), h->arena, second.id, &row, &h->why), ERR_NONE);
    assert_true(row.has_key);
    upkeep(h, START + 10 * DAY_MS, CERTIFICATE_WARNING, NULL);
    assert_int_equal(certificate_get(reader(h), h->arena, second.id, &row, &h->why), ERR_NONE);
    assert_false(row.has_key);
    struct str left = hub_text(h, "SELECT COUNT(*) FROM sealed_value WHERE kind = 'certificate'");
    assert_true(str_is(left, "2")); /* the authority's, and that of the one in use */
    struct work late = { .h = h, .kind = ACTIVATE, .id = second.id, .now = START + 10 * DAY_MS };
    assert_int_equal(work(&late), ERR_CERTIFICATE_NOT_USABLE);
}

static void a_next_certificate_takes_the_place_of_the_next_one_before(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connected(h, "crm", CERTIFICATE_CONNECTION);
    struct certificate_row row, one = issue(h, CERTIFICATE_CONNECTION, c.id, CERTIFICATE_NEXT, START);
    struct certificate_row two = issue(h, CERTIFICATE_CONNECTION, c.id, CERTIFICATE_NEXT, START);
    assert_int_equal(certificate_get(reader(h), h->arena, one.id, &row, &h->why), ERR_NOT_FOUND);
    assert_true(row_of(h, c.id, CERTIFICATE_NEXT, &row) && str_eq(row.id, two.id));
}

static void short_lived_certificates_do_not_turn_without_end(void **state)
{
    struct hub *h = *state;
    struct certificate_rules hourly = rules;
    hourly.valid_ms = DAY_MS;
    struct connection_row c = connect_one(h, "crm", "api.example.com");
    do_well(.kind = TLS, .id = c.id, .tls = { .has_certificate = true, .source = CERTIFICATE_CONNECTION });
    do_well(.kind = ISSUE, .rules = &hourly, .now = START,
            .row = { .source = CERTIFICATE_CONNECTION, .owner = c.id, .state = CERTIFICATE_CURRENT });
    int issued = 0, activated = 0;
    for (wall_ms now = START; now < START + 5 * DAY_MS; now += DAY_MS / 24) {
        struct work w = do_well(.kind = UPKEEP, .rules = &hourly, .now = now);
        for (size_t i = 0; i < w.n; i++) {
            issued += w.news[i].what == CERTIFICATE_ISSUED;
            activated += w.news[i].what == CERTIFICATE_ACTIVATED;
        }
        struct certificate_row current;
        assert_true(row_of(h, c.id, CERTIFICATE_CURRENT, &current) && current.not_after > now);
    }
    assert_in_range(issued, 5, 11); /* half of a life each */
    assert_in_range(activated, 4, 11);
}

static void the_authority_is_renewed_before_it_cuts_a_certificate_short(void **state)
{
    struct hub *h = *state;
    struct certificate_row authority, next;
    connected(h, "crm", CERTIFICATE_CONNECTION);
    assert_true(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_CURRENT, &authority));
    struct certificate_rules never = rules;
    never.publish_ms = 0;
    struct work w = do_well(.kind = UPKEEP, .rules = &never, .now = START + (3650 - 731) * DAY_MS);
    assert_false(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_NEXT, &next));
    w = do_well(.kind = UPKEEP, .rules = &never, .now = START + (3650 - 729) * DAY_MS);
    assert_true(w.n >= 1);
    assert_true(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_NEXT, &next));
    assert_true(next.not_after > authority.not_after);
    do_well(.kind = UPKEEP, .rules = &never, .now = START + (3650 - 364) * DAY_MS);
    assert_true(row_of(h, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_CURRENT, &authority) && str_eq(authority.id, next.id));
}

/* ---- warnings ---- */

/* Somebody's own pair: nobody renews it but its owner. */
static struct connection_row with_own(struct hub *h, const char *key, int days)
{
    struct connection_row c = connect_one(h, key, "api.example.com");
    struct pair_wish wish = { str_of(key), STR(""), PAIR_EC_P256, START - DAY_MS, START + days * DAY_MS };
    struct pair *pair;
    assert_int_equal(pair_make_authority(&wish, &pair, &h->why), ERR_NONE);
    do_well(.kind = KEEP, .pair = pair, .now = START,
            .row = { .source = CERTIFICATE_OWN, .owner = c.id, .state = CERTIFICATE_CURRENT });
    do_well(.kind = TLS, .id = c.id, .tls = { .has_certificate = true, .source = CERTIFICATE_OWN });
    pair_free(pair);
    return c;
}

static void warnings_come_60_30_and_7_days_ahead_and_at_the_end_each_once(void **state)
{
    struct hub *h = *state;
    struct connection_row c = with_own(h, "crm", 100);
    for (int day = 0; day < 110; day++) {
        struct certificate_news news;
        size_t n = upkeep(h, START + day * DAY_MS, CERTIFICATE_WARNING, &news);
        bool due = day == 40 || day == 70 || day == 93 || day == 100;
        if (n != due)
            fail_msg("day %d: %zu warnings", day, n);
        if (n)
            assert_int_equal(news.days, 100 - day);
        assert_int_equal(health(h, c.id), day < 40 ? HEALTH_UNKNOWN : day < 100 ? HEALTH_EXPIRING : HEALTH_EXPIRED);
    }
}

static void a_hub_that_was_off_gives_the_latest_warning_only(void **state)
{
    struct hub *h = *state;
    struct certificate_news news;
    with_own(h, "crm", 100);
    assert_int_equal(upkeep(h, START + 95 * DAY_MS, CERTIFICATE_WARNING, &news), 1);
    assert_int_equal(news.row.warned, 7);
    assert_int_equal(upkeep(h, START + 96 * DAY_MS, CERTIFICATE_WARNING, &news), 0);
}

static void a_good_answer_does_not_hide_that_the_certificate_ends(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connect_one(h, "soon", "api.example.com"), fine = connect_one(h, "fine", "api.example.com");
    struct pair_wish wish = { STR("soon"), STR(""), PAIR_EC_P256, clock_wall() - DAY_MS, clock_wall() + 10 * DAY_MS };
    struct pair *pair;
    assert_int_equal(pair_make_authority(&wish, &pair, &h->why), ERR_NONE);
    do_well(.kind = KEEP, .pair = pair, .now = clock_wall(),
            .row = { .source = CERTIFICATE_OWN, .owner = c.id, .state = CERTIFICATE_CURRENT });
    do_well(.kind = TLS, .id = c.id, .tls = { .has_certificate = true, .source = CERTIFICATE_OWN });
    do_well(.kind = HEALTH, .id = c.id);
    do_well(.kind = HEALTH, .id = fine.id);
    assert_int_equal(health(h, c.id), HEALTH_EXPIRING);
    assert_int_equal(health(h, fine.id), HEALTH_OK);
    pair_free(pair);
}

static void a_shared_certificate_that_ends_warns_each_connection_that_uses_it(void **state)
{
    struct hub *h = *state;
    struct certificate_rules manual = rules;
    manual.publish_ms = manual.activate_ms = 0;
    struct connection_row one = connected(h, "one", CERTIFICATE_INSTANCE), two = connected(h, "two", CERTIFICATE_INSTANCE);
    struct connection_row none = connect_one(h, "none", "api.example.com");
    issue(h, CERTIFICATE_INSTANCE, STR_NONE, CERTIFICATE_CURRENT, START);
    do_well(.kind = UPKEEP, .rules = &manual, .now = START + 340 * DAY_MS);
    assert_int_equal(health(h, one.id), HEALTH_EXPIRING);
    assert_int_equal(health(h, two.id), HEALTH_EXPIRING);
    assert_int_equal(health(h, none.id), HEALTH_UNKNOWN);
    issue(h, CERTIFICATE_INSTANCE, STR_NONE, CERTIFICATE_CURRENT, START + 340 * DAY_MS);
    assert_int_equal(health(h, one.id), HEALTH_UNKNOWN);
}

/* ---- the key ---- */

static void the_key_opens_for_its_connection_and_domain_only(void **state)
{
    struct hub *h = *state;
    struct connection_row one = connected(h, "one", CERTIFICATE_CONNECTION), two = connected(h, "two", CERTIFICATE_CONNECTION);
    struct str used;
    assert_int_equal(opened(h, one.id, &used), ERR_NONE);
    hub_sql(h, "UPDATE connection SET allowed_domain = 'evil.example.net' WHERE key = 'one'");
    assert_int_equal(opened(h, one.id, &used), ERR_RECONNECT_REQUIRED);
    assert_int_equal(opened(h, two.id, &used), ERR_NONE);
    hub_sql(h, "UPDATE connection SET allowed_domain = 'api.example.com' WHERE key = 'one'");
    assert_int_equal(opened(h, one.id, &used), ERR_NONE);
    /* Another connection's certificate, put in its place. */
    hub_sql(h, "UPDATE certificate SET state = 'retired' WHERE owner = (SELECT id FROM connection WHERE key = 'one')");
    hub_sql(h, "UPDATE certificate SET owner = (SELECT id FROM connection WHERE key = 'one') WHERE owner ="
               " (SELECT id FROM connection WHERE key = 'two')");
    assert_int_equal(opened(h, one.id, &used), ERR_RECONNECT_REQUIRED);
    /* And the name that it is sealed under, too. */
    hub_sql(
        h, "UPDATE sealed_value SET name = (SELECT v.name FROM sealed_value v JOIN certificate c ON c.id = v.owner_id WHERE"
           " c.state = 'retired') WHERE owner_id = (SELECT id FROM certificate WHERE state = 'current' AND source = 'connection')");
    assert_int_equal(opened(h, one.id, &used), ERR_RECONNECT_REQUIRED);
}

static void a_damaged_key_makes_that_connection_reconnect_and_no_other(void **state)
{
    struct hub *h = *state;
    struct connection_row one = connected(h, "one", CERTIFICATE_CONNECTION), two = connected(h, "two", CERTIFICATE_CONNECTION);
    hub_sql(h, "UPDATE sealed_value SET sealed = 'AAAA' WHERE owner_id = (SELECT id FROM certificate WHERE owner ="
               " (SELECT id FROM connection WHERE key = 'one'))");
    assert_int_equal(opened(h, one.id, NULL), ERR_RECONNECT_REQUIRED);
    assert_string_equal(h->why.subject, "one");
    assert_int_equal(opened(h, two.id, NULL), ERR_NONE);
}

static void deleting_a_connection_destroys_its_certificates_and_their_keys(void **state)
{
    struct hub *h = *state;
    struct connection_row one = connected(h, "one", CERTIFICATE_CONNECTION);
    issue(h, CERTIFICATE_CONNECTION, one.id, CERTIFICATE_NEXT, START);
    issue(h, CERTIFICATE_CONNECTION, one.id, CERTIFICATE_CURRENT, START);
    do_well(.kind = DELETE, .id = one.id);
    assert_true(str_is(hub_text(h, "SELECT COUNT(*) FROM certificate"), "1")); /* the authority */
    assert_true(str_is(hub_text(h, "SELECT COUNT(*) FROM connection_tls"), "0"));
    assert_true(str_is(hub_text(h, "SELECT COUNT(*) FROM data_key WHERE kind = 'certificate'"), "1"));
}

static void a_connection_without_one_shows_none(void **state)
{
    struct hub *h = *state;
    struct connection_row c = connect_one(h, "plain", "api.example.com");
    struct str used = STR("x");
    assert_int_equal(opened(h, c.id, &used), ERR_NONE);
    assert_null(used.p);
}

static void days_are_rounded_towards_the_end(void **state)
{
    (void)state;
    assert_int_equal(certificate_days(START + 7 * DAY_MS, START), 7);
    assert_int_equal(certificate_days(START + 7 * DAY_MS - 1, START), 6);
    assert_int_equal(certificate_days(START, START), 0);
    assert_int_equal(certificate_days(START - 1, START), -1);
    assert_int_equal(certificate_days(START - DAY_MS - 1, START), -2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_certificate_makes_the_authority_and_the_second_uses_it),
        T(a_certificate_that_is_over_or_not_begun_is_not_kept),
        T(a_year_goes_by_with_a_certificate_in_use_every_day),
        T(a_retired_certificate_may_be_taken_back_until_its_key_is_destroyed),
        T(a_next_certificate_takes_the_place_of_the_next_one_before),
        T(short_lived_certificates_do_not_turn_without_end),
        T(the_authority_is_renewed_before_it_cuts_a_certificate_short),
        T(warnings_come_60_30_and_7_days_ahead_and_at_the_end_each_once),
        T(a_hub_that_was_off_gives_the_latest_warning_only),
        T(a_good_answer_does_not_hide_that_the_certificate_ends),
        T(a_shared_certificate_that_ends_warns_each_connection_that_uses_it),
        T(the_key_opens_for_its_connection_and_domain_only),
        T(a_damaged_key_makes_that_connection_reconnect_and_no_other),
        T(deleting_a_connection_destroys_its_certificates_and_their_keys),
        T(a_connection_without_one_shows_none),
        T(days_are_rounded_towards_the_end),
    };
    return cmocka_run_group_tests_name("vault/certificate", tests, NULL, NULL);
}
