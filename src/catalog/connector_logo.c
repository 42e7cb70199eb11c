#include "catalog/connector_logo.h"

#define PATH_MAX_BYTES 4096

static enum err bad(struct fault *why, const char *name, const char *says)
{
    fault(why, ERR_FIELD_INVALID, str_of(says), "connector file");
    return fault_at(why, "/logo%s%s", *name ? "/" : "", name);
}

static bool made_of(struct str s, const char *signs, size_t most)
{
    bool good = s.n && s.n <= most;
    for (size_t i = 0; good && i < s.n; i++)
        good = s.p[i] && strchr(signs, s.p[i]);
    return good;
}

static bool is_color(struct str s) { return s.n == 7 && s.p[0] == '#' && made_of(str_sub(s, 1, 7), "0123456789abcdefABCDEF", 6); }

enum err connector_logo_read(struct arena *a, const struct json *doc, struct connector_logo *out, struct fault *why)
{
    static const char *const members[] = { "box", "color", "paths", NULL };
    const struct json *v = json_get(doc, "logo"), *paths = json_get(v, "paths");
    *out = (struct connector_logo){ .box = STR("0 0 24 24"), .color = STR("#1f2937") };
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_OBJECT)
        return bad(why, "", "must be an object");
    enum err e = json_only(v, members, "/logo", why);
    if (e)
        return e;
    if (json_get(v, "box"))
        out->box = json_str(v, "box");
    if (json_get(v, "color"))
        out->color = json_str(v, "color");
    if (!made_of(out->box, "0123456789. -", 64))
        return bad(why, "box", "is four numbers such as 0 0 24 24");
    if (!is_color(out->color))
        return bad(why, "color", "is a color such as #1f2937");
    if (!json_is(paths, JSON_ARRAY) || !paths->count || paths->count > CONNECTOR_LOGO_PATHS)
        return bad(why, "paths", "is a list of 1 to 16 SVG paths");
    out->paths = arena_array(a, paths->count, sizeof *out->paths);
    json_each(p, paths) {
        if (p->type != JSON_STRING || !made_of(p->text, "MmLlHhVvCcSsQqTtAaZz0123456789.,+-eE ", PATH_MAX_BYTES))
            return bad(why, "paths", "is a list of 1 to 16 SVG paths");
        out->paths[out->count++] = p->text;
    }
    return ERR_NONE;
}

/* ---- the picture ---- */

static struct str first_letter(struct str name)
{
    size_t n = 1;
    while (n < name.n && ((unsigned char)name.p[n] & 0xc0) == 0x80)
        n++;
    return str_sub(name, 0, n < name.n ? n : name.n);
}

/* One of a dozen that white can be read on; the same for a connector each time. */
static const char *color_of(struct str id)
{
    static const char *const colors[] = { "#1d4ed8", "#166534", "#9a3412", "#6b21a8", "#9f1239", "#0f766e",
                                          "#854d0e", "#3730a3", "#155e75", "#86198f", "#3f6212", "#374151" };
    unsigned sum = 0;
    for (size_t i = 0; i < id.n; i++)
        sum = sum * 31 + (unsigned char)id.p[i];
    return colors[sum % COUNT(colors)];
}

static void letter(struct buf *out, const struct connector *c)
{
    struct str first = first_letter(c->name);
    bool plain = first.n > 1 || (first.n && (ascii_alpha(first.p[0]) || ascii_digit(first.p[0])));
    buf_fmt(
        out,
        "<rect width=\"24\" height=\"24\" rx=\"5\" fill=\"%s\"/>\n<text x=\"12\" y=\"17\" text-anchor=\"middle\" font-size=\"14\""
        " font-family=\"sans-serif\" font-weight=\"700\" fill=\"#fff\">",
        color_of(c->id));
    if (plain && first.n == 1 && ascii_alpha(first.p[0]))
        buf_char(out, (char)(first.p[0] & ~0x20));
    else
        buf_add(out, plain ? first : STR("·"));
    buf_add(out, STR("</text>\n"));
}

void connector_logo_svg(struct buf *out, const struct connector *c)
{
    const struct connector_logo *l = &c->logo;
    buf_fmt(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"logo\" aria-hidden=\"true\" viewBox=\"%.*s\">\n",
            STR_ARG(l->count ? l->box : STR("0 0 24 24")));
    if (!l->count)
        letter(out, c);
    for (size_t i = 0; i < l->count; i++)
        buf_fmt(out, "<path fill=\"%.*s\" d=\"%.*s\"/>\n", STR_ARG(l->color), STR_ARG(l->paths[i]));
    buf_add(out, STR("</svg>\n"));
}
