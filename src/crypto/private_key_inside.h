/* crypto/private_key_inside.h - a private key as OpenSSL's object. Private to the room. */
#ifndef CRYPTO_PRIVATE_KEY_INSIDE_H
#define CRYPTO_PRIVATE_KEY_INSIDE_H

#include <openssl/evp.h>

#include "crypto/private_key.h"

/* What private_key_read() takes; *out is freed with EVP_PKEY_free(). */
enum err private_key_open(struct str pasted, EVP_PKEY **out, struct fault *why) MUST_CHECK;

#endif
