#include "crypto/sodium_ready.h"

#include <pthread.h>
#include <sodium.h>

#include "base/err.h"

static void start(void)
{
    if (sodium_init() < 0)
        bug("libsodium does not start");
}

void sodium_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}
