/* web/doctor.c - what may be wrong with this hub, as it sees itself: its public address, its clock, names, trusted roots, and the
 * way to each authorization server. Asks with plain requests and sends nothing of anybody's.
 */
#include <dirent.h>
#include <openssl/x509.h>

#include "auth/issuer.h"
#include "auth/oauth_client.h"
#include "http/url.h"
#include "web/authorize.h"
#include "web/handlers.h"

#define ASK_MS 5000
#define HOSTS_MOST 16
#define CLIENTS_MOST 200
#define SKEW_MS 60000           /* tokens and proofs are refused over this by many */
#define ROOTS_LEAST 10          /* entries of a directory that was not installed by accident */

struct examination {
    struct web_request *q;
    struct json_out o;
    bool failed;
};

enum finding { FINE, WORTH_A_LOOK, WRONG };

static void note(struct examination *x, const char *check, enum finding f, struct str subject, struct str detail)
{
    static const char *const names[] = { "ok", "warning", "failed" };
    x->failed |= f == WRONG;
    json_open(&x->o, '{');
    json_member_str(&x->o, "check", str_of(check));
    json_member_str(&x->o, "result", str_of(names[f]));
    json_member_str(&x->o, "subject", subject);
    json_member_str(&x->o, "detail", detail);
    json_close(&x->o, '}');
}

static struct str said(struct examination *x, const char *en, const char *fr)
{
    return str_of(x->q->language == LANG_FR ? fr : en);
}

static struct str sentence(struct examination *x, const struct fault *why)
{
    char text[768];
    return arena_str(x->q->arena, str_of(fault_say(why, x->q->language, text, sizeof text)));
}

/* ---- this hub ---- */

static void tell_addresses(struct examination *x)
{
    static const char *const paths[] = { AUTHORIZE_CALLBACK, AUTHORIZE_CALLBACK_ALIAS, "/oidc/callback" };
    struct str url = x->q->hub->public_url;
    for (size_t i = 0; i < COUNT(paths); i++)
        note(x, "redirect_uri", FINE, str_fmt(x->q->arena, "%.*s%s", STR_ARG(url), paths[i]),
             i == 2 ? said(x, "register it at identity providers", "à enregistrer chez les fournisseurs d'identité")
             : i    ? said(x, "taken too, of apps that are registered with it",
                           "admise aussi, pour les applications enregistrées avec elle")
                 : said(x, "register it in OAuth apps at providers", "à enregistrer dans les applications OAuth des fournisseurs"));
    if (!x->q->hub->public_is_https)
        note(x, "public_url", WORTH_A_LOOK, url,
             said(x, "not https: most providers refuse such a redirect URI, and cookies are less safe",
                  "pas en https : la plupart des fournisseurs refusent une telle adresse, et les cookies sont moins sûrs"));
}

static struct fetch_request asking(const char *method, struct str url)
{
    return (struct fetch_request){ .method = str_of(method), .url = url, .timeout_ms = ASK_MS, .response_max = 256 * 1024 };
}

/* The address that browsers are sent to leads back here. */
static void try_public_url(struct examination *x)
{
    struct fetch_answer answer;
    struct fault why;
    struct str url = x->q->hub->public_url;
    struct fetch_request q = asking("GET", str_fmt(x->q->arena, "%.*s/healthz", STR_ARG(url)));
    if (fetch(x->q->arena, &q, &answer, &why))
        note(x, "round_trip", WORTH_A_LOOK, url, sentence(x, &why));
    else if (answer.status != 200 || str_find_str(answer.body, STR("\"status\":\"ok\"")) == SIZE_MAX)
        note(x, "round_trip", WRONG, url, said(x, "something else than this hub answers there", "autre chose que ce hub y répond"));
    else
        note(x, "round_trip", FINE, url, said(x, "leads back to this hub", "ramène à ce hub"));
}

static void look_at_roots(struct examination *x)
{
    const char *folder = X509_get_default_cert_dir();
    DIR *d = opendir(folder);
    size_t n = 0;
    while (d && readdir(d) && n < ROOTS_LEAST + 2)
        n++;
    if (d)
        closedir(d);
    if (n < ROOTS_LEAST)
        note(x, "tls_roots", WRONG, str_of(folder), said(x, "hardly any certificate authorities there: install ca-certificates",
                                                          "presque aucune autorité de certification : installez ca-certificates"));
    else
        note(x, "tls_roots", FINE, str_of(folder),
             said(x, "certificate authorities are there", "les autorités de certification y sont"));
}

static void look_at_database(struct examination *x)
{
    struct store_report r;
    struct fault why;
    if (store_report(x->q->db, x->q->arena, &r, &why)) {
        note(x, "database", WRONG, STR(""), sentence(x, &why));
        return;
    }
    if (!r.durable)
        note(x, "database", WRONG, r.engine,
             said(x, "fsync or full_page_writes is off: a power cut may lose what was acknowledged, and grants with it",
                  "fsync ou full_page_writes est désactivé : une coupure peut perdre ce qui était acquis, jetons compris"));
    else
        note(x, "database", FINE, r.engine,
             r.standby ? said(x, "each write is on its disk and on a standby before it is acknowledged",
                              "chaque écriture est sur son disque et sur un serveur de secours avant d'être acquise")
                       : said(x, "each write is on its disk before it is acknowledged",
                              "chaque écriture est sur son disque avant d'être acquise"));
    if (r.open)
        note(x, "database_tls", WORTH_A_LOOK, r.engine,
             said(x, "the way there is not encrypted: add sslmode=verify-full to database_url",
                  "le chemin n'est pas chiffré : ajoutez sslmode=verify-full à database_url"));
}

