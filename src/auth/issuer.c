#include "auth/issuer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "http/url.h"
#include "store/db.h"

#define FRESH_MS (10 * 60 * 1000)
#define STALE_MS (24 * 60 * 60 * 1000) /* while the issuer is away */
#define AGAIN_MS (10 * 1000)           /* after a failure: who asks meanwhile is told of that one */
#define FORCED_MS (60 * 1000)          /* between two fetches for unknown keys */
#define TIMEOUT_MS 5000
#define DOCUMENT_MAX JWK_SET_MAX
#define PAGES 128                      /* documents remembered: two for each issuer */
#define WAITING_MOST 4                 /* workers that wait for one document; the rest have other work to do */

/* A fetched document: immutable, counted. */
struct document {
    _Atomic int references;
    struct str text;       /* owned */
    struct jwk_set *keys;  /* NULL: not a key set */
};

/* What is remembered of one URL. `document` may be there while a newer one is fetched, or after that failed. */
struct page {
    char *url;             /* NULL: a free place */
    struct document *document;
    struct mono fetched, tried, forced; /* ms 0: never */
    struct fault failure;  /* of the last try; err ERR_NONE: it went well */
    bool busy;
    int waiting;
};

struct issuers {
    const struct egress *egress;
    struct tls_context *tls;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct page pages[PAGES];
};

static void document_release(struct document *d)
{
    if (!d || atomic_fetch_sub(&d->references, 1) != 1)
        return;
    jwk_set_free(d->keys);
    free((char *)(uintptr_t)d->text.p);
    free(d);
}

struct issuers *issuers_new(const struct egress *egress, struct tls_context *tls)
{
    struct issuers *s = mem_zero(sizeof *s);
    s->egress = egress;
    s->tls = tls;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
}

static void page_clear(struct page *p)
{
    document_release(p->document);
    free(p->url);
    *p = (struct page){ 0 };
}

void issuers_free(struct issuers *s)
{
    for (size_t i = 0; s && i < PAGES; i++)
        page_clear(&s->pages[i]);
    if (s) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
    }
    free(s);
}

/* ---- fetching ---- */

/* People are told a class of reasons; the note keeps the original. */
static enum err unavailable(struct fault *why, const struct fault *from)
{
    static const struct {
        enum err err;
        const char *reason;
    } reasons[] = {
        { ERR_ADDRESS_NOT_ALLOWED, "the egress policy does not allow its address" },
        { ERR_SCHEME_NOT_ALLOWED, "the egress policy asks for https" },
        { ERR_PORT_NOT_ALLOWED, "the egress policy does not allow its port" },
        { ERR_UPSTREAM_TLS, "its TLS certificate is not acceptable" },
        { ERR_RESPONSE_TOO_LARGE, "its answer is too large" },
        { ERR_URL_INVALID, "one of its addresses is not a valid URL" },
    };
    for (size_t i = 0; i < COUNT(reasons); i++)
        if (from->err == reasons[i].err)
            return fault(why, ERR_IDENTITY_PROVIDER, str_of(reasons[i].reason), "%s", from->note);
    return fault(why, ERR_IDENTITY_PROVIDER, STR("it cannot be reached"), "%s: %s", err_row(from->err)->code, from->note);
}

struct tls_context *issuers_tls(const struct issuers *s) { return s->tls; }

enum err issuer_fetch(const struct issuers *s, struct arena *a, struct fetch_request *q, struct fetch_answer *out,
                      struct fault *why)
{
    struct fault failure;
    q->egress = s->egress;
    if (!q->tls)
        q->tls = s->tls;
    q->timeout_ms = TIMEOUT_MS;
    q->response_max = DOCUMENT_MAX;
    return fetch(a, q, out, &failure) ? unavailable(why, &failure) : ERR_NONE;
}

enum err issuer_reach(const struct issuers *s, struct arena *a, struct fetch_request *q, struct fetch_answer *out,
                      struct fault *why)
{
    q->egress = s->egress;
    q->tls = s->tls;
    return fetch(a, q, out, why);
}

static enum err fetch_document(struct issuers *s, struct str url, bool keys, struct document **out, struct fault *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct fetch_request q = { .method = STR("GET"), .url = url, .headers = { { STR("Accept"), STR("application/json") } },
                               .header_count = 1 };
    struct fetch_answer answer;
    struct jwk_set *set = NULL;
    struct fault unused;
    enum err e = issuer_fetch(s, a, &q, &answer, why);
    if (e)
        return e;
    if (answer.status != 200)
        return fault(why, ERR_IDENTITY_PROVIDER, STR("it does not publish its documents where it should"), "status %d",
                     answer.status);
    if (keys && jwk_set_read(answer.body, &set, &unused))
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its keys cannot be read"), "%s", unused.note);
    struct document *d = mem_zero(sizeof *d);
    d->references = 1;
    d->keys = set;
    d->text = (struct str){ mem_cstr(answer.body), answer.body.n };
    *out = d;
    return ERR_NONE;
}

/* ---- remembering ---- */

