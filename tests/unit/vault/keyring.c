/* The master key and the keys below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "crypto/seal.h"
#include "hub.h"
#include "vault/data_key.h"

/* ---- the file system, watched and made to fail (see meson.build) ---- */

int __real_fsync(int);
int __wrap_fsync(int);
int __real_linkat(int, const char *, int, const char *, int);
int __wrap_linkat(int, const char *, int, const char *, int);
int __real_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int, const char *, int, const char *, unsigned);

static char calls[64];      /* f: a file synced; d: a directory; l: linked; r: renamed */
static char failing;        /* the next of these calls fails, once */
static bool no_links;       /* as on file systems without hard links */

static bool fails(char call)
{
    size_t n = strlen(calls);
    if (n + 1 < sizeof calls)
        calls[n] = call;
    if (failing != call)
        return false;
    failing = 0;
    errno = EIO;
    return true;
}

int __wrap_fsync(int fd)
{
    struct stat st;
    bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return fails(directory ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
    if (no_links)
        return errno = EPERM, -1;
    return fails('l') ? -1 : __real_linkat(from, old, to, new, flags);
}

int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return fails('r') ? -1 : __real_renameat2(from, old, to, new, flags);
}

#define BASE64_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define HEX_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

/* ---- where the master key comes from ---- */

static const char *in_directory(struct hub *h, const char *name)
{
    return str_fmt(h->arena, "%s/%s", h->directory, name).p;
}

static const char *write_file(struct hub *h, const char *name, struct str content, mode_t mode)
{
    const char *path = in_directory(h, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.p, content.n), (ssize_t)content.n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static enum err load(struct hub *h, struct str text, struct str file, bool may_create, struct secret *out, bool *created)
{
    struct master_key_source from = { text, file, str_of(h->directory) };
    *out = SECRET_NONE;
    memset(&h->why, 0, sizeof h->why);
    enum err e = master_key_load(&from, may_create, out, created, &h->why);
    assert_int_equal(e != ERR_NONE, out->p == NULL);
    return e;
}

static void counts_up(struct secret key)
{
    assert_int_equal(key.n, 32);
    for (int i = 0; i < 32; i++)
        assert_int_equal(key.p[i], i);
}

static void a_master_key_is_read_from_base64_and_hex(void **state)
{
    struct hub *h = *state;
    static const char *const texts[] = { BASE64_KEY, HEX_KEY, BASE64_KEY "\n", " " HEX_KEY "\r\n" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO_SECRET key;
        bool created;
        assert_int_equal(load(h, str_of(texts[i]), STR_NONE, false, &key, &created), ERR_NONE);
        assert_false(created);
        counts_up(key);
    }
}

static void a_text_that_is_no_key_is_refused_and_not_repeated(void **state)
{
    struct hub *h = *state;
    static const char *const texts[] = {
        "canary",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==" /* 31 bytes */,
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g" /* 33 */,
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" /* no padding */,
        "zz0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F",
        HEX_KEY "00",
        "0123456789012345678901234567890",
        "01234567890123456789012345678901" /* 32 characters are no key in a text */,
        " ",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct secret key;
        bool created;
        if (load(h, str_of(texts[i]), STR_NONE, true, &key, &created) != ERR_KEY_MISSING)
            fail_msg("%s", texts[i]);
        assert_null(strstr(h->why.subject, "canary"));
        assert_null(strstr(h->why.note, "canary"));
        assert_non_null(strstr(h->why.subject, "base64"));
        assert_int_not_equal(access(in_directory(h, "master.key"), F_OK), 0); /* a broken setting makes no new key */
    }
}

static void a_key_file_is_read_in_each_form(void **state)
{
    struct hub *h = *state;
    char raw[32];
    for (int i = 0; i < 32; i++)
        raw[i] = (char)i;
    const struct str contents[] = { STR(BASE64_KEY), STR(BASE64_KEY "\n"), STR(HEX_KEY "\n"), { raw, 32 } };
    for (size_t i = 0; i < COUNT(contents); i++) {
        AUTO_SECRET key;
        bool created;
        const char *path = write_file(h, "some.key", contents[i], i % 2 ? 0600 : 0400);
        assert_int_equal(load(h, STR_NONE, str_of(path), false, &key, &created), ERR_NONE);
        counts_up(key);
    }
}

static void a_key_file_that_others_may_read_is_refused(void **state)
{
    struct hub *h = *state;
    static const mode_t modes[] = { 0640, 0604, 0644, 0660, 0666, 0610, 0601, 0777 };
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct secret key;
        bool created;
        const char *path = write_file(h, "some.key", STR(BASE64_KEY), modes[i]);
        assert_int_equal(load(h, STR_NONE, str_of(path), false, &key, &created), ERR_KEY_MISSING);
        assert_non_null(strstr(h->why.subject, "chmod 600"));
    }
    write_file(h, "master.key", STR(BASE64_KEY), 0644);
    struct secret key;
    bool created;
    assert_int_equal(load(h, STR_NONE, STR_NONE, true, &key, &created), ERR_KEY_MISSING);
}

