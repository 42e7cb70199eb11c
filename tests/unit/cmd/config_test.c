#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/config.h"

static int with_arena(void **state)
{
    *state = arena_new(64 * 1024);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

/* Lives as long as the arena. */
static void remove_file(void *path) { unlink(path); }

static const char *file_with(struct arena *a, const char *text)
{
    const char *dir = getenv("TMPDIR");
    char *path = arena_cstr(a, str_fmt(a, "%s/raccord-config-XXXXXX", dir ? dir : "/tmp"));
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    arena_defer(a, remove_file, path);
    return path;
}

static char *nothing[] = { NULL };

static struct config loaded(struct arena *a, const char *file, char *const *env, int *argc, char **argv)
{
    struct config c;
    struct fault why = { 0 };
    if (config_load(a, file, env, argc, argv, &c, &why))
        fail_msg("%s", why.subject);
    return c;
}

/* Only a file. */
static struct config from_file(struct arena *a, const char *text) { return loaded(a, file_with(a, text), nothing, NULL, NULL); }

/* What is said about a file that is refused, without the file's name. */
static const char *refusal(struct arena *a, const char *text)
{
    struct config c;
    static struct fault why;
    const char *file = file_with(a, text);
    assert_int_equal(config_load(a, file, nothing, NULL, NULL, &c, &why), ERR_CONFIG);
    struct str said = str_of(why.subject);
    size_t at = str_find_str(said, str_fmt(a, " (%s)", file));
    if (at == SIZE_MAX)
        fail_msg("the file is not named: %s", why.subject);
    why.subject[at] = 0;
    return why.subject;
}

static struct json *listed(struct arena *a, const struct config *c)
{
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    config_list(c, &b, true);
    struct json *v = NULL;
    assert_int_equal(json_read(a, arena_str(a, buf_str(&b)), &v, NULL), ERR_NONE);
    return v;
}

static struct json *listed_setting(struct arena *a, const struct config *c, const char *name)
{
    json_each (item, json_get(listed(a, c), "items"))
        if (str_is(json_str(item, "name"), name))
            return item;
    fail_msg("%s is not listed", name);
    return NULL;
}

static void without_any_source_every_setting_has_its_default(void **state)
{
    struct config c = loaded(*state, NULL, NULL, NULL, NULL);
    assert_true(str_is(c.listen, "127.0.0.1:8640"));
    assert_true(str_is(c.data, "./raccord-data"));
    assert_int_equal(c.public_url.n, 0);
    assert_null(c.master_key.p);
    assert_false(c.insecure_listen || c.header_names.allow_digits);
    assert_int_equal(c.limits.request_head, 32 * 1024);
    assert_int_equal(c.limits.proxy_body, 10737418240);
    assert_int_equal(c.limits.clients, 20000);
    assert_int_equal(c.timeouts.connect, 5000);
    assert_int_equal(c.timeouts.total, 120000);
    assert_int_equal(c.retention.runs, 2592000000);
    assert_int_equal(c.log.format, CONFIG_LOG_TEXT);
    assert_int_equal(c.log.level, LOG_INFO);
    assert_int_equal(c.threads, 0);
    assert_int_equal(c.warning_count, 0);
}

static void flags_beat_the_environment_which_beats_the_file(void **state)
{
    struct arena *a = *state;
    const char *file = file_with(a, "limits:\n  workers: 2\n  worker_queue: 20\n  clients: 200\nthreads: 1\n");
    char *env[] = { "RACCORD_LIMITS_WORKER_QUEUE=30", "RACCORD_LIMITS_CLIENTS=300", "PATH=/bin", NULL };
    char *argv[] = { "raccord", "serve", "--limits-clients", "400", NULL };
    int argc = 4;
    struct config c = loaded(a, file, env, &argc, argv);
    assert_int_equal(c.limits.workers, 2);
    assert_int_equal(c.limits.worker_queue, 30);
    assert_int_equal(c.limits.clients, 400);
    assert_true(str_is(json_str(listed_setting(a, &c, "threads"), "source"), "file"));
    assert_true(str_is(json_str(listed_setting(a, &c, "limits.worker_queue"), "source"), "environment"));
    assert_true(str_is(json_str(listed_setting(a, &c, "limits.clients"), "source"), "flag"));
    assert_true(str_is(json_str(listed_setting(a, &c, "limits.clients"), "value"), "400"));
    assert_true(str_is(json_str(listed_setting(a, &c, "limits.clients"), "default"), "20000"));
    assert_true(str_is(json_str(listed_setting(a, &c, "data"), "source"), "default"));
}

static void names_in_the_file_nest_or_are_dotted(void **state)
{
    struct arena *a = *state;
    struct config c = from_file(a, "tls: {certificate: c.pem, key: k.pem}\n");
    assert_true(str_is(c.tls.certificate, "c.pem") && str_is(c.tls.key, "k.pem"));
    c = from_file(a, "tls.certificate: c.pem\ntls.key: k.pem\n");
    assert_true(str_is(c.tls.certificate, "c.pem") && str_is(c.tls.key, "k.pem"));
    c = from_file(a, "{\"log\": {\"format\": \"json\", \"level\": \"debug\"}, \"insecure_listen\": true}");
    assert_int_equal(c.log.format, CONFIG_LOG_JSON);
    assert_int_equal(c.log.level, LOG_DEBUG);
    assert_true(c.insecure_listen);
    assert_string_equal(refusal(a, "threads: 1\nlog.level: info\nlog:\n  level: debug\n"), "log.level is given twice");
}

static void an_empty_file_or_value_changes_nothing(void **state)
{
    struct arena *a = *state;
    assert_true(str_is(from_file(a, "").data, "./raccord-data"));
    assert_true(str_is(from_file(a, "# nothing\n").data, "./raccord-data"));
    struct config c = from_file(a, "data:\nlimits:\ntls: {}\nlog:\n  level: ~\n");
    assert_true(str_is(c.data, "./raccord-data"));
    assert_true(str_is(json_str(listed_setting(a, &c, "data"), "source"), "default"));
}

static void lists_may_be_written_as_lists(void **state)
{
    struct arena *a = *state;
    struct config c = from_file(a, "egress:\n  allow_private: [10.0.0.0/8, \"localhost:9443\"]\n  ports:\n    - 443\n    - 8443\n");
    assert_true(str_is(c.egress.allow_private, "10.0.0.0/8,localhost:9443"));
    assert_true(str_is(c.egress.ports, "443,8443"));
    assert_true(str_is(from_file(a, "trusted_proxies: 10.0.0.1,10.0.0.2").trusted_proxies, "10.0.0.1,10.0.0.2"));
    assert_int_equal(from_file(a, "trusted_proxies: []").trusted_proxies.n, 0);
    assert_string_equal(refusal(a, "egress.ports: [\"1,2\"]"), "egress.ports must be a single value or a list of them");
    assert_string_equal(refusal(a, "egress.ports: [[1]]"), "egress.ports must be a single value or a list of them");
    assert_string_equal(refusal(a, "listen: [a, b]"), "listen must be a single value");
    assert_string_equal(refusal(a, "listen: {address: a}"), "listen must be a single value");
}

static void a_name_that_is_no_setting_is_refused_with_a_suggestion(void **state)
{
    struct arena *a = *state;
    assert_string_equal(refusal(a, "lisen: x"), "“lisen” is not a setting; did you mean listen?");
    assert_string_equal(refusal(a, "limit:\n  workers: 3"), "“limit.workers” is not a setting; did you mean limits.workers?");
    assert_string_equal(refusal(a, "limits:\n  worker_que: 3"),
                        "“limits.worker_que” is not a setting; did you mean limits.worker_queue?");
    assert_string_equal(refusal(a, "colour: blue"), "“colour” is not a setting");
    assert_string_equal(refusal(a, "colour:"), "“colour” is not a setting");
    assert_string_equal(refusal(a, "tls: cert.pem"), "tls holds settings of its own, such as tls.certificate");
    assert_string_equal(refusal(a, "[a]"), "the file must hold names and values");
    assert_string_equal(refusal(a, "a: [1"), "line 2, column 1: this is not valid YAML");
    assert_string_equal(refusal(a, "threads: 1\nthreads: 2"), "line 2, column 1: this key comes twice in its mapping");
}

static void a_value_out_of_form_or_bounds_is_refused_and_not_repeated(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "limits.request_head: 65K", "limits.request_head must be a size from 1K to 64K" },
        { "limits.request_head: 1023", "limits.request_head must be a size from 1K to 64K" },
        { "limits.api_body: 1.5M", "limits.api_body must be a size from 1K to 256M" },
        { "limits.proxy_body: 99999999999G", "limits.proxy_body must be a size from 1K to 1024G" },
        { "limits.workers: 0", "limits.workers must be a whole number from 1 to 1024" },
        { "limits.workers: -1", "limits.workers must be a whole number from 1 to 1024" },
        { "limits.workers: 1e1", "limits.workers must be a whole number from 1 to 1024" },
        { "limits.workers: s3cr3t", "limits.workers must be a whole number from 1 to 1024" },
        { "timeouts.connect: 5x", "timeouts.connect must be a time from 1ms to 1h" },
        { "timeouts.connect: 0", "timeouts.connect must be a time from 1ms to 1h" },
        { "retention.runs: 1m", "retention.runs must be a time from 1h to 3653d" },
        { "insecure_listen: yes", "insecure_listen must be true or false" },
        { "log.level: verbose", "log.level must be one of error|warn|info|debug" },
        { "log.format: \"\"", "log.format must be one of text|json" },
        { "data: \"a\\nb\"", "data must be a text without control characters" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(refusal(a, cases[i].text), cases[i].said);
    assert_int_equal(from_file(a, "limits.request_head: 64K").limits.request_head, 65536);
    assert_int_equal(from_file(a, "limits.request_head: 1k").limits.request_head, 1024);
    assert_int_equal(from_file(a, "timeouts.total: 0").timeouts.total, 0);
    assert_int_equal(from_file(a, "timeouts: {connect: 250ms}").timeouts.connect, 250);
    assert_int_equal(from_file(a, "retention.runs: 3653d").retention.runs, INT64_C(3653) * 86400000);
}

static void a_bad_variable_or_flag_is_named(void **state)
{
    struct arena *a = *state;
    struct config c;
    struct fault why;
    char *env[] = { "RACCORD_THREADS=many", NULL };
    assert_int_equal(config_load(a, NULL, env, NULL, NULL, &c, &why), ERR_CONFIG);
    assert_string_equal(why.subject, "threads must be a whole number from 0 to 1024 (RACCORD_THREADS)");
    char *argv[] = { "raccord", "--threads=many", NULL };
    int argc = 2;
    assert_int_equal(config_load(a, NULL, nothing, &argc, argv, &c, &why), ERR_CONFIG);
    assert_string_equal(why.subject, "threads must be a whole number from 0 to 1024 (--threads)");
    assert_int_equal(config_load(a, NULL, env, NULL, NULL, &c, NULL), ERR_CONFIG);
}

static void a_variable_that_is_no_setting_is_a_warning(void **state)
{
    struct arena *a = *state;
    char *env[] = { "RACCORD_LISTN=x",
                    "RACCORD_COLOUR=blue",
                    "RACCORD_SERVER=http://x",
                    "RACCORD_TOKEN=rcd_s3cr3t",
                    "RACCORD_SOURCE=/src",
                    "RACCORDE=x",
                    "LISTEN=x",
                    "RACCORD_",
                    "NOVALUE",
                    NULL };
    struct config c = loaded(a, NULL, env, NULL, NULL);
    assert_int_equal(c.warning_count, 2);
    assert_string_equal(c.warnings[0].p, "the environment variable RACCORD_LISTN is not a setting; did you mean RACCORD_LISTEN?");
    assert_string_equal(c.warnings[1].p, "the environment variable RACCORD_COLOUR is not a setting");
    assert_int_equal(json_get(listed(a, &c), "warnings")->count, 2);
}

static void an_empty_variable_counts_as_not_set(void **state)
{
    struct arena *a = *state;
    char *env[] = { "RACCORD_THREADS=", "RACCORD_DATA=", "RACCORD_MASTER_KEY=", NULL };
    struct config c = loaded(a, file_with(a, "data: /srv/raccord"), env, NULL, NULL);
    assert_true(str_is(c.data, "/srv/raccord"));
    assert_null(c.master_key.p);
}

static void flags_are_taken_out_and_the_rest_keeps_its_order(void **state)
{
    struct arena *a = *state;
    const char *file = file_with(a, "threads: 3");
    char *argv[] = { "raccord",
                     "serve",
                     "--data",
                     "/d",
                     "--demo",
                     "--public-url=https://x/y=z",
                     "--insecure-listen",
                     "last",
                     "--config",
                     (char *)file,
                     "--tls-certificate=",
                     "--",
                     "--data",
                     "kept",
                     NULL };
    int argc = 14;
    struct config c = loaded(a, "/nowhere/raccord.yaml", nothing, &argc, argv);
    assert_true(str_is(c.data, "/d"));
    assert_true(str_is(c.public_url, "https://x/y=z"));
    assert_true(c.insecure_listen);
    assert_int_equal(c.threads, 3);
    static const char *const rest[] = { "raccord", "serve", "--demo", "last", "--", "--data", "kept" };
    assert_int_equal(argc, COUNT(rest));
    for (size_t i = 0; i < COUNT(rest); i++)
        assert_string_equal(argv[i], rest[i]);
}

static void settings_outlive_the_arguments_and_the_environment(void **state)
{
    struct arena *a = *state;
    char variable[] = "RACCORD_DATA=/from/env", flag[] = "--listen=127.0.0.1:1";
    char *env[] = { variable, NULL }, *argv[] = { flag, NULL };
    int argc = 1;
    struct config c = loaded(a, NULL, env, &argc, argv);
    memset(variable, 'x', strlen(variable));
    memset(flag, 'x', strlen(flag));
    assert_true(str_is(c.data, "/from/env") && str_is(c.listen, "127.0.0.1:1"));
    assert_true(str_is(json_str(listed_setting(a, &c, "data"), "value"), "/from/env"));
}

static void a_switch_can_be_turned_off_again(void **state)
{
    struct arena *a = *state;
    char *argv[] = { "raccord", "--insecure-listen=false", NULL };
    int argc = 2;
    assert_false(loaded(a, file_with(a, "insecure_listen: true"), nothing, &argc, argv).insecure_listen);
    assert_int_equal(argc, 1);
}

static void a_flag_without_its_value_is_refused(void **state)
{
    struct arena *a = *state;
    static char *const lines[][4] = { { "raccord", "--data", NULL },
                                      { "raccord", "--data", "--listen", NULL },
                                      { "raccord", "--config", NULL } };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct config c;
        struct fault why;
        char *argv[4];
        memcpy(argv, lines[i], sizeof argv);
        int argc = argv[2] ? 3 : 2;
        assert_int_equal(config_load(a, NULL, nothing, &argc, argv, &c, &why), ERR_CONFIG);
        assert_true(str_ends(str_of(why.subject), STR(" needs a value")));
    }
}

