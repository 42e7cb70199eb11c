/* catalog/connector.h - what can be connected: connector files, read at boot.
 *
 * A connector is data, never C code: connectors/NAME.json, compiled into the binary. docs/connector-format.md
 * describes the file. Built once at boot, immutable, safe from any thread.
 */
#ifndef CATALOG_CONNECTOR_H
#define CATALOG_CONNECTOR_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "http/times.h"

enum field_type { FIELD_TEXT, FIELD_SECRET, FIELD_MULTILINE_SECRET, FIELD_SELECT, FIELD_BOOLEAN, FIELD_URL, FIELD_HOST,
                  FIELD_NUMBER, FIELD_MAP /* object of text values */ };

enum field_format { FORMAT_ANY, FORMAT_HEADER_NAME, FORMAT_PATH /* begins with "/" */, FORMAT_DATE /* 2027-01-31 */ };

struct connector_field {
    struct str key;
    struct str aliases[4];       /* other spellings accepted on input */
    enum field_type type;
    enum field_format format;    /* a rule on a FIELD_TEXT */
    struct str host_suffix;      /* FIELD_TEXT that is one host label before this suffix; whole hosts and URLs are cut down to it */
    struct str hosts[8];         /* FIELD_HOST: one of these, or under one ("*.example.com"); URLs are cut down to their host */
    struct str label[2], help[2]; /* by enum language */
    struct str placeholder, preset;
    struct str pattern;          /* documentation and console only, for now */
    struct str options[32];      /* FIELD_SELECT */
    bool required, secret, advanced;
    bool changeable;             /* whoever has a link that may change fields may change it */
    bool generated;              /* the hub makes it when the connection is made; nobody gives or changes it */
    bool may_be_empty;           /* an empty text counts as given */
    bool keep_blanks;            /* blanks at the ends are part of the value; line ends are still cut off */
};

/* The call that tells whether a credential works; path empty: none. */
struct connector_verify {
    struct str method, path;     /* path: template over {{fields.x}}, joined to the base URL; may expand to nothing */
    struct str account;          /* JSON pointer to the account's label in the answer */
    struct str account_detail;   /* a second pointer, shown in brackets behind the first, or empty */
    struct str ok_pointer;       /* JSON pointer that must be true (Slack answers 200 with ok:false), or empty */
};

struct connector_auth {
    struct str type;             /* "api_key", "bearer" ... as spec'd for connections */
    struct str label[2];
    struct connector_field *credentials; size_t credential_count;
    bool open_credentials;       /* any names ([A-Za-z0-9_-]) instead of `credentials` */
    struct connector_field *fields; size_t field_count;  /* extra connection fields of this auth type */
    const struct json *options;  /* the auth entry itself: header, query, prefix, username_suffix ... for auth/ */
    struct str instructions[2];  /* Markdown: how to get the credential */
    /* The entry's own, else the connector's. An own base URL without an allowed domain of its own: the base URL's host. */
    struct str base_url;         /* template over {{fields.x}} */
    struct str allowed_domain;   /* template, or empty: the base URL's host */
    struct connector_verify verify;
    bool own_target, own_verify; /* they are the entry's own */
};

/* An SVG picture; no paths: the file has none (catalog/connector_logo.h). */
#define CONNECTOR_LOGO_PATHS 16
struct connector_logo { struct str box, color, *paths; size_t count; };

struct connector {
    struct str id, name, version, stage; /* stage: preview | stable | deprecated */
    struct str description[2];
    struct str homepage, documentation;
    struct str domains[8]; size_t domain_count;         /* business domains */
    struct str keywords[16]; size_t keyword_count;
    struct str base_url, allowed_domain;                 /* for the auth entries that have none of their own */
    struct connector_field *fields; size_t field_count;
    struct connector_auth *auth; size_t auth_count;      /* first: the default */
    struct connector_verify verify;
    struct str headers[8][2]; size_t header_count;       /* request headers, e.g. Accept, API version; values are templates over
                                                          * {{fields.x}}; one that expands to nothing is not sent */
    bool follow_redirects;
    struct http_times times;     /* 0: the hub's own */
    struct connector_logo logo;
    struct str prerequisites[2]; /* Markdown list, by language */
    struct str haystack;         /* what connector_matches() searches, folded */
};

const char *field_type_name(enum field_type t);     /* "text", "multiline_secret" ... */
const char *field_format_name(enum field_format f); /* "header_name" ...; "" for FORMAT_ANY */

struct catalog;
/* Reads every embedded file, then DIRECTORY/ *.json where given (installed ones win over built-in ones of the same id only
 * with a higher version). A bad built-in file is a bug(); a bad installed one ERR_FILE naming file and pointer. */
enum err catalog_load(struct arena *boot, struct str directory, struct catalog **out, struct fault *why) MUST_CHECK;
/* One file's text; used by load and tests. Errors: ERR_JSON_INVALID, ERR_UNKNOWN_FIELD, ERR_FIELD_REQUIRED, ERR_FIELD_INVALID with
 * the pointer into the file. `out` points into `a` and into `text`. */
enum err connector_read(struct arena *a, struct str text, struct connector *out, struct fault *why) MUST_CHECK;
const struct connector *catalog_find(const struct catalog *c, struct str id);
/* In order of name. */
const struct connector *catalog_at(const struct catalog *c, size_t i);
size_t catalog_count(const struct catalog *c);
/* The field that a placeholder "fields.key" names, of the connector or of the auth entry (NULL: without one); NULL when it names
 * none. */
const struct connector_field *connector_field_named(const struct connector *c, const struct connector_auth *auth,
                                                    struct str placeholder);
/* Is that its key, or one of its aliases? */
bool connector_field_answers(const struct connector_field *f, struct str name);
const struct connector_auth *connector_auth_find(const struct connector *c, struct str type);
/* Does it match a search over id, name, description, keywords, domains (letter case and accents ignored)? */
bool connector_matches(const struct connector *c, struct str search);
/* The connector as the API shows it; with `full`, fields, auth and instructions too. */
/* `blocked_by`: names of the policies that refuse it. */
void connector_write(struct json_out *o, const struct connector *c, enum language lang, bool full, const struct str *blocked_by,
                     size_t blocked_count);

#endif
