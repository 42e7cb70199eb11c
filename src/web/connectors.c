/* web/connectors.c - what can be connected. */
#include "catalog/connector.h"

#include "web/handlers.h"
#include "web/page.h"
#include "web/policy_check.h"

static bool has_domain(const struct connector *c, struct str domain)
{
    for (size_t i = 0; i < c->domain_count; i++)
        if (str_eq(c->domains[i], domain))
            return true;
    return false;
}

struct wanted {
    struct str search, domain, auth_type, stage; /* p == NULL: any */
};

static bool is_wanted(const struct connector *c, const struct wanted *w)
{
    return (!w->search.n || connector_matches(c, w->search)) && (!w->domain.p || has_domain(c, w->domain)) &&
           (!w->auth_type.p || connector_auth_find(c, w->auth_type)) && (!w->stage.p || str_eq(c->stage, w->stage));
}

/* ?language= wins over Accept-Language. */
static enum err read_language(const struct web_request *q, enum language *out, struct fault *why)
{
    struct str text = web_query(q, "language");
    *out = q->language;
    if (!text.p)
        return ERR_NONE;
    if (!str_is(text, "en") && !str_is(text, "fr"))
        return fault(why, ERR_FIELD_INVALID, STR("language: en, fr"), "language of %zu bytes", text.n);
    *out = str_is(text, "fr") ? LANG_FR : LANG_EN;
    return ERR_NONE;
}

/* With the policies of the whole instance that refuse it; those of folders come with a connection. */
static void write_connector(struct web_request *q, struct json_out *o, const struct connector *c, enum language lang, bool full)
{
    const struct policy_set *set = policies_now(q);
    struct policy_subject s = { .moment = POLICY_CREATE, .connector = c->id };
    struct policy_trace trace = { .arena = q->arena };
    struct fault ignored;
    size_t n = 0;
    if (set && policy_decide(set, &s, &trace, &ignored)) {
        struct str *names = arena_array(q->arena, trace.count, sizeof *names);
        for (size_t i = 0; i < trace.count; i++)
            if (!trace.steps[i].allows)
                names[n++] = trace.steps[i].policy_name;
        connector_write(o, c, lang, full, names, n);
        return;
    }
    connector_write(o, c, lang, full, NULL, 0);
}

static size_t position_after(const struct catalog *c, struct str id)
{
    if (id.p)
        for (size_t i = 0; i < catalog_count(c); i++)
            if (str_eq(catalog_at(c, i)->id, id))
                return i + 1;
    return 0;
}

enum err connectors_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "search", "domain", "auth_type", "stage", "language", "limit", "cursor", NULL };
    const struct catalog *catalog = q->hub->catalog;
    struct wanted wanted = { web_query(q, "search"), web_query(q, "domain"), web_query(q, "auth_type"), web_query(q, "stage") };
    enum language lang;
    struct page page;
    struct str last = STR_NONE;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_language(q, &lang, why)))
        return e;
    struct json_out o = page_open(r);
    bool more = false;
    int shown = 0;
    for (size_t i = position_after(catalog, page.after); i < catalog_count(catalog) && !more; i++) {
        const struct connector *c = catalog_at(catalog, i);
        if (!is_wanted(c, &wanted))
            continue;
        more = shown == page.limit;
        if (more)
            break;
        write_connector(q, &o, c, lang, false);
        last = c->id;
        shown++;
    }
    page_close(&o, q->arena, more ? last : STR_NONE);
    return ERR_NONE;
}

static bool is_blocked(struct web_request *q, const struct connector *c)
{
    struct policy_subject s = { .moment = POLICY_CREATE, .connector = c->id };
    struct fault ignored;
    return policy_decide(policies_now(q), &s, NULL, &ignored) != ERR_NONE;
}

enum err connectors_get(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "language", NULL };
    enum language lang;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_language(q, &lang, why)))
        return e;
    const struct connector *c = catalog_find(q->hub->catalog, q->params[0]);
    if (!c)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, q->params[0], "no such connector");
    /* A connector changes with its version only, and its text with the language. */
    reply_header(r, "ETag",
                 str_fmt(q->arena, "\"%.*s-%s-%d\"", STR_ARG(c->version), lang == LANG_FR ? "fr" : "en", is_blocked(q, c)));
    struct json_out o = json_out(&r->body);
    write_connector(q, &o, c, lang, true);
    return ERR_NONE;
}

/* ---- business domains ---- */

#define DOMAINS_MAX 128

struct domain_count {
    struct str id;
    int64_t connectors;
};

static int by_id(const void *x, const void *y)
{
    const struct domain_count *a = x, *b = y;
    return str_cmp(a->id, b->id);
}

static void count_domain(struct domain_count *counts, size_t *n, struct str id)
{
    for (size_t i = 0; i < *n; i++)
        if (str_eq(counts[i].id, id)) {
            counts[i].connectors++;
            return;
        }
    if (*n < DOMAINS_MAX)
        counts[(*n)++] = (struct domain_count){ id, 1 };
}

enum err domains_list(struct web_request *q, struct reply *r, struct fault *why)
{
    AUTO_BUF all;
    buf_init(&all, DOMAINS_MAX * 128);
    struct domain_count *counts = arena_array(q->arena, DOMAINS_MAX, sizeof *counts);
    size_t n = 0;
    for (size_t i = 0; i < catalog_count(q->hub->catalog); i++) {
        const struct connector *c = catalog_at(q->hub->catalog, i);
        for (size_t d = 0; d < c->domain_count; d++)
            count_domain(counts, &n, c->domains[d]);
    }
    if (n)
        qsort(counts, n, sizeof *counts, by_id);
    struct json_out o = json_out(&all);
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(&o, '{');
        json_member_str(&o, "id", counts[i].id);
        json_member_i64(&o, "connectors", counts[i].connectors);
        json_close(&o, '}');
    }
    json_close(&o, ']');
    return page_cut(q, r, buf_str(&all), why);
}
