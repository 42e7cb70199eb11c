/* The file of calls: whatever the sizes of its groups, and wherever it is opened again, it holds what was written and nothing else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "call/intent_file.h"
#include "store/room.h"

#define KEY "0123456789abcdef0123456789abcdef"
#define BLOCK 4096

struct sheet {
    struct room *room;
    char path[64];
    struct intent_file *file;
    struct buf want; /* the lines, without the seals */
    int64_t calls, seals;
};

static struct secret key(void) { return secret_from(STR(KEY)); }

static void open_again(struct sheet *s)
{
    intent_file_free(s->file);
    s->file = intent_file_new(str_of(s->path), key());
    assert_true(intent_file_ready(s->file));
}

static int setup_in(void **state, const char *folder)
{
    struct sheet *s = mem_zero(sizeof *s);
    snprintf(s->path, sizeof s->path, "%s/calls-XXXXXX", folder);
    int fd = mkstemp(s->path);
    if (fd < 0)
        return -1;
    close(fd);
    s->room = room_new();
    if (room_open_store(s->room->directory, &s->room->store, &s->room->why))
        return -1;
    buf_init(&s->want, SIZE_MAX / 2);
    open_again(s);
    *state = s;
    return 0;
}
static int on_disk(void **state) { return setup_in(state, "/tmp"); }
static int in_memory(void **state) { return setup_in(state, "/dev/shm"); }

static int teardown(void **state)
{
    struct sheet *s = *state;
    intent_file_free(s->file);
    unlink(s->path);
    buf_end(&s->want);
    room_end(s->room);
    free(s);
    return 0;
}

/* A group of one line, `n` bytes with its end. */
static void write_group(struct sheet *s, size_t n)
{
    AUTO_BUF text;
    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i + 1 < n; i++)
        buf_char(&text, (char)('a' + (s->calls + (int64_t)i) % 26));
    buf_char(&text, '\n');
    buf_add(&s->want, buf_str(&text));
    s->calls++;
    s->seals++;
    assert_true(intent_file_write(s->file, &text));
}

static struct str whole_file(struct sheet *s, struct buf *out)
{
    struct stat st;
    FILE *f = fopen(s->path, "r");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    buf_init(out, SIZE_MAX / 2);
    char *to = buf_room(out, (size_t)st.st_size);
    assert_int_equal(fread(to, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    return (struct str){ to, (size_t)st.st_size };
}

/* The lines are there, in order and once each; else there are seals only, and empty lines. */
static void assert_there(struct sheet *s)
{
    AUTO_BUF all, got;
    struct intent_file_found found;
    struct str line, rest = whole_file(s, &all);
    buf_init(&got, SIZE_MAX / 2);
    while (rest.n) {
        str_cut(rest, '\n', &line, &rest);
        if (!line.n || str_starts(line, STR("{\"seal\":")))
            continue;
        buf_add(&got, line);
        buf_char(&got, '\n');
    }
    assert_int_equal(got.n, s->want.n);
    assert_memory_equal(got.p, s->want.p, got.n);

    struct secret k = key();
    struct db *db = store_reader(s->room->store, &s->room->why);
    assert_non_null(db);
    assert_int_equal(intent_file_check(s->path, k, db, false, &found, &s->room->why), ERR_NONE);
    secret_end(&k);
    assert_false(found.wrong);
    assert_int_equal(found.calls, s->calls);
    assert_int_equal(found.seals, s->seals);
    assert_int_equal(found.loose, 0);
}

static void groups_of_every_size_about_a_block_are_there(void **state)
{
    struct sheet *s = *state;
    for (size_t n = 2; n < 40; n++)
        write_group(s, n);
    for (size_t n = BLOCK - 260; n < BLOCK + 20; n += 7)
        write_group(s, n);
    assert_there(s);
}

static void a_file_that_is_opened_in_the_middle_of_a_block_goes_on_there(void **state)
{
    struct sheet *s = *state;
    for (size_t i = 0; i < 60; i++) {
        write_group(s, 2 + i * 997 % (2 * BLOCK));
        if (i % 3 == 0)
            open_again(s);
    }
    assert_there(s);
}

static void a_group_greater_than_what_is_laid_out_is_there(void **state)
{
    struct sheet *s = *state;
    write_group(s, 100);
    write_group(s, 3 * 1024 * 1024 + 17);
    write_group(s, 100);
    open_again(s);
    write_group(s, 1024 * 1024);
    assert_there(s);
}

/* As after a crash: what was laid out is still there, and is written over. */
static void what_was_laid_out_is_written_over(void **state)
{
    struct sheet *s = *state;
    struct stat st;
    write_group(s, 5000);
    assert_int_equal(stat(s->path, &st), 0);
    off_t laid_out = st.st_size;
    assert_true(laid_out > 500000);
    open_again(s);
    assert_int_equal(stat(s->path, &st), 0);
    off_t closed = st.st_size;
    assert_true(closed < 6000);
    assert_int_equal(truncate(s->path, closed), 0);
    FILE *f = fopen(s->path, "a");
    for (off_t i = closed; i < laid_out - 1234; i++) /* ends within a block */
        fputc('\n', f);
    fclose(f);
    open_again(s);
    write_group(s, 300);
    write_group(s, 700000);
    assert_there(s);
}

static void nothing_is_written_without_the_key(void **state)
{
    struct sheet *s = *state;
    AUTO_BUF text;
    write_group(s, 300);
    intent_file_forget_key(s->file);
    buf_init(&text, 1000);
    buf_add(&text, STR("{\"run\":\"run_late\"}\n"));
    assert_false(intent_file_write(s->file, &text));
    assert_there(s);
}

#define TEST(f) \
    { #f " (disk)", f, on_disk, teardown, NULL }, { #f " (memory)", f, in_memory, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(groups_of_every_size_about_a_block_are_there),
        TEST(a_file_that_is_opened_in_the_middle_of_a_block_goes_on_there),
        TEST(a_group_greater_than_what_is_laid_out_is_there),
        TEST(what_was_laid_out_is_written_over),
        TEST(nothing_is_written_without_the_key),
    };
    return cmocka_run_group_tests_name("call/intent_file", tests, NULL, NULL);
}
