#include "call/inflate.h"

#include <zlib.h>

#include "base/arena.h"

#define STEP (32 * 1024)
#define GZIP_OR_ZLIB 32 /* zlib's word for: find out by the header */

struct inflate {
    z_stream z;
    bool gzip, ended;
};

struct inflate *inflate_new(struct str coding)
{
    if (!str_ieq(coding, STR("gzip")) && !str_ieq(coding, STR("x-gzip")) && !str_ieq(coding, STR("deflate")))
        return NULL;
    struct inflate *z = mem_zero(sizeof *z);
    z->gzip = !str_ieq(coding, STR("deflate"));
    if (inflateInit2(&z->z, 15 + GZIP_OR_ZLIB) != Z_OK)
        bug("inflateInit2 failed");
    return z;
}

void inflate_free(struct inflate *z)
{
    if (!z)
        return;
    inflateEnd(&z->z);
    free(z);
}

/* A gzip file may hold several members, one after another (RFC 1952 2.2). Anything else behind the end is padding. */
static bool next_member(struct inflate *z)
{
    if (!z->gzip || !z->z.avail_in || z->z.next_in[0] != 0x1f)
        return false;
    z->ended = inflateReset(&z->z) != Z_OK;
    return !z->ended;
}

enum err inflate_feed(struct inflate *z, struct str span, struct buf *out, struct fault *why)
{
    z->z.next_in = (unsigned char *)(uintptr_t)span.p;
    z->z.avail_in = (unsigned)span.n;
    while (!z->ended || next_member(z)) {
        char step[STEP];
        z->z.next_out = (unsigned char *)step;
        z->z.avail_out = sizeof step;
        int r = inflate(&z->z, Z_NO_FLUSH);
        buf_add(out, (struct str){ step, sizeof step - z->z.avail_out });
        if (buf_failed(out)) {
            char limit[40];
            snprintf(limit, sizeof limit, "%zu bytes when unpacked", out->max);
            return fault(why, ERR_RESPONSE_TOO_LARGE, str_of(limit), "inflate");
        }
        if (r == Z_STREAM_END)
            z->ended = true;
        else if (r == Z_BUF_ERROR || (r == Z_OK && !z->z.avail_in && z->z.avail_out))
            return ERR_NONE; /* more input is needed */
        else if (r != Z_OK)
            return fault(why, ERR_UPSTREAM_INVALID, STR("its compressed body is damaged"), "inflate: %d", r);
    }
    return ERR_NONE;
}

bool inflate_ended(const struct inflate *z) { return z->ended; }
