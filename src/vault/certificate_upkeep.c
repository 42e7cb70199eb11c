/* The part of vault/certificate.h that goes by the clock. */
#include "vault/certificate.h"

#include "base/buf.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define FORGET_MS (90 * DAY_MS) /* how long after its end a retired certificate is still listed */

/* Days ahead at which a warning is given, and the end itself. */
static const int warnings[] = { 60, 30, 7, 0 };

struct round {
    struct db *db;
    struct keyring *keyring;
    struct arena *a;
    const struct certificate_rules *rules;
    wall_ms now;
    struct certificate_news *out;
    size_t n;
};

static void tell(struct round *r, int what, const struct certificate_row *row)
{
    r->out[r->n++] = (struct certificate_news){ what, *row, certificate_days(row->not_after, r->now) };
}

static size_t room(const struct round *r) { return CERTIFICATE_NEWS - r->n; }

#define IDS_AT_ONCE 16
struct ids {
    struct str at[IDS_AT_ONCE];
    size_t n;
};

/* What `sql` finds; it takes a time, a limit, and now. */
static enum err find(struct round *r, const char *sql, wall_ms time, struct ids *out, struct fault *why)
{
    out->n = 0;
    size_t most = room(r) < IDS_AT_ONCE ? room(r) : IDS_AT_ONCE;
    struct query *q = query_begin(r->db, sql);
    query_i64(q, time);
    query_i64(q, (int64_t)most);
    query_i64(q, r->now);
    while (out->n < most && query_next(q))
        out->at[out->n++] = query_get_text(q, 0, r->a);
    return query_end(q, why);
}

/* The authority's next one comes two terms of its certificates ahead: who trusts it needs time, and none may outlive it. */
static wall_ms authority_ahead(const struct round *r, int terms) { return r->now + terms * r->rules->valid_ms; }

static enum err issue_next(struct round *r, struct str id, struct fault *why)
{
    struct certificate_row before;
    enum err e = certificate_get(r->db, r->a, id, &before, why);
    struct certificate_row next = {
        .owner = before.owner, .source = before.source, .state = CERTIFICATE_NEXT, .name = before.name
    };
    if (e || (e = certificate_issue(r->db, r->keyring, r->a, r->rules, 0, r->now, &next, why)))
        return e;
    tell(r, CERTIFICATE_ISSUED, &next);
    return ERR_NONE;
}

/* Of a short life, half must be over all the same: else the next one would be due as soon as it is made. */
#define WITHOUT_NEXT                                                                                                               \
    " AND (not_after_ms - $3) * 2 <= not_after_ms - created_ms AND NOT EXISTS (SELECT 1 FROM certificate n WHERE n.owner = "       \
    "certificate.owner AND n.state = "                                                                                             \
    "'next') ORDER BY not_after_ms LIMIT $2"

