/* cmd/node_inside.h - what the files of cmd/node.h share. Private to them.
 *
 * node.c starts the hub and stops it, in the reverse order. node_open.c opens what a hub is made of, by the settings, and listens.
 * node_upkeep.c has the thread that removes what is old and looks for damage. node_seal.c takes the keys away while the hub runs.
 * node_metrics.c counts for /metrics.
 *
 * node_start() makes the one struct node and node_stop() frees it and all that hangs on it. A desk belongs to its loop: once the
 * threads run, others change it by a loop_post() only.
 */
#ifndef CMD_NODE_INSIDE_H
#define CMD_NODE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "call/switchboard.h"
#include "cmd/audit_watch.h"
#include "cmd/listener_tls.h"
#include "cmd/node.h"
#include "cmd/other_nodes.h"
#include "cmd/turning.h"
#include "http/server.h"
#include "http/upstream.h"
#include "proxy/proxy.h"
#include "web/enter.h"
#include "web/probe.h"

#define LOOPS_MAX 64

/* What one loop thread has. */
struct desk {
    struct node *node;
    struct loop *loop;
    struct upstreams *upstreams;
    struct board *board;
    struct proxy *proxy;
    struct entrance entrance;
    struct server *server;
    pthread_t thread;
    bool running;
    struct loop_job job;
};

struct node {
    struct config *config;
    struct hub hub;
    struct tls_context *client_tls;
    struct listener_tls listener;
    struct certificate_rules certificates;
    struct workers *workers;
    struct circuits *circuits;
    struct audit_watch *audit;
    struct other_nodes *others;
    struct prober *_Atomic prober;  /* hub.prober, for the recorder's thread */
    struct desk desks[LOOPS_MAX];
    int desk_count;
    struct server *metrics_server;  /* on the first desk's loop */
    struct entrance metrics_entrance;
    _Atomic int draining;           /* servers that still have clients */
    struct str url;
    char setup_code[33];
    struct turning *turning;
    pthread_t sealing;
    bool sealing_runs;
    /* node_upkeep.c's */
    pthread_t upkeep;
    bool upkeep_running;
    _Atomic bool upkeep_stop;
    _Atomic(struct db *) looking;   /* at every page, just now */
    _Atomic bool ages_due;
    pthread_mutex_t upkeep_lock;
    pthread_cond_t upkeep_wake;
};

/* Everything but the threads. Where it fails, node_stop() closes what is open. *created: as node_start() says. */
enum err node_open(struct node *n, struct config *c, const struct node_extra *extra, struct arena *boot, struct str *created,
                   struct fault *why) MUST_CHECK;

/* Before all that may wake it; and after all that may, also when it was never started. */
void node_upkeep_open(struct node *n);
void node_upkeep_close(struct node *n);
enum err node_upkeep_start(struct node *n, struct fault *why) MUST_CHECK;
void node_upkeep_stop(struct node *n);

/* For hub.metrics. */
void node_metrics(struct hub *h, struct buf *out);

#endif
