#include "cmd/certificate_watch.h"

#include <stdio.h>

#include "access/audit.h"
#include "base/log.h"
#include "call/switchboard.h"
#include "vault/certificate.h"

#define ROUNDS 1000 /* a bound, should one round never find the end */

struct round {
    struct hub *hub;
    struct arena *a;
    wall_ms now;
    struct certificate_news news[CERTIFICATE_NEWS];
    size_t n;
};

/* What the clock has changed stands in the audit log like what people change. */
static enum err tell(struct db *db, const struct certificate_news *news, struct fault *why)
{
    struct audit_entry entry = {
        .via = STR("system"), .object = news->row.id, .name = news->row.subject,
        .action = news->what == CERTIFICATE_ISSUED ? STR("certificate.create") : STR("certificate.activate"),
    };
    return news->what == CERTIFICATE_WARNING ? ERR_NONE : audit_add(db, &entry, why);
}

static enum err upkeep(struct db *db, void *context, struct fault *why)
{
    struct round *r = context;
    r->n = 0;
    enum err e = certificate_upkeep(db, r->hub->keyring, r->a, r->hub->certificates, r->now, r->news, &r->n, why);
    for (size_t i = 0; !e && i < r->n; i++)
        e = tell(db, &r->news[i], why);
    return e;
}

static void say(const struct certificate_news *news)
{
    static const char *const events[] = {
        [CERTIFICATE_ISSUED] = "next client certificate made",
        [CERTIFICATE_ACTIVATED] = "client certificate put to use",
        [CERTIFICATE_WARNING] = "client certificate expires",
    };
    char days[24], end[CLOCK_TEXT];
    snprintf(days, sizeof days, "%lld", (long long)news->days);
    const char *event = news->what == CERTIFICATE_WARNING && news->days < 0 ? "client certificate has expired" : events[news->what];
    log_line(news->what == CERTIFICATE_WARNING ? LOG_WARN : LOG_INFO, event, LOG("id", news->row.id), LOG("for", news->row.owner),
             LOG("subject", news->row.subject), LOG("days", str_of(days)),
             LOG("not_after", str_of(clock_format(news->row.not_after, end))));
}

static void act(struct hub *h, const struct certificate_news *news)
{
    say(news);
    if (news->what != CERTIFICATE_ACTIVATED)
        return;
    if (certificate_owner_is_connection(news->row.owner))
        switchboard_forget_connection(h->switchboard, news->row.owner);
    else
        switchboard_forget_connections(h->switchboard);
}

void certificate_watch(struct hub *h, wall_ms now)
{
    struct fault why;
    for (int i = 0; i < ROUNDS && !atomic_load(&h->sealed); i++) {
        AUTO_ARENA a = arena_new(16 * 1024);
        struct round r = { .hub = h, .a = a, .now = now };
        if (store_write(h->store, upkeep, &r, &why)) {
            log_fault(LOG_ERROR, "client certificates were not looked after", &why);
            return;
        }
        if (!r.n)
            return;
        for (size_t j = 0; j < r.n; j++)
            act(h, &r.news[j]);
    }
}
