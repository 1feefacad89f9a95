/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 u128;

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static int refuse(const char **why, int err, const char *reason)
{
	*why = reason;
	return err;
}

/* ---- numbers with a unit: decimal arithmetic in integers, so that 0.1mbit is 100000 bit ------------------------ */

#define WHOLE_DIGITS    21
#define FRACTION_DIGITS 9

/* whole + fraction / scale */
struct number {
	u128 whole;
	u128 fraction;
	u128 scale;
};

struct unit {
	const char *name;
	uint64_t factor;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads the digits at *s and moves behind them. */
static int read_number(const char **s, struct number *out, const char **why)
{
	const char *p = *s;
	unsigned digits = 0;

	*out = (struct number){.scale = 1};
	if (*p == '-')
		return refuse(why, -EINVAL, "it is negative");
	if (!is_digit(*p))
		return refuse(why, -EINVAL, "it does not start with a number");
	for (; is_digit(*p); p++) {
		if (out->whole || *p != '0')
			digits++;
		if (digits > WHOLE_DIGITS)
			return refuse(why, -ERANGE, "the number is too large");
		out->whole = out->whole * 10 + (unsigned)(*p - '0');
	}
	if (*p == '.') {
		p++;
		if (!is_digit(*p))
			return refuse(why, -EINVAL, "no digit follows the point");
		for (digits = 0; is_digit(*p); p++) {
			if (++digits > FRACTION_DIGITS)
				return refuse(why, -ERANGE, "there are more than nine digits behind the point");
			out->fraction = out->fraction * 10 + (unsigned)(*p - '0');
			out->scale *= 10;
		}
	}
	*s = p;
	return 0;
}

/* Rounded down. Cannot overflow: 21 digits and a factor of at most a day in nanoseconds are 117 bits. */
static u128 times(const struct number *n, uint64_t factor)
{
	return n->whole * factor + n->fraction * factor / n->scale;
}

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(units[i].name, name))
			return &units[i];
	return NULL;
}

static bool is_unit_in_capitals(const struct unit *units, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(units[i].name, name))
			return true;
	return false;
}

/* Writes value in decimal; returns what is behind it. */
static char *put_decimal(char *out, u128 value)
{
	char digits[40]; /* of 2^128 */
	size_t n = 0;

	for (; value > UINT64_MAX; value /= 10)
		digits[n++] = (char)('0' + (int)(value % 10));
	for (uint64_t rest = (uint64_t)value; rest || !n; rest /= 10)
		digits[n++] = (char)('0' + (int)(rest % 10));
	while (n)
		*out++ = digits[--n];
	return out;
}

static bool divides(uint64_t factor, u128 value)
{
	return value > UINT64_MAX ? value % factor == 0 : (uint64_t)value % factor == 0;
}

/* The largest unit that divides value exactly; writes "38mbit". */
static char *format_units(char buf[TEXT_MAX], u128 value, const struct unit *units, size_t n)
{
	const struct unit *best = &units[0];

	for (size_t u = 0; u < n; u++)
		if (value && units[u].factor >= best->factor && divides(units[u].factor, value))
			best = &units[u];
	value = value > UINT64_MAX ? value / best->factor : (uint64_t)value / best->factor;
	(void)strcpy(put_decimal(buf, value), best->name); /* 39 digits and a unit fit */
	return buf;
}

/* ---- rates ----------------------------------------------------------------------------------------------------- */

static const struct unit rate_units[] = {
	{"bit", 1},
	{"kbit", 1000},
	{"mbit", 1000000},
	{"gbit", 1000000000},
	{"tbit", 1000000000000},
	{"kibit", 1ull << 10},
	{"mibit", 1ull << 20},
	{"gibit", 1ull << 30},
};

#define PERCENT_SCALE 10000 /* struct rate counts ten-thousandths of a percent */

static bool means_per_second(const char *unit)
{
	size_t n = strlen(unit);

	return n >= 2 && (!strcasecmp(unit + n - 2, "ps") || !strcasecmp(unit + n - 2, "/s"));
}

