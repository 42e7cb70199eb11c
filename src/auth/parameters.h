/* auth/parameters.h - the parameters of a request to an authorization server. Of one name there is one (RFC 6749 3.1, 3.2), but of
 * those that may be repeated: `resource` (RFC 8707 2) and `audience` (RFC 8693 2.1). Private to auth/.
 */
#ifndef AUTH_PARAMETERS_H
#define AUTH_PARAMETERS_H

#include "auth/form.h"
#include "base/json.h"

#define PARAMETERS_MOST 128 /* files and settings are held to fewer */

struct parameters {
    struct token_param at[PARAMETERS_MOST];
    size_t n;
};

/* In place of what there is of that name. An empty value stands for itself until parameters_leave_out_empty(). */
void parameters_put(struct parameters *p, struct str name, struct str value);
/* Beside what there is of that name, where that may be; else in its place. The same value twice is there once. */
void parameters_add(struct parameters *p, struct str name, struct str value);
/* Each member of an object of texts, and of lists of texts, in place of what there is of that name. NULL: nothing. */
void parameters_lay(struct parameters *p, const struct json *map);
bool parameters_have(const struct parameters *p, struct str name); /* with a value */
void parameters_leave_out_empty(struct parameters *p);

#endif
