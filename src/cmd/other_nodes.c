#include "cmd/other_nodes.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "access/policy_store.h"
#include "base/log.h"
#include "call/call.h"
#include "vault/keyring.h"

#define LISTEN_MS 250        /* how long one look waits; a stop waits as long */
#define AGAIN_US 250000      /* after the server did not answer */

struct other_nodes {
    struct hub *hub;
    pthread_t thread;
    _Atomic bool stop;
    struct mono heard;       /* when the database was last listened to */
    bool deaf;               /* said, and forgotten what was remembered */
};

static void forget_connections(struct hub *h, struct db *db)
{
    struct fault why;
    if (db && policy_book_load(h->policies, db, &why))
        log_fault(LOG_ERROR, "policies that another node changed could not be read", &why);
    switchboard_forget_connections(h->switchboard);
    if (h->ages_wake)
        h->ages_wake(h);
}

static void look_at_keys(struct hub *h, struct db *db)
{
    struct fault why;
    if (db && keyring_refresh(h->keyring, db, &why))
        log_fault(LOG_ERROR, "keys that another node turned could not be read", &why);
}

/* "*" is everything. A word that a newer node made up is everything, too. */
static void act(struct hub *h, struct str news)
{
    struct fault why;
    struct db *db = store_reader(h->store, &why);
    if (str_starts(news, STR("c "))) {
        switchboard_forget_connection(h->switchboard, str_sub(news, 2, news.n));
        return;
    }
    bool all = !str_is(news, "C") && !str_is(news, "T") && !str_is(news, "K");
    if (all || str_is(news, "K"))
        look_at_keys(h, db);
    if (all || str_is(news, "T"))
        switchboard_forget_tokens(h->switchboard);
    if (all || str_is(news, "C"))
        forget_connections(h, db);
}

static void not_heard(struct other_nodes *o, const struct fault *why)
{
    if (o->deaf || mono_since(o->heard, clock_mono()) < OTHER_NODES_DEAF_MS)
        return;
    o->deaf = true;
    log_fault(LOG_ERROR, "other nodes are not heard: nothing is remembered from here on", why);
    switchboard_forget_tokens(o->hub->switchboard);
    switchboard_forget_connections(o->hub->switchboard);
}

static void *listen_main(void *context)
{
    struct other_nodes *o = context;
    while (!o->stop) {
        AUTO_ARENA a = arena_new(512);
        struct fault why;
        struct str news;
        if (store_await(o->hub->store, LISTEN_MS, a, &news, &why)) {
            not_heard(o, &why);
            usleep(AGAIN_US);
            continue;
        }
        o->heard = clock_mono();
        o->deaf = false;
        if (news.n)
            act(o->hub, news);
    }
    return NULL;
}

enum err other_nodes_start(struct hub *hub, struct other_nodes **out, struct fault *why)
{
    *out = NULL;
    if (!store_is_shared(hub->store))
        return ERR_NONE;
    struct other_nodes *o = mem_zero(sizeof *o);
    *o = (struct other_nodes){ .hub = hub, .heard = clock_mono() };
    if (pthread_create(&o->thread, NULL, listen_main, o)) {
        free(o);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread that listens to other nodes");
    }
    pthread_setname_np(o->thread, "other-nodes");
    *out = o;
    return ERR_NONE;
}

void other_nodes_stop(struct other_nodes *o)
{
    if (!o)
        return;
    o->stop = true;
    pthread_join(o->thread, NULL);
    free(o);
}
