/* http/status.h - the usual words behind a status code. RFC 9110 15. */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include "base/str.h"

struct str status_reason(int status); /* empty when there is none */

#endif
