/* auth/answer_journal.h - room that was set aside for the answers of token endpoints: the answer is on the disk, sealed, before
 * anyone looks at it, and a full disk cannot keep it out (requirements 10.3 to 10.5).
 *
 * A file in the data directory, "answers.0" (or the next number, when another process has that one): a page that names its holder,
 * then slots. The start of each slot is allocated when the file is made; an answer that is larger takes more room, which the disk
 * may or may not have. One write and one fdatasync() keep an answer. It is sealed with a key of the keyring, bound to holder,
 * connection and fence. A slot that was cut off while it was written does not open: then there was no answer.
 *
 * A file belongs to the process that has it locked; its holder's name stays when the next process takes it over. What a dead
 * process left, in this file or in another that nobody has locked, is handed out by answer_journal_recover().
 */
#ifndef AUTH_ANSWER_JOURNAL_H
#define AUTH_ANSWER_JOURNAL_H

#include "base/clock.h"
#include "http/fetch.h"
#include "vault/keyring.h"

#define ANSWER_MAX (1024 * 1024)   /* bytes of an answer's body */
#define ANSWER_HOLDER 32           /* of a holder's name, with a NUL */

struct answer_journal; /* safe from any thread */
struct answer_slot;    /* one thread at a time */

/* In `directory`, with `slots` slots. A disk without room is no error: slots are refused until there is some, and until the file
 * names its holder, without whom nobody could open what it holds. ERR_FILE. */
enum err answer_journal_open(struct str directory, int slots, struct keyring *k, struct answer_journal **out,
                             struct fault *why) MUST_CHECK;
void answer_journal_close(struct answer_journal *j); /* NULL is fine; what slots hold stays for the next process */
const char *answer_journal_holder(const struct answer_journal *j);

/* Before a request is sent. ERR_OVERLOADED: all are in use; ERR_STORE_FULL: there is no room; ERR_STORE: a sync failed before, and
 * nothing is believed of this file until the next start (requirement 18.2); ERR_SEALED. */
enum err answer_slot_take(struct answer_journal *j, struct answer_slot **out, struct fault *why) MUST_CHECK;

struct kept_answer {
    struct str connection;
    int64_t fence;
    wall_ms received;
    bool by_hand;              /* of a grant that a person just made */
    struct fetch_answer http;
};
/* Durable when this answers ERR_NONE. Takes the place of what the slot held. ERR_STORE, ERR_STORE_FULL. */
enum err answer_slot_keep(struct answer_slot *s, const struct kept_answer *answer, struct fault *why) MUST_CHECK;
/* Its content is in the database, or not wanted: wiped. */
void answer_slot_free(struct answer_slot *s);
/* Its content is not in the database: it stays for the next start, and the slot is out of use until then. */
void answer_slot_leave(struct answer_slot *s);

/* Calls found() for each answer that dead processes left, with its holder's name; its memory is wiped afterwards. True: done with,
 * the slot is wiped. False: it stays; `slot`, when it is one of this journal's own, is the callee's to free or to leave, else NULL.
 * After a file's last one: left(). */
enum err answer_journal_recover(struct answer_journal *j,
                                bool (*found)(void *context, const char *holder, const struct kept_answer *k,
                                              struct answer_slot *slot),
                                void (*left)(void *context, const char *holder), void *context, struct fault *why) MUST_CHECK;

#endif
