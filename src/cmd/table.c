#include "cmd/table.h"

#include "cmd/terminal.h"

#define GAP 2
#define COLUMN_LEAST 8 /* a column is not cut below this */
#define CELL_MAX (64 * 1024)
#define FEW_COLUMNS 28

static const struct json *follow(const struct json *v, const char *path)
{
    struct str rest = str_of(path), name;
    while (v && str_piece(&rest, '.', &name))
        v = json_get_str(v, name);
    return v;
}

static struct str scalar(const struct json *v)
{
    static const char *const words[] = { [JSON_NULL] = "-", [JSON_FALSE] = "no", [JSON_TRUE] = "yes" };
    return v->type <= JSON_TRUE ? str_of(words[v->type]) : v->text;
}

static struct str joined(struct arena *a, const struct json *array)
{
    AUTO_BUF b;
    buf_init(&b, CELL_MAX);
    json_each(v, array) {
        struct json_out o = json_out(&b);
        if (b.n)
            buf_add(&b, STR(", "));
        if (v->type < JSON_ARRAY)
            buf_add(&b, scalar(v));
        else
            json_put(&o, v);
    }
    return arena_str(a, buf_str(&b));
}

/* One at least. */
static struct str few_of(struct arena *a, const struct json *array)
{
    AUTO_BUF b;
    size_t shown = 0;
    buf_init(&b, CELL_MAX);
    json_each(v, array) {
        struct str text = v->type < JSON_ARRAY ? scalar(v) : STR("...");
        if (shown && text_columns(buf_str(&b)) + text_columns(text) > FEW_COLUMNS)
            break;
        buf_fmt(&b, shown ? ", %.*s" : "%.*s", STR_ARG(text));
        shown++;
    }
    if (shown < array->count)
        buf_fmt(&b, ", +%zu", array->count - shown);
    return arena_str(a, buf_str(&b));
}

/* 2026-01-02T03:04:05.678Z -> 2026-01-02 03:04:05Z */
static struct str time_shown(struct arena *a, struct str t)
{
    if (t.n < 20 || t.p[10] != 'T')
        return t;
    return str_fmt(a, "%.*s %.*sZ", 10, t.p, 8, t.p + 11);
}

struct str table_cell(struct arena *a, const struct json *v, enum column_kind kind)
{
    if (!v || (v->type >= JSON_ARRAY && !v->child))
        return STR("-");
    if (v->type == JSON_ARRAY)
        return text_safe(a, kind == COLUMN_FEW ? few_of(a, v) : joined(a, v));
    if (v->type == JSON_OBJECT) {
        AUTO_BUF b;
        buf_init(&b, CELL_MAX);
        struct json_out o = json_out(&b);
        json_put(&o, v);
        return text_safe(a, arena_str(a, buf_str(&b)));
    }
    struct str text = text_safe(a, scalar(v));
    if (!text.n)
        return STR("-");
    return kind == COLUMN_TIME ? time_shown(a, text) : text;
}

static void cell_print(FILE *to, struct str text, size_t width, bool right, bool last)
{
    size_t wide = text_columns(text);
    bool cut = wide > width;
    size_t n = cut ? text_fit(text, width - 1) : text.n;
    size_t shown = cut ? text_columns(str_sub(text, 0, n)) + 1 : wide;
    int pad = (int)(width - shown);

    if (right)
        fprintf(to, "%*s", pad, "");
    fprintf(to, "%.*s%s", (int)n, text.p, cut ? "…" : "");
    if (!last)
        fprintf(to, "%*s", (right ? 0 : pad) + GAP, "");
}

/* Take from the widest column until a row fits. */
static void fit(size_t *widths, size_t n, size_t room)
{
    for (;;) {
        size_t sum = (n - 1) * GAP, widest = 0;
        for (size_t i = 0; i < n; i++) {
            sum += widths[i];
            if (widths[i] > widths[widest])
                widest = i;
        }
        if (sum <= room || widths[widest] <= COLUMN_LEAST)
            return;
        size_t over = sum - room, spare = widths[widest] - COLUMN_LEAST;
        /* In small steps: two long columns then share the loss. */
        size_t step = over < spare ? over : spare;
        widths[widest] -= step > 4 ? 4 : step;
    }
}

void table_print(FILE *to, struct arena *a, const struct column *column, size_t n, struct json *const *items, size_t count,
                 int columns)
{
    struct str *cells = arena_array(a, n * count + 1, sizeof *cells);
    size_t *widths = arena_array(a, n, sizeof *widths);

    for (size_t i = 0; i < n; i++)
        widths[i] = strlen(column[i].title);
    for (size_t row = 0; row < count; row++)
        for (size_t i = 0; i < n; i++) {
            struct str text = table_cell(a, follow(items[row], column[i].path), column[i].kind);
            size_t wide = text_columns(text);
            cells[row * n + i] = text;
            widths[i] = wide > widths[i] ? wide : widths[i];
        }
    if (columns)
        fit(widths, n, (size_t)columns);

    for (size_t i = 0; i < n; i++)
        cell_print(to, str_of(column[i].title), widths[i], column[i].kind == COLUMN_NUMBER, i + 1 == n);
    fputc('\n', to);
    for (size_t row = 0; row < count; row++) {
        for (size_t i = 0; i < n; i++)
            cell_print(to, cells[row * n + i], widths[i], column[i].kind == COLUMN_NUMBER, i + 1 == n);
        fputc('\n', to);
    }
}

struct line {
    struct str name, value;
};
struct lines {
    struct line *at;
    size_t count, size;
};

static void line_add(struct arena *a, struct lines *l, struct str name, struct str value)
{
    if (l->count == l->size) {
        size_t size = l->size ? l->size * 2 : 32;
        struct line *at = arena_array(a, size, sizeof *at);
        if (l->count)
            memcpy(at, l->at, l->count * sizeof *at);
        l->at = at;
        l->size = size;
    }
    l->at[l->count++] = (struct line){ name, value };
}

static bool holds_objects(const struct json *array)
{
    json_each(v, array)
        if (v->type == JSON_OBJECT)
            return true;
    return false;
}

/* Depth is bounded by JSON_DEPTH of the reader. */
static void flatten(struct arena *a, struct lines *l, struct str prefix, const struct json *v)
{
    bool object = v->type == JSON_OBJECT && v->child;
    if (!object && !(v->type == JSON_ARRAY && holds_objects(v))) {
        bool time = v->type == JSON_STRING && str_ends(prefix, STR("_at"));
        line_add(a, l, prefix, table_cell(a, v, time ? COLUMN_TIME : COLUMN_TEXT));
        return;
    }
    size_t i = 0;
    json_each(m, v) {
        struct str name = object ? text_safe(a, m->key) : str_fmt(a, "%zu", i);
        flatten(a, l, prefix.n ? str_fmt(a, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(name)) : name, m);
        i++;
    }
}

void table_print_object(FILE *to, struct arena *a, const struct json *object)
{
    struct lines l = { 0 };
    size_t width = 0;
    flatten(a, &l, STR_NONE, object);
    for (size_t i = 0; i < l.count; i++) {
        size_t wide = text_columns(l.at[i].name);
        width = wide > width ? wide : width;
    }
    /* Nothing is cut here: who asks for one object wants to read all of it. */
    for (size_t i = 0; i < l.count; i++) {
        cell_print(to, l.at[i].name, width, false, false);
        fprintf(to, "%.*s\n", STR_ARG(l.at[i].value));
    }
}
