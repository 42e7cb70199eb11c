#include "cmd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

int terminal_columns(void)
{
    uint64_t asked;
    const char *columns = getenv("COLUMNS");
    if (!isatty(STDOUT_FILENO))
        return 0;
    if (columns && str_u64(str_of(columns), &asked) && asked >= 20 && asked <= 1000)
        return (int)asked;
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

bool terminal_asks(void) { return isatty(STDIN_FILENO) != 0; }

/* 2>errors.log must not hide the question. */
static void ask(const char *prompt)
{
    int fd = isatty(STDERR_FILENO) ? STDERR_FILENO : open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    dprintf(fd >= 0 ? fd : STDERR_FILENO, "%s", prompt);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* One code point; broken UTF-8 gives its first byte as U+FFFD. Answers the bytes taken. */
static size_t code_point(struct str s, uint32_t *out)
{
    static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
        { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 },
    };
    unsigned char first = (unsigned char)s.p[0];
    for (size_t n = 1; n <= COUNT(forms); n++) {
        if ((first & forms[n - 1].mask) != forms[n - 1].lead || n > s.n)
            continue;
        uint32_t value = first & (unsigned char)~forms[n - 1].mask;
        for (size_t i = 1; i < n; i++) {
            if (((unsigned char)s.p[i] & 0xc0) != 0x80)
                goto broken;
            value = value << 6 | ((unsigned char)s.p[i] & 0x3f);
        }
        if (value < forms[n - 1].least)
            break;
        *out = value;
        return n;
    }
broken:
    *out = 0xfffd;
    return 1;
}

struct range {
    uint32_t from, to;
};

static bool within(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].from && c <= r[i].to)
            return true;
    return false;
}

/* Unicode's East Asian Width W and F, and the combining marks of European scripts, by block. */
static unsigned columns_of(uint32_t c)
{
    static const struct range none[] = {
        { 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x064b, 0x065f }, { 0x1ab0, 0x1aff },
        { 0x1dc0, 0x1dff }, { 0x200b, 0x200f }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
    };
    static const struct range wide[] = {
        { 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },
        { 0xa000, 0xa4cf },   { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
        { 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1faff }, { 0x20000, 0x3fffd },
    };
    if (c < 0x300)
        return 1;
    if (within(c, none, COUNT(none)))
        return 0;
    return within(c, wide, COUNT(wide)) ? 2 : 1;
}

size_t text_columns(struct str s)
{
    size_t columns = 0;
    uint32_t c;
    for (size_t i = 0; i < s.n;) {
        i += code_point(str_sub(s, i, s.n), &c);
        columns += columns_of(c);
    }
    return columns;
}

size_t text_fit(struct str s, size_t columns)
{
    size_t used = 0, i = 0;
    uint32_t c;
    while (i < s.n) {
        size_t n = code_point(str_sub(s, i, s.n), &c);
        used += columns_of(c);
        if (used > columns)
            break;
        i += n;
    }
    return i;
}

/* C0, DEL and C1 steer a terminal; the bidirectional controls show a line in another order than it is. */
static bool steers(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x200e || c == 0x200f;
}

struct str text_safe(struct arena *a, struct str s)
{
    uint32_t c;
    size_t i = 0;
    while (i < s.n) {
        size_t n = code_point(str_sub(s, i, s.n), &c);
        if (steers(c))
            break;
        i += n;
    }
    if (i == s.n)
        return s;
    char *out = arena_alloc(a, s.n);
    size_t used = 0;
    for (i = 0; i < s.n;) {
        size_t n = code_point(str_sub(s, i, s.n), &c);
        if (steers(c)) {
            out[used++] = c == '\n' || c == '\t' || c == '\r' ? ' ' : '?';
        } else {
            memcpy(out + used, s.p + i, n);
            used += n;
        }
        i += n;
    }
    return (struct str){ out, used };
}

/* The terminal gets its echo back when somebody presses Ctrl-C at the prompt. */
static struct termios before_prompt;
static void give_echo_back(int number)
{
    static const char end[] = "\n";
    tcsetattr(STDIN_FILENO, TCSANOW, &before_prompt);
    ssize_t ignored = write(STDERR_FILENO, end, 1);
    (void)ignored;
    _exit(128 + number);
}

/* One line from stdin, byte by byte so that nothing stays in a buffer of stdio. *n excludes the line end. */
static bool read_line(char *p, size_t size, size_t *n)
{
    *n = 0;
    for (;;) {
        char c;
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return *n > 0;
        if (c == '\n')
            return true;
        if (*n == size)
            return false;
        p[(*n)++] = c;
    }
}

enum err ask_secret(const char *prompt, struct secret *out, struct fault *why)
{
    if (!terminal_asks() || tcgetattr(STDIN_FILENO, &before_prompt) != 0)
        return fault(why, ERR_USAGE, STR("there is no terminal to ask for a secret; give a file or standard input"), "%s", "");

    struct termios silent = before_prompt;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    struct sigaction ours = { .sa_handler = give_echo_back }, theirs;
    AUTO_SECRET line = secret_new(LINE_MAX_BYTES);
    size_t n;

    sigaction(SIGINT, &ours, &theirs);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    ask(prompt);
    bool ok = read_line((char *)line.p, line.n, &n);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_prompt);
    sigaction(SIGINT, &theirs, NULL);
    ask("\n");

    if (!ok || !n)
        return fault(why, ERR_USAGE, STR("nothing was typed"), "%s", "");
    *out = secret_from((struct str){ (char *)line.p, n });
    return ERR_NONE;
}

enum err ask_line(struct arena *a, const char *prompt, struct str *out, struct fault *why)
{
    char *line = arena_alloc(a, LINE_MAX_BYTES);
    size_t n;
    ask(prompt);
    if (!read_line(line, LINE_MAX_BYTES, &n))
        return fault(why, ERR_USAGE, STR("nothing was typed"), "%s", "");
    *out = str_trim((struct str){ line, n });
    return ERR_NONE;
}

#define READ_FIRST (64 * 1024)

/* Grows by moving into a larger secret; what was there is wiped. */
static void grow(struct secret *s, size_t n, size_t size)
{
    struct secret larger = secret_new(size);
    memcpy(larger.p, s->p, n);
    secret_end(s);
    *s = larger;
}

static bool read_all(int fd, size_t max, struct secret *into, size_t *n)
{
    *n = 0;
    for (;;) {
        if (*n > max) {
            errno = EFBIG;
            return false;
        }
        if (*n == into->n)
            grow(into, *n, into->n * 2);
        ssize_t got = read(fd, into->p + *n, into->n - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        *n += (size_t)got;
    }
}

static size_t without_line_end(const struct secret *s, size_t n)
{
    if (n && s->p[n - 1] == '\n')
        n--;
    if (n && s->p[n - 1] == '\r')
        n--;
    return n;
}

enum err secret_read_file(const char *path, size_t max, bool trim, struct secret *out, struct fault *why)
{
    bool standard = strcmp(path, "-") == 0;
    char subject[sizeof why->subject];
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    AUTO_SECRET all = secret_new(READ_FIRST);
    size_t n = 0;

    bool ok = fd >= 0 && read_all(fd, max, &all, &n);
    int error = errno;
    if (fd >= 0 && !standard)
        close(fd);
    if (!ok) {
        snprintf(subject, sizeof subject, "%s cannot be read: %s", standard ? "standard input" : path, strerror(error));
        return fault(why, ERR_FILE, str_of(subject), "%s", "");
    }
    *out = secret_from((struct str){ (char *)all.p, trim ? without_line_end(&all, n) : n });
    return ERR_NONE;
}