/* The URL's page, made when needed: in a free place, or instead of the one that was fetched longest ago. NULL: all are in use. */
static struct page *page_of(struct issuers *s, struct str url)
{
    struct page *place = NULL;
    for (size_t i = 0; i < PAGES; i++) {
        struct page *p = &s->pages[i];
        if (p->url && str_is(url, p->url))
            return p;
        if (!p->busy && !p->waiting && (!place || (place->url && (!p->url || p->tried.ms < place->tried.ms))))
            place = p;
    }
    if (place) {
        page_clear(place);
        place->url = mem_cstr(url);
    }
    return place;
}

/* With the lock held on entry and on return; not while the network is waited for. */
static void renew(struct issuers *s, struct page *p, bool keys)
{
    struct document *d = NULL;
    struct fault failure = { 0 };
    struct str url = str_of(p->url);
    p->busy = true;
    pthread_mutex_unlock(&s->lock);
    enum err e = fetch_document(s, url, keys, &d, &failure);
    pthread_mutex_lock(&s->lock);
    p->busy = false;
    p->tried = clock_mono();
    p->failure = failure;
    if (!e) {
        document_release(p->document);
        p->document = d;
        p->fetched = p->tried;
        p->failure.err = ERR_NONE;
    }
    pthread_cond_broadcast(&s->changed);
}

static bool younger(struct mono since, struct mono now, int64_t ms) { return since.ms && mono_since(since, now) < ms; }

/* Does this thread fetch now? */
static bool renewal_due(struct page *p, bool force, struct mono now)
{
    if (p->busy)
        return false;
    if (p->failure.err && younger(p->tried, now, AGAIN_MS))
        return false;
    if (force && p->document) {
        if (younger(p->forced, now, FORCED_MS))
            return false;
        p->forced = now;
        return true;
    }
    return !p->document || !younger(p->fetched, now, FRESH_MS);
}

