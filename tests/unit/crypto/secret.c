/* Memory for values that must not be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "crypto/secret.h"

#define CANARY 48
/* These sanitizers make mlock() do nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IDLE 1
#else
#define MLOCK_IDLE 0
#endif
#define MASK 0x5a

/* Bytes of this process, past the eyes of sanitizers. */
static bool peek(const void *at, void *out, size_t n)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    ssize_t got = pread(fd, out, n, (off_t)(uintptr_t)at);
    close(fd);
    return got == (ssize_t)n;
}

/* Is the canary, of which only the masked form is at hand, anywhere in memory that can be written? */
static int times_in_memory(const unsigned char masked[CANARY])
{
    enum { STEP = 1 << 20 };
    static char line[512];
    unsigned char *chunk = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char first = masked[0] ^ MASK;
    int found = 0, mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        char may[5];
        if (sscanf(line, "%llx-%llx %4s", &from, &to, may) != 3 || may[1] != 'w' || to - from > 1ull << 32)
            continue; /* the last: shadow memory of sanitizers */
        for (unsigned long long at = from; at < to; at += STEP - CANARY) {
            if (at == (uintptr_t)chunk)
                break;
            size_t want = to - at < STEP ? to - at : STEP;
            ssize_t got = pread(mem, chunk, want, (off_t)at);
            unsigned char *end = chunk + (got < CANARY ? 0 : got - CANARY + 1), *p = chunk;
            for (; p < end && (p = memchr(p, first, (size_t)(end - p))); p++) {
                int same = 1;
                while (same < CANARY && p[same] == (masked[same] ^ MASK))
                    same++;
                found += same == CANARY;
            }
            secret_wipe(chunk, STEP);
        }
    }
    fclose(maps);
    close(mem);
    munmap(chunk, STEP);
    return found;
}

static struct secret canary(unsigned char masked[CANARY], size_t size)
{
    struct secret s = secret_new(size);
    random_bytes(s.p, CANARY);
    s.p[0] |= 1; /* zeros are everywhere, and would only be looked at in vain */
    for (int i = 0; i < CANARY; i++)
        masked[i] = s.p[i] ^ MASK;
    return s;
}

static void an_ended_secret_is_nowhere_in_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = { 48, 64, 1000, 4096, 4097, 70000 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char masked[CANARY];
        struct secret s = canary(masked, sizes[i]);
        assert_int_equal(times_in_memory(masked), 1);

        secret_end(&s);

        assert_null(s.p);
        assert_int_equal(s.n, 0);
        assert_int_equal(times_in_memory(masked), 0);
    }
}

static void a_shortened_secret_is_wiped_whole(void **state)
{
    (void)state;
    unsigned char masked[CANARY];
    struct secret s = canary(masked, CANARY);
    s.n = 0;
    secret_end(&s);
    assert_int_equal(times_in_memory(masked), 0);
}

static void a_new_secret_is_zero_even_where_another_was(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 9000; n = n * 2 + 1) {
        struct secret s = secret_new(n);
        memset(s.p, 0xff, n);
        secret_end(&s);
        s = secret_new(n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(s.p[i], 0);
        secret_end(&s);
    }
}

static void an_empty_secret_is_a_secret(void **state)
{
    (void)state;
    AUTO_SECRET s = secret_new(0);
    AUTO_SECRET t = secret_from(STR_NONE);
    assert_non_null(s.p);
    assert_non_null(t.p);
    assert_true(secret_equal(s, t));
    assert_true(secret_equal(SECRET_NONE, s));
    struct secret none = SECRET_NONE;
    secret_end(&none);
    secret_end(&none);
}

static void secrets_do_not_share_bytes(void **state)
{
    (void)state;
    enum { N = 6000 };
    static struct secret all[N];
    for (int i = 0; i < N; i++) {
        all[i] = secret_new((size_t)(i % 130) + 1);
        memset(all[i].p, i & 0xff, all[i].n);
    }
    for (int i = 0; i < N; i += 2) /* leave holes, fill them with others */
        secret_end(&all[i]);
    for (int i = 0; i < N; i += 2) {
        all[i] = secret_new((size_t)(i % 61) + 1);
        memset(all[i].p, i & 0xff, all[i].n);
    }
    for (int i = 0; i < N; i++)
        for (size_t at = 0; at < all[i].n; at++)
            assert_int_equal(all[i].p[at], i & 0xff);
    for (int i = 0; i < N; i++)
        secret_end(&all[i]);
}

/* The line of /proc/self/smaps with the flags of the mapping that holds `p`. */
static void mapping_flags(const void *p, char *out, size_t size)
{
    char line[512];
    bool inside = false;
    out[0] = 0;
    FILE *f = fopen("/proc/self/smaps", "re");
    while (fgets(line, sizeof line, f)) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (inside && str_starts(str_of(line), STR("VmFlags:")))
            str_copy(out, size, str_of(line));
    }
    fclose(f);
}

static void pages_of_secrets_are_locked_and_kept_out_of_dumps(void **state)
{
    (void)state;
    static const size_t sizes[] = { 10, 5000 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char flags[512];
        size_t unlocked = secret_unlocked_pages();
        AUTO_SECRET s = secret_new(sizes[i]);
        mapping_flags(s.p, flags, sizeof flags);
        assert_non_null(strstr(flags, " dd"));
        assert_non_null(strstr(flags, " wf"));
#if !MLOCK_IDLE
        if (secret_unlocked_pages() == unlocked)
            assert_non_null(strstr(flags, " lo"));
#else
        (void)unlocked;
#endif
    }
}

