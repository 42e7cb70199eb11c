#include "base/yaml.h"

#include <libfyaml.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/map.h"
#include "base/yaml_scalar.h"

/* What a value weighs when written out, so that aliases can be counted: its texts and a little for the rest. */
#define WEIGHT 16

struct builder {
    struct arena *a;
    struct str text;
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct fy_event *event; /* the one under the hand */
    struct map *anchors;    /* name -> struct anchor */
    struct fy_token_iter *pieces;
    struct buf scalar;   /* the text of the scalar under the hand */
    size_t limit, added; /* bytes: what aliases may add, what they did */
    struct fault *why;
    enum err err;
};

struct anchor {
    struct json *value;
    size_t weight;
    int height; /* values within each other */
    bool open;  /* still being read */
};

/* What reading a value tells its parent. */
struct extent {
    size_t weight;
    int height;
};

static bool read_value(struct builder *b, struct json *v, int depth, struct extent *extent);

/* ---- Errors ---- */

static bool refuse_at(struct builder *b, enum err e, int line, int column, const char *what)
{
    char subject[sizeof b->why->subject];
    snprintf(subject, sizeof subject, "line %d, column %d: %s", line, column, what);
    b->err = fault(b->why, e, str_of(subject), "YAML");
    return false;
}

static bool refuse_as(struct builder *b, enum err e, const char *what)
{
    const struct fy_mark *mark = b->event ? fy_event_start_mark(b->event) : NULL;
    return refuse_at(b, e, mark ? mark->line + 1 : 1, mark ? mark->column + 1 : 1, what);
}

static bool refuse(struct builder *b, const char *what) { return refuse_as(b, ERR_INPUT_INVALID, what); }

/* The parser's own finding. Its words may quote the document, so only the place is passed on. */
static bool refuse_syntax(struct builder *b)
{
    void *at = NULL;
    struct fy_diag_error *found = fy_diag_errors_iterate(b->diag, &at);
    return refuse_at(b, ERR_INPUT_INVALID, found && found->line > 0 ? found->line : 1,
                     found && found->column > 0 ? found->column : 1, "this is not valid YAML");
}

/* ---- Events ---- */

static bool advance(struct builder *b)
{
    if (b->event)
        fy_parser_event_free(b->parser, b->event);
    b->event = fy_parser_parse(b->parser);
    return b->event || refuse_syntax(b);
}

/* Names of anchors and tags. */
static struct str token_text(struct fy_token *t)
{
    size_t n = 0;
    const char *p = t ? fy_token_get_text(t, &n) : NULL;
    return p ? (struct str){ p, n } : STR("");
}

/* ---- Scalars ---- */

/* Piece by piece: fy_token_get_text() of libfyaml 0.7.12 loses the memory it needs for a text of more than eight
 * pieces (escapes, folded lines), so that an upload could make the program grow for ever. */
static void other_style(struct builder *b, struct fy_token *value)
{
    const struct fy_iter_chunk *piece = NULL;
    fy_token_iter_start(value, b->pieces);
    while ((piece = fy_token_iter_chunk_next(b->pieces, piece, NULL)))
        buf_add(&b->scalar, (struct str){ piece->str, piece->len });
    fy_token_iter_finish(b->pieces);
}

/* Where the value stands in the document; false when the parser does not know. */
static bool source_of(struct builder *b, struct fy_token *value, struct str *out)
{
    const struct fy_mark *from = fy_token_start_mark(value), *to = fy_token_end_mark(value);
    if (!from || !to || from->input_pos > to->input_pos || to->input_pos > b->text.n)
        return false;
    *out = str_sub(b->text, from->input_pos, to->input_pos);
    return true;
}

/* What stands between quotes is read from the source, which libfyaml 0.7.12 misreads in places: `''''` inside single
 * quotes, an escaped line end behind an escaped backslash inside double ones. */
static bool scalar_text(struct builder *b, struct str *out)
{
    struct fy_token *value = b->event->scalar.value;
    enum fy_scalar_style style = value ? fy_token_scalar_style(value) : FYSS_PLAIN;
    struct str raw;
    bool good = true;
    buf_clear(&b->scalar);
    if (style == FYSS_SINGLE_QUOTED && source_of(b, value, &raw))
        yaml_single_quoted(&b->scalar, raw);
    else if (style == FYSS_DOUBLE_QUOTED && source_of(b, value, &raw))
        good = yaml_double_quoted(&b->scalar, raw);
    else if (value)
        other_style(b, value);
    *out = b->scalar.n ? buf_str(&b->scalar) : STR("");
    if (!good || !utf8_valid(*out))
        return refuse(b, "an escape that is no character");
    return !buf_failed(&b->scalar) || refuse(b, "a text longer than its document");
}

#define CORE "tag:yaml.org,2002:"