/* A unit of ours with what is meant anyway behind it: "mbit/s", "kbitps". */
static bool is_bits_per_second(const char *unit)
{
	size_t n = strlen(unit);
	char bits[8];

	if (!means_per_second(unit) || n - 2 >= sizeof(bits))
		return false;
	memcpy(bits, unit, n - 2);
	bits[n - 2] = '\0';
	return is_unit_in_capitals(rate_units, COUNT(rate_units), bits);
}

static bool is_letter_of_bytes(const char *unit)
{
	static const char *const bytes[] = {"b",  "k",  "m",   "g",   "t",   "kb", "mb",
					    "gb", "tb", "kib", "mib", "gib", "tib"};

	for (size_t i = 0; i < COUNT(bytes); i++)
		if (!strcasecmp(unit, bytes[i]))
			return true;
	return false;
}

static int percent_rate(const struct number *n, struct rate *out, const char **why)
{
	u128 share = times(n, PERCENT_SCALE);

	if (share > 100 * PERCENT_SCALE)
		return refuse(why, -ERANGE, "it is more than 100%");
	if (!share)
		return refuse(why, -ERANGE, "a rate of zero lets nothing through");
	out->percent = (uint32_t)share;
	return 0;
}

static int unit_rate(const struct number *n, const struct unit *unit, struct rate *out, const char **why)
{
	u128 Bps = times(n, unit->factor) / 8;

	if (!n->whole && !n->fraction)
		return refuse(why, -ERANGE, "a rate of zero lets nothing through");
	if (!Bps)
		return refuse(why, -ERANGE, "it is less than 8bit, one byte a second");
	if (Bps > UINT64_MAX)
		return refuse(why, -ERANGE, "it is too large");
	out->Bps = (uint64_t)Bps;
	return 0;
}

int text_rate(const char *s, struct rate *out, const char **why)
{
	const struct unit *unit;
	struct number n;
	int err;

	*out = (struct rate){0};
	err = read_number(&s, &n, why);
	if (err)
		return err;
	unit = find_unit(rate_units, COUNT(rate_units), s);
	if (unit)
		return unit_rate(&n, unit, out, why);
	if (!strcmp(s, "%"))
		return percent_rate(&n, out, why);
	if (!*s)
		return refuse(why, -EINVAL, "it has no unit: bit, kbit, mbit, gbit, tbit, kibit, mibit or gibit");
	if (isspace((unsigned char)*s))
		return refuse(why, -EINVAL,
			      "there is a space in it: write the unit right behind the number, as in 10mbit");
	if (is_bits_per_second(s))
		return refuse(why, -EINVAL,
			      "a rate is always that of a second: write the unit without it, as in 10mbit");
	if (means_per_second(s) || is_letter_of_bytes(s))
		return refuse(why, -EINVAL,
			      "people disagree whether this unit counts bits or bytes: write bits, as in 10mbit");
	if (is_unit_in_capitals(rate_units, COUNT(rate_units), s))
		return refuse(why, -EINVAL, "units are written in small letters, as in 10mbit");
	return refuse(why, -EINVAL, "the unit is none of bit, kbit, mbit, gbit, tbit, kibit, mibit, gibit, %");
}

bool text_rate_readings(char buf[TEXT_READINGS_MAX], const char *s)
{
	static const char prefixes[] = "kmgt";
	size_t digits = strspn(s, "0123456789");
	const char *unit = s + digits, *prefix;
	unsigned long long n;

	if (!digits || digits > 9)
		return false;
	n = strtoull(s, NULL, 10);
	if (!*unit) {
		(void)snprintf(buf, TEXT_READINGS_MAX, "it has no unit: %llukbit, %llumbit or %llugbit?", n, n, n);
		return true;
	}
	prefix = strchr(prefixes, tolower((unsigned char)*unit));
	if (!prefix || (strcasecmp(unit + 1, "bps") && strcasecmp(unit + 1, "b/s") && strcasecmp(unit + 1, "b")))
		return false;
	(void)snprintf(buf, TEXT_READINGS_MAX,
		       "people disagree on what \"%s\" means: %llu%cbit (bits) or %llu%cbit (bytes)?", unit, n, *prefix,
		       n * 8, *prefix);
	return true;
}

