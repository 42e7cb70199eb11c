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

enum field_type { FIELD_TEXT, FIELD_SECRET, FIELD_MULTILINE_SECRET, FIELD_SELECT, FIELD_BOOLEAN, FIELD_URL, FIELD_HOST,
                  FIELD_NUMBER, FIELD_MAP /* object of text values */ };

struct connector_field {
    struct str key;
    struct str aliases[4];       /* other spellings accepted on input */
    enum field_type type;
    struct str label[2], help[2]; /* by enum language */
    struct str placeholder, preset;
    struct str pattern;          /* documentation and console only, for now */
    struct str options[16];      /* FIELD_SELECT */
    bool required, secret, advanced;
};

struct connector_auth {
    struct str type;             /* "api_key", "bearer" ... as spec'd for connections */
    struct str label[2];
    struct connector_field *credentials; size_t credential_count;
    struct connector_field *fields; size_t field_count;  /* extra connection fields of this auth type */
    const struct json *options;  /* the auth entry itself: header, query, prefix, username_suffix ... for auth/ */
    struct str instructions[2];  /* Markdown: how to get the credential */
};

struct connector {
    struct str id, name, version, stage; /* stage: preview | stable | deprecated */
    struct str description[2];
    struct str homepage, documentation;
    struct str domains[8]; size_t domain_count;         /* business domains */
    struct str keywords[16]; size_t keyword_count;
    struct str base_url;         /* template over {{fields.x}} */
    struct str allowed_domain;   /* template, or empty: the base URL's host */
    struct connector_field *fields; size_t field_count;
    struct connector_auth *auth; size_t auth_count;      /* first: the default */
    struct {                     /* the verify call; path empty: none */
        struct str method, path;
        struct str account;      /* JSON pointer to the account's label in the answer */
        struct str ok_pointer;   /* JSON pointer that must be true (Slack answers 200 with ok:false), or empty */
    } verify;
    struct str headers[8][2]; size_t header_count;       /* fixed request headers, e.g. Accept, API version */
    bool follow_redirects;
    struct str prerequisites[2]; /* Markdown list, by language */
};

struct catalog;
/* Reads every embedded file, then DIRECTORY/ *.json where given (installed ones win over built-in ones of the same id only
 * with a higher version). A bad built-in file is a bug(); a bad installed one ERR_FILE naming file and pointer. */
enum err catalog_load(struct arena *boot, struct str directory, struct catalog **out, struct fault *why) MUST_CHECK;
/* One file's text; used by load and tests. */
enum err connector_read(struct arena *a, struct str text, struct connector *out, struct fault *why) MUST_CHECK;
const struct connector *catalog_find(const struct catalog *c, struct str id);
/* In order of name. */
const struct connector *catalog_at(const struct catalog *c, size_t i);
size_t catalog_count(const struct catalog *c);
const struct connector_auth *connector_auth_find(const struct connector *c, struct str type);
/* Does it match a search over id, name, description, keywords, domains (letter case and accents ignored)? */
bool connector_matches(const struct connector *c, struct str search);
/* The connector as the API shows it; with `full`, fields, auth and instructions too. */
void connector_write(struct json_out *o, const struct connector *c, enum language lang, bool full);

#endif
