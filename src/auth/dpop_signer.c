/* Access tokens that are bound to a key (RFC 9449 7): a proof with each request, made for its method, its URL and the token. The
 * nonces that an API asks for are remembered by host; those of the authorization server are the renewal's business and stay there
 * (8.2, 9).
 */
#include <pthread.h>
#include <stdlib.h>

#include "auth/dpop.h"
#include "auth/methods.h"
#include "auth/value.h"

#define HOSTS 4          /* of one connection, whose nonces are remembered; the oldest gives way */
#define NONCE_MOST 255   /* bytes; a longer one is not used */

struct signer {
    struct jwt_key *key;
    char ath[64];
    pthread_mutex_t lock;
    struct { char host[256], nonce[NONCE_MOST + 1]; } hosts[HOSTS];
    size_t next;         /* the place that the next host takes */
};

bool dpop_bound(const struct auth_input *in) { return auth_granted(in, "dpop_key") != NULL; }

/* Takes the place of the other ways: a token that is bound goes nowhere else (7.1). */
void dpop_inject(struct secret token, struct injections *out)
{
    value_inject(out, INJECT_HEADER, STR("Authorization"), value_join((struct str[]){ STR("DPoP "), secret_str(token) }, 2));
    value_inject(out, INJECT_SIGNED, STR("DPoP"), SECRET_NONE);
}

enum err dpop_signer_new(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why)
{
    const struct secret *pem = auth_granted(in, "dpop_key"), *token = auth_granted(in, "access_token");
    struct jwt_key *key;
    *out = NULL;
    if (!pem || !token)
        return ERR_NONE;
    enum err e = dpop_key_open(*pem, &key, why);
    if (e)
        return e;
    *out = mem_zero(sizeof **out);
    (*out)->key = key;
    str_copy((*out)->ath, sizeof (*out)->ath, dpop_ath(a, secret_str(*token)));
    pthread_mutex_init(&(*out)->lock, NULL);
    return ERR_NONE;
}

void dpop_signer_free(struct signer *s)
{
    if (!s)
        return;
    jwt_key_free(s->key);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

enum sign_body dpop_signs_body(const struct signer *s)
{
    (void)s;
    return SIGN_NO_BODY;
}

static size_t place_of(const struct signer *s, struct str host)
{
    size_t i = 0;
    while (i < HOSTS && !str_is(host, s->hosts[i].host))
        i++;
    return i;
}

static struct str nonce_for(struct signer *s, struct arena *a, struct str host)
{
    pthread_mutex_lock(&s->lock);
    size_t i = place_of(s, host);
    struct str nonce = i < HOSTS ? arena_str(a, str_of(s->hosts[i].nonce)) : STR("");
    pthread_mutex_unlock(&s->lock);
    return nonce;
}

static bool remember(struct signer *s, struct str host, struct str nonce)
{
    if (!nonce.n || nonce.n > NONCE_MOST || host.n >= sizeof s->hosts[0].host)
        return false;
    pthread_mutex_lock(&s->lock);
    size_t i = place_of(s, host);
    if (i == HOSTS) {
        i = s->next;
        s->next = (s->next + 1) % HOSTS;
        str_copy(s->hosts[i].host, sizeof s->hosts[i].host, host);
    }
    str_copy(s->hosts[i].nonce, sizeof s->hosts[i].nonce, nonce);
    pthread_mutex_unlock(&s->lock);
    return true;
}

enum err dpop_sign(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                   struct signature *out, struct fault *why)
{
    struct str url = str_fmt(a, "%s://%.*s%.*s", q->https ? "https" : "http", STR_ARG(q->host), STR_ARG(q->path));
    AUTO_SECRET proof = SECRET_NONE;
    enum err e = dpop_proof(a, s->key, q->method, url, nonce_for(s, a, q->host), str_of(s->ath), q->now, &proof, why);
    for (size_t at = 0; !e && at < i->count; at++)
        if (i->at[at].where == INJECT_SIGNED)
            out->values[at] = arena_str(a, secret_str(proof));
    return e;
}

static bool wants_nonce(const struct head *answer)
{
    for (int i = 0; i < answer->count; i++)
        if (str_ieq(answer->headers[i].name, STR("www-authenticate")) &&
            str_find_str(answer->headers[i].value, STR("use_dpop_nonce")) != SIZE_MAX)
            return true;
    return false;
}

/* 9: a 401 that says so, with a nonce. Any answer may bring the next one (8.2). */
enum err dpop_challenged(struct signer *s, const struct signature *sent, struct str host, int status, const struct head *answer,
                         bool *again, struct fault *why)
{
    (void)sent, (void)why;
    bool fresh = remember(s, host, head_value(answer, STR("dpop-nonce")));
    *again = fresh && status == 401 && wants_nonce(answer);
    return ERR_NONE;
}
