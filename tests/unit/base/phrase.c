/* What a fault's subject says in French: the table, and the sentences that people read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/phrase.h"

static const char *const fillings[] = { "alpha", "7", "omega" };

static int holes(const char *text)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, "{}")); at += 2)
        n++;
    return n;
}

/* The text with its holes filled. */
static char *filled(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (int i = 0; *text && n + 8 < size;) {
        if (strncmp(text, "{}", 2) != 0) {
            out[n++] = *text++;
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "%s", fillings[i++]);
        text += 2;
    }
    out[n] = 0;
    return out;
}

static void every_phrase_says_something_in_both_languages_with_the_same_holes(void **state)
{
    (void)state;
    const struct phrase *row;
    size_t n = 0;
    for (; (row = phrase_row(n)); n++) {
        const char *en = row->text[LANG_EN], *fr = row->text[LANG_FR];
        if (!*en || !*fr || !utf8_valid(str_of(en)) || !utf8_valid(str_of(fr)))
            fail_msg("a text is empty or not UTF-8: %s", en);
        if (holes(en) != holes(fr) || holes(en) > PHRASE_HOLES)
            fail_msg("%d holes in English, %d in French: %s", holes(en), holes(fr), en);
        if (strstr(en, "{}{}"))
            fail_msg("two holes touch: %s", en);
    }
    assert_true(n > 200);
}

static void no_phrase_is_there_twice(void **state)
{
    (void)state;
    const struct phrase *a, *b;
    for (size_t i = 0; (a = phrase_row(i)); i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp((b = phrase_row(j))->text[LANG_EN], a->text[LANG_EN]) == 0 && (b->only == a->only || !b->only || !a->only))
                fail_msg("twice: %s", a->text[LANG_EN]);
}

static void no_phrase_is_cut_in_a_fault(void **state)
{
    (void)state;
    const struct phrase *row;
    const size_t name = 64; /* bytes that stay for what fills its holes, or for a name in front */
    for (size_t i = 0; (row = phrase_row(i)); i++)
        if (strlen(row->text[LANG_EN]) + name >= sizeof((struct fault *)0)->subject)
            fail_msg("too long: %s", row->text[LANG_EN]);
}

/* French puts a space before these, and inside « ». A colon between letters or digits belongs to a time or a URL. */
static void french_is_set_as_french(void **state)
{
    (void)state;
    const struct phrase *row;
    for (size_t i = 0; (row = phrase_row(i)); i++) {
        const char *fr = row->text[LANG_FR];
        for (const char *p = fr; *p; p++) {
            bool spaced = p > fr && p[-1] == ' ';
            if ((*p == ';' || *p == '!' || (*p == ':' && (!p[1] || p[1] == ' '))) && !spaced)
                fail_msg("no space before %c: %s", *p, fr);
            if (strncmp(p, "«", 2) == 0 && p[2] != ' ')
                fail_msg("no space behind «: %s", fr);
            if (strncmp(p, "»", 2) == 0 && !spaced)
                fail_msg("no space before »: %s", fr);
        }
        if (strstr(fr, "“") || strstr(fr, "”") || strstr(fr, "’") || strchr(fr, '"'))
            fail_msg("an English or curly quote: %s", fr);
    }
}

/* Also: no row hides another. */
static void every_phrase_is_found_by_its_english(void **state)
{
    (void)state;
    const struct phrase *row;
    for (size_t i = 0; (row = phrase_row(i)); i++) {
        char en[400], fr[400];
        AUTO_BUF said;
        buf_init(&said, 1024);
        if (!phrase_add(&said, row->only ? row->only : ERR_INPUT_INVALID, str_of(filled(en, sizeof en, row->text[LANG_EN]))))
            fail_msg("not found: %s", en);
        if (!str_is(buf_str(&said), filled(fr, sizeof fr, row->text[LANG_FR])))
            fail_msg("“%s” was said as “%.*s”", en, STR_ARG(buf_str(&said)));
    }
}

static void expect(enum err e, const char *subject, const char *en, const char *fr)
{
    struct fault why;
    char say[768];
    fault(&why, e, str_of(subject), "note");
    assert_string_equal(fault_say(&why, LANG_EN, say, sizeof say), en);
    assert_string_equal(fault_say(&why, LANG_FR, say, sizeof say), fr);
}

static void a_french_caller_reads_the_whole_sentence_in_french(void **state)
{
    (void)state;
    expect(ERR_DOMAIN_INVALID,
           "a wildcard here would cover other people's domains (it stands on a public suffix); add your own name, as in "
           "*.example.com",
           "The allowed domain is not valid: a wildcard here would cover other people's domains (it stands on a public "
           "suffix); add your own name, as in *.example.com",
           "Le domaine autorisé n'est pas valide : ici, un joker couvrirait les domaines d'autrui (il porte sur un suffixe "
           "public) ; ajoutez votre propre nom, comme dans *.example.com");
    expect(ERR_BODY_TOO_LARGE, "4096 bytes", "The body is larger than 4096 bytes.", "Le corps dépasse 4096 octets.");
    expect(ERR_FIELD_INVALID, "“sub” and “subdomain” are the same field; give one",
           "The field is not valid: “sub” and “subdomain” are the same field; give one",
           "Le champ n'est pas valide : « sub » et « subdomain » sont le même champ ; n'en donnez qu'un");
    expect(ERR_UPSTREAM_TIMEOUT, "first byte", "The provider did not answer in time (first byte).",
           "Le fournisseur n'a pas répondu à temps (premier octet).");
    expect(ERR_JSON_INVALID, "line 3, column 12: a value is expected",
           "The body is not valid JSON: line 3, column 12: a value is expected",
           "Le corps n'est pas du JSON valide : ligne 3, colonne 12 : une valeur est attendue");
}

