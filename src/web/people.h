/* web/people.h - what the doors of setup, sessions and users share. */
#ifndef WEB_PEOPLE_H
#define WEB_PEOPLE_H

#include "access/user.h"
#include "web/web.h"

void people_write_user(struct json_out *o, const struct user_row *u);
/* Who is asking, as GET /session shows it. `csrf` p == NULL: null. */
void people_write_session(struct json_out *o, const struct caller *c, struct str csrf);
/* "en", "fr"; absent: the request's. ERR_FIELD_INVALID. */
enum err people_language(const struct web_request *q, struct str *out, struct fault *why) MUST_CHECK;
/* The member `name` checked and hashed; absent: STR_NONE. The password itself is never kept. */
enum err people_password(struct web_request *q, const char *name, bool required, struct str *hash, struct fault *why) MUST_CHECK;

/* user_create() from the row's e-mail, role and language; fills row->id. Points at the address: all else was checked before. */
enum err people_create(struct db *db, struct arena *a, struct user_row *row, struct str password_hash,
                       struct fault *why) MUST_CHECK;

#endif
