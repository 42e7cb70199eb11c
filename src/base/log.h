/* base/log.h - the program's log, one line per event on stderr, as text or JSON.
 *
 * Library code never logs; web/, flow/ and cmd/ do, once. Values are given as key/value pairs and escaped
 * here, so that nothing from outside can forge a line. Never give a secret, a query string or a body.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_setup(enum log_level most, bool json);
bool log_wanted(enum log_level level);

struct log_field {
    const char *key;
    struct str value;
};

/* log_line(LOG_INFO, "listening", LOG("address", STR("127.0.0.1:8080"))); */
void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n);
#define LOG(k, v) ((struct log_field){ (k), (v) })
#define log_line(level, event, ...)                                   \
    log_fields(level, event, (const struct log_field[]){ __VA_ARGS__ }, \
               COUNT(((const struct log_field[]){ __VA_ARGS__ })))

/* One free sentence, for start and stop. */
void log_text(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A fault: its code, subject and note. */
void log_fault(enum log_level level, const char *event, const struct fault *why);

bool log_level_parse(struct str s, enum log_level *out);

#endif