/* In a child, as limits and flags stay with a process. Answers the child's exit code. */
static int in_child(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void lock_nothing_more(void)
{
    /* Not even root may lock once the right is given up: drop to a plain user where we are root. */
    if (geteuid() == 0 && setuid(65534))
        _exit(9);
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ 0, 0 });
    struct secret s = secret_new(3 * 4096 + 1);
    memset(s.p, 1, s.n);
    if (secret_unlocked_pages() != 4)
        _exit(1);
    secret_end(&s);
}

static void pages_that_cannot_be_locked_are_counted_and_used(void **state)
{
    (void)state;
#if MLOCK_IDLE
    (void)lock_nothing_more;
    print_message("left out: sanitizers make mlock() do nothing\n");
#else
    assert_int_equal(in_child(lock_nothing_more), 0);
#endif
}

static void protect(void)
{
    struct rlimit core;
    secret_protect_process();
    if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur || core.rlim_max)
        _exit(1);
#if !defined(__SANITIZE_ADDRESS__)
    if (prctl(PR_GET_DUMPABLE))
        _exit(2);
#endif
}

static void a_protected_process_leaves_no_core(void **state)
{
    (void)state;
    assert_int_equal(in_child(protect), 0);
}

static struct secret inherited;

static void look_for_inherited(void)
{
    unsigned char seen[CANARY];
    if (!peek(inherited.p, seen, sizeof seen))
        _exit(1);
    for (size_t i = 0; i < sizeof seen; i++)
        if (seen[i])
            _exit(2);
    secret_end(&inherited); /* still sound: the heads are not wiped */
    struct secret again = secret_new(100);
    secret_end(&again);
}

static void a_forked_child_sees_no_secret(void **state)
{
    (void)state;
    unsigned char masked[CANARY];
    inherited = canary(masked, CANARY);
    assert_int_equal(in_child(look_for_inherited), 0);
    assert_int_equal(inherited.p[0] ^ MASK, masked[0]);
    secret_end(&inherited);
}

static void end_twice(void)
{
    fclose(stderr);
    struct secret s = secret_new(10), copy = s;
    secret_end(&s);
    secret_end(&copy);
}

static void end_a_stranger(void)
{
    fclose(stderr);
    struct secret s = secret_new(10), inside = { s.p + 1, 9 };
    secret_end(&inside);
}

static void ending_twice_or_a_stranger_is_a_bug(void **state)
{
    (void)state;
    assert_int_not_equal(in_child(end_twice), 0);
    assert_int_not_equal(in_child(end_a_stranger), 0);
}

static void equality_looks_at_every_byte(void **state)
{
    (void)state;
    AUTO_SECRET a = secret_from(STR("0123456789abcdef"));
    AUTO_SECRET b = secret_copy(a);
    assert_true(secret_equal(a, b));
    assert_ptr_not_equal(a.p, b.p);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        assert_false(secret_equal(a, b));
        b.p[i] ^= 1;
    }
    b.n--;
    assert_false(secret_equal(a, b));
}

static void *take_and_give_back(void *seed)
{
    unsigned char mark = (unsigned char)(uintptr_t)seed;
    struct secret kept[40];
    memset(kept, 0, sizeof kept);
    for (size_t round = 0; round < 4000; round++) {
        struct secret *s = &kept[round % COUNT(kept)];
        for (size_t i = 0; i < s->n; i++)
            if (s->p[i] != mark)
                return (void *)"another thread's bytes";
        secret_end(s);
        *s = secret_new(round * 37 % 700 + 1);
        memset(s->p, mark, s->n);
    }
    for (size_t i = 0; i < COUNT(kept); i++)
        secret_end(&kept[i]);
    return NULL;
}

static void threads_do_not_meet_in_one_secret(void **state)
{
    (void)state;
    pthread_t t[4];
    for (uintptr_t i = 0; i < COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, take_and_give_back, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT(t); i++) {
        void *complaint;
        pthread_join(t[i], &complaint);
        assert_null(complaint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ended_secret_is_nowhere_in_memory),
        cmocka_unit_test(a_shortened_secret_is_wiped_whole),
        cmocka_unit_test(a_new_secret_is_zero_even_where_another_was),
        cmocka_unit_test(an_empty_secret_is_a_secret),
        cmocka_unit_test(secrets_do_not_share_bytes),
        cmocka_unit_test(pages_of_secrets_are_locked_and_kept_out_of_dumps),
        cmocka_unit_test(pages_that_cannot_be_locked_are_counted_and_used),
        cmocka_unit_test(a_protected_process_leaves_no_core),
        cmocka_unit_test(a_forked_child_sees_no_secret),
        cmocka_unit_test(ending_twice_or_a_stranger_is_a_bug),
        cmocka_unit_test(equality_looks_at_every_byte),
        cmocka_unit_test(threads_do_not_meet_in_one_secret),
    };
    return cmocka_run_group_tests_name("crypto/secret", tests, NULL, NULL);
}
