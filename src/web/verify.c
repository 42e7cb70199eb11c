#include "web/verify.h"

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

struct str verify_reason(int status, enum language lang)
{
    const struct cause *c = causes;
    while (status < c->from || status > c->to)
        c++;
    return str_of(c->text[lang]);
}

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
        v.ok = json_is(doc ? json_at(a, doc, p->verify_ok) : NULL, JSON_TRUE);
    const struct json *label = v.ok && doc && p->verify_account.n ? json_at(a, doc, p->verify_account) : NULL;
    if (label && (label->type == JSON_STRING || label->type == JSON_NUMBER) && label->text.n && label->text.n <= 256)
        v.account = mask_apply(p->mask, a, label->text);
    return v;
}

enum err verify_call(struct switchboard *s, struct arena *a, struct prepared *p, const struct verify_by *by,
                     struct verdict *out, struct fault *why)
{
    struct call_answer answer = { 0 };
    *out = (struct verdict){ 0 };
    if (!p->verify_path.n)
        return fault(why, ERR_VERIFY_NOT_OFFERED, STR(""), "connector %.*s", STR_ARG(p->row.connector));
    struct call_request request = {
        .to = p, .caller = by->caller, .token = by->token, .narrow = by->narrow, .source = by->source, .via = RUN_VERIFY,
        .method = p->verify_method.n ? p->verify_method : STR("GET"), .path = p->verify_path, .query = p->verify_query,
    };
    enum err e = call_wait(s, a, &request, &answer, why);
    if (!e)
        *out = judge(a, p, &answer);
    out->status = answer.status;
    out->latency_ms = answer.run.total_us / 1000;
    out->run = answer.run.id[0] ? arena_str(a, str_of(answer.run.id)) : STR_NONE;
    return e;
}

bool verify_blames(enum err e)
{
    enum blame blame = err_row(e)->blame;
    return blame == BLAME_PROVIDER || blame == BLAME_POLICY;
}

enum connection_health verify_health(const struct connection_row *row, const struct verdict *v)
{
    if (v->ok)
        return HEALTH_OK;
    /* What worked before and is refused now was revoked, or has ended (CON-53). */
    return v->status == 401 && row->verified ? HEALTH_RECONNECT_REQUIRED : HEALTH_FAILING;
}