static enum err issue_all(struct round *r, struct fault *why)
{
    static const char authorities[] =
        "SELECT id FROM certificate WHERE state = 'current' AND source = 'authority' AND not_after_ms <= $1" WITHOUT_NEXT;
    static const char clients[] = "SELECT id FROM certificate WHERE state = 'current' AND source IN ('connection', 'instance') AND"
                                  " not_after_ms <= $1" WITHOUT_NEXT;
    const struct {
        const char *sql;
        wall_ms before;
    } kinds[] = { { authorities, authority_ahead(r, 2) }, { clients, r->now + r->rules->publish_ms } };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct ids due;
        enum err e = find(r, kinds[i].sql, kinds[i].before, &due, why);
        for (size_t j = 0; !e && j < due.n; j++)
            e = issue_next(r, due.at[j], why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err activate_all(struct round *r, struct fault *why)
{
    /* The next ones whose time has begun, of owners whose current one ends soon. */
#define NEXT_OF(SOURCES)                                                                                          \
    "SELECT n.id FROM certificate n JOIN certificate c ON c.owner = n.owner AND c.state = 'current' WHERE n.state = 'next' AND " \
    "(c.not_after_ms - $3) * 4 <= c.not_after_ms - c.created_ms AND n.not_after_ms > c.not_after_ms AND c.source " SOURCES \
    " AND c.not_after_ms <= $1 ORDER BY n.id LIMIT $2"
    static const char authorities[] = NEXT_OF("= 'authority'"), clients[] = NEXT_OF("<> 'authority'");
    const struct {
        const char *sql;
        wall_ms before;
    } kinds[] = { { authorities, authority_ahead(r, 1) }, { clients, r->now + r->rules->activate_ms } };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct ids due;
        struct certificate_row row;
        enum err e = find(r, kinds[i].sql, kinds[i].before, &due, why);
        for (size_t j = 0; !e && j < due.n; j++) {
            e = certificate_activate(r->db, r->a, due.at[j], r->now, &row, why);
            if (e == ERR_CERTIFICATE_NOT_USABLE)
                e = ERR_NONE; /* its time has not begun: the next round looks again */
            else if (!e)
                tell(r, CERTIFICATE_ACTIVATED, &row);
        }
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err run(struct db *db, const char *sql, int64_t time, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_i64(q, time);
    return query_end(q, why);
}

static enum err each(struct round *r, const char *sql, wall_ms time, enum err (*act)(struct db *, struct str, struct fault *),
                     struct fault *why)
{
    struct ids due;
    enum err e = find(r, sql, time, &due, why);
    for (size_t i = 0; !e && i < due.n; i++)
        e = act(r->db, due.at[i], why);
    return e;
}

static enum err retire_keys(struct round *r, struct fault *why)
{
    static const char keys[] =
        "SELECT id FROM certificate WHERE state = 'retired' AND has_key = 1 AND retired_ms <= $1 AND CAST($3 AS BIGINT) > 0"
        " ORDER BY not_after_ms LIMIT $2";
    static const char rows[] =
        "SELECT id FROM certificate WHERE state = 'retired' AND has_key = 0 AND not_after_ms <= $1 AND CAST($3 AS BIGINT) > 0"
        " ORDER BY not_after_ms LIMIT $2";
    enum err e = each(r, keys, r->now - r->rules->keep_ms, certificate_destroy_key, why);
    return e ? e : each(r, rows, r->now - FORGET_MS, certificate_drop, why);
}

/* Said once for each: the column remembers the last. */
static enum err warn_one(struct round *r, struct str id, int days, struct fault *why)
{
    struct certificate_row row;
    enum err e = certificate_get(r->db, r->a, id, &row, why);
    if (e)
        return e;
    struct query *q = query_begin(r->db, "UPDATE certificate SET warned = $1 WHERE id = $2");
    query_i64(q, days);
    query_text(q, id);
    if ((e = query_end(q, why)))
        return e;
    row.warned = days;
    tell(r, CERTIFICATE_WARNING, &row);
    return ERR_NONE;
}

static enum err warn_all(struct round *r, struct fault *why)
{
    /* The latest warning that is due, not all that were missed while the hub was off. */
    for (size_t i = COUNT(warnings); i-- > 0;) {
        struct ids due;
        AUTO_BUF sql;
        buf_init(&sql, 512);
        buf_fmt(&sql,
                "SELECT id FROM certificate WHERE state = 'current' AND not_after_ms <= $1 AND warned > %d AND CAST($3 AS BIGINT) "
                "> 0 ORDER BY "
                "not_after_ms LIMIT $2",
                warnings[i]);
        buf_char(&sql, 0);
        enum err e = find(r, sql.p, r->now + warnings[i] * DAY_MS, &due, why);
        for (size_t j = 0; !e && j < due.n; j++)
            e = warn_one(r, due.at[j], warnings[i], why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

/* What a failed call or a person has found out is worse than a certificate that ends soon, and stays. */
static enum err mark_health(struct round *r, struct fault *why)
{
#define USERS(WHEN)                                                                                                          \
    " AND id IN (SELECT t.connection_id FROM certificate c JOIN connection_tls t ON t.connection_id = c.owner AND t.source <> ''" \
    " AND t.source <> 'instance' WHERE c.state = 'current' AND c.not_after_ms <= " WHEN                                       \
    " UNION ALL SELECT t.connection_id FROM certificate c JOIN connection_tls t ON t.source = 'instance' WHERE"              \
    " c.owner = 'instance' AND c.state = 'current' AND c.not_after_ms <= " WHEN ")"
    enum err e =
        run(r->db, "UPDATE connection SET health = 'expired' WHERE health IN ('unknown', 'ok', 'failing', 'expiring')" USERS("$1"),
            r->now, why);
    return e ? e
             : run(r->db, "UPDATE connection SET health = 'expiring' WHERE health IN ('unknown', 'ok')" USERS("$1"),
                   r->now + warnings[0] * DAY_MS, why);
}

enum err certificate_upkeep(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules, wall_ms now,
                            struct certificate_news out[CERTIFICATE_NEWS], size_t *n, struct fault *why)
{
    struct round r = { db, k, a, rules, now, out, 0 };
    enum err e;
    if ((e = issue_all(&r, why)) || (e = activate_all(&r, why)) || (e = warn_all(&r, why)) || (e = retire_keys(&r, why)) ||
        (e = mark_health(&r, why)))
        return e;
    *n = r.n;
    return ERR_NONE;
}
