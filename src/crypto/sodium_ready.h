/* crypto/sodium_ready.h - libsodium picks its code for this processor once, before its first use. Private to the room. */
#ifndef CRYPTO_SODIUM_READY_H
#define CRYPTO_SODIUM_READY_H

/* Aborts when the library cannot be used. Cheap after the first call; any thread. */
void sodium_ready(void);

#endif
