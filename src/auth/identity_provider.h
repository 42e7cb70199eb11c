/* auth/identity_provider.h - whom the hub believes about who somebody is: people who sign in through an OpenID Connect provider,
 * programs that call with tokens of an issuer. One row may do both.
 *
 * The client secret is sealed (vault/sealed.h), bound to the row and to its issuer, which never changes: a secret cannot be sent to
 * another one. Rights are not checked here.
 */
#ifndef AUTH_IDENTITY_PROVIDER_H
#define AUTH_IDENTITY_PROVIDER_H

#include "access/grants.h"
#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"
#include "store/db.h"
#include "vault/keyring.h"

#define IDENTITY_PROVIDERS_MOST 50
#define IDENTITY_LIST_MOST 100 /* mappings, rules, domains, values: of each list */
#define IDENTITY_SECRET_MOST 1024

/* A claim that must have a value; the name may be a JSON pointer. */
struct identity_claim { struct str claim, equals; };
/* Who is in the provider's group has the role: in the folder, or in the instance when `folder` is empty. */
struct identity_mapping { struct str group, folder; enum role role; };
/* Who shows the claim acts as the principal: with at most the role (ROLE_NONE: the principal's own), within the grants, by tokens
 * that live no longer than that (0: any), until then (0: for good). */
struct identity_rule {
    struct identity_claim when; struct str principal; enum role role;
    struct narrow narrow; int64_t lifetime_max_s; wall_ms expires;
};

enum identity_token_auth { TOKEN_AUTH_AUTO, TOKEN_AUTH_BASIC, TOKEN_AUTH_POST, TOKEN_AUTH_NONE };

struct identity_sign_in {
    struct str client_id, scopes; /* scopes: with blanks between, openid among them */
    enum identity_token_auth token_auth; /* AUTO: as discovery offers; NONE without a secret */
    struct str subject, email, name, groups; /* names of claims */
    struct identity_mapping *mappings; size_t mapping_count;
    enum role default_role;       /* ROLE_NONE: who has no mapped role is refused */
    struct str *email_domains; size_t email_domain_count; /* none: any */
    bool create_users, link_by_email, accept_unverified_email;
    bool second_factor;           /* asked for: one of amr or acr must be there */
    struct str *amr; size_t amr_count;
    struct str *acr; size_t acr_count;
};
struct identity_callers {
    struct str audience;
    bool users;                   /* the subject is a user who signs in through this row */
    struct identity_rule users_limits; /* what narrows those: all of a rule but its claim and its principal */
    struct identity_rule *rules; size_t rule_count;
    struct identity_claim *required; size_t required_count;
    int64_t lifetime_max_s;       /* 0: any */
};
struct identity_provider {
    struct str id, key, name, issuer;
    struct str keys_url;          /* empty: as discovery says */
    bool disabled, signs_in, calls;
    struct identity_sign_in sign_in;
    struct identity_callers callers;
    wall_ms secret_updated, created, updated; /* secret_updated 0: there is none */
    int64_t revision;
};

/* From the members of a body or of a stored row; everything checked. NULL: does not sign in, or has no callers. Principals in rules
 * may be names of service accounts or e-mail addresses: they become ids, and so does what `f` finds; `db` and `f` NULL: all of it
 * is ids already. ERR_FIELD_INVALID, ERR_FIELD_REQUIRED, ERR_UNKNOWN_FIELD and the finder's, with the pointer. */
enum err identity_provider_read(struct db *db, struct arena *a, const struct grants_finder *f, const struct json *sign_in,
                                const struct json *callers, struct identity_provider *out, struct fault *why) MUST_CHECK;
/* The two members as the API shows them and the store keeps them. */
void identity_provider_write_sign_in(struct json_out *o, const struct identity_provider *p);
void identity_provider_write_callers(struct json_out *o, const struct identity_provider *p);

/* Inside store_write(). The id, the revision and the times are filled in. ERR_CONFLICT for a key that is taken, ERR_LIMIT. */
enum err identity_provider_insert(struct db *db, struct arena *a, struct identity_provider *p, struct fault *why) MUST_CHECK;
/* All but id, key and issuer. ERR_PRECONDITION_FAILED. */
enum err identity_provider_update(struct db *db, struct arena *a, struct identity_provider *p, struct fault *why) MUST_CHECK;
/* With its links: whom it made stay, and can no longer sign in through it. */
enum err identity_provider_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK;
/* SECRET_NONE takes it away. Does not count as a revision. */
enum err identity_provider_set_secret(struct db *db, struct keyring *k, struct identity_provider *p, struct secret secret,
                                      struct fault *why) MUST_CHECK;
/* SECRET_NONE when there is none. ERR_CRYPTO when it does not open; the caller ends it. */
enum err identity_provider_secret(struct db *db, struct keyring *k, const struct identity_provider *p, struct secret *out,
                                  struct fault *why) MUST_CHECK;

/* Does somebody sign in or call through it as an owner? Who may change it could then be that owner: only owners may. */
enum err identity_provider_reaches_owner(struct db *db, const struct identity_provider *p, bool *out, struct fault *why) MUST_CHECK;

/* By id or key. ERR_NOT_FOUND. */
enum err identity_provider_get(struct db *db, struct arena *a, struct str id, struct identity_provider *out, struct fault *why)
    MUST_CHECK;
/* By id, which is by age; `after` is the last id of the page before, or empty. `issuer`: of that issuer only; empty: all. */
enum err identity_provider_list(struct db *db, struct arena *a, struct str issuer, struct str after, int limit,
                                struct identity_provider **out, size_t *n, struct fault *why) MUST_CHECK;

#endif