static void the_master_key_comes_from_the_environment_only_and_is_never_shown(void **state)
{
    struct arena *a = *state;
    struct config c;
    struct fault why;
    char key[] = "RACCORD_MASTER_KEY=s3cr3ts3cr3t";
    char *env[] = { key, NULL };
    c = loaded(a, NULL, env, NULL, NULL);
    assert_ptr_equal(c.master_key.p, key + strlen("RACCORD_MASTER_KEY=")); /* in place: there is one copy to wipe */
    for (int as_json = 0; as_json < 2; as_json++) {
        AUTO_BUF b;
        buf_init(&b, 1 << 20);
        config_list(&c, &b, as_json);
        assert_true(str_find_str(buf_str(&b), STR("s3cr3t")) == SIZE_MAX);
        assert_true(str_find_str(buf_str(&b), STR("(set)")) != SIZE_MAX);
    }
    assert_true(str_is(json_str(listed_setting(a, &c, "master_key"), "value"), "(set)"));
    assert_null(json_str(listed_setting(a, &c, "master_key"), "flag").p);
    c = loaded(a, NULL, nothing, NULL, NULL);
    assert_true(str_is(json_str(listed_setting(a, &c, "master_key"), "value"), "(not set)"));

    assert_int_equal(config_load(a, file_with(a, "master_key: s3cr3t"), nothing, NULL, NULL, &c, &why), ERR_CONFIG);
    assert_string_equal(why.subject, "master_key is taken from the environment only: RACCORD_MASTER_KEY");
    assert_null(strstr(why.note, "s3cr3t"));
    char *argv[] = { "raccord", "--master-key", "s3cr3t", NULL };
    int argc = 3;
    assert_int_equal(config_load(a, NULL, nothing, &argc, argv, &c, &why), ERR_CONFIG);
    assert_string_equal(why.subject, "master_key is taken from the environment only: RACCORD_MASTER_KEY");
    assert_null(strstr(why.note, "s3cr3t"));
}

