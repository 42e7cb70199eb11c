/* web/people.h - what the doors of setup, sign-in, sessions, invitations and users share. */
#ifndef WEB_PEOPLE_H
#define WEB_PEOPLE_H

#include "access/guard.h"
#include "access/session.h"
#include "access/sign_in.h"
#include "access/user.h"
#include "web/web.h"

/* A user as the API shows it; reads lock, second factor and open link. `link`: of an invitation made now; p == NULL: none. */
struct people_link {
    struct str url;
    wall_ms expires;
};
enum err people_write_user(struct web_request *q, struct json_out *o, const struct user_row *u, const struct people_link *link,
                           struct fault *why) MUST_CHECK;
/* What is kept of a user, without the braces: for records of a change. */
void people_write_members(struct json_out *o, const struct user_row *u);
/* Who is asking, as GET /session shows it. `csrf` p == NULL: null. */
enum err people_write_session(struct web_request *q, struct json_out *o, const struct caller *c, struct str csrf,
                              struct fault *why) MUST_CHECK;
/* "en", "fr"; absent: the request's. ERR_FIELD_INVALID. */
enum err people_language(const struct web_request *q, struct str *out, struct fault *why) MUST_CHECK;
/* The member `name` checked and hashed; absent: STR_NONE. The password itself is never kept. `email`: of whom it is to be. */
enum err people_password(struct web_request *q, const char *name, bool required, struct str email, struct str *hash,
                         struct fault *why) MUST_CHECK;
/* A password or a code that is shown, as it stands in the body; absent: STR_NONE. Not copied: body_wipe() ends it. */
enum err people_shown(const struct web_request *q, const char *name, struct str *out, struct fault *why) MUST_CHECK;

/* user_create() from the row's e-mail, role and language; fills row->id. Points at the address: all else was checked before. */
enum err people_create(struct db *db, struct arena *a, struct user_row *row, struct str password_hash,
                       struct fault *why) MUST_CHECK;

/* Where the secrets of second factors are kept. */
struct second_factor_keeper people_keeper(struct hub *h);

/* sign_in(), sign_in_again() and sign_in_confirm_code() with the request's address and keeper; counted, and the alarm given when
 * failures pile up. */
typedef enum err people_proof(struct store *s, struct arena *a, struct sign_in *in, struct fault *why);
enum err people_prove(struct web_request *q, people_proof *proof, struct sign_in *in, struct fault *why) MUST_CHECK;
/* The same counting for what is guessed at otherwise, such as a code in a link: between people_guard() and people_unguard(). */
enum err people_guard(struct web_request *q, struct guard *g, struct fault *why) MUST_CHECK;
enum err people_unguard(struct web_request *q, struct guard *g, enum err e, struct fault *why) MUST_CHECK;

/* For the audit log: the change is this user's, who was not known when the request came. */
void people_told(struct web_request *q, struct db *db, struct str user);
/* A new session with its cookie and the body of GET /session. */
enum err people_open_session(struct web_request *q, struct reply *r, struct str user, enum session_how how,
                             struct fault *why) MUST_CHECK;
/* Only a person with a session. ERR_SESSION_REQUIRED. */
enum err people_need_session(const struct web_request *q, struct fault *why) MUST_CHECK;
/* Where a path has {id} of a user, the e-mail address works too: the parameter becomes the id. Who is not there stays as typed, so
 * that the door says so, as it does of those whom the caller may not see. */
enum err people_by_email(struct web_request *q, struct str *id_or_email, struct fault *why) MUST_CHECK;
/* An owner is changed by an owner (else an administrator could set its password and become it). ERR_DENIED. */
enum err people_may_change(const struct web_request *q, const struct user_row *row, struct fault *why) MUST_CHECK;

#endif
