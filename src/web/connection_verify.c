/* web/connection_verify.c - does the credential work? One call that the connector names. */
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/handlers.h"

/* RFC 6901; NULL when nothing stands there. "" is the whole document. */
static const struct json *pointed(struct arena *a, const struct json *doc, struct str pointer)
{
    struct str piece, rest = pointer;
    if (!pointer.n)
        return doc;
    if (pointer.p[0] != '/')
        return NULL;
    str_piece(&rest, '/', &piece);
    while (doc && str_piece(&rest, '/', &piece)) {
        char *key = arena_cstr(a, piece);
        size_t n = 0;
        for (size_t i = 0; i < piece.n; i++) {
            bool escape = piece.p[i] == '~' && i + 1 < piece.n;
            key[n++] = escape ? (piece.p[++i] == '1' ? '/' : '~') : piece.p[i];
        }
        uint64_t at;
        if (doc->type == JSON_OBJECT) {
            doc = json_get_str(doc, (struct str){ key, n });
        } else if (doc->type == JSON_ARRAY && str_u64((struct str){ key, n }, &at)) {
            doc = doc->child;
            while (doc && at--)
                doc = doc->next;
        } else {
            doc = NULL;
        }
    }
    return doc;
}

/* What a person can act on, by status; the last row is for all others. */
static const struct cause {
    int from, to;
    const char *text[2];
} causes[] = {
    { 200,
      299,
      { "The provider answered, but says that the call failed. Check the credentials and their rights.",
        "Le fournisseur a répondu, mais signale un échec. Vérifiez les identifiants et leurs droits." } },
    { 401,
      401,
      { "The provider refused the credentials. Enter them again, or create new ones at the provider.",
        "Le fournisseur a refusé les identifiants. Saisissez-les à nouveau ou créez-en de nouveaux chez le fournisseur." } },
    { 403,
      403,
      { "The provider knows the credentials but they lack a right. Grant it at the provider.",
        "Le fournisseur reconnaît les identifiants, mais il leur manque un droit. Accordez-le chez le fournisseur." } },
    { 404,
      404,
      { "The verify call's address does not exist. Check the base URL of this connection.",
        "L'adresse de l'appel de vérification n'existe pas. Vérifiez l'URL de base de cette connexion." } },
    { 300,
      399,
      { "The provider redirects elsewhere. Check the base URL of this connection.",
        "Le fournisseur redirige ailleurs. Vérifiez l'URL de base de cette connexion." } },
    { 429,
      429,
      { "The provider limits the rate of calls. Wait a moment and try again.",
        "Le fournisseur limite le nombre d'appels. Attendez un moment et réessayez." } },
    { 500, 599, { "The provider failed. Try again later.", "Le fournisseur est en panne. Réessayez plus tard." } },
    { 0,
      999,
      { "The provider refused the verify call. Check the fields of this connection.",
        "Le fournisseur a refusé l'appel de vérification. Vérifiez les champs de cette connexion." } },
};

static struct str cause_of(int status, enum language lang)
{
    const struct cause *c = causes;
    while (status < c->from || status > c->to)
        c++;
    return str_of(c->text[lang]);
}

struct verdict {
    bool ok;
    struct str account; /* STR_NONE when the answer names none */
};

static struct verdict judge(struct arena *a, const struct prepared *p, const struct call_answer *answer)
{
    struct verdict v = { .ok = answer->status >= 200 && answer->status < 300 };
    struct json *doc = NULL;
    struct fault ignored;
    if (!v.ok || (!p->verify_ok.n && !p->verify_account.n))
        return v;
    if (json_read(a, answer->body, &doc, &ignored))
        doc = NULL;
    if (p->verify_ok.n)
        v.ok = json_is(doc ? pointed(a, doc, p->verify_ok) : NULL, JSON_TRUE);
    const struct json *label = v.ok && doc && p->verify_account.n ? pointed(a, doc, p->verify_account) : NULL;
    if (label && (label->type == JSON_STRING || label->type == JSON_NUMBER) && label->text.n && label->text.n <= 256)
        v.account = mask_apply(p->mask, a, label->text);
    return v;
}

