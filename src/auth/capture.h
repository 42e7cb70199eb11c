/* auth/capture.h - what a provider tells on the way becomes fields of the connection: an instance's address in a token answer, a
 * company's number in the way back (OAU-23). Which, the connector says; what comes of it is held against the same rules as what a
 * person types, allowed domain included, by whoever asks (catalog/setup.h).
 */
#ifndef AUTH_CAPTURE_H
#define AUTH_CAPTURE_H

#include "base/json.h"

/* `capture`: the setting of that name; NULL: nothing is wanted. Texts of `from` go into `fields`, an object in `a`. A field that
 * has a value keeps it, unless the setting says that it is replaced. True: something is there that was not there before. */
bool capture_into(struct arena *a, const struct json *capture, const struct json *from, struct json *fields);

#endif