char *text_format_rate(char buf[TEXT_MAX], uint64_t Bps)
{
	return format_units(buf, (u128)Bps * 8, rate_units, 5); /* in powers of 1000 only */
}

/* ---- sizes and times ------------------------------------------------------------------------------------------- */

/* The first five are what is written. */
static const struct unit size_units[] = {
	{"b", 1}, {"kb", 1ull << 10}, {"mb", 1ull << 20}, {"gb", 1ull << 30},
	{"", 1},  {"k", 1ull << 10},  {"m", 1ull << 20},  {"g", 1ull << 30},
};

int text_size(const char *s, uint64_t *bytes, const char **why)
{
	const struct unit *unit;
	struct number n;
	u128 size;
	int err;

	err = read_number(&s, &n, why);
	if (err)
		return err;
	unit = find_unit(size_units, COUNT(size_units), s);
	if (!unit && isspace((unsigned char)*s))
		return refuse(why, -EINVAL,
			      "there is a space in it: write the unit right behind the number, as in 32kb");
	if (!unit && is_unit_in_capitals(size_units, COUNT(size_units), s))
		return refuse(why, -EINVAL, "units are written in small letters, as in 32kb");
	if (!unit)
		return refuse(why, -EINVAL, "the unit of a size is none of b, k, kb, m, mb, g, gb");
	size = times(&n, unit->factor);
	if (size > UINT64_MAX)
		return refuse(why, -ERANGE, "it is too large");
	*bytes = (uint64_t)size;
	return 0;
}

char *text_format_size(char buf[TEXT_MAX], uint64_t bytes)
{
	return format_units(buf, bytes, size_units, 4);
}

static const struct unit time_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60 * 1000000000ull},
	{"h", 3600 * 1000000000ull},
	{"d", 86400 * 1000000000ull},
};

int text_time(const char *s, uint64_t *ns, const char **why)
{
	const struct unit *unit;
	struct number n;
	u128 time;
	int err;

	err = read_number(&s, &n, why);
	if (err)
		return err;
	unit = find_unit(time_units, COUNT(time_units), s);
	if (!unit && !*s && !n.whole && !n.fraction)
		unit = &time_units[0];
	if (!unit && !*s)
		return refuse(why, -EINVAL, "it has no unit: ns, us, ms, s, m, h or d");
	if (!unit && isspace((unsigned char)*s))
		return refuse(why, -EINVAL,
			      "there is a space in it: write the unit right behind the number, as in 10m");
	if (!unit && is_unit_in_capitals(time_units, COUNT(time_units), s))
		return refuse(why, -EINVAL, "units are written in small letters, as in 10m");
	if (!unit)
		return refuse(why, -EINVAL, "the unit of a time is none of ns, us, ms, s, m, h, d");
	time = times(&n, unit->factor);
	if (time > UINT64_MAX)
		return refuse(why, -ERANGE, "it is too large");
	*ns = (uint64_t)time;
	return 0;
}

char *text_format_time(char buf[TEXT_MAX], uint64_t ns)
{
	if (!ns) {
		(void)snprintf(buf, TEXT_MAX, "0");
		return buf;
	}
	return format_units(buf, ns, time_units, COUNT(time_units));
}

/* ---- plain numbers --------------------------------------------------------------------------------------------- */