static bool read_scalar(struct builder *b, struct json *v)
{
    struct fy_token *value = b->event->scalar.value;
    struct str s, tag = token_text(b->event->scalar.tag);
    bool plain = !value || fy_token_scalar_style(value) == FYSS_PLAIN;
    if (!scalar_text(b, &s))
        return false;
    v->type = JSON_STRING;
    if (tag.n ? str_starts(tag, STR(CORE)) && !str_is(tag, CORE "str") : plain)
        v->type = yaml_plain(b->a, s, &v->text);
    if (v->type == JSON_STRING)
        v->text = arena_str(b->a, s);
    return true;
}

/* A tag says what a value is. YAML's own are known; one's own would change the meaning unseen. */
static bool tag_known(struct fy_event *event)
{
    static const struct {
        enum fy_event_type type;
        const char *tag;
    } known[] = {
        { FYET_SCALAR, CORE "null" },        { FYET_SCALAR, CORE "bool" }, { FYET_SCALAR, CORE "int" },
        { FYET_SCALAR, CORE "float" },       { FYET_SCALAR, CORE "str" },  { FYET_MAPPING_START, CORE "map" },
        { FYET_SEQUENCE_START, CORE "seq" },
    };
    struct fy_token *token = fy_event_get_tag_token(event);
    struct str tag = token_text(token);
    if (!token || str_is(tag, "!"))
        return true;
    for (size_t i = 0; i < COUNT(known); i++)
        if (event->type == known[i].type && str_is(tag, known[i].tag))
            return true;
    return false;
}

/* ---- Anchors and aliases ---- */

/* The anchor of the value under the hand, or NULL. A name may be given again; the last one counts. */
static struct anchor *anchor_open(struct builder *b, struct json *v)
{
    struct fy_token *token = fy_event_get_anchor_token(b->event);
    if (!token)
        return NULL;
    struct anchor *anchor = arena_zero(b->a, sizeof *anchor);
    *anchor = (struct anchor){ .value = v, .open = true };
    map_put(b->anchors, token_text(token), anchor);
    return anchor;
}

/* Shares the children of what it names, and counts as much as if they were copied. */
static bool read_alias(struct builder *b, struct json *v, int depth, struct extent *extent)
{
    struct anchor *anchor = map_get(b->anchors, token_text(b->event->alias.anchor));
    if (!anchor)
        return refuse(b, "an alias without its anchor");
    if (anchor->open)
        return refuse(b, "an alias inside its own anchor");
    if (depth + anchor->height > JSON_DEPTH)
        return refuse(b, "nested too deep");
    b->added += anchor->weight;
    if (b->added > b->limit)
        return refuse_as(b, ERR_LIMIT, "aliases make the document too large");
    struct str key = v->key;
    *v = *anchor->value;
    v->key = key;
    v->next = NULL;
    *extent = (struct extent){ anchor->weight, anchor->height };
    return true;
}

/* ---- Sequences and mappings ---- */

static void grow(struct extent *outer, struct extent inner)
{
    outer->weight += inner.weight;
    if (outer->height < inner.height + 1)
        outer->height = inner.height + 1;
}

static bool read_sequence(struct builder *b, struct json *v, int depth, struct extent *extent)
{
    struct json *last = NULL;
    v->type = JSON_ARRAY;
    for (;;) {
        struct extent inner = { 0 };
        if (!advance(b))
            return false;
        if (b->event->type == FYET_SEQUENCE_END)
            return true;
        struct json *item = json_new(b->a, JSON_NULL);
        if (!read_value(b, item, depth + 1, &inner))
            return false;
        json_link(b->a, v, &last, item);
        grow(extent, inner);
    }
}

static bool read_key(struct builder *b, const struct json *object, struct str *key)
{
    if (b->event->type != FYET_SCALAR)
        return refuse(b, "a key must be a plain or quoted text");
    if (!tag_known(b->event))
        return refuse(b, "an unknown tag");
    struct str s;
    if (!scalar_text(b, &s))
        return false;
    *key = arena_str(b->a, s);
    return !json_get_str(object, *key) || refuse(b, "this key comes twice in its mapping");
}

static bool read_mapping(struct builder *b, struct json *v, int depth, struct extent *extent)
{
    struct json *last = NULL;
    v->type = JSON_OBJECT;
    for (;;) {
        struct extent inner = { 0 };
        if (!advance(b))
            return false;
        if (b->event->type == FYET_MAPPING_END)
            return true;
        struct json *member = json_new(b->a, JSON_NULL);
        if (!read_key(b, v, &member->key) || !advance(b) || !read_value(b, member, depth + 1, &inner))
            return false;
        inner.weight += member->key.n;
        json_link(b->a, v, &last, member);
        grow(extent, inner);
    }
}