static void what_is_reserved_or_half_given_is_refused_with_a_clear_word(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "database_url: mysql://u:s3cr3t@db/x", "database_url is neither sqlite nor an address that begins with postgres://" },
        { "egress.proxy: http://u:s3cr3t@proxy:3128",
          "egress.proxy is reserved: this version calls providers directly; leave it out" },
        { "tls.certificate: c.pem", "tls.certificate and tls.key go together: give both or neither" },
        { "tls.key: k.pem", "tls.certificate and tls.key go together: give both or neither" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config c;
        struct fault why;
        assert_int_equal(config_load(a, file_with(a, cases[i].text), nothing, NULL, NULL, &c, &why), ERR_CONFIG);
        assert_string_equal(why.subject, cases[i].said);
    }
    assert_true(str_is(from_file(a, "database_url: sqlite").database_url, "sqlite"));
}

static void a_file_that_is_named_must_be_there(void **state)
{
    struct arena *a = *state;
    struct config c;
    struct fault why;
    assert_int_equal(config_load(a, "/nowhere/raccord.yaml", nothing, NULL, NULL, &c, &why), ERR_FILE);
    assert_string_equal(why.subject, "the configuration file cannot be read: No such file or directory (/nowhere/raccord.yaml)");
    assert_int_equal(config_load(a, "/", nothing, NULL, NULL, &c, &why), ERR_FILE);
}

