#include "auth/client_tls.h"

#include "vault/certificate.h"

enum err client_tls(struct tls_context *base, struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row,
                    const struct oauth_profile *p, struct tls_context **out, struct fault *why)
{
    struct pair *pair = NULL;
    struct str authorities = STR("");
    *out = NULL;
    if (!client_auth_by_tls(p->client_auth) && !client_auth_by_tls(p->refresh_auth))
        return ERR_NONE;
    enum err e = row ? certificate_open(db, k, a, row, &pair, &authorities, why) : ERR_NONE;
    if (!e && p->certificate.n) {
        pair_free(pair);
        pair = NULL;
        e = pair_read(p->certificate, secret_str(p->private_key), STR(""), &pair, why);
    }
    if (!e && (pair || authorities.n))
        e = tls_client_own(base, pair, authorities, out, why);
    pair_free(pair);
    return e;
}

enum err client_tls_next(struct tls_context *base, struct db *db, struct keyring *k, struct arena *a,
                         const struct connection_row *row, const struct oauth_profile *p, struct tls_context **out,
                         struct fault *why)
{
    struct oauth_profile next;
    *out = NULL;
    if (!p->next_certificate.n || !oauth_profile_next(p, &next))
        return ERR_NONE;
    return client_tls(base, db, k, a, row, &next, out, why);
}
