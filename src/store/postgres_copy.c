#include "store/postgres.h"

enum err postgres_copy(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why)
{
    (void)db, (void)to, (void)progress, (void)context;
    return fault(why, ERR_STORE, STR(""), "not yet");
}
