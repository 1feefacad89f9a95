/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * text: between what people write and the kernel's units, both ways. Pure functions; none allocates.
 * Parsers return 0 or -EINVAL / -ERANGE and say why in *why (a string literal, never NULL on error).
 * Formatters write into buf, always NUL-terminate, and return buf.
 */
#ifndef QOSD_TEXT_H
#define QOSD_TEXT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address or prefix. IPv4 is kept as ::ffff:a.b.c.d with bits counted in the 128, so 10.0.0.0/8 has 104. */
struct prefix {
	struct in6_addr addr; /* host bits are zero */
	uint8_t bits;         /* 0..128 */
	bool v4;
};

/* A rate: bytes a second, or a share of the parent's in millionths. */
struct rate {
	uint64_t Bps;     /* bytes a second; 0 where percent */
	uint32_t percent; /* in 1/10000 of a percent (50% is 500000); 0: not a percentage */
};

/* "1.5mbit", "50%", "256kibit"; rounded down to whole bytes a second, at least one. Refuses bare numbers and
 * kbps/Mbps. */
int text_rate(const char *s, struct rate *out, const char **why);
/* What a number that text_rate refused may have meant: "it has no unit: 10kbit, .." or the two meanings of its unit.
 * False: it is whole, and has a unit that nobody disagrees on. */
#define TEXT_READINGS_MAX 128
bool text_rate_readings(char buf[TEXT_READINGS_MAX], const char *s);
/* b k kb m mb g gb, powers of 1024; a bare number is bytes. */
int text_size(const char *s, uint64_t *bytes, const char **why);
/* ns us ms s m h d; a unit is required, except for 0. */
int text_time(const char *s, uint64_t *ns, const char **why);
/* "10.0.0.0/8", "fd00::1". Host bits set below the prefix length are an error. */
int text_prefix(const char *s, struct prefix *out, const char **why);
/* Of "10.0.0.7/8", which text_prefix refuses: the network and the address, either of which may have been meant. False:
 * s is nothing like that. */
bool text_masked(const char *s, struct prefix *network, struct prefix *single);
/* ef cs0..7 af11..43 be le va, or 0..63. */
int text_dscp(const char *s, uint8_t *out, const char **why);
/* A decimal number without sign or leading zeros. */
int text_number(const char *s, uint64_t max, uint64_t *out, const char **why);
/* "80", "8000-8080" within 0..max. */
int text_range(const char *s, uint32_t max, uint32_t *lo, uint32_t *hi, const char **why);
/* "N" or "N/MASK", decimal or 0x hex; MASK defaults to all ones. N outside MASK is an error. */
int text_mark(const char *s, uint32_t *value, uint32_t *mask, const char **why);
/* tcp udp icmp .. by name, or 0..255. */
int text_proto(const char *s, uint8_t *out, const char **why);
/* "syn/syn,ack", "syn": flags that must be set / flags looked at (default: the same). */
int text_tcp_flags(const char *s, uint8_t *value, uint8_t *mask, const char **why);
/* "echo-request" etc. sets both families' types; a number sets both to it. -1 where the family has no such type. */
int text_icmp_type(const char *s, int *type4, int *type6, const char **why);
/* Names of sets, policies, classes, services, templates: a letter, then letters, digits, '_' or '-'; at most 48. */
int text_name(const char *s, const char **why);
#define TEXT_NAME_MAX 48
/* What the kernel accepts as the name of an interface, or with glob a pattern of such names, and is text_quotable. */
int text_ifname(const char *s, bool glob, const char **why);

#define TEXT_MAX 64                                         /* room every formatter below is happy with */
char *text_format_rate(char buf[TEXT_MAX], uint64_t Bps);   /* "38mbit", exact: parses back to the same value */
char *text_format_size(char buf[TEXT_MAX], uint64_t bytes); /* "32kb", "1500b", exact */
char *text_format_time(char buf[TEXT_MAX], uint64_t ns);    /* "10m", "250ms", exact */
char *text_format_prefix(char buf[TEXT_MAX], const struct prefix *p); /* no length for a single address */
char *text_format_dscp(char buf[TEXT_MAX], uint8_t dscp);
char *text_format_proto(char buf[TEXT_MAX], uint8_t proto);
/* In double quotes, for a sentence; cut after 40 bytes. */
char *text_quote(char buf[TEXT_MAX], const char *s);

/* Clears the host bits. */
void prefix_mask(struct prefix *p);
/* Never across families: ::/0 holds no IPv4 address. */
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
int prefix_cmp(const struct prefix *a, const struct prefix *b); /* by address, then bits: covering ones first */

/* The closest of n names (the first 4096 are looked at) within an edit distance that suggests a slip; NULL if none is
 * close. */
const char *text_closest(const char *s, const char *const *names, size_t n);
/* The same among the names that text_dscp, text_proto and text_icmp_type know. */
const char *text_closest_dscp(const char *s);
const char *text_closest_proto(const char *s);
const char *text_closest_icmp_type(const char *s);

/* Bytes of the UTF-8 character at s, and its code; 0 where it is none. */
size_t text_utf8(const char *s, size_t len, uint32_t *code);

/* May the text of a policy have this character? A carriage return may stand before a newline alone. */
bool text_allows(uint32_t code);
/* Would s, in quotes, be the same when it is read from a policy? Not with a character that its text may not have, nor
 * with "${", which starts a variable. */
int text_quotable(const char *s, const char **why);

/* Terminals obey control characters (C0, C1, DEL): none of a file's or a name's may reach one. They become '?', as does
 * what is not UTF-8; a tab becomes a blank. keep_lines: newlines and tabs stay. In place, never longer; returns s. */
char *text_harmless(char *s, bool keep_lines);

#endif
