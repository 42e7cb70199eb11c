#include "crypto/secret.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/list.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define HIDE(p, n) __asan_poison_memory_region((p), (n))
#define SHOW(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define HIDE(p, n) ((void)0)
#define SHOW(p, n) ((void)0)
#endif

/* A region is mapped at a multiple of REGION, so that a block finds its head by its address:
 *
 *   | head (PAGE bytes, no secrets, not locked) | slots of one size, or one large block |
 *
 * Free slots are zero: who gives back wipes, and `used` alone says which are taken. */
#define PAGE 4096u
#define REGION (64u * 1024)
#define SLOT_MIN 32u
#define SLOT_MAX 4096u
#define CLASSES 8 /* 32, 64, ... 4096 */
#define MAGIC 0x5ec2e7a11ab1e5ffull

struct region {
    uint64_t magic;
    struct list link;   /* among the regions of its class that have a free slot */
    size_t slot, slots; /* bytes of one, count of them */
    size_t mapped;      /* bytes, the head included */
    size_t taken;
    uint64_t used[(REGION - PAGE) / SLOT_MIN / 64 + 1];
};
_Static_assert(sizeof(struct region) <= PAGE, "the head fits its page");
_Static_assert(SLOT_MIN << (CLASSES - 1) == SLOT_MAX, "classes are powers of two");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list classes[CLASSES];
static atomic_size_t unlocked_pages;

void secret_protect_process(void)
{
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }))
        bug("core dumps cannot be switched off: %m");
#if !defined(__SANITIZE_ADDRESS__) /* the leak checker traces its own process, which this forbids */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        bug("the process cannot be made undumpable: %m");
#endif
}

/* `size` bytes at a multiple of REGION; zeroed by the kernel. */
static void *map_aligned(size_t size)
{
    char *p = mmap(NULL, size + REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bug("no memory for a secret of %zu bytes", size);
    char *start = (char *)(((uintptr_t)p + REGION - 1) & ~(uintptr_t)(REGION - 1));
    if (start > p)
        munmap(p, (size_t)(start - p));
    size_t behind = (size_t)(p + size + REGION - (start + size));
    if (behind)
        munmap(start + size, behind);
    return start;
}

static struct region *region_new(size_t slot, size_t slots, size_t mapped)
{
    struct region *r = map_aligned(mapped);
    *r = (struct region){ .magic = MAGIC, .slot = slot, .slots = slots, .mapped = mapped };
    list_init(&r->link);

    char *body = (char *)r + PAGE;
    size_t n = mapped - PAGE;
    if (mlock(body, n))
        unlocked_pages += n / PAGE;
    /* Where the kernel is too old for one of these, the rest still holds. */
    madvise(body, n, MADV_DONTDUMP);
    madvise(body, n, MADV_WIPEONFORK);
    HIDE(body, n);
    return r;
}

static void region_free(struct region *r)
{
    SHOW((char *)r + PAGE, r->mapped - PAGE);
    munmap(r, r->mapped); /* unlocks, too */
}

static int class_of(size_t n)
{
    int c = 0;
    while (SLOT_MIN << c < n)
        c++;
    return c;
}

static struct region *region_with_room(int class)
{
    struct list *head = &classes[class];
    if (!head->next)
        list_init(head);
    if (list_empty(head)) {
        size_t slot = SLOT_MIN << class;
        list_push_front(head, &region_new(slot, (REGION - PAGE) / slot, REGION)->link);
    }
    return list_entry(head->next, struct region, link);
}

static unsigned char *slot_take(struct region *r)
{
    size_t i = 0;
    while (r->used[i / 64] == UINT64_MAX)
        i += 64;
    i += (size_t)__builtin_ctzll(~r->used[i / 64]);
    r->used[i / 64] |= 1ull << i % 64;
    if (++r->taken == r->slots)
        list_remove(&r->link);
    return (unsigned char *)r + PAGE + i * r->slot;
}

struct secret secret_new(size_t n)
{
    unsigned char *p;
    if (n > SLOT_MAX) {
        if (n > SIZE_MAX / 2)
            bug("a secret of %zu bytes", n);
        p = slot_take(region_new(n, 1, PAGE + ((n + PAGE - 1) & ~(size_t)(PAGE - 1))));
    } else {
        pthread_mutex_lock(&lock);
        p = slot_take(region_with_room(class_of(n)));
        pthread_mutex_unlock(&lock);
    }
    SHOW(p, n);
    return (struct secret){ p, n };
}

static void slot_give_back(struct region *r, size_t i)
{
    if (!(r->used[i / 64] & 1ull << i % 64))
        bug("a secret was ended twice");
    r->used[i / 64] &= ~(1ull << i % 64);
    r->taken--;
    if (r->slots == 1) {
        region_free(r);
        return;
    }
    struct list *head = &classes[class_of(r->slot)];
    if (r->taken == r->slots - 1)
        list_push_front(head, &r->link);
    bool only_one = head->next == &r->link && head->prev == &r->link;
    if (r->taken == 0 && !only_one) {
        list_remove(&r->link);
        region_free(r);
    }
}

void secret_end(struct secret *s)
{
    if (!s->p)
        return;
    struct region *r = (struct region *)((uintptr_t)s->p & ~(uintptr_t)(REGION - 1));
    size_t offset = (size_t)(s->p - (unsigned char *)r) - PAGE;
    if (r->magic != MAGIC || offset % r->slot || offset / r->slot >= r->slots)
        bug("ended as a secret, but is none");

    /* The whole slot: the holder may have written past the length it has now. */
    SHOW(s->p, r->slot);
    secret_wipe(s->p, r->slot);
    HIDE(s->p, r->slot);
    pthread_mutex_lock(&lock);
    slot_give_back(r, offset / r->slot);
    pthread_mutex_unlock(&lock);
    *s = SECRET_NONE;
}

struct secret secret_from(struct str s)
{
    struct secret out = secret_new(s.n);
    if (s.n)
        memcpy(out.p, s.p, s.n);
    return out;
}

struct secret secret_copy(struct secret s)
{
    return secret_from(secret_str(s));
}

bool secret_equal(struct secret a, struct secret b)
{
    return a.n == b.n && (a.n == 0 || sodium_memcmp(a.p, b.p, a.n) == 0);
}

void secret_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

size_t secret_unlocked_pages(void)
{
    return unlocked_pages;
}