/* ---- authorization servers ---- */

static void judge_clock(struct examination *x, struct str host, const struct fetch_answer *answer)
{
    wall_ms theirs;
    if (!clock_parse_http(fetch_header(answer, "date"), &theirs))
        return;
    int64_t skew = theirs - clock_wall();
    bool off = skew > SKEW_MS || skew < -SKEW_MS;
    note(x, "clock", off ? WRONG : FINE, host,
         off ? str_fmt(x->q->arena, x->q->language == LANG_FR ? "son horloge diffère de %lld s : vérifiez l'heure de cette machine"
                                                              : "its clock differs by %lld s: check the time of this machine",
                       (long long)(skew / 1000))
             : said(x, "agrees with this machine's", "concorde avec celle de cette machine"));
}

/* With a request that asks for nothing: token endpoints take POST alone (RFC 6749 3.2), and many say 404 to anything else. */
static void try_server(struct examination *x, struct str host, struct str url)
{
    struct fetch_answer answer;
    struct fault why;
    struct fetch_request q = asking("POST", url);
    q.headers[q.header_count][0] = STR("Content-Type");
    q.headers[q.header_count++][1] = STR("application/x-www-form-urlencoded");
    q.body = STR("");
    if (issuer_reach(x->q->hub->issuers, x->q->arena, &q, &answer, &why)) {
        note(x, why.err == ERR_UPSTREAM_DNS ? "dns" : "token_endpoint", WRONG, host, sentence(x, &why));
        return;
    }
    bool ill = answer.status >= 500 || answer.status == 404;
    note(x, "token_endpoint", ill ? WORTH_A_LOOK : FINE, host,
         str_fmt(x->q->arena, x->q->language == LANG_FR ? "joignable, répond %d" : "reachable, answers %d", answer.status));
    judge_clock(x, host, &answer);
}

/* Those with a placeholder in them are known with a connection only. */
static enum err try_servers(struct examination *x, struct fault *why)
{
    struct oauth_client_filter f = { .connector = STR_NONE, .search = STR_NONE, .after = STR(""), .limit = CLIENTS_MOST };
    struct oauth_client *rows;
    struct str hosts[HOSTS_MOST];
    size_t n, count = 0;
    enum err e = oauth_client_list(x->q->db, x->q->arena, &f, &rows, &n, why);
    for (size_t i = 0; i < n && !e && count < HOSTS_MOST; i++) {
        struct str text = json_str(rows[i].settings, "token_url");
        struct url url;
        struct fault ignored;
        bool known = false;
        if (!text.n)
            text = json_str(rows[i].settings, "issuer");
        if (!text.n || str_find_str(text, STR("{{")) != SIZE_MAX || url_parse(x->q->arena, text, &url, &ignored))
            continue;
        struct str host = url_authority(x->q->arena, &url);
        for (size_t j = 0; j < count; j++)
            known |= str_eq(hosts[j], host);
        if (known)
            continue;
        hosts[count++] = host;
        try_server(x, host, text);
    }
    return e;
}

enum err doctor_get(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { NULL };
    struct examination x = { .q = q, .o = json_out(&r->body) };
    enum err e = web_only_query(q, allowed, why);
    if (e)
        return e;
    json_open(&x.o, '{');
    json_key(&x.o, "checks");
    json_open(&x.o, '[');
    tell_addresses(&x);
    try_public_url(&x);
    for (size_t i = 0; i < q->hub->exception_count; i++)
        note(&x, "exception", WORTH_A_LOOK, str_of(q->hub->exceptions[i]),
             said(&x, "permits what is refused otherwise: no more than you need",
                  "permet ce qui est refusé sinon : pas plus que nécessaire"));
    note(&x, "egress_proxy", FINE, STR_NONE,
         said(&x, "none: providers are called directly, whatever the environment's proxy settings say",
              "aucun : les fournisseurs sont appelés directement, quoi que dise l'environnement"));
    look_at_roots(&x);
    look_at_database(&x);
    size_t unlocked = secret_unlocked_pages();
    note(&x, "locked_memory", unlocked ? WORTH_A_LOOK : FINE, STR_NONE,
         unlocked ? said(&x, "some secrets can be swapped out: raise the limit of locked memory (ulimit -l)",
                         "des secrets peuvent partir en swap : relevez la limite de mémoire verrouillée (ulimit -l)")
                  : said(&x, "secrets stay in memory", "les secrets restent en mémoire"));
    if ((e = try_servers(&x, why)))
        return e;
    json_close(&x.o, ']');
    json_member_bool(&x.o, "ok", !x.failed);
    json_close(&x.o, '}');
    return ERR_NONE;
}
