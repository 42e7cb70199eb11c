#include "web/web.h"

#include <stdio.h>
#include <string.h>

/* A subject may quote an address; what follows its '?' may be a credential (SEC-28), so it goes. A question mark that ends a
 * sentence stays. */
static void drop_queries(char *s)
{
    char *to = s;
    for (char *from = s; *from;) {
        *to++ = *from;
        bool query = *from++ == '?' && *from && !strchr(" \t\"'<>)", *from);
        while (query && *from && !strchr(" \t\"'<>)", *from))
            from++;
    }
    *to = 0;
}

void problem_write(struct buf *out, const struct fault *why, enum language lang, struct str run_id, struct str public_url)
{
    const struct err_row *row = err_row(why->err);
    struct fault shown = *why;
    char detail[768], type[512];
    snprintf(type, sizeof type, "%.*s/problems/%s", STR_ARG(public_url), row->code);
    drop_queries(shown.subject);
    fault_say(&shown, lang, detail, sizeof detail);

    struct json_out o = json_out(out);
    json_open(&o, '{');
    json_member_str(&o, "type", str_of(type));
    json_member_str(&o, "title", str_of(row->title[lang]));
    json_member_i64(&o, "status", row->status);
    json_member_str(&o, "detail", str_of(detail));
    json_member_str(&o, "code", str_of(row->code));
    json_member_str(&o, "fault", str_of(blame_name(row->blame)));
    json_member_bool(&o, "retryable", row->retryable);
    if (run_id.n)
        json_member_str(&o, "run_id", run_id);
    if (why->pointer[0]) {
        json_key(&o, "errors");
        json_open(&o, '[');
        json_open(&o, '{');
        json_member_str(&o, "pointer", str_of(why->pointer));
        json_member_str(&o, "detail", str_of(detail));
        json_close(&o, '}');
        json_close(&o, ']');
    }
    json_close(&o, '}');
}