/* Decimal, without sign, leading zeros or anything behind. */
static int read_decimal(const char *s, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	bool large = false;

	if (!len || (len > 1 && s[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) { /* to the end: something else than a digit is worse than too many */
		if (!is_digit(s[i]))
			return -EINVAL;
		large |= v > (max - (uint64_t)(s[i] - '0')) / 10;
		if (!large)
			v = v * 10 + (uint64_t)(s[i] - '0');
	}
	*out = v;
	return large || v > max ? -ERANGE : 0;
}

int text_number(const char *s, uint64_t max, uint64_t *out, const char **why)
{
	int err = read_decimal(s, strlen(s), max, out);

	if (err == -ERANGE)
		return refuse(why, err, "it is too large");
	if (err)
		return refuse(why, err, "it is not a decimal number");
	return 0;
}

int text_range(const char *s, uint32_t max, uint32_t *lo, uint32_t *hi, const char **why)
{
	const char *dash = strchr(s, '-');
	size_t len = dash ? (size_t)(dash - s) : strlen(s);
	uint64_t from, to;
	int err;

	err = read_decimal(s, len, max, &from);
	to = from;
	if (!err && dash)
		err = read_decimal(dash + 1, strlen(dash + 1), max, &to);
	if (err == -ERANGE)
		return refuse(why, err, "it is too large");
	if (err && strchr(s, ':'))
		return refuse(why, err, "a range is written with \"-\", as in 8000-8080");
	if (err)
		return refuse(why, err, "it is neither a number nor a range such as 8000-8080");
	if (from > to)
		return refuse(why, -EINVAL, "the range ends before it starts");
	*lo = (uint32_t)from;
	*hi = (uint32_t)to;
	return 0;
}

/* Decimal or 0x hexadecimal. */
static int read_u32(const char *s, size_t len, uint32_t *out)
{
	uint64_t v = 0;
	int err;

	if (len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		for (size_t i = 2; i < len; i++) {
			if (!isxdigit((unsigned char)s[i]))
				return -EINVAL;
			v = v * 16 + (uint64_t)(is_digit(s[i]) ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
			if (v > UINT32_MAX)
				return -ERANGE;
		}
	} else {
		err = read_decimal(s, len, UINT32_MAX, &v);
		if (err)
			return err;
	}
	*out = (uint32_t)v;
	return 0;
}

int text_mark(const char *s, uint32_t *value, uint32_t *mask, const char **why)
{
	const char *slash = strchr(s, '/');
	int err;

	*mask = UINT32_MAX;
	err = read_u32(s, slash ? (size_t)(slash - s) : strlen(s), value);
	if (!err && slash)
		err = read_u32(slash + 1, strlen(slash + 1), mask);
	if (err == -ERANGE)
		return refuse(why, err, "it does not fit into 32 bits");
	if (err)
		return refuse(why, err, "it is neither N nor N/MASK, decimal or 0x hexadecimal");
	if (!*mask)
		return refuse(why, -EINVAL, "a mask of zero looks at nothing");
	if (*value & ~*mask)
		return refuse(why, -EINVAL, "the value has bits outside the mask");
	return 0;
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool has_bits_behind(const struct in6_addr *addr, unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if (addr->s6_addr[i / 8] & (0x80 >> (i % 8)))
			return true;
	return false;
}

static bool looks_like_mac(const char *s)
{
	for (size_t i = 0; i < 17; i++) {
		bool separator = i % 3 == 2;

		if (separator ? s[i] != ':' && s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return s[17] == '\0';
}

int text_prefix(const char *s, struct prefix *out, const char **why)
{
	const char *slash = strchr(s, '/');
	size_t len = slash ? (size_t)(slash - s) : strlen(s);
	char addr[INET6_ADDRSTRLEN];
	struct in_addr netmask;
	uint64_t bits;
	int err;

	*out = (struct prefix){0};
	if (looks_like_mac(s))
		return refuse(why, -EINVAL, "it is a MAC address: only IP addresses can be named here");
	if (len >= sizeof(addr))
		return refuse(why, -EINVAL, "it is too long for an address");
	memcpy(addr, s, len);
	addr[len] = '\0';
	if (strchr(addr, '%'))
		return refuse(why, -EINVAL, "an address takes no zone (%) here");
	if (inet_pton(AF_INET, addr, out->addr.s6_addr + sizeof(v4_mapped)) == 1) {
		memcpy(out->addr.s6_addr, v4_mapped, sizeof(v4_mapped));
		out->v4 = true;
	} else if (inet_pton(AF_INET6, addr, &out->addr) != 1) {
		return refuse(why, -EINVAL, "it is neither an IPv4 nor an IPv6 address");
	} else if (!memcmp(out->addr.s6_addr, v4_mapped, sizeof(v4_mapped))) {
		return refuse(why, -EINVAL, "it is an IPv4 address in IPv6 clothes: write it as IPv4");
	}
	if (slash && out->v4 && inet_pton(AF_INET, slash + 1, &netmask) == 1)
		return refuse(why, -EINVAL, "netmasks are not known here: write how many bits, as in 10.0.0.0/24");
	bits = out->v4 ? 32 : 128;
	err = slash ? read_decimal(slash + 1, strlen(slash + 1), bits, &bits) : 0;
	if (err == -ERANGE)
		return refuse(why, err,
			      out->v4 ? "an IPv4 prefix has at most 32 bits" : "an IPv6 prefix has at most 128 bits");
	if (err)
		return refuse(why, err, "behind the slash is not a number of bits, as in 10.0.0.0/8");
	out->bits = (uint8_t)(bits + (out->v4 ? 96 : 0));
	if (has_bits_behind(&out->addr, out->bits))
		return refuse(why, -EINVAL, "the address has bits set behind the prefix length");
	return 0;
}

bool text_masked(const char *s, struct prefix *network, struct prefix *single)
{
	const char *slash = strchr(s, '/'), *why;
	char addr[INET6_ADDRSTRLEN];
	uint64_t bits;

	if (!slash || (size_t)(slash - s) >= sizeof(addr) || text_number(slash + 1, 128, &bits, &why))
		return false;
	memcpy(addr, s, (size_t)(slash - s));
	addr[slash - s] = '\0';
	if (text_prefix(addr, single, &why) || (single->v4 && bits > 32))
		return false;
	*network = *single;
	network->bits = (uint8_t)(bits + (single->v4 ? 96 : 0));
	prefix_mask(network);
	return true;
}

void prefix_mask(struct prefix *p)
{
	for (unsigned i = p->bits; i < 128; i++)
		p->addr.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
}

char *text_format_prefix(char buf[TEXT_MAX], const struct prefix *p)
{
	const uint8_t *v4 = p->addr.s6_addr + sizeof(v4_mapped);
	char *end = buf;

	for (size_t i = 0; p->v4 && i < 4; i++) { /* inet_ntop takes ten times as long */
		if (i)
			*end++ = '.';
		end = put_decimal(end, v4[i]);
	}
	if (!p->v4 && inet_ntop(AF_INET6, &p->addr, buf, TEXT_MAX)) /* long enough for any */
		end += strlen(buf);
	if (p->bits < 128) {
		*end++ = '/';
		end = put_decimal(end, p->v4 ? p->bits - 96u : p->bits);
	}
	*end = '\0';
	return buf;
}

bool prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
	struct prefix p = *inner;

	if (outer->v4 != inner->v4 || outer->bits > inner->bits)
		return false;
	p.bits = outer->bits;
	prefix_mask(&p);
	return !memcmp(&p.addr, &outer->addr, sizeof(p.addr));
}

int prefix_cmp(const struct prefix *a, const struct prefix *b)
{
	int c = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return c ? c : (int)a->bits - (int)b->bits;
}

/* ---- words of the IP headers ----------------------------------------------------------------------------------- */

struct word {
	const char *name;
	int value;
};

static const struct word *find_word(const struct word *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i].name, name))
			return &words[i];
	return NULL;
}

static const char *word_of(const struct word *words, size_t n, int value)
{
	for (size_t i = 0; i < n; i++)
		if (words[i].value == value)
			return words[i].name;
	return NULL;
}

static char *format_word(char buf[TEXT_MAX], const struct word *words, size_t n, int value)
{
	const char *name = word_of(words, n, value);

	if (name)
		(void)snprintf(buf, TEXT_MAX, "%s", name); /* the names are short */
	else
		(void)snprintf(buf, TEXT_MAX, "%d", value);
	return buf;
}

/* RFC 2474, 2597, 3246, 5865, 8622. */
static const struct word dscps[] = {
	{"be", 0},    {"le", 1},    {"cs0", 0},   {"cs1", 8},   {"cs2", 16},  {"cs3", 24},  {"cs4", 32},  {"cs5", 40},
	{"cs6", 48},  {"cs7", 56},  {"af11", 10}, {"af12", 12}, {"af13", 14}, {"af21", 18}, {"af22", 20}, {"af23", 22},
	{"af31", 26}, {"af32", 28}, {"af33", 30}, {"af41", 34}, {"af42", 36}, {"af43", 38}, {"va", 44},   {"ef", 46},
};

int text_dscp(const char *s, uint8_t *out, const char **why)
{
	const struct word *w = find_word(dscps, COUNT(dscps), s);
	uint64_t v;

	if (w) {
		*out = (uint8_t)w->value;
		return 0;
	}
	if (read_decimal(s, strlen(s), 63, &v))
		return refuse(why, -EINVAL,
			      "names are ef, va, cs0 to cs7, af11 to af43, be and le, numbers go from 0 to 63");
	*out = (uint8_t)v;
	return 0;
}

char *text_format_dscp(char buf[TEXT_MAX], uint8_t dscp)
{
	return format_word(buf, dscps, COUNT(dscps), dscp);
}

/* Of the IANA registry, what a router sees. Not getprotobyname(3): the router may have no /etc/protocols. */
static const struct word protos[] = {
	{"icmp", 1},  {"igmp", 2},  {"ipip", 4},   {"tcp", 6},    {"udp", 17},    {"dccp", 33},
	{"ipv6", 41}, {"gre", 47},  {"esp", 50},   {"ah", 51},    {"icmpv6", 58}, {"eigrp", 88},
	{"ospf", 89}, {"pim", 103}, {"vrrp", 112}, {"l2tp", 115}, {"sctp", 132},  {"udplite", 136},
};

int text_proto(const char *s, uint8_t *out, const char **why)
{
	const struct word *w = find_word(protos, COUNT(protos), s);
	uint64_t v;

	if (w) {
		*out = (uint8_t)w->value;
		return 0;
	}
	if (read_decimal(s, strlen(s), 255, &v))
		return refuse(why, -EINVAL,
			      "names are tcp, udp, icmp, icmpv6, sctp, gre, esp .., numbers go from 0 to 255");
	*out = (uint8_t)v;
	return 0;
}

char *text_format_proto(char buf[TEXT_MAX], uint8_t proto)
{
	return format_word(buf, protos, COUNT(protos), proto);
}

static const struct word tcp_flags[] = {
	{"fin", 0x01}, {"syn", 0x02}, {"rst", 0x04}, {"psh", 0x08},
	{"ack", 0x10}, {"urg", 0x20}, {"ece", 0x40}, {"cwr", 0x80},
};

/* A list with commas, or "none". */
static int read_flags(const char *s, size_t len, uint8_t *out)
{
	const char *end = s + len;

	*out = 0;
	if (len == 4 && !memcmp(s, "none", 4))
		return 0;
	for (;;) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t n = (size_t)((comma ? comma : end) - s);
		size_t i = 0;

		while (i < COUNT(tcp_flags) && (n != 3 || memcmp(s, tcp_flags[i].name, 3) != 0))
			i++;
		if (i == COUNT(tcp_flags))
			return -EINVAL;
		*out |= (uint8_t)tcp_flags[i].value;
		if (!comma)
			return 0;
		s = comma + 1;
	}
}

int text_tcp_flags(const char *s, uint8_t *value, uint8_t *mask, const char **why)
{
	const char *slash = strchr(s, '/');
	int err;

	err = read_flags(s, slash ? (size_t)(slash - s) : strlen(s), value);
	*mask = *value;
	if (!err && slash)
		err = read_flags(slash + 1, strlen(slash + 1), mask);
	if (err)
		return refuse(why, err,
			      "flags are fin, syn, rst, psh, ack, urg, ece and cwr, written as in \"syn/syn,ack\"");
	if (!*mask)
		return refuse(why, -EINVAL, "it looks at no flag");
	if (*value & ~*mask)
		return refuse(why, -EINVAL, "a flag that must be set is not among those looked at");
	return 0;
}

/* RFC 792, 4443, 4861; -1: the family has none. */
static const struct {
	const char *name;
	int type4, type6;
} icmp_types[] = {
	{"echo-request", 8, 128},
	{"echo-reply", 0, 129},
	{"destination-unreachable", 3, 1},
	{"packet-too-big", -1, 2},
	{"time-exceeded", 11, 3},
	{"parameter-problem", 12, 4},
	{"source-quench", 4, -1},
	{"redirect", 5, 137},
	{"router-solicitation", 10, 133},
	{"router-advertisement", 9, 134},
	{"timestamp-request", 13, -1},
	{"timestamp-reply", 14, -1},
	{"neighbour-solicitation", -1, 135},
	{"neighbour-advertisement", -1, 136},
	{"mld-query", -1, 130},
	{"mld-report", -1, 131},
	{"mld-done", -1, 132},
	{"mld2-report", -1, 143},
};

int text_icmp_type(const char *s, int *type4, int *type6, const char **why)
{
	uint64_t v;

	for (size_t i = 0; i < COUNT(icmp_types); i++) {
		if (strcmp(icmp_types[i].name, s) != 0)
			continue;
		*type4 = icmp_types[i].type4;
		*type6 = icmp_types[i].type6;
		return 0;
	}
	if (read_decimal(s, strlen(s), 255, &v))
		return refuse(
			why, -EINVAL,
			"names are echo-request, echo-reply, destination-unreachable .., numbers go from 0 to 255");
	*type4 = *type6 = (int)v;
	return 0;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

int text_name(const char *s, const char **why)
{
	size_t n = strlen(s);

	if (!n)
		return refuse(why, -EINVAL, "it is empty");
	if (n > TEXT_NAME_MAX)
		return refuse(why, -EINVAL, "it is longer than 48 characters");
	if (!isalpha((unsigned char)s[0]))
		return refuse(why, -EINVAL, "it does not start with a letter");
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return refuse(why, -EINVAL, "it has something else than letters, digits, \"_\" and \"-\"");
	return 0;
}

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

/* Whether every [ of a pattern begins a set of characters. A ] that comes first in it is one of them. */
static bool is_closed(const char *s)
{
	while ((s = strchr(s, '['))) {
		s += s[1] == '!' || s[1] == '^' ? 2 : 1;
		s = *s ? strchr(s + 1, ']') : NULL;
		if (!s)
			return false;
	}
	return true;
}

int text_ifname(const char *s, bool glob, const char **why)
{
	size_t n = strlen(s);

	if (!n)
		return refuse(why, -EINVAL, "it is empty");
	if (!strcmp(s, ".") || !strcmp(s, ".."))
		return refuse(why, -EINVAL, "the kernel does not allow this name");
	for (size_t i = 0; i < n; i++)
		if (s[i] == '/' || s[i] == ':' || isspace((unsigned char)s[i]) || iscntrl((unsigned char)s[i]))
			return refuse(why, -EINVAL, "an interface's name has no space, colon or slash");
	if (text_quotable(s, why))
		return -EINVAL;
	if (is_pattern(s)) {
		if (!glob)
			return refuse(why, -EINVAL, "one interface is to be named, not a pattern");
		if (n > TEXT_NAME_MAX)
			return refuse(why, -EINVAL, "it is longer than 48 characters");
		if (!is_closed(s))
			return refuse(why, -EINVAL, "a [ has no ] behind it");
		return 0;
	}
	if (n > 15)
		return refuse(why, -EINVAL, "an interface's name has at most 15 characters");
	return 0;
}

static const char *closest_word(const struct word *words, size_t n, const char *s)
{
	const char *names[32];

	for (size_t i = 0; i < n; i++)
		names[i] = words[i].name;
	return text_closest(s, names, n);
}

_Static_assert(COUNT(dscps) <= 32 && COUNT(protos) <= 32, "closest_word");

const char *text_closest_dscp(const char *s)
{
	return closest_word(dscps, COUNT(dscps), s);
}

const char *text_closest_proto(const char *s)
{
	return closest_word(protos, COUNT(protos), s);
}

const char *text_closest_icmp_type(const char *s)
{
	const char *names[COUNT(icmp_types)];

	for (size_t i = 0; i < COUNT(icmp_types); i++)
		names[i] = icmp_types[i].name;
	return text_closest(s, names, COUNT(icmp_types));
}

#define SLIP_MAX  3
#define WORD_MAX  TEXT_NAME_MAX
#define WORDS_MAX 4096

/* How many letters to insert, delete, replace or swap from a to b, in either case; limit + 1 where more. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m, unsigned limit)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (size_t j = 0; j <= m; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned least;

		row[0] = least = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
			unsigned d = above[j - 1] + (x != y);

			d = above[j] + 1 < d ? above[j] + 1 : d;
			d = row[j - 1] + 1 < d ? row[j - 1] + 1 : d;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			row[j] = d;
			least = d < least ? d : least;
		}
		if (least > limit)
			return limit + 1;
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[m] > limit ? limit + 1 : above[m];
}

const char *text_closest(const char *s, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t len = strnlen(s, WORD_MAX + 1), best_m = 0;
	unsigned limit = len < 5 ? 1 : len < 9 ? 2 : SLIP_MAX;

	if (len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n && i < WORDS_MAX; i++) {
		size_t m = strnlen(names[i], WORD_MAX + 1);
		unsigned d;

		if (m > WORD_MAX || m > len + limit || len > m + limit)
			continue;
		d = distance(s, len, names[i], m, limit);
		if (d > limit || d >= len || d >= m)
			continue; /* nothing of the word is left */
		if (best && d == limit && m <= best_m)
			continue; /* of two, the one with more letters: they are left out rather than put in */
		best = names[i];
		best_m = m;
		if (!d)
			break;
		limit = d;
	}
	return best;
}

