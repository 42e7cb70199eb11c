/* auth/device_flow.h - asks providers whether people have entered the codes of their devices. RFC 8628 3.4, 3.5.
 *
 * One thread. Never faster than the provider allows: its interval, 5 s more for good each time that it says slow_down, twice as
 * long when it does not answer. What waits is in the store, so that a restart goes on with it.
 */
#ifndef AUTH_DEVICE_FLOW_H
#define AUTH_DEVICE_FLOW_H

#include "auth/authorization.h"
#include "auth/renewal.h"

struct device_flows;

struct device_flows_config {
    struct store *store;
    struct keyring *keyring;
    struct renewals *renewals;
    void (*changed)(void *context, struct str connection); /* what was prepared before is stale; NULL is fine */
    void *context;
    void (*report)(const char *event, const struct fault *why);
};
enum err device_flows_start(const struct device_flows_config *c, struct device_flows **out, struct fault *why) MUST_CHECK;
void device_flows_wake(struct device_flows *f); /* one more waits; any thread; NULL is fine */
void device_flows_stop(struct device_flows *f); /* before the renewals end; NULL is fine */

#endif
