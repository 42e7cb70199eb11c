#include "crypto/sodium_ready.h"

#include <pthread.h>
#include <sodium.h>

#include "base/err.h"
#include "crypto/hash.h"

/* getrandom or nothing (requirement 12.12): libsodium's own source would fall back to a device file. */
static const char *source_name(void) { return "getrandom"; }

static uint32_t source_number(void)
{
    uint32_t n;
    random_bytes(&n, sizeof n);
    return n;
}

static struct randombytes_implementation source = { .implementation_name = source_name,
                                                    .random = source_number,
                                                    .buf = random_bytes };

static void start(void)
{
    if (randombytes_set_implementation(&source) || sodium_init() < 0)
        bug("libsodium does not start");
}

void sodium_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}
