/* No bytes make the reader of tokens or of key sets fail in an unnamed way, and nothing that is not signed verifies. */
#include <stdint.h>

#include "crypto/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}," \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"

static void read_token(struct arena *a, struct str text, const struct jwk_set *keys)
{
    struct jwt t;
    struct fault why;
    wall_ms expires;
    enum err e = jwt_read(a, text, &t, &why);
    if (e && e != ERR_TOKEN_INVALID)
        bug("reading answers %s", err_row(e)->code);
    if (e)
        return;
    if (!jwt_looks_like(text) && str_starts(text, STR("ey")))
        bug("what is read does not look like a token");
    if (!jwt_verify(&t, keys, &why))
        bug("it verifies");
    struct jwt_expected x = { .issuer = STR("i"), .audience = STR("a"), .now = clock_wall(), .lifetime_max_s = 60 };
    e = jwt_check(t.claims, &x, &expires, &why);
    if (e && e != ERR_TOKEN_INVALID && e != ERR_TOKEN_EXPIRED)
        bug("checking answers %s", err_row(e)->code);
    jwt_claim_is(jwt_claim(a, t.claims, text), text);
}

/* The first byte says what the rest is: a token, or a key set. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwk_set *keys;
    struct fault why;
    if (!keys && jwk_set_read(STR(KEY), &keys, &why))
        bug("the fuzzer's own keys");
    if (!size)
        return 0;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text = arena_str(a, (struct str){ (const char *)data + 1, size - 1 });
    struct jwk_set *read;
    if (data[0] & 1) {
        read_token(a, text, keys);
    } else if (!jwk_set_read(text, &read, &why)) {
        if (jwk_set_count(read) > JWK_SET_KEYS)
            bug("more keys than are kept");
        jwk_set_free(read);
    }
    return 0;
}
