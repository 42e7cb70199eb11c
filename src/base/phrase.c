#include "base/phrase.h"

static const struct phrase rows[] = {
#define P(en, fr) { ERR_NONE, { en, fr } },
#define P_OF(e, en, fr) { ERR_##e, { en, fr } },
#include "base/phrases.def"
#undef P
#undef P_OF
};

const struct phrase *phrase_row(size_t i) { return i < COUNT(rows) ? &rows[i] : NULL; }

#define HOLE STR("{}")

/* Takes the text up to the next hole off *pattern; false: that was the last, without a hole behind it. */
static bool next_piece(struct str *pattern, struct str *piece)
{
    size_t at = str_find_str(*pattern, HOLE);
    *piece = str_sub(*pattern, 0, at == SIZE_MAX ? pattern->n : at);
    *pattern = str_sub(*pattern, at == SIZE_MAX ? pattern->n : at + HOLE.n, pattern->n);
    return at != SIZE_MAX;
}

/* Answers how many bytes of the pattern were found in the text, or -1. A hole takes at least one byte and no ": ", which parts a
 * name from its phrase; it ends where the text behind it first comes, the last hole where the text's end allows. */
static int match(struct str pattern, struct str text, struct str holes[PHRASE_HOLES])
{
    struct str piece;
    bool hole = next_piece(&pattern, &piece);
    if (!hole)
        return str_eq(piece, text) ? (int)text.n : -1;
    if (!str_starts(text, piece))
        return -1;
    int fixed = (int)piece.n;
    text = str_sub(text, piece.n, text.n);
    for (int i = 0; i < PHRASE_HOLES && hole && text.n; i++) {
        hole = next_piece(&pattern, &piece);
        size_t rest = text.n > piece.n ? text.n - piece.n : 0, at = rest;
        if (hole)
            at = str_find_str(str_sub(text, 1, text.n), piece) + 1; /* SIZE_MAX + 1 is 0: not there */
        else if (!str_ends(text, piece))
            return -1;
        holes[i] = str_sub(text, 0, at);
        if (!at || str_find_str(holes[i], STR(": ")) != SIZE_MAX)
            return -1;
        text = str_sub(text, at + piece.n, text.n);
        fixed += (int)piece.n;
    }
    return hole || text.n ? -1 : fixed;
}

static void fill(struct buf *out, struct str french, const struct str holes[PHRASE_HOLES])
{
    struct str piece;
    for (int i = 0; next_piece(&french, &piece); i++) {
        buf_add(out, piece);
        buf_add(out, holes[i]);
    }
    buf_add(out, piece);
}

/* After these a subject is what somebody called something, be it “user”: only rows of that error apply. */
static bool subject_is_a_name(enum err e)
{
    return e == ERR_CONFLICT || strstr(err_row(e)->detail[LANG_EN], "“{}”");
}

/* The row of which most is found says it best: "{} bytes" fits many that have a row of their own. */
static bool say(struct buf *out, enum err e, struct str text)
{
    struct str holes[PHRASE_HOLES], best_holes[PHRASE_HOLES];
    const struct phrase *best = NULL;
    int most = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (rows[i].only ? rows[i].only != e : subject_is_a_name(e))
            continue;
        int fixed = match(str_of(rows[i].text[LANG_EN]), text, holes);
        if (fixed <= most)
            continue;
        most = fixed;
        best = &rows[i];
        memcpy(best_holes, holes, sizeof holes);
    }
    if (best)
        fill(out, str_of(best->text[LANG_FR]), best_holes);
    return best;
}

bool phrase_add(struct buf *out, enum err e, struct str subject)
{
    if (say(out, e, subject))
        return true;
    size_t colon = str_find_str(subject, STR(": "));
    if (colon == SIZE_MAX)
        return false;
    struct str name = str_sub(subject, 0, colon);
    size_t before = out->n;
    if (!say(out, e, name))
        buf_add(out, name);
    buf_add(out, STR(" : "));
    if (say(out, e, str_sub(subject, colon + 2, subject.n)))
        return true;
    out->n = before;
    return false;
}
