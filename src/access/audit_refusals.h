/* access/audit_refusals.h - refusals, counted: an outsider may knock as often as he likes, and fills no disk with it.
 *
 * Of the same refusal (who, what, why) one record tells at once; what follows within a minute is counted, and told in one more.
 * 128 different ones are told apart at a time, at most 32 of them from callers that nobody knows; the rest is counted together.
 * No memory is taken and no SQL is run in noting one: a loop thread may.
 */
#ifndef ACCESS_AUDIT_REFUSALS_H
#define ACCESS_AUDIT_REFUSALS_H

#include "access/audit.h"

#define REFUSALS_TOLD 128
#define REFUSALS_OF_STRANGERS 32
#define REFUSALS_WINDOW_MS 60000

struct refusals;
struct refusals *refusals_new(void);
void refusals_free(struct refusals *r);

/* Texts are copied, cut to fit. True when it is the first of its kind and `now_told`: the caller writes the record itself.
 * Otherwise refusals_due() will tell of it. */
bool refusals_note(struct refusals *r, const struct audit_entry *entry, bool now_told, struct mono now);

/* The next record that is due, or false. Its texts live until the next call. To be called by one thread, again and again. */
bool refusals_due(struct refusals *r, struct mono now, bool stopping, struct audit_entry *out);

#endif