/* The answer is the caller's reference. `force`: what is there is not enough. */
static enum err document_get(struct issuers *s, struct str url, bool keys, bool force, struct document **out, struct fault *why)
{
    enum err e = ERR_NONE;
    pthread_mutex_lock(&s->lock);
    struct page *p = page_of(s, url);
    bool may_wait = !store_writing(); /* what was read before the transaction serves inside it */
    if (may_wait && p && renewal_due(p, force, clock_mono()))
        renew(s, p, keys);
    while (may_wait && p && p->busy && (!p->document || force) && p->waiting < WAITING_MOST) {
        p->waiting++;
        pthread_cond_wait(&s->changed, &s->lock);
        p->waiting--;
    }
    if (p && p->document && younger(p->fetched, clock_mono(), STALE_MS)) {
        atomic_fetch_add(&p->document->references, 1);
        *out = p->document;
    } else if (p && p->failure.err) {
        *why = p->failure;
        e = p->failure.err;
    } else {
        e = fault(why, ERR_IDENTITY_PROVIDER, STR("it cannot be reached"), "too many wait for it");
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- discovery ---- */

enum err issuer_check_url(struct str url, struct fault *why)
{
    AUTO_ARENA a = arena_new(2048);
    struct url parsed;
    if (url.n > ISSUER_MAX)
        return fault(why, ERR_URL_INVALID, STR("at most 512 bytes"), "url of %zu bytes", url.n);
    if (str_find(url, '?') != SIZE_MAX || str_find(url, '#') != SIZE_MAX)
        return fault(why, ERR_URL_INVALID, STR("without query and fragment"), "query or fragment");
    return url_parse(a, url, &parsed, why);
}

static enum err read_door(struct arena *a, const struct json *document, const char *name, struct str *out, struct fault *why)
{
    struct url parsed;
    struct fault unused;
    struct str text = json_str(document, name);
    *out = STR("");
    if (!text.n)
        return ERR_NONE;
    if (text.n > 2 * ISSUER_MAX || str_has_control(text) || url_parse(a, text, &parsed, &unused))
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its discovery document is not valid"), "%s", name);
    *out = arena_str(a, text);
    return ERR_NONE;
}

static enum err read_doors(struct arena *a, struct str text, struct str issuer, struct issuer_doors *out, struct fault *why)
{
    struct json *d;
    struct fault unused;
    enum err e;
    if (json_read_lenient_keys(a, text, &d, &unused) || !json_is(d, JSON_OBJECT))
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its discovery document is not valid"), "%s", unused.note);
    /* OpenID Connect Discovery 4.3: otherwise one issuer could speak for another. */
    if (!str_eq(json_str(d, "issuer"), issuer))
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its discovery document is of another issuer"), "issuer differs");
    if ((e = read_door(a, d, "authorization_endpoint", &out->authorization, why)) ||
        (e = read_door(a, d, "token_endpoint", &out->token, why)) ||
        (e = read_door(a, d, "userinfo_endpoint", &out->userinfo, why)) || (e = read_door(a, d, "jwks_uri", &out->keys, why)) ||
        (e = read_door(a, d, "revocation_endpoint", &out->revocation, why)) ||
        (e = read_door(a, d, "introspection_endpoint", &out->introspection, why)) ||
        (e = read_door(a, d, "device_authorization_endpoint", &out->device, why)) ||
        (e = read_door(a, d, "pushed_authorization_request_endpoint", &out->par, why)))
        return e;
    const struct json *aliases = json_get(d, "mtls_endpoint_aliases");
    if ((e = read_door(a, aliases, "token_endpoint", &out->by_tls.token, why)) ||
        (e = read_door(a, aliases, "revocation_endpoint", &out->by_tls.revocation, why)) ||
        (e = read_door(a, aliases, "introspection_endpoint", &out->by_tls.introspection, why)) ||
        (e = read_door(a, aliases, "device_authorization_endpoint", &out->by_tls.device, why)) ||
        (e = read_door(a, aliases, "pushed_authorization_request_endpoint", &out->by_tls.par, why)))
        return e;
    const struct json *ways = json_get(d, "token_endpoint_auth_methods_supported");
    out->takes_basic = !ways || jwt_claim_is(ways, STR("client_secret_basic")); /* RFC 8414 2: the one that goes without saying */
    out->takes_post = jwt_claim_is(ways, STR("client_secret_post"));
    out->takes_private_key_jwt = jwt_claim_is(ways, STR("private_key_jwt"));
    out->takes_secret_jwt = jwt_claim_is(ways, STR("client_secret_jwt"));
    out->takes_tls = jwt_claim_is(ways, STR("tls_client_auth"));
    out->takes_none = jwt_claim_is(ways, STR("none"));
    out->par_required = json_bool(d, "require_pushed_authorization_requests", false);
    out->names_itself = json_bool(d, "authorization_response_iss_parameter_supported", false);
    return ERR_NONE;
}

static void prefer(struct str *door, struct str alias)
{
    if (alias.n)
        *door = alias;
}

void issuer_doors_by_tls(struct issuer_doors *d)
{
    prefer(&d->token, d->by_tls.token);
    prefer(&d->revocation, d->by_tls.revocation);
    prefer(&d->introspection, d->by_tls.introspection);
    prefer(&d->device, d->by_tls.device);
    prefer(&d->par, d->by_tls.par);
}

enum err issuer_discover(struct issuers *s, struct arena *a, struct str issuer, struct issuer_doors *out, struct fault *why)
{
    struct document *d;
    struct str base = str_ends(issuer, STR("/")) ? str_sub(issuer, 0, issuer.n - 1) : issuer;
    *out = (struct issuer_doors){ 0 };
    enum err e = document_get(s, arena_join(a, base, STR("/.well-known/openid-configuration")), false, false, &d, why);
    if (e)
        return e;
    e = read_doors(a, arena_str(a, d->text), issuer, out, why);
    document_release(d);
    return e;
}

/* RFC 8414 3.1: the well-known part stands between the host and the path. */
static struct str metadata_url(struct arena *a, struct str issuer)
{
    struct str scheme, rest, host, path;
    size_t at = str_find_str(issuer, STR("://"));
    if (at == SIZE_MAX)
        return issuer;
    scheme = str_sub(issuer, 0, at + 3);
    rest = str_sub(issuer, at + 3, issuer.n);
    bool has_path = str_cut(rest, '/', &host, &path) && path.n;
    if (has_path && str_ends(path, STR("/")))
        path.n--;
    return str_fmt(a, "%.*s%.*s/.well-known/oauth-authorization-server%s%.*s", STR_ARG(scheme), STR_ARG(host), has_path ? "/" : "",
                   STR_ARG(path));
}

enum err issuer_discover_server(struct issuers *s, struct arena *a, struct str issuer, struct issuer_doors *out, struct fault *why)
{
    struct document *d;
    *out = (struct issuer_doors){ 0 };
    /* A document that is there and speaks for another issuer is an attempt, not an absence: it ends the search. */
    if (!document_get(s, metadata_url(a, issuer), false, false, &d, why)) {
        enum err e = read_doors(a, arena_str(a, d->text), issuer, out, why);
        document_release(d);
        return e;
    }
    return issuer_discover(s, a, issuer, out, why);
}

/* ---- keys ---- */

static enum err verify_with(struct issuers *s, struct str url, bool force, const struct jwt *t, bool *fresher_may_help,
                            struct fault *why)
{
    struct document *d;
    enum err e = document_get(s, url, true, force, &d, why);
    *fresher_may_help = false;
    if (e)
        return e;
    e = jwt_verify(t, d->keys, why);
    /* A token that names no key says nothing about whether a newer one would fit. */
    *fresher_may_help = e && (!t->kid.n || !jwk_set_may_verify(d->keys, t));
    document_release(d);
    return e;
}

enum err issuer_verify(struct issuers *s, struct str issuer, struct str keys, const struct jwt *t, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct issuer_doors doors;
    bool again;
    enum err e;
    if (!keys.n) {
        if ((e = issuer_discover(s, a, issuer, &doors, why)))
            return e;
        keys = doors.keys;
    }
    if (!keys.n)
        return fault(why, ERR_IDENTITY_PROVIDER, STR("its discovery document is not valid"), "no jwks_uri");
    e = verify_with(s, keys, false, t, &again, why);
    return again ? verify_with(s, keys, true, t, &again, why) : e;
}
