/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * wire: the control protocol between qosctl and qosd over a Unix stream socket. A request is one JSON object on one
 * line, at most 64 KiB: {"command": "show", "args": {"what": "classes"}}. The answer is one JSON object on one line,
 * then the daemon closes: {"exit": 0, ...} with the exit code that qosctl ends with; where it is not 0, {"error":
 * "SENTENCE"}. What went wrong besides, but did not stop it, is in "warning". What there is to say about the policy is
 * in "messages":
 * [{"level","file","line","column","id","text","printed"}], printed being the lines that a person reads. Numbers carry
 * their unit in the key: rate_bps (bits a second), burst_bytes, age_ms.
 *
 * Commands and their args:
 *   version                                        {"version", "abi"}
 *   show      {"what": "policy" | "effective" | "interfaces" | "classes" | "keys" | "filters" | "sets" | "csv" |
 *              "forward" | "capabilities" | "bypass" | "history", "name": SET, of sets and csv}       see show.h
 *   stats     {} | {"what": "interfaces"} | {"top": N, "sort": "rate" | "drops" | "delay"}            see show.h
 *   plan                                           {"changes": [LINE, ..]}
 *   reload    {"confirm_s": N, optional}           {"changes": [LINE, ..], "policy": N}, while it waits also
 *                                                  {"goes_back_to": N, "left_ms": N, "note": SENTENCE}
 *   confirm                                        {"policy": N}
 *   rollback  {"number": N, optional}              {"changes": [LINE, ..], "policy": N}
 *   set       {"name": SET, "action": "add" | "del", "address": PREFIX, "up_bps": N, "down_bps": N}
 *             {"name": SET, "action": "import", "file": NAME, "csv": TEXT}      {"imported": N, "rows": N}
 *             {"name": SET, "action": "flush"}                                  {"flushed": N}
 *   bypass    {"on": BOOL}                         {"bypass": BOOL}
 *   forward   {"on": BOOL, "rule": NAME, optional} {"forward": BOOL}
 *   stop                                           {"removed": BOOL}
 * Root may ask for all of them, members of the group qosd for the first four.
 */
#ifndef QOSD_WIRE_H
#define QOSD_WIRE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "exits.h"

#define WIRE_REQUEST_MAX (64u * 1024u)         /* bytes of a request from who may only look .. */
#define WIRE_CHANGE_MAX  (24u * 1024u * 1024u) /* .. and of root's: a whole CSV file, quoted */

/* How long a reload may wait to be confirmed. */
#define WIRE_CONFIRM_MIN 5
#define WIRE_CONFIRM_MAX 86400

/* Where both ends look unless told otherwise. */
#define WIRE_CONFIG  SYSCONFDIR "/qosd/qosd.yaml"
#define WIRE_RUN_DIR "/run/qosd"
#define WIRE_SOCKET  "qosd.sock" /* in the run directory */

struct diag;

struct wire_request {
	char command[32];
	json_t *args; /* an object, never NULL; wire_request_clear frees */
};

/* Parses one line (without its newline). 0 or -EINVAL with a sentence in *why. Accepts any bytes. */
int wire_parse_request(const char *line, size_t len, struct wire_request *out, const char **why);
void wire_request_clear(struct wire_request *r);

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. Never NULL for a string that is not NULL; null for
 * NULL. */
json_t *wire_text(const char *s);
json_t *wire_text_n(const char *s, size_t len);
/* A counter. JSON integers are signed here; what does not fit stays at the highest. */
json_t *wire_count(uint64_t n);
/* The messages of a diag as the array "messages". */
json_t *wire_messages(struct diag *d);
/* {"exit": exit, "error": the sentence}. */
json_t *wire_error(int exit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Asks the daemon behind the socket; args (NULL: none) is taken over. Returns the answer, an object with an integer
 * "exit". No answer within timeout_s, nobody there, no permission: the answer is made up here, with "error". Never
 * NULL. */
json_t *wire_call(const char *socket_path, const char *command, json_t *args, unsigned timeout_s);

#endif
