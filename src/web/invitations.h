/* web/invitations.h - a link for a person, made inside store_write(): with the user, or later. */
#ifndef WEB_INVITATIONS_H
#define WEB_INVITATIONS_H

#include "web/people.h"

/* link->url holds the code: it is shown once. */
enum err invitation_for(struct db *db, struct web_request *q, struct str user, struct people_link *link,
                        struct fault *why) MUST_CHECK;

#endif