static void a_key_file_that_was_named_is_never_made(void **state)
{
    struct hub *h = *state;
    struct secret key;
    bool created;
    const char *path = in_directory(h, "absent.key");
    assert_int_equal(load(h, STR_NONE, str_of(path), true, &key, &created), ERR_KEY_MISSING);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(in_directory(h, "master.key"), F_OK), 0);
    assert_int_equal(load(h, STR_NONE, str_of(h->directory), true, &key, &created), ERR_KEY_MISSING); /* a directory */
    static char large[5000];
    memset(large, 'A', sizeof large);
    path = write_file(h, "large.key", (struct str){ large, sizeof large }, 0600);
    assert_int_equal(load(h, STR_NONE, str_of(path), true, &key, &created), ERR_KEY_MISSING);
    assert_int_equal(load(h, STR_NONE, str_of(write_file(h, "empty.key", STR(""), 0600)), true, &key, &created), ERR_KEY_MISSING);
}

static int files_of_the_key(struct hub *h)
{
    int files = 0;
    DIR *d = opendir(h->directory);
    for (struct dirent *e; (e = readdir(d));)
        files += str_starts(str_of(e->d_name), STR("master.key"));
    closedir(d);
    return files;
}

static void a_key_is_made_once_and_read_ever_after(void **state)
{
    struct hub *h = *state;
    AUTO_SECRET first;
    AUTO_SECRET again;
    bool created;
    mode_t before = umask(0);
    assert_int_equal(load(h, STR_NONE, STR_NONE, true, &first, &created), ERR_NONE);
    umask(before);
    assert_true(created);

    struct stat st;
    assert_int_equal(stat(in_directory(h, "master.key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_size, 45);

    assert_int_equal(load(h, STR_NONE, STR_NONE, true, &again, &created), ERR_NONE);
    assert_false(created);
    assert_true(secret_equal(first, again));
    assert_int_equal(files_of_the_key(h), 1); /* nothing temporary stays */
}

static void a_new_key_is_on_the_disk_before_it_is_used(void **state)
{
    struct hub *h = *state;
    for (int i = 0; i < 2; i++) {
        AUTO_SECRET key;
        AUTO_SECRET again;
        bool created;
        no_links = i;
        memset(calls, 0, sizeof calls);
        assert_int_equal(load(h, STR_NONE, STR_NONE, true, &key, &created), ERR_NONE);
        assert_string_equal(calls, no_links ? "frd" : "fld");
        no_links = false;
        assert_int_equal(load(h, STR_NONE, STR_NONE, false, &again, &created), ERR_NONE);
        assert_true(secret_equal(key, again));
        assert_int_equal(files_of_the_key(h), 1);
        unlink(in_directory(h, "master.key"));
    }
}

static void a_key_that_may_not_last_is_not_used(void **state)
{
    struct hub *h = *state;
    static const struct { char failing; int left; } rows[] = { { 'f', 0 }, { 'd', 1 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct secret key;
        bool created;
        failing = rows[i].failing;
        assert_int_equal(load(h, STR_NONE, STR_NONE, true, &key, &created), ERR_KEY_MISSING);
        assert_false(created);
        assert_non_null(strstr(h->why.subject, "cannot be created"));
        assert_int_equal(files_of_the_key(h), rows[i].left);
    }
}

static void a_lost_key_is_not_replaced(void **state)
{
    struct hub *h = *state;
    struct secret key;
    bool created;
    assert_int_equal(load(h, STR_NONE, STR_NONE, false, &key, &created), ERR_KEY_MISSING);
    assert_false(created);
    assert_non_null(strstr(h->why.subject, "put it back"));
    assert_int_not_equal(access(in_directory(h, "master.key"), F_OK), 0);
}

static void the_nearest_source_wins(void **state)
{
    struct hub *h = *state;
    char sevens[32], eights[32], nines[32];
    memset(sevens, 7, 32);
    memset(eights, 8, 32);
    memset(nines, 9, 32);
    const char *file = write_file(h, "file.key", (struct str){ sevens, 32 }, 0600);
    write_file(h, "master.key", (struct str){ nines, 32 }, 0600);
    const char *credentials = in_directory(h, "credentials");
    assert_int_equal(mkdir(credentials, 0700), 0);
    write_file(h, "credentials/master-key", (struct str){ eights, 32 }, 0440); /* as systemd shows it under an access list */
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", credentials, 1), 0);
    const struct { struct str text, file; int byte; } rows[] = {
        { STR(BASE64_KEY), str_of(file), 0 }, { STR_NONE, str_of(file), 7 }, { STR_NONE, STR_NONE, 8 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_SECRET key;
        bool created;
        assert_int_equal(load(h, rows[i].text, rows[i].file, true, &key, &created), ERR_NONE);
        assert_int_equal(key.p[0], rows[i].byte);
    }
    unlink(in_directory(h, "credentials/master-key"));
    AUTO_SECRET key;
    bool created;
    assert_int_equal(load(h, STR_NONE, STR_NONE, true, &key, &created), ERR_NONE);
    assert_int_equal(key.p[0], 9);
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void *make_at_once(void *context)
{
    struct hub *h = context;
    struct master_key_source from = { .directory = str_of(h->directory) };
    struct secret *out = mem_zero(sizeof *out);
    bool created;
    return master_key_load(&from, true, out, &created, NULL) ? NULL : out;
}

static void two_starts_at_once_agree_on_one_key(void **state)
{
    struct hub *h = *state;
    pthread_t t[4];
    struct secret *keys[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, make_at_once, h), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], (void **)&keys[i]);
    for (int i = 0; i < 4; i++) {
        assert_non_null(keys[i]);
        assert_true(secret_equal(*keys[0], *keys[i]));
    }
    for (int i = 0; i < 4; i++) {
        secret_end(keys[i]);
        free(keys[i]);
    }
}

/* ---- the ring ---- */

static enum err ring(struct hub *h, unsigned char master)
{
    keyring_close(h->keys);
    h->keys = NULL;
    return keyring_open(h->store, hub_master(master), &h->keys, &h->why);
}

static void an_empty_store_gets_its_first_wrapping_key_sealed(void **state)
{
    struct hub *h = *state;
    assert_int_equal(ring(h, 1), ERR_NONE);
    struct str sealed, text = hub_text(h, "SELECT sealed FROM wrapping_key WHERE id = 1 AND active = 1");
    uint32_t id;
    assert_true(base64_decode(h->arena, text, BASE64_STANDARD, &sealed));
    assert_true(seal_key_id(sealed, &id));
    assert_int_equal(sealed.n, SEAL_OVERHEAD + SEAL_KEY);

    assert_int_equal(ring(h, 1), ERR_NONE);
    assert_true(str_is(hub_text(h, "SELECT CAST(count(*) AS TEXT) FROM wrapping_key"), "1"));
    assert_true(str_eq(text, hub_text(h, "SELECT sealed FROM wrapping_key")));
}

static void a_wrong_master_key_is_found_before_anything_is_written(void **state)
{
    struct hub *h = *state;
    assert_int_equal(ring(h, 1), ERR_NONE);
    assert_int_equal(ring(h, 1), ERR_NONE); /* a reader has seen the last write: its mark stands where it will */
    struct str before = hub_files(h);

    assert_int_equal(ring(h, 2), ERR_KEY_WRONG);

    AUTO_SECRET right = hub_master(1);
    assert_string_equal(h->why.subject, master_key_id(right).text); /* the key that is needed */
    struct str after = hub_files(h);
    assert_true(str_eq(before, after));
    free((char *)before.p);
    free((char *)after.p);
    assert_int_equal(ring(h, 1), ERR_NONE);
}

static enum err one_write(struct db *db, void *context, struct fault *why)
{
    struct { struct hub *h; struct str id; struct secret *key; } *w = context;
    return data_key_new(db, w->h->keys, (struct data_owner){ STR("connection"), w->id }, 1, w->key, why);
}

static struct secret new_key(struct hub *h, const char *id)
{
    struct secret key = SECRET_NONE;
    struct { struct hub *h; struct str id; struct secret *key; } w = { h, str_of(id), &key };
    assert_int_equal(store_write(h->store, one_write, &w, &h->why), ERR_NONE);
    assert_int_equal(key.n, SEAL_KEY);
    return key;
}

static enum err open_key(struct hub *h, const char *id, struct secret *key)
{
    *key = SECRET_NONE;
    return data_key_open(store_reader(h->store, &h->why), h->keys, (struct data_owner){ STR("connection"), str_of(id) }, key,
                         &h->why);
}

static void a_data_key_opens_for_its_owner_after_a_restart(void **state)
{
    struct hub *h = *state;
    assert_int_equal(ring(h, 1), ERR_NONE);
    AUTO_SECRET key = new_key(h, "con_1");
    AUTO_SECRET opened = SECRET_NONE;
    struct secret none = SECRET_NONE;

    hub_close(h);
    hub_open(h);
    assert_int_equal(ring(h, 1), ERR_NONE);

    assert_int_equal(open_key(h, "con_1", &opened), ERR_NONE);
    assert_true(secret_equal(key, opened));
    assert_int_equal(open_key(h, "con_2", &none), ERR_NOT_FOUND);
    static const char *const edits[] = {
        "UPDATE data_key SET owner_id = 'con_2' WHERE owner_id = 'con_1'",
        "UPDATE data_key SET kind = 'user' WHERE owner_id = 'con_2'; UPDATE data_key SET kind = 'connection' WHERE owner_id = "
        "'con_2'",
        "UPDATE data_key SET sealed = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='",
        "UPDATE data_key SET sealed = ''",
    };
    for (size_t i = 0; i < COUNT(edits); i++) {
        hub_sql(h, edits[i]);
        assert_int_equal(open_key(h, "con_2", &none), ERR_CRYPTO);
    }
    assert_null(none.p);
}

static void a_data_key_with_one_bit_changed_does_not_open(void **state)
{
    struct hub *h = *state;
    AUTO_SECRET key = secret_new(SEAL_KEY);
    struct secret none = SECRET_NONE;
    struct str sealed;
    uint32_t by;
    assert_int_equal(ring(h, 1), ERR_NONE);
    assert_int_equal(keyring_wrap(h->keys, h->arena, STR("place"), key, &sealed, &by, &h->why), ERR_NONE);
    for (size_t i = 0; i < sealed.n * 8; i++) {
        ((char *)sealed.p)[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(keyring_unwrap(h->keys, STR("place"), sealed, &none, &h->why), ERR_CRYPTO);
        ((char *)sealed.p)[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(keyring_unwrap(h->keys, STR("plac"), sealed, &none, &h->why), ERR_CRYPTO);
    assert_int_equal(keyring_unwrap(h->keys, STR("place"), STR_NONE, &none, &h->why), ERR_CRYPTO);
    AUTO_SECRET opened = SECRET_NONE;
    assert_int_equal(keyring_unwrap(h->keys, STR("place"), sealed, &opened, &h->why), ERR_NONE);
}

static void no_two_data_keys_are_alike(void **state)
{
    struct hub *h = *state;
    assert_int_equal(ring(h, 1), ERR_NONE);
    struct secret keys[20];
    for (size_t i = 0; i < COUNT(keys); i++)
        keys[i] = new_key(h, "con_1");
    for (size_t i = 0; i < COUNT(keys); i++)
        for (size_t j = 0; j < i; j++)
            assert_false(secret_equal(keys[i], keys[j]));
    for (size_t i = 0; i < COUNT(keys); i++)
        secret_end(&keys[i]);
}

static void a_wrapping_key_that_was_tampered_with_is_refused(void **state)
{
    struct hub *h = *state;
    static const struct { const char *sql; enum err e; } rows[] = {
        { "UPDATE wrapping_key SET sealed = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='", ERR_CRYPTO }, /* a key in clear */
        { "UPDATE wrapping_key SET sealed = ''", ERR_CRYPTO },
        { "UPDATE wrapping_key SET sealed = 'not base64!'", ERR_CRYPTO },
        { "DELETE FROM data_key; UPDATE wrapping_key SET id = 2", ERR_KEY_WRONG }, /* moved to another row */
        { "UPDATE wrapping_key SET active = 0", ERR_CRYPTO },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        hub_sql(h, "DELETE FROM data_key; DELETE FROM wrapping_key");
        assert_int_equal(ring(h, 1), ERR_NONE);
        hub_sql(h, rows[i].sql);
        if (ring(h, 1) != rows[i].e)
            fail_msg("%s: %s", rows[i].sql, h->why.note);
        assert_null(h->keys);
    }
}

static void lost_wrapping_keys_are_not_made_anew_over_what_they_sealed(void **state)
{
    struct hub *h = *state;
    hub_sql(h, "INSERT INTO data_key (kind, owner_id, sealed, created_ms) VALUES ('connection', 'con_1', '', 1)");
    assert_int_equal(ring(h, 1), ERR_CRYPTO);
    assert_true(str_is(hub_text(h, "SELECT CAST(count(*) AS TEXT) FROM wrapping_key"), "0"));
}

static void a_fingerprint_tells_secrets_apart_within_one_instance(void **state)
{
    struct hub *h = *state;
    assert_int_equal(ring(h, 1), ERR_NONE);
    struct str one = keyring_fingerprint(h->keys, h->arena, STR("canary")),
               other = keyring_fingerprint(h->keys, h->arena, STR("canarz"));
    assert_int_equal(one.n, 16);
    assert_false(str_eq(one, other));
    assert_int_equal(ring(h, 1), ERR_NONE);
    assert_true(str_eq(one, keyring_fingerprint(h->keys, h->arena, STR("canary"))));
    hub_sql(h, "DELETE FROM data_key; DELETE FROM wrapping_key");
    assert_int_equal(ring(h, 1), ERR_NONE);
    assert_false(str_eq(one, keyring_fingerprint(h->keys, h->arena, STR("canary"))));
}

static int with_hub(void **state)
{
    *state = hub_new();
    return 0;
}

static int drop_hub(void **state)
{
    hub_end(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_hub, drop_hub)

int main(void)
{
    unsetenv("CREDENTIALS_DIRECTORY");
    const struct CMUnitTest tests[] = {
        TEST(a_master_key_is_read_from_base64_and_hex),
        TEST(a_text_that_is_no_key_is_refused_and_not_repeated),
        TEST(a_key_file_is_read_in_each_form),
        TEST(a_key_file_that_others_may_read_is_refused),
        TEST(a_key_file_that_was_named_is_never_made),
        TEST(a_key_is_made_once_and_read_ever_after),
        TEST(a_new_key_is_on_the_disk_before_it_is_used),
        TEST(a_key_that_may_not_last_is_not_used),
        TEST(a_lost_key_is_not_replaced),
        TEST(the_nearest_source_wins),
        TEST(two_starts_at_once_agree_on_one_key),
        TEST(an_empty_store_gets_its_first_wrapping_key_sealed),
        TEST(a_wrong_master_key_is_found_before_anything_is_written),
        TEST(a_data_key_opens_for_its_owner_after_a_restart),
        TEST(a_data_key_with_one_bit_changed_does_not_open),
        TEST(no_two_data_keys_are_alike),
        TEST(a_wrapping_key_that_was_tampered_with_is_refused),
        TEST(lost_wrapping_keys_are_not_made_anew_over_what_they_sealed),
        TEST(a_fingerprint_tells_secrets_apart_within_one_instance),
    };
    return cmocka_run_group_tests_name("vault/keyring", tests, NULL, NULL);
}
