#include "auth/pkce.h"

#include "base/encode.h"
#include "crypto/hash.h"

void pkce_verifier(char out[PKCE_VERIFIER])
{
    unsigned char bytes[32];
    random_bytes(bytes, sizeof bytes);
    out[base64_write(out, (struct str){ (const char *)bytes, sizeof bytes }, BASE64_URL)] = 0;
    secret_wipe(bytes, sizeof bytes);
}

struct str pkce_challenge(struct arena *a, struct str verifier)
{
    unsigned char digest[SHA256_SIZE];
    sha256(verifier, digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}
