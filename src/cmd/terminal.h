/* cmd/terminal.h - asking people, and reading what must not stand on a command line. */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

/* Columns of the terminal that stdout is; 0 when it is none. COLUMNS in the environment wins. */
int terminal_columns(void);
/* Somebody can be asked: stdin is a terminal. */
bool terminal_asks(void);
/* Columns that the text takes on a terminal: wide characters count two, combining ones none. */
size_t text_columns(struct str s);
/* Bytes of the longest head of `s` that takes at most `columns`. */
size_t text_fit(struct str s, size_t columns);
/* The text without what could steer a terminal or turn the line round: control characters and bidirectional overrides become '?';
 * line breaks and tabs a space. `s` itself when there is nothing of the kind. */
struct str text_safe(struct arena *a, struct str s);

/* A line typed without being shown; the prompt goes to stderr, or to the terminal where stderr is none. ERR_USAGE when there is no
 * terminal to ask at. */
enum err ask_secret(const char *prompt, struct secret *out, struct fault *why) MUST_CHECK;
/* A line typed and shown. */
enum err ask_line(struct arena *a, const char *prompt, struct str *out, struct fault *why) MUST_CHECK;

/* All of a file, or of standard input for "-"; at most `max` bytes. With `trim`, one line end at the end is dropped: an editor put
 * it there. ERR_FILE. */
enum err secret_read_file(const char *path, size_t max, bool trim, struct secret *out, struct fault *why) MUST_CHECK;

#endif