static void a_name_in_front_of_a_phrase_stays_as_it_is(void **state)
{
    (void)state;
    expect(ERR_FIELD_INVALID, "token: text is expected", "The field is not valid: token: text is expected",
           "Le champ n'est pas valide : token : un texte est attendu");
    expect(ERR_FIELD_INVALID, "notes: at most 512 bytes", "The field is not valid: notes: at most 512 bytes",
           "Le champ n'est pas valide : notes : 512 octets au plus");
    expect(ERR_FIELD_INVALID, "name (1 to 128 characters)", "The field is not valid: name (1 to 128 characters)",
           "Le champ n'est pas valide : name (de 1 à 128 caractères)");
}

static void what_is_missing_agrees_with_its_article(void **state)
{
    (void)state;
    expect(ERR_NOT_FOUND, "folder", "There is no folder here, or you may not see it.",
           "Il n'y a pas de dossier ici, ou vous n'y avez pas accès.");
    expect(ERR_NOT_FOUND, "user", "There is no user here, or you may not see it.",
           "Il n'y a pas d'utilisateur ici, ou vous n'y avez pas accès.");
    expect(ERR_NOT_FOUND, "run", "There is no run here, or you may not see it.",
           "Il n'y a pas d'exécution ici, ou vous n'y avez pas accès.");
}

static void what_somebody_called_something_is_never_translated(void **state)
{
    (void)state;
    expect(ERR_CONNECTION_NOT_FOUND, "user", "There is no connection “user”, or you may not see it.",
           "Il n'y a pas de connexion « user », ou vous ne pouvez pas la voir.");
    expect(ERR_UNKNOWN_FIELD, "5 bytes", "There is no field named “5 bytes” here; check its spelling.",
           "Il n'y a pas de champ « 5 bytes » ici ; vérifiez l'orthographe.");
    expect(ERR_CONFLICT, "run: a value is text", "It conflicts with what is there: run: a value is text",
           "Incompatible avec ce qui existe : run: a value is text");
    expect(ERR_FIELD_REQUIRED, "folder", "The field “folder” is required.", "Le champ « folder » est obligatoire.");
    expect(ERR_DENIED, "connection:edit", "You lack the right “connection:edit”.", "Il vous manque le droit « connection:edit ».");
}

static void a_subject_without_a_row_comes_out_as_it_is(void **state)
{
    (void)state;
    expect(ERR_CONFIG, "listen: “x” has no valid port", "listen: “x” has no valid port", "listen: “x” has no valid port");
    expect(ERR_LIMIT, " bytes", "A limit is reached:  bytes", "Une limite est atteinte :  bytes");
    expect(ERR_LIMIT, "", "A limit is reached: ", "Une limite est atteinte : ");
    expect(ERR_LIMIT, "{}", "A limit is reached: {}", "Une limite est atteinte : {}");
    expect(ERR_STORE, "must be a text", "The hub could not read or write its database.",
           "Le hub n'a pas pu lire ou écrire sa base de données.");
}

static void a_short_array_is_filled_and_ended(void **state)
{
    (void)state;
    struct fault why;
    char say[12];
    fault(&why, ERR_NOT_FOUND, STR("user"), "note");
    assert_string_equal(fault_say(&why, LANG_FR, say, sizeof say), "Il n'y a pa");
    fault(&why, ERR_STORE, STR(""), "note");
    assert_string_equal(fault_say(&why, LANG_EN, say, sizeof say), "The hub cou");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_phrase_says_something_in_both_languages_with_the_same_holes),
        cmocka_unit_test(no_phrase_is_there_twice),
        cmocka_unit_test(no_phrase_is_cut_in_a_fault),
        cmocka_unit_test(french_is_set_as_french),
        cmocka_unit_test(every_phrase_is_found_by_its_english),
        cmocka_unit_test(a_french_caller_reads_the_whole_sentence_in_french),
        cmocka_unit_test(a_name_in_front_of_a_phrase_stays_as_it_is),
        cmocka_unit_test(what_is_missing_agrees_with_its_article),
        cmocka_unit_test(what_somebody_called_something_is_never_translated),
        cmocka_unit_test(a_subject_without_a_row_comes_out_as_it_is),
        cmocka_unit_test(a_short_array_is_filled_and_ended),
    };
    return cmocka_run_group_tests_name("base/phrase", tests, NULL, NULL);
}
