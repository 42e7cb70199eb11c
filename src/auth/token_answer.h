/* auth/token_answer.h - what an answer of a token endpoint means. RFC 6749 5, 8628 3.5, 9449 8; requirements 9.3
 * to 9.7, 10.6, 11.3.
 */
#ifndef AUTH_TOKEN_ANSWER_H
#define AUTH_TOKEN_ANSWER_H

#include "auth/oauth_profile.h"
#include "http/fetch.h"

enum token_outcome {
    TOKEN_GIVEN,
    TOKEN_GRANT_OVER,       /* invalid_grant: a person must authorize again */
    TOKEN_CLIENT_WRONG,     /* invalid_client, unauthorized_client: the client's configuration, nothing of this grant's */
    TOKEN_ASKED_WRONG,      /* invalid_scope, invalid_request, unsupported_grant_type ...: the configuration */
    TOKEN_LATER,            /* 429, 5xx, temporarily_unavailable: the same again, later */
    TOKEN_ODD,              /* 400 with nothing that can be read: once more, then as GRANT_OVER */
    TOKEN_UNKNOWN,          /* 200, but cut off or garbled: the server may have given a token that we do not have */
    TOKEN_NONCE,            /* DPoP: once more with `nonce` */
    TOKEN_PENDING, TOKEN_SLOW_DOWN, TOKEN_DENIED, TOKEN_CODE_EXPIRED /* device code */
};

struct token_answer {
    enum token_outcome outcome;
    /* SECRET_NONE: not given; ended by token_answer_end(). A refresh token may also come with TOKEN_ASKED_WRONG: the server gave,
     * and what it gave has a form that is refused. It has taken the place of the one that was spent. */
    struct secret access_token, refresh_token;
    struct str token_type;         /* as given; empty: missing */
    int64_t expires_in_ms;         /* -1: not said, or absurd */
    bool scope_given;
    struct str scope;              /* as given; at most OAUTH_SCOPE_MAX bytes, or what the setting says */
    /* Of anything but TOKEN_GIVEN: the server's word, or ours (token_type, content_type, scope_too_long, http_<status>). Plain
     * text, control characters taken out, at most 512 bytes; never to be used as markup. */
    struct str error, description;
    int64_t retry_after_ms;        /* 0: not said; at most an hour */
    struct str nonce;              /* DPoP-Nonce, whatever the outcome; empty: none */
    int64_t skew_ms;               /* by its Date header, the server's clock less ours; INT64_MIN: not said */
    const struct json *body;       /* what was parsed; NULL when nothing was; holds tokens: never shown */
};
#define OAUTH_SCOPE_MAX (16 * 1024)
/* The setting oauth.granted_scopes (requirement 9.6): an answer with more is refused (scope_too_long). Once, at start. */
void token_answer_limit_scopes(size_t bytes);

/* `received`: when the answer was complete. Never fails: what cannot be read is an outcome. Texts in `a`, `body` in the answer's
 * too: token_answer_end() wipes the texts in it, wherever they are. */
void token_answer_read(struct arena *a, const struct oauth_profile *p, const struct fetch_answer *f, wall_ms received,
                       struct token_answer *out);
void token_answer_end(struct token_answer *t);
/* Of any of the server's doors: it does not believe that the client is the one it says (RFC 6749 5.2). */
bool token_answer_refuses_client(const struct fetch_answer *f);

/* A lifetime in milliseconds, as answers say it: seconds as a number or in a text, or the date of the end. -1: not said, or absurd
 * (nothing, negative, over ten years). */
int64_t token_duration(const struct json *v, wall_ms received);

#endif