#define QUOTE_MAX 40

char *text_quote(char buf[TEXT_MAX], const char *s)
{
	size_t n = strnlen(s, QUOTE_MAX + 1);
	bool cut = n > QUOTE_MAX;

	if (cut)
		n = QUOTE_MAX;
	while (cut && n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	(void)snprintf(buf, TEXT_MAX, "\"%.*s%s\"", (int)n, s, cut ? ".." : ""); /* 44 bytes at most */
	return buf;
}

size_t text_utf8(const char *s, size_t len, uint32_t *code)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n;
	uint32_t c;

	if (!len)
		return 0;
	if (u[0] < 0x80) {
		*code = u[0];
		return 1;
	}
	n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	if (u[0] < 0xc2 || u[0] > 0xf4 || len < n)
		return 0;
	c = u[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

/* libyaml would take some of those that it may not have for line ends, and then its lines were not ours. */
bool text_allows(uint32_t code)
{
	if (code < 0x20)
		return code == '\t' || code == '\n';
	return !(code >= 0x7f && code < 0xa0) && code != 0x2028 && code != 0x2029 && code != 0xfeff && code != 0xfffe &&
	       code != 0xffff;
}

int text_quotable(const char *s, const char **why)
{
	size_t len = strlen(s), n;
	uint32_t code;

	if (strstr(s, "${"))
		return refuse(why, -EINVAL, "\"${\" starts a variable wherever it stands");
	for (size_t i = 0; i < len; i += n) {
		n = text_utf8(s + i, len - i, &code);
		if (!n || !text_allows(code))
			return refuse(why, -EINVAL, "it has a character that has no place in a policy's text");
	}
	return 0;
}

char *text_harmless(char *s, bool keep_lines)
{
	size_t len = strlen(s), out = 0, n;
	uint32_t code;

	for (size_t i = 0; i < len; i += n ? n : 1) {
		bool kept;

		n = text_utf8(s + i, len - i, &code);
		kept = n && keep_lines && (code == '\n' || code == '\t');
		if (kept || (n && code >= 0x20 && !(code >= 0x7f && code < 0xa0))) {
			memmove(s + out, s + i, n);
			out += n;
		} else {
			s[out++] = n && code == '\t' ? ' ' : '?';
		}
	}
	s[out] = '\0';
	return s;
}
