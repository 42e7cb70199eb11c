/* web/policy_check.h - policies, asked where connections are made, changed and shown. Calls ask in call/prepare.c. */
#ifndef WEB_POLICY_CHECK_H
#define WEB_POLICY_CHECK_H

#include "access/policy.h"
#include "catalog/connector.h"
#include "vault/connection.h"
#include "web/web.h"

/* The set of now, until the request ends; NULL: there is none. */
const struct policy_set *policies_now(struct web_request *q);
/* Who asks what about this row (folder, connector, auth type, domain, fields, and with an id the OAuth client that is stored for
 * it; what is not there is not asked). In q->arena. */
enum err policy_subject_of(struct web_request *q, struct db *db, const struct connection_row *row, enum policy_moment moment,
                           struct policy_subject *out, struct fault *why) MUST_CHECK;
/* May it be so? Its OAuth client is asked about when it is called; else connection_oauth.h does, as it may be about to change.
 * `db`: the writer, inside the transaction that makes it so. Errors of the rules. */
enum err policy_check(struct web_request *q, struct db *db, const struct connection_row *row, enum policy_moment moment,
                      struct fault *why) MUST_CHECK;
/* May this one, as it is stored, get tokens from its provider (by a person's yes, or because somebody asks), or be enabled? Whose
 * OAuth client it has counts too. */
enum err policy_check_authorize(struct web_request *q, struct db *db, const struct connection_row *row,
                                struct fault *why) MUST_CHECK;
/* May a connection of this row, which is there, be in that folder? Quotas count where it was not counted before. In the transaction
 * that moves it. `trace` may be NULL. */
enum err policy_check_move(struct web_request *q, struct db *db, const struct connection_row *row, struct str to,
                           struct policy_trace *trace, struct fault *why) MUST_CHECK;
/* A folder has moved, in this transaction: do the quotas hold that now count what is in it? `before`: its folders until then.
 * ERR_QUOTA_EXCEEDED. Other rules are asked at each call. */
enum err policy_check_folder_moved(struct web_request *q, struct db *db, struct str folder, const struct policy_subject *before,
                                   struct fault *why) MUST_CHECK;
/* Before one more is made, in the same transaction: nobody comes in between. ERR_QUOTA_EXCEEDED says use and limit. */
enum err policy_check_quota(struct web_request *q, struct db *db, const struct policy_set *set, const struct policy_subject *s,
                            struct policy_trace *trace, struct fault *why) MUST_CHECK;
/* How many connections of a connector there are, in a folder and all below; folder.p == NULL: in all. */
enum err policy_count(struct db *db, struct str connector, struct str folder, int64_t *out, struct fault *why) MUST_CHECK;
/* A connection of this row begins disabled. */
enum err policy_starts_disabled(struct web_request *q, struct db *db, const struct connection_row *row, bool *out,
                                struct fault *why) MUST_CHECK;
/* The same without a request, for what happens by itself. `set` may be NULL. */
enum err policy_set_starts_disabled(const struct policy_set *set, struct db *db, struct arena *a, const struct connection_row *row,
                                    bool *out, struct fault *why) MUST_CHECK;
/* ERR_NAME_FROZEN. */
enum err policy_check_rename(struct web_request *q, struct db *db, const struct connection_row *row, struct fault *why) MUST_CHECK;

/* Preset fields and credentials, laid under what was sent. */
struct presets {
    struct web_request *q;
    struct connection_row row;       /* folder (id; p == NULL: not made yet) and connector */
    struct str wipe[CONNECTION_SECRETS];
    size_t wipe_count;
};
/* *fields and *credentials may be NULL before, and are NULL after when there is nothing. ERR_PRESET_ENFORCED with the pointer;
 * ERR_CRYPTO, ERR_SEALED. */
enum err presets_apply(struct presets *p, const struct json **fields, const struct json **credentials,
                       struct fault *why) MUST_CHECK;
/* The OAuth client that a policy gives to connections of this row; client empty: none does. */
struct preset_client {
    struct str client, key;          /* cli_... and its key; or pol_.../connector, and no key */
    bool enforced;
    struct str says;                 /* for a refusal */
};
enum err preset_oauth_client(struct web_request *q, struct db *db, const struct connection_row *row, struct preset_client *out,
                             struct fault *why) MUST_CHECK;
/* The scopes that policies preset for connections of this row, where none are asked for (p == NULL). ERR_PRESET_ENFORCED, when
 * others are and may not be. */
enum err preset_scopes(struct web_request *q, struct db *db, const struct connection_row *row, struct str *scopes,
                       struct fault *why) MUST_CHECK;
void presets_end(struct presets *p); /* wipes what was unsealed */
struct str preset_secret_name(struct arena *a, struct str connector, const struct policy_rule *r);

#endif
