#include "catalog/fold.h"

/* The plain letter behind each character from U+00C0 to U+017F; '*' keeps the sign as it is. */
static const char plain[] = "aaaaaaaceeeeiiiidnooooo*ouuuuyts" /* U+00C0 */
                            "aaaaaaaceeeeiiiidnooooo*ouuuuyty" /* U+00E0 */
                            "aaaaaacccccccc" "dddd" "eeeeeeeeee" "gggggggg" "hhhh" "iiiiiiiiii" "ii" "jj" "kkk" /* U+0100 */
                            "llllllllll" "nnnnnnnnn" "oooooo" "oo" "rrrrrr" "ssssssss" "tttttt" /* U+0139 */
                            "uuuuuuuuuuuu" "ww" "yyy" "zzzzzz" "s"; /* U+0168 */
_Static_assert(sizeof plain - 1 == 0x180 - 0xc0, "one letter for each character");

void fold(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
        unsigned code = (c & 0xe0) == 0xc0 && (next & 0xc0) == 0x80 ? (c & 0x1fu) << 6 | (next & 0x3fu) : 0;
        if (code >= 0x300 && code <= 0x36f) {
            i++; /* a combining mark */
        } else if (code >= 0xc0 && code < 0x180 && plain[code - 0xc0] != '*') {
            buf_char(out, plain[code - 0xc0]);
            i++;
        } else {
            buf_char(out, ascii_lower((char)c));
        }
    }
}