struct health_change {
    struct web_request *q;
    struct connection_row row;
    enum connection_health health;
    wall_ms verified;
    struct str account;
};

static enum err write_health(struct db *db, void *context, struct fault *why)
{
    struct health_change *h = context;
    struct connection_row after = h->row;
    after.health = h->health;
    after.account = h->account;
    h->q->audit.before = connection_audit(h->q, &h->row);
    h->q->audit.after = connection_audit(h->q, &after);
    return connection_set_health(db, h->row.id, h->health, h->verified, h->account, why);
}

static enum err set_health(struct web_request *q, const struct connection_row *row, enum connection_health health,
                           struct str account, struct fault *why)
{
    struct health_change h = {
        .q = q, .row = *row, .health = health, .verified = health == HEALTH_OK ? clock_wall() : row->verified,
        .account = account.n ? account : row->account,
    };
    return web_write(q, write_health, &h, why);
}

/* No answer came: the caller gets that problem, and the connection is marked when it is not the hub that failed. */
static enum err no_answer(struct web_request *q, struct reply *r, const struct connection_row *row,
                          const struct call_answer *answer, enum err e, struct fault *why)
{
    struct fault other;
    enum blame blame = err_row(e)->blame;
    if (answer->run.id[0]) {
        r->run_id = arena_str(q->arena, str_of(answer->run.id));
        reply_header(r, "Raccord-Run", r->run_id);
    }
    if ((blame == BLAME_PROVIDER || blame == BLAME_POLICY) && set_health(q, row, HEALTH_FAILING, STR_NONE, &other))
        return e;
    return why->err ? e : fault(why, e, STR(""), "verify");
}

static void write_verdict(struct web_request *q, struct reply *r, const struct verdict *v, const struct call_answer *answer)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_bool(&o, "ok", v->ok);
    json_member_i64(&o, "status", answer->status);
    json_member_str(&o, "account", v->account);
    json_member_str(&o, "health", str_of(connection_health_name(v->ok ? HEALTH_OK : HEALTH_FAILING)));
    json_member_str(&o, "reason", v->ok ? STR_NONE : cause_of(answer->status, q->language));
    json_member_i64(&o, "latency_ms", answer->run.total_us / 1000);
    json_member_str(&o, "run_id", r->run_id);
    json_close(&o, '}');
}

static enum err verify(struct web_request *q, struct reply *r, const struct connection_row *row, struct prepared *p,
                       struct fault *why)
{
    if (!p->verify_path.n)
        return fault(why, ERR_VERIFY_NOT_OFFERED, STR(""), "connector %.*s", STR_ARG(row->connector));
    struct call_request request = {
        .to = p, .caller = q->caller->principal, .token = q->caller->token,
        .narrow = &q->caller->narrow, .source = &q->peer, .via = RUN_VERIFY,
        .method = p->verify_method.n ? p->verify_method : STR("GET"), .path = p->verify_path, .query = p->verify_query,
    };
    struct call_answer answer = { 0 };
    enum err e = call_wait(q->hub->switchboard, q->arena, &request, &answer, why);
    if (e)
        return no_answer(q, r, row, &answer, e, why);
    struct verdict v = judge(q->arena, p, &answer);
    if ((e = set_health(q, row, v.ok ? HEALTH_OK : HEALTH_FAILING, v.account, why)))
        return e;
    r->run_id = arena_str(q->arena, str_of(answer.run.id));
    reply_header(r, "Raccord-Run", r->run_id);
    write_verdict(q, r, &v, &answer);
    return ERR_NONE;
}

enum err connections_verify(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL }, *const no_members[] = { NULL };
    struct connection_row row;
    struct prepared *p;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = json_only(body_of(q), no_members, "", why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_USE, &row, why)) ||
        (e = switchboard_prepare(q->hub->switchboard, row.id, &p, why)))
        return e;
    e = verify(q, r, &row, p, why);
    prepared_release(p);
    return e;
}