static bool read_content(struct builder *b, struct json *v, int depth, struct extent *extent)
{
    bool nests = b->event->type != FYET_SCALAR;
    extent->height = nests;
    if (nests && depth == JSON_DEPTH)
        return refuse(b, "nested too deep");
    if (!tag_known(b->event))
        return refuse(b, "an unknown tag");
    switch (b->event->type) {
    case FYET_SCALAR:
        return read_scalar(b, v);
    case FYET_SEQUENCE_START:
        return read_sequence(b, v, depth, extent);
    case FYET_MAPPING_START:
        return read_mapping(b, v, depth, extent);
    default:
        return refuse(b, "a value is expected");
    }
}

/* `depth`: how many sequences and mappings are around it. */
static bool read_value(struct builder *b, struct json *v, int depth, struct extent *extent)
{
    if (b->event->type == FYET_ALIAS)
        return read_alias(b, v, depth, extent);
    struct anchor *anchor = anchor_open(b, v);
    if (!read_content(b, v, depth, extent))
        return false;
    extent->weight += WEIGHT + v->text.n;
    if (anchor)
        *anchor = (struct anchor){ v, extent->weight, extent->height, false };
    return true;
}

static bool read_stream(struct builder *b, struct json *v)
{
    struct extent extent = { 0 };
    if (!advance(b) || !advance(b)) /* the stream's start, then a document's or its end */
        return false;
    if (b->event->type == FYET_STREAM_END)
        return true;
    if (!advance(b) || !read_value(b, v, 0, &extent) || !advance(b) || !advance(b)) /* the document's end, then what follows */
        return false;
    return b->event->type == FYET_STREAM_END || refuse(b, "a second document");
}

/* ---- The whole ---- */

/* JSON first where it may be: several times faster, and numbers keep their text. */
static bool read_as_json(struct arena *a, struct str text, struct json **out)
{
    struct str s = str_trim(text);
    if (!s.n || (s.p[0] != '{' && s.p[0] != '['))
        return false;
    struct arena_mark mark = arena_mark(a);
    if (!json_read(a, arena_str(a, text), out, NULL))
        return true;
    arena_rewind(a, mark);
    return false;
}

static void print_nothing(struct fy_diag *diag, void *user, const char *text, size_t n)
{
    (void)diag, (void)user, (void)text, (void)n;
}

static bool builder_init(struct builder *b, struct str text)
{
    struct fy_diag_cfg report;
    fy_diag_cfg_default(&report);
    report.fp = NULL;
    report.output_fn = print_nothing;
    b->diag = fy_diag_create(&report);
    fy_diag_set_collect_errors(b->diag, true);
    const struct fy_parse_cfg how = {
        .flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE | FYPCF_SLOPPY_FLOW_INDENTATION,
        .diag = b->diag,
    };
    b->parser = fy_parser_create(&how);
    b->anchors = map_new();
    b->pieces = fy_token_iter_create(NULL);
    buf_init(&b->scalar, 2 * text.n + 16); /* "\\L" makes three bytes of two */
    return b->parser && b->pieces && !fy_parser_set_string(b->parser, text.n ? text.p : "", text.n);
}

static void builder_end(struct builder *b)
{
    map_free(b->anchors);
    buf_end(&b->scalar);
    fy_token_iter_destroy(b->pieces);
    if (b->event)
        fy_parser_event_free(b->parser, b->event);
    fy_parser_destroy(b->parser);
    fy_diag_destroy(b->diag);
}

static enum err read_as_yaml(struct arena *a, struct str text, size_t limit, struct json **out, struct fault *why)
{
    struct builder b = { .a = a, .text = text, .limit = limit, .why = why };
    struct json *v = json_new(a, JSON_NULL);
    if (!builder_init(&b, text))
        b.err = fault(why, ERR_INTERNAL, STR("YAML"), "the YAML parser did not start");
    else if (read_stream(&b, v))
        *out = v;
    builder_end(&b);
    return b.err;
}

enum err yaml_read(struct arena *a, struct str text, size_t limit, struct json **out, struct fault *why)
{
    if (text.n > limit)
        return fault(why, ERR_BODY_TOO_LARGE, str_fmt(a, "%zu bytes", limit), "a document of %zu bytes", text.n);
    if (str_starts(text, STR("\xef\xbb\xbf"))) /* YAML 1.2.2, 5.2: allowed at the start */
        text = str_sub(text, 3, text.n);
    if (!utf8_valid(text) || str_find(text, 0) != SIZE_MAX)
        return fault(why, ERR_INPUT_INVALID, STR("the document is not UTF-8 text"), "invalid UTF-8 or a NUL byte");
    if (read_as_json(a, text, out))
        return ERR_NONE;
    return read_as_yaml(a, text, limit, out, why);
}