static void every_name_is_spelled_in_one_way_by_each_source(void **state)
{
    struct arena *a = *state;
    struct config c = loaded(a, NULL, nothing, NULL, NULL);
    struct json *items = json_get(listed(a, &c), "items");
    assert_true(items->count > 40);
    json_each (x, items) {
        assert_true(json_str(x, "help").n > 3);
        for (struct json *y = x->next; y; y = y->next) {
            assert_false(str_eq(json_str(x, "name"), json_str(y, "name")));
            assert_false(str_eq(json_str(x, "environment"), json_str(y, "environment")));
            assert_false(str_eq(json_str(x, "flag"), json_str(y, "flag")));
        }
    }
    assert_true(str_is(json_str(listed_setting(a, &c, "limits.upstreams_per_connection"), "environment"),
                       "RACCORD_LIMITS_UPSTREAMS_PER_CONNECTION"));
    assert_true(
        str_is(json_str(listed_setting(a, &c, "limits.upstreams_per_connection"), "flag"), "--limits-upstreams-per-connection"));
}

/* Each setting that has a default, written as that default, from each source. */
static void every_setting_can_be_given_by_file_variable_and_flag(void **state)
{
    struct arena *a = *state;
    struct config c = loaded(a, NULL, nothing, NULL, NULL);
    json_each (item, json_get(listed(a, &c), "items")) {
        struct str name = json_str(item, "name"), preset = json_str(item, "default"), flag = json_str(item, "flag");
        if (!preset.n || !flag.p)
            continue;
        struct config given = from_file(a, str_fmt(a, "%.*s: %.*s\n", STR_ARG(name), STR_ARG(preset)).p);
        assert_true(str_is(json_str(listed_setting(a, &given, arena_cstr(a, name)), "source"), "file"));
        char *env[] = { (char *)str_fmt(a, "%.*s=%.*s", STR_ARG(json_str(item, "environment")), STR_ARG(preset)).p, NULL };
        given = loaded(a, NULL, env, NULL, NULL);
        assert_true(str_is(json_str(listed_setting(a, &given, arena_cstr(a, name)), "source"), "environment"));
        char *argv[] = { (char *)str_fmt(a, "%.*s=%.*s", STR_ARG(flag), STR_ARG(preset)).p, NULL };
        int argc = 1;
        given = loaded(a, NULL, nothing, &argc, argv);
        assert_true(str_is(json_str(listed_setting(a, &given, arena_cstr(a, name)), "source"), "flag"));
    }
}

