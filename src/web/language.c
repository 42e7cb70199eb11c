#include "web/language.h"

#include <limits.h>

#define UNNAMED (-1)

/* What the header says of one language, or of "*". */
struct wish {
    int weight;    /* in thousandths; 0: refused; UNNAMED */
    int position;  /* of the member that gave it */
};

/* RFC 9110 12.4.2: 0 to 1 with at most three decimals, in thousandths; -1: not of this form. */
static int qvalue(struct str s)
{
    if (!s.n || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
        return -1;
    int value = (s.p[0] - '0') * 1000;
    for (size_t i = 2, unit = 100; i < s.n; i++, unit /= 10) {
        if (!ascii_digit(s.p[i]))
            return -1;
        value += (s.p[i] - '0') * (int)unit;
    }
    return value <= 1000 ? value : -1;
}

/* The weight of one member and its language range. Parameters that are not "q" mean nothing here. */
static int read_member(struct str member, struct str *range)
{
    struct str rest, parameter;
    int weight = 1000;
    str_cut(member, ';', range, &rest);
    *range = str_trim(*range);
    while (rest.n) {
        str_cut(rest, ';', &parameter, &rest);
        parameter = str_trim(parameter);
        if (str_istarts(parameter, STR("q=")))
            weight = qvalue(str_sub(parameter, 2, parameter.n));
    }
    return weight;
}

static void note(struct wish *wish, int weight, int position)
{
    if (weight > wish->weight)
        *wish = (struct wish){ weight, position };
}

/* "fr" and "fr-CA" ask for French, "fro" and "frr" do not. Refusing a region does not refuse the language. */
static void note_range(struct wish wishes[2], struct str range, int weight, int position)
{
    static const char *const tags[2] = { [LANG_EN] = "en", [LANG_FR] = "fr" };
    struct str language, region;
    bool whole = !str_cut(range, '-', &language, &region);
    for (int i = 0; i < 2; i++)
        if (str_ieq(language, str_of(tags[i])) && (whole || weight > 0))
            note(&wishes[i], weight, position);
}

bool language_wanted(const struct head *h, enum language *out)
{
    struct head_list at = { 0 };
    struct str member, range;
    struct wish any = { UNNAMED, 0 }, wishes[2] = { any, any };
    for (int i = 0; head_list(h, STR("accept-language"), &at, &member); i++) {
        int weight = read_member(member, &range);
        if (weight < 0)
            continue;
        if (str_is(range, "*"))
            note(&any, weight, i);
        else
            note_range(wishes, range, weight, i);
    }
    /* "*" speaks for the languages that are not named; behind those that are, between equals. */
    for (int i = 0; i < 2; i++)
        if (wishes[i].weight == UNNAMED)
            wishes[i] = (struct wish){ any.weight, INT_MAX };
    struct wish en = wishes[LANG_EN], fr = wishes[LANG_FR];
    if (en.weight == fr.weight && (en.weight <= 0 || en.position == fr.position))
        return false;
    bool some = en.weight > 0 || fr.weight > 0;
    bool french = !some ? en.weight == 0 : fr.weight != en.weight ? fr.weight > en.weight : fr.position < en.position;
    *out = french ? LANG_FR : LANG_EN;
    return true;
}
