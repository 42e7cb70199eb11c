#include "room.h"

#include <dirent.h>

#include "auth/sigv4.h"

static struct sigv4_key key_of(const char *id, const char *secret, const char *region, const char *service)
{
    return (struct sigv4_key){ str_of(id), str_of(region), str_of(service), secret_from(str_of(secret)) };
}

/* ---- what AWS publishes ---- */

struct published {
    const char *method, *path, *query;
    struct header headers[5];
    const char *payload, *signature;
};
#define H(name, value) { { name, sizeof name - 1 }, { value, sizeof value - 1 } }
#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void expect_signature(struct arena *a, const struct sigv4_key *key, const char *date, bool raw, const struct published *row)
{
    struct header headers[8] = { { STR("Host"), STR_NONE } };
    size_t n = 0;
    while (n < COUNT(row->headers) && row->headers[n].name.p) {
        headers[n] = row->headers[n];
        n++;
    }
    headers[n++] = (struct header){ STR("X-Amz-Date"), str_of(date) };
    struct sigv4_request q = { str_of(row->method), str_of(row->path), str_of(row->query), headers, n, str_of(row->payload), raw };
    struct str signature;
    struct str value = sigv4_authorization(a, key, &q, date, &signature);
    assert_true(str_ends(value, signature));
    assert_memory_equal(signature.p, row->signature, 64);
}