static void the_table_for_people_has_a_line_for_each_setting(void **state)
{
    struct arena *a = *state;
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    struct config c = loaded(a, NULL, nothing, NULL, NULL);
    config_list(&c, &b, false);
    size_t lines = 0;
    struct str rest = str_trim(buf_str(&b)), line;
    assert_true(str_starts(rest, STR("NAME ")));
    while (str_piece(&rest, '\n', &line))
        lines++;
    assert_int_equal(lines, json_get(listed(a, &c), "items")->count + 1);
    assert_true(str_find_str(buf_str(&b), STR("127.0.0.1:8640")) != SIZE_MAX);
}

/* RACCORD_WRITE_DOCS=1 writes the document instead of comparing. */
static void the_document_of_the_settings_is_up_to_date(void **state)
{
    struct arena *a = *state;
    const char *path = RACCORD_SOURCE "/docs/config.md";
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    config_markdown(&b);
    bool writing = getenv("RACCORD_WRITE_DOCS") != NULL;
    FILE *f = fopen(path, writing ? "we" : "re");
    assert_non_null(f);
    if (writing)
        assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
    char *text = arena_alloc(a, 1 << 20);
    size_t n = writing ? 0 : fread(text, 1, 1 << 20, f);
    fclose(f);
    if (!writing && !str_eq((struct str){ text, n }, buf_str(&b)))
        fail_msg("docs/config.md differs from the table; run this test with RACCORD_WRITE_DOCS=1 and commit the result");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(without_any_source_every_setting_has_its_default),
        TEST(flags_beat_the_environment_which_beats_the_file),
        TEST(names_in_the_file_nest_or_are_dotted),
        TEST(an_empty_file_or_value_changes_nothing),
        TEST(lists_may_be_written_as_lists),
        TEST(a_name_that_is_no_setting_is_refused_with_a_suggestion),
        TEST(a_value_out_of_form_or_bounds_is_refused_and_not_repeated),
        TEST(a_bad_variable_or_flag_is_named),
        TEST(a_variable_that_is_no_setting_is_a_warning),
        TEST(an_empty_variable_counts_as_not_set),
        TEST(flags_are_taken_out_and_the_rest_keeps_its_order),
        TEST(settings_outlive_the_arguments_and_the_environment),
        TEST(a_switch_can_be_turned_off_again),
        TEST(a_flag_without_its_value_is_refused),
        TEST(the_master_key_comes_from_the_environment_only_and_is_never_shown),
        TEST(what_is_reserved_or_half_given_is_refused_with_a_clear_word),
        TEST(a_file_that_is_named_must_be_there),
        TEST(every_name_is_spelled_in_one_way_by_each_source),
        TEST(every_setting_can_be_given_by_file_variable_and_flag),
        TEST(the_table_for_people_has_a_line_for_each_setting),
        TEST(the_document_of_the_settings_is_up_to_date),
    };
    return cmocka_run_group_tests_name("cmd/config", tests, NULL, NULL);
}
