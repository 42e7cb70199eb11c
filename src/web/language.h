/* web/language.h - which of the hub's languages a request asks for. Accept-Language, RFC 9110 12.5.4. */
#ifndef WEB_LANGUAGE_H
#define WEB_LANGUAGE_H

#include "base/err.h"
#include "http/head.h"

/* True and *out when the header prefers one of the hub's languages; else *out is untouched: no header, other languages only, or
 * "*" alone, which takes any. A region stands for its language ("fr-CA", RFC 4647 3.4). Between equals the first named wins. A
 * language that is refused ("en;q=0") gives way to one that is not. */
bool language_wanted(const struct head *h, enum language *out);

#endif
