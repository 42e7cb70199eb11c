/* Whatever is accepted is a tree that JSON can write and read, within its limits. */
#include <stdint.h>

#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct json *v, *again;
    struct fault why = { 0 };
    if (yaml_read(a, (struct str){ (const char *)data, size }, LIMIT, &v, &why))
        return 0;
    AUTO_BUF b;
    buf_init(&b, 64 << 20);
    struct json_out o = json_out(&b);
    json_put(&o, v);
    if (buf_failed(&b) || json_read(a, buf_str(&b), &again, &why))
        bug("not JSON: %s", why.subject);
    return 0;
}
