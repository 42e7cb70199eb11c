#include "web/markdown.h"

#include "web/pages.h"

enum block { NOTHING, PARAGRAPH, BULLETS, NUMBERS };

static const struct { const char *open, *close; } tags[] = {
    [NOTHING] = { "", "" },
    [PARAGRAPH] = { "<p>", "</p>\n" },
    [BULLETS] = { "<ul>\n", "</ul>\n" },
    [NUMBERS] = { "<ol>\n", "</ol>\n" },
};

/* From `at` on: what stands between two marks, or nothing when the second is missing. */
static bool between(struct str s, size_t at, struct str mark, struct str *inner)
{
    struct str rest = str_sub(s, at + mark.n, s.n);
    if (!str_starts(str_sub(s, at, s.n), mark))
        return false;
    size_t end = str_find_str(rest, mark);
    if (end == SIZE_MAX || !end)
        return false;
    *inner = str_sub(rest, 0, end);
    return mark.p[0] == '`' || (inner->p[0] != ' ' && inner->p[inner->n - 1] != ' '); /* "2 * 3 * 4" is not emphasis */
}

static void write_line(struct buf *out, struct str s)
{
    static const struct { struct str mark; const char *tag; } spans[] = {
        { { "`", 1 }, "code" }, { { "**", 2 }, "strong" }, { { "*", 1 }, "em" },
    };
    for (size_t i = 0; i < s.n;) {
        struct str inner;
        size_t k = 0;
        while (k < COUNT(spans) && !between(s, i, spans[k].mark, &inner))
            k++;
        if (k == COUNT(spans)) {
            page_escape(out, str_sub(s, i, i + 1));
            i++;
            continue;
        }
        buf_fmt(out, "<%s>", spans[k].tag);
        page_escape(out, inner);
        buf_fmt(out, "</%s>", spans[k].tag);
        i += inner.n + 2 * spans[k].mark.n;
    }
}

static enum block kind_of(struct str line, struct str *text)
{
    size_t digits = 0;
    *text = line;
    if (!line.n)
        return NOTHING;
    while (digits < line.n && ascii_digit(line.p[digits]))
        digits++;
    if (digits && digits < 4 && str_starts(str_sub(line, digits, line.n), STR(". "))) {
        *text = str_sub(line, digits + 2, line.n);
        return NUMBERS;
    }
    if (!str_starts(line, STR("- ")))
        return PARAGRAPH;
    *text = str_sub(line, 2, line.n);
    return BULLETS;
}

void markdown_write(struct buf *out, struct str text)
{
    enum block open = NOTHING;
    struct str line, rest = text;
    while (rest.n && str_piece(&rest, '\n', &line)) {
        struct str said;
        enum block kind = kind_of(str_trim(line), &said);
        if (kind != open) {
            buf_add(out, str_of(tags[open].close));
            buf_add(out, str_of(tags[kind].open));
        } else if (kind == PARAGRAPH) {
            buf_char(out, '\n');
        }
        open = kind;
        if (kind == BULLETS || kind == NUMBERS)
            buf_add(out, STR("<li>"));
        write_line(out, said);
        if (kind == BULLETS || kind == NUMBERS)
            buf_add(out, STR("</li>\n"));
    }
    buf_add(out, str_of(tags[open].close));
}