/* "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", Amazon S3 API reference. */
static void the_examples_of_s3_come_out_as_published(void **state)
{
    (void)state;
    static const struct published rows[] = {
        { "GET", "/test.txt", "",
          { H("Host", "examplebucket.s3.amazonaws.com"), H("Range", "bytes=0-9"), H("x-amz-content-sha256", NOTHING) }, NOTHING,
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
        { "PUT", "/test%24file.text", "",
          { H("Host", "examplebucket.s3.amazonaws.com"), H("Date", "Fri, 24 May 2013 00:00:00 GMT"),
            H("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            H("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072") },
          "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
        { "GET", "/", "lifecycle", { H("Host", "examplebucket.s3.amazonaws.com"), H("x-amz-content-sha256", NOTHING) }, NOTHING,
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
        { "GET", "/", "max-keys=2&prefix=J",
          { H("Host", "examplebucket.s3.amazonaws.com"), H("x-amz-content-sha256", NOTHING) }, NOTHING,
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
    };
    struct arena *a = arena_new(8192);
    struct sigv4_key key = key_of("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3");
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_signature(a, &key, "20130524T000000Z", true, &rows[i]);
    secret_end(&key.secret);
    arena_free(a);
}

/* The walk-through of the IAM user guide. */
static void the_example_of_iam_comes_out_as_published(void **state)
{
    (void)state;
    static const struct published row = {
        "GET", "/", "Action=ListUsers&Version=2010-05-08",
        { H("Host", "iam.amazonaws.com"), H("Content-Type", "application/x-www-form-urlencoded; charset=utf-8") }, NOTHING,
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    };
    struct arena *a = arena_new(8192);
    struct sigv4_key key = key_of("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam");
    expect_signature(a, &key, "20150830T123600Z", false, &row);
    secret_end(&key.secret);
    arena_free(a);
}

/* ---- the corpus ---- */

static struct str file_text(struct arena *a, const char *folder, const char *name, const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = arena_alloc(a, 65536);
    struct str out = { text, fread(text, 1, 65536, f) };
    fclose(f);
    return out;
}

static struct str line_of(struct str *rest)
{
    struct str line;
    str_cut(*rest, '\n', &line, rest);
    return line;
}

static void expect_vector(struct arena *a, const char *folder, const char *name)
{
    struct fault why;
    struct json *context;
    assert_int_equal(json_read(a, file_text(a, folder, name, "context.json"), &context, &why), ERR_NONE);
    const struct json *credentials = json_get(context, "credentials");
    struct str token = json_str(credentials, "token"), secret = json_str(credentials, "secret_access_key");
    struct sigv4_key key = { json_str(credentials, "access_key_id"), json_str(context, "region"), json_str(context, "service"),
                             secret_from(secret) };

    struct str rest = file_text(a, folder, name, "request.txt"), line = line_of(&rest), method, target, path, query;
    bool signs_body = json_is(json_get(context, "sign_body"), JSON_TRUE);
    str_cut(line, ' ', &method, &target);
    target = str_sub(target, 0, target.n - sizeof " HTTP/1.1" + 1);
    str_cut(target, '?', &path, &query);
    struct header headers[16];
    size_t n = 0;
    while ((line = line_of(&rest)).n) {
        str_cut(line, ':', &headers[n].name, &headers[n].value);
        n++;
    }
    char hash[SIGV4_HASH_SIZE];
    struct str payload = { hash, sizeof hash };
    sigv4_hash(rest, hash);
    headers[n++] = (struct header){ STR("X-Amz-Date"), STR("20150830T123600Z") };
    if (signs_body)
        headers[n++] = (struct header){ STR("x-amz-content-sha256"), payload };
    if (token.n)
        headers[n++] = (struct header){ STR("X-Amz-Security-Token"), token };

    struct sigv4_request q = { method, path, query, headers, n, payload, !json_is(json_get(context, "normalize"), JSON_TRUE) };
    struct buf canonical, names;
    buf_init(&canonical, 1 << 16);
    buf_init(&names, 1 << 16);
    sigv4_canonical(a, &q, &canonical, &names);
    struct str expected = file_text(a, folder, name, "header-canonical-request.txt");
    if (!str_eq(buf_str(&canonical), expected))
        fail_msg("%s:\n%.*s\ninstead of\n%.*s", name, STR_ARG(buf_str(&canonical)), STR_ARG(expected));
    struct str signature;
    struct str value = sigv4_authorization(a, &key, &q, "20150830T123600Z", &signature);
    assert_memory_equal(signature.p, file_text(a, folder, name, "header-signature.txt").p, 64);
    assert_int_not_equal(str_find_str(file_text(a, folder, name, "header-signed-request.txt"), value), SIZE_MAX);
    buf_end(&canonical);
    buf_end(&names);
    secret_end(&key.secret);
}

static void every_vector_of_the_corpus_is_signed_alike(void **state)
{
    (void)state;
    static const char folder[] = CORPORA "/sigv4/v4";
    DIR *d = opendir(folder);
    if (!d) {
        print_message("left out: corpora not here\n");
        return;
    }
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.') {
            struct arena *a = arena_new(1 << 16);
            expect_vector(a, folder, entry->d_name);
            arena_free(a);
            seen++;
        }
    closedir(d);
    assert_true(seen >= 19);
}

/* ---- what the corpus leaves out ---- */

static void expect_line(const char *path, const char *query, bool raw, const char *path_line, const char *query_line)
{
    struct arena *a = arena_new(8192);
    const struct header host = { STR("host"), STR("h") };
    struct sigv4_request q = { STR("GET"), str_of(path), str_of(query), &host, 1, STR("x"), raw };
    struct buf out, names;
    buf_init(&out, 4096);
    buf_init(&names, 4096);
    sigv4_canonical(a, &q, &out, &names);
    struct str rest = buf_str(&out), line;
    line_of(&rest);
    line = line_of(&rest);
    if (!str_is(line, path_line))
        fail_msg("path %s: %.*s instead of %s", path, STR_ARG(line), path_line);
    line = line_of(&rest);
    if (!str_is(line, query_line))
        fail_msg("query %s: %.*s instead of %s", query, STR_ARG(line), query_line);
    buf_end(&out);
    buf_end(&names);
    arena_free(a);
}

static void escapes_of_a_path_are_escaped_again_except_for_s3(void **state)
{
    (void)state;
    expect_line("/functions/arn%3Aaws%3Alambda/x", "", false, "/functions/arn%253Aaws%253Alambda/x", "");
    expect_line("/functions/arn:aws:lambda/x", "", false, "/functions/arn%3Aaws%3Alambda/x", "");
    expect_line("/a%20b/c+d/%e9%2fx", "", true, "/a%20b/c%2Bd/%E9%2Fx", "");
    expect_line("/a//b/../c/", "", true, "/a//b/../c/", "");
    expect_line("/a//b/../c/", "", false, "/a/c/", "");
    expect_line("/", "", true, "/", "");
}

static void parameters_are_sorted_by_their_escaped_names_then_values(void **state)
{
    (void)state;
    expect_line("/", "b=2&a=2&a=1&A=3&a-b=0&a", false, "/", "A=3&a=&a=1&a=2&a-b=0&b=2");
    expect_line("/", "x=a+b&y=%7e%2f%zz", false, "/", "x=a%20b&y=%257e%252f%25zz");
    expect_line("/", "x=%7e&&y=a=b", false, "/", "x=~&y=a%3Db");
}

/* ---- the method ---- */

static struct trial *aws(const char *options, const char *token)
{
    struct trial *t = trial_new("aws_sigv4", options, "{\"region\":\"us-east-1\",\"service\":\"iam\"}");
    trial_secret(t, "access_key_id", STR("AKIDEXAMPLE"));
    trial_secret(t, "secret_access_key", STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"));
    if (token)
        trial_secret(t, "session_token", str_of(token));
    return t;
}

static struct signer *signer_of(struct trial *t)
{
    struct signer *s = NULL;
    assert_int_equal(trial_check(t), ERR_NONE);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->method->signer_new(t->a, &t->in, &s, &t->why), ERR_NONE);
    return s;
}

#define WALKED_THROUGH 1440938160000 /* 2015-08-30T12:36:00Z */

static void a_request_carries_date_hash_and_signature_and_signs_what_is_amazons(void **state)
{
    (void)state;
    struct trial *t = aws(NULL, "tokentoken");
    struct signer *s = signer_of(t);
    const struct header headers[] = { H("Accept", "*/*"), H("X-Amz-Target", "T.x"), H("Content-Type", "text/plain") };
    struct sign_request q = { .method = STR("POST"),
                              .host = STR("iam.amazonaws.com"),
                              .path = STR("/"),
                              .https = true,
                              .headers = headers,
                              .header_count = 3,
                              .has_body = true,
                              .body = STR("hello"),
                              .now = WALKED_THROUGH };
    struct signature out = { 0 };
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_NONE);
    assert_int_equal(t->out.count, 4);
    assert_true(str_is(t->out.at[1].name, "X-Amz-Date") && str_is(out.values[1], "20150830T123600Z"));
    assert_true(str_is(out.values[2], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"));
    assert_true(t->out.at[3].where == INJECT_HEADER && str_is(secret_str(t->out.at[3].value), "tokentoken"));
    assert_int_not_equal(str_find_str(out.values[0], STR("Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                                                         "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                                                         "x-amz-security-token;x-amz-target, Signature=")),
                         SIZE_MAX);
    assert_int_equal(out.proof.n, 64);
    t->method->signer_free(s);
    trial_end(t);
}

static void a_callers_security_token_is_taken_away_even_where_there_is_none(void **state)
{
    (void)state;
    struct trial *t = aws(NULL, NULL);
    t->method->signer_free(signer_of(t));
    assert_true(t->out.at[3].where == INJECT_SIGNED && str_is(t->out.at[3].name, "X-Amz-Security-Token"));
    trial_end(t);
}

static void only_s3_over_https_streams_bodies_that_are_not_signed(void **state)
{
    (void)state;
    static const struct { const char *options, *fields; enum sign_body wants; } rows[] = {
        { "{\"unsigned_payload\":true}", "{\"region\":\"eu-west-3\",\"service\":\"s3\"}", SIGN_NO_BODY },
        { "{\"unsigned_payload\":true}", "{\"region\":\"eu-west-3\",\"service\":\"lambda\"}", SIGN_ANY_BODY },
        { NULL, "{\"region\":\"eu-west-3\",\"service\":\"s3\",\"unsigned_payload\":true}", SIGN_ANY_BODY },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = aws(rows[i].options, NULL);
        t->in.fields = trial_json(t, rows[i].fields);
        struct signer *s = signer_of(t);
        assert_int_equal(t->method->signs_body(s), rows[i].wants);
        struct sign_request q = { .method = STR("PUT"), .host = STR("b"), .path = STR("/k"), .https = true, .has_body = true };
        struct signature out = { 0 };
        assert_int_equal(!t->method->sign(s, t->a, &q, &t->out, &out, &t->why), rows[i].wants == SIGN_NO_BODY);
        if (rows[i].wants == SIGN_NO_BODY) {
            assert_true(str_is(out.values[2], "UNSIGNED-PAYLOAD"));
            q.https = false;
            assert_int_not_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_NONE);
        }
        t->method->signer_free(s);
        trial_end(t);
    }
}

static void region_service_and_key_must_be_given_and_stay_in_their_place(void **state)
{
    (void)state;
    struct trial *t = aws(NULL, NULL);
    t->in.fields = trial_json(t, "{\"service\":\"s3\"}");
    trial_refused(t, ERR_FIELD_REQUIRED, "/fields/region");
    t->in.fields = trial_json(t, "{\"region\":\"eu/west\",\"service\":\"s3\"}");
    trial_refused(t, ERR_FIELD_INVALID, "/fields/region");
    t->in.fields = trial_json(t, "{\"region\":\"eu-west-3\"}");
    trial_refused(t, ERR_FIELD_REQUIRED, "/fields/service");
    trial_end(t);
    expect_refused("aws_sigv4", "{\"region\":\"a\",\"service\":\"b\"}", NULL, "access_key_id", STR("AKID"), ERR_FIELD_REQUIRED,
                   "/credentials/secret_access_key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_s3_come_out_as_published),
        cmocka_unit_test(the_example_of_iam_comes_out_as_published),
        cmocka_unit_test(every_vector_of_the_corpus_is_signed_alike),
        cmocka_unit_test(escapes_of_a_path_are_escaped_again_except_for_s3),
        cmocka_unit_test(parameters_are_sorted_by_their_escaped_names_then_values),
        cmocka_unit_test(a_request_carries_date_hash_and_signature_and_signs_what_is_amazons),
        cmocka_unit_test(a_callers_security_token_is_taken_away_even_where_there_is_none),
        cmocka_unit_test(only_s3_over_https_streams_bodies_that_are_not_signed),
        cmocka_unit_test(region_service_and_key_must_be_given_and_stay_in_their_place),
    };
    return cmocka_run_group_tests_name("auth/sigv4", tests, NULL, NULL);
}
