/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rates, sizes, times, addresses and words: what people write, both ways.
 */
#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- rates ----------------------------------------------------------------------------------------------------- */

static uint64_t rate(const char *s)
{
	const char *why = "";
	struct rate r;

	if (text_rate(s, &r, &why))
		fail_msg("%s: %s", s, why);
	assert_int_equal(r.percent, 0);
	return r.Bps;
}

static void a_rate_is_bits_with_a_unit(void **state)
{
	(void)state;
	assert_int_equal(rate("8bit"), 1);
	assert_int_equal(rate("128kbit"), 16000);
	assert_int_equal(rate("38mbit"), 4750000);
	assert_int_equal(rate("1gbit"), 125000000);
	assert_int_equal(rate("1tbit"), 125000000000);
	assert_int_equal(rate("1kibit"), 128);
	assert_int_equal(rate("1mibit"), 131072);
	assert_int_equal(rate("1gibit"), 134217728);
	assert_int_equal(rate("007kbit"), 875);
}

/* As floating point, 0.1 * 1000000 * 3 and 4.35 * 100 are not what they seem. */
static void fractions_are_exact(void **state)
{
	(void)state;
	assert_int_equal(rate("1.5mbit"), 187500);
	assert_int_equal(rate("0.1mbit"), 12500);
	assert_int_equal(rate("0.3mbit"), 37500);
	assert_int_equal(rate("4.35kbit"), 543); /* 543.75, rounded down */
	assert_int_equal(rate("0.000000008tbit"), 1000);
	assert_int_equal(rate("1.000000001gbit"), 125000000);
	assert_int_equal(rate("2.500000000kbit"), 312);
	assert_int_equal(rate("0.5kibit"), 64);
}

static void the_largest_rate_is_the_largest_number(void **state)
{
	const char *why;
	struct rate r;

	(void)state;
	assert_true(rate("147573952.589676412tbit") == 18446744073709551500u);
	assert_true(rate("147573952589676412920bit") == UINT64_MAX);
	assert_int_equal(text_rate("147573953tbit", &r, &why), -ERANGE);
	assert_int_equal(text_rate("99999999999999999999tbit", &r, &why), -ERANGE);
	assert_int_equal(text_rate("147573952589676412928bit", &r, &why), -ERANGE);
	assert_int_equal(text_rate("1000000000000000000000000bit", &r, &why), -ERANGE);
}

static void a_share_is_of_the_parent(void **state)
{
	const char *why;
	struct rate r;

	(void)state;
	assert_int_equal(text_rate("50%", &r, &why), 0);
	assert_int_equal(r.percent, 500000);
	assert_int_equal(r.Bps, 0);
	assert_int_equal(text_rate("33.3333%", &r, &why), 0);
	assert_int_equal(r.percent, 333333);
	assert_int_equal(text_rate("0.0001%", &r, &why), 0);
	assert_int_equal(r.percent, 1);
	assert_int_equal(text_rate("100%", &r, &why), 0);
	assert_int_equal(text_rate("100.1%", &r, &why), -ERANGE);
	assert_int_equal(text_rate("0.00001%", &r, &why), -ERANGE);
}

/* Each with a part of the reason. */
static const struct {
	const char *written, *why;
} bad_rates[] = {
	{"", "number"},
	{"10", "no unit"},
	{"mbit", "number"},
	{"-1mbit", "negative"},
	{"+1mbit", "number"},
	{" 1mbit", "number"},
	{"1mbit ", "none of"},
	{"10 mbit", "space"},
	{"10Mbit", "small letters"},
	{"10KBIT", "small letters"},
	{"10kbps", "bits or bytes"},
	{"10Mbps", "bits or bytes"},
	{"10MB/s", "bits or bytes"},
	{"10mb", "bits or bytes"},
	{"10M", "bits or bytes"},
	{"10Mbit/s", "that of a second"},
	{"10mbit/s", "that of a second"},
	{"100kbitps", "that of a second"},
	{"1gibitPS", "that of a second"},
	{"10ps", "bits or bytes"},
	{"10mbits/s", "bits or bytes"},
	{"10tibit", "none of"},
	{"1e3bit", "none of"},
	{"0x10bit", "none of"},
	{"1.mbit", "point"},
	{".5mbit", "number"},
	{"1.2.3mbit", "none of"},
	{"1,5mbit", "none of"},
	{"0bit", "zero"},
	{"0.0mbit", "zero"},
	{"0%", "zero"},
	{"7bit", "less than"},
	{"0.000000001kbit", "less than"},
	{"1.0000000001mbit", "nine digits"},
	{"10 %", "space"},
};

static void a_bad_rate_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_rates); i++) {
		const char *why = NULL;
		struct rate r;

		assert_int_not_equal(text_rate(bad_rates[i].written, &r, &why), 0);
		assert_non_null(why);
		if (!strstr(why, bad_rates[i].why))
			fail_msg("%s: %s", bad_rates[i].written, why);
	}
}

static void a_rate_without_a_clear_unit_has_readings(void **state)
{
	static const char *const none[] = {"", "mbit", "10mbit", "10Mbit/s", "1.5", "10xbps", "1234567890", "-10"};
	char buf[TEXT_READINGS_MAX];

	(void)state;
	assert_true(text_rate_readings(buf, "10"));
	assert_string_equal(buf, "it has no unit: 10kbit, 10mbit or 10gbit?");
	assert_true(text_rate_readings(buf, "10Mbps"));
	assert_string_equal(buf, "people disagree on what \"Mbps\" means: 10mbit (bits) or 80mbit (bytes)?");
	assert_true(text_rate_readings(buf, "999999999KB/s"));
	assert_string_equal(buf,
			    "people disagree on what \"KB/s\" means: 999999999kbit (bits) or 7999999992kbit (bytes)?");
	for (size_t i = 0; i < COUNT(none); i++)
		assert_false(text_rate_readings(buf, none[i]));
}

static void a_rate_is_written_in_its_largest_unit(void **state)
{
	char buf[TEXT_MAX];

	(void)state;
	assert_string_equal(text_format_rate(buf, 16000), "128kbit");
	assert_string_equal(text_format_rate(buf, 4750000), "38mbit");
	assert_string_equal(text_format_rate(buf, 1), "8bit");
	assert_string_equal(text_format_rate(buf, 187500), "1500kbit");
	assert_string_equal(text_format_rate(buf, UINT64_MAX), "147573952589676412920bit");
	assert_string_equal(text_format_rate(buf, 0), "0bit");
}

/* ---- sizes and times ------------------------------------------------------------------------------------------- */

static void sizes_count_in_1024(void **state)
{
	static const struct {
		const char *written;
		uint64_t bytes;
	} good[] = {
		{"1500", 1500},
		{"1500b", 1500},
		{"32k", 32768},
		{"32kb", 32768},
		{"1m", 1048576},
		{"1mb", 1048576},
		{"2gb", 2147483648},
		{"1.5kb", 1536},
		{"0", 0},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const bad[] = {"",
					  "k",
					  "1kib",
					  "1Kb",
					  "1 kb",
					  "-1",
					  "1500bytes",
					  "64kbit",
					  "18446744073709551616",
					  "17179869184gb",
					  "1e3",
					  "0x10"};
	const char *why;
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(text_size(good[i].written, &v, &why), 0);
		assert_int_equal(v, good[i].bytes);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		why = NULL;
		assert_int_not_equal(text_size(bad[i], &v, &why), 0);
		assert_non_null(why);
	}
}

static void times_have_a_unit(void **state)
{
	static const struct {
		const char *written;
		uint64_t ns;
	} good[] = {
		{"1ns", 1},
		{"2us", 2000},
		{"250ms", 250000000},
		{"30s", 30000000000},
		{"10m", 600000000000},
		{"1h", 3600000000000},
		{"1d", 86400000000000},
		{"1.5h", 5400000000000},
		{"0.001ms", 1000},
		{"0", 0},
		{"0s", 0},
	};
	static const char *const bad[] = {"", "10", "10min", "10M", "10 m", "-1s", "1w", "9999999999d", "0.5"};
	const char *why;
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(text_time(good[i].written, &v, &why), 0);
		assert_int_equal(v, good[i].ns);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		why = NULL;
		assert_int_not_equal(text_time(bad[i], &v, &why), 0);
		assert_non_null(why);
	}
}

static void sizes_and_times_are_written_short(void **state)
{
	char buf[TEXT_MAX];

	(void)state;
	assert_string_equal(text_format_size(buf, 1500), "1500b");
	assert_string_equal(text_format_size(buf, 32768), "32kb");
	assert_string_equal(text_format_size(buf, 0), "0b");
	assert_string_equal(text_format_size(buf, 1ull << 20), "1mb");
	assert_string_equal(text_format_time(buf, 600000000000), "10m");
	assert_string_equal(text_format_time(buf, 250000000), "250ms");
	assert_string_equal(text_format_time(buf, 90000000000), "90s");
	assert_string_equal(text_format_time(buf, 0), "0");
	assert_string_equal(text_format_time(buf, UINT64_MAX), "18446744073709551615ns");
}

/* ---- format, then parse ---------------------------------------------------------------------------------------- */

/* splitmix64, so that a failure can be seen again. */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Of every size, and often round in one of the two ways. */
static uint64_t draw_number(uint64_t *seed)
{
	static const uint64_t factors[] = {1, 1, 125, 1000, 1024, 125000, 1000000, 1048576, 125000000, 60000000000};
	uint64_t v = draw(seed) >> (draw(seed) % 64);

	return v * factors[draw(seed) % COUNT(factors)];
}

static void what_is_formatted_parses_to_the_same(void **state)
{
	uint64_t seed = 1, v, back;
	char buf[TEXT_MAX];
	const char *why;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct rate r;

		v = draw_number(&seed);
		if (v) {
			assert_int_equal(text_rate(text_format_rate(buf, v), &r, &why), 0);
			assert_int_equal(r.Bps, v);
		}
		assert_int_equal(text_size(text_format_size(buf, v), &back, &why), 0);
		assert_int_equal(back, v);
		assert_int_equal(text_time(text_format_time(buf, v), &back, &why), 0);
		assert_int_equal(back, v);
	}
}

static void formatted_addresses_parse_to_the_same(void **state)
{
	uint64_t seed = 2;
	char buf[TEXT_MAX];
	const char *why = "";

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct prefix p = {.v4 = draw(&seed) % 2, .bits = (uint8_t)(draw(&seed) % 129)}, back;

		for (size_t b = 0; b < 16; b++)
			p.addr.s6_addr[b] = (uint8_t)draw(&seed);
		p.addr.s6_addr[0] = 0x20; /* not an IPv4 address in IPv6 clothes */
		if (p.v4) {
			memcpy(p.addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
			p.bits = (uint8_t)(96 + p.bits % 33);
		}
		prefix_mask(&p);
		if (text_prefix(text_format_prefix(buf, &p), &back, &why))
			fail_msg("%s: %s", buf, why);
		assert_memory_equal(&p.addr, &back.addr, sizeof(p.addr));
		assert_int_equal(p.bits, back.bits);
		assert_int_equal(p.v4, back.v4);
	}
}

static void an_ipv4_address_is_written_as_everybody_does(void **state)
{
	char buf[TEXT_MAX], theirs[TEXT_MAX];
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct prefix p = {.v4 = true, .bits = 128};

		memcpy(p.addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
		for (size_t b = 12; b < 16; b++)
			p.addr.s6_addr[b] = (uint8_t)draw(&seed);
		assert_non_null(inet_ntop(AF_INET, &p.addr.s6_addr[12], theirs, sizeof(theirs)));
		assert_string_equal(text_format_prefix(buf, &p), theirs);
		p.bits = 96 + 9;
		prefix_mask(&p);
		assert_non_null(inet_ntop(AF_INET, &p.addr.s6_addr[12], theirs, sizeof(theirs)));
		assert_string_equal(text_format_prefix(buf, &p), strcat(theirs, "/9"));
	}
}

static void every_dscp_and_protocol_is_written_as_it_is_read(void **state)
{
	char buf[TEXT_MAX];
	const char *why;
	uint8_t v;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		assert_int_equal(text_proto(text_format_proto(buf, (uint8_t)i), &v, &why), 0);
		assert_int_equal(v, i);
		if (i > 63)
			continue;
		assert_int_equal(text_dscp(text_format_dscp(buf, (uint8_t)i), &v, &why), 0);
		assert_int_equal(v, i);
	}
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

static struct prefix prefix(const char *s)
{
	const char *why = "";
	struct prefix p;

	if (text_prefix(s, &p, &why))
		fail_msg("%s: %s", s, why);
	return p;
}

static void an_ipv4_address_is_kept_as_mapped(void **state)
{
	struct prefix p = prefix("10.1.0.0/16");

	(void)state;
	assert_true(p.v4);
	assert_int_equal(p.bits, 112);
	assert_memory_equal(p.addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\0\0", 16);
	assert_int_equal(prefix("10.0.0.1").bits, 128);
	assert_int_equal(prefix("0.0.0.0/0").bits, 96);
	assert_int_equal(prefix("::/0").bits, 0);
	assert_false(prefix("fd00::1").v4);
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "10.0.0",
					  "10.0.0.256",
					  "010.0.0.1",
					  "10.0.0.1/8",
					  "10.0.0.0/33",
					  "10.0.0.0/08",
					  "10.0.0.0/",
					  "10.0.0.0/-1",
					  "10.0.0.0/ 8",
					  "fe80::1/64",
					  "fe80::/129",
					  "fe80::1%eth0",
					  "::ffff:1.2.3.4",
					  "1.2.3.4/255.0.0.0",
					  "example.org",
					  "00:11:22:33:44:55",
					  "1.2.3.4-1.2.3.9",
					  "@set",
					  "*",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *why = NULL;

		if (!text_prefix(bad[i], &p, &why))
			fail_msg("%s is no address", bad[i]);
		assert_non_null(why);
	}
}

static void a_bad_prefix_length_says_why(void **state)
{
	static const struct {
		const char *written, *why;
	} bad[] = {
		{"10.0.0.0/33", "at most 32"},
		{"fd00::/129", "at most 128"},
		{"10.0.0.0/99999999999999999999", "at most 32"},
		{"10.0.0.0/24x", "number of bits"},
		{"10.0.0.0/255x", "number of bits"},
		{"10.0.0.0/255.255.255.0", "netmasks"},
		{"10.0.0.7/255.255.255.0", "netmasks"},
		{"fd00::/255.255.255.0", "number of bits"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *why = "";
		struct prefix p;

		assert_int_not_equal(text_prefix(bad[i].written, &p, &why), 0);
		if (!strstr(why, bad[i].why))
			fail_msg("%s: %s", bad[i].written, why);
	}
}

static void bits_behind_the_length_are_a_network_or_an_address(void **state)
{
	static const char *const none[] = {"",           "10.0.0.7", "10.0.0.7/",  "10.0.0.7/33",
					   "10.0.0.7/x", "a/8",      "fe80::1/129"};
	struct prefix network, single;
	char buf[TEXT_MAX];

	(void)state;
	assert_true(text_masked("10.0.0.7/24", &network, &single));
	assert_string_equal(text_format_prefix(buf, &network), "10.0.0.0/24");
	assert_string_equal(text_format_prefix(buf, &single), "10.0.0.7");
	assert_true(text_masked("fe80::1/64", &network, &single));
	assert_string_equal(text_format_prefix(buf, &network), "fe80::/64");
	assert_string_equal(text_format_prefix(buf, &single), "fe80::1");
	for (size_t i = 0; i < COUNT(none); i++)
		assert_false(text_masked(none[i], &network, &single));
}

static void a_prefix_holds_only_its_own_family(void **state)
{
	const struct prefix all6 = prefix("::/0"), all4 = prefix("0.0.0.0/0"), one4 = prefix("10.0.0.1"),
			    one6 = prefix("fd00::1");
	const struct prefix ten = prefix("10.0.0.0/8"), eleven = prefix("11.0.0.0/8");

	(void)state;
	assert_true(prefix_contains(&all4, &one4));
	assert_true(prefix_contains(&all6, &one6));
	assert_false(prefix_contains(&all6, &one4));
	assert_false(prefix_contains(&all4, &one6));
	assert_true(prefix_contains(&ten, &one4));
	assert_true(prefix_contains(&ten, &ten));
	assert_false(prefix_contains(&one4, &ten));
	assert_false(prefix_contains(&eleven, &one4));
}

static void covering_prefixes_come_first(void **state)
{
	const struct prefix ten8 = prefix("10.0.0.0/8"), ten16 = prefix("10.0.0.0/16"), other = prefix("10.1.0.0/16");

	(void)state;
	assert_true(prefix_cmp(&ten8, &ten16) < 0);
	assert_true(prefix_cmp(&ten16, &other) < 0);
	assert_int_equal(prefix_cmp(&ten8, &ten8), 0);
}

/* ---- words and numbers ----------------------------------------------------------------------------------------- */

static void ranges(void **state)
{
	static const char *const bad[] = {"",        "-",   "1-",    "-1",   "2-1",   "65536",
					  "1-65536", "080", "1-2-3", "0x50", "1 - 2", "ssh"};
	const char *why;
	uint32_t lo, hi;

	(void)state;
	assert_int_equal(text_range("80", 65535, &lo, &hi, &why), 0);
	assert_int_equal(lo, 80);
	assert_int_equal(hi, 80);
	assert_int_equal(text_range("0-65535", 65535, &lo, &hi, &why), 0);
	assert_int_equal(lo, 0);
	assert_int_equal(hi, 65535);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_range(bad[i], 65535, &lo, &hi, &why), 0);
	assert_int_equal(text_range("65536", 65535, &lo, &hi, &why), -ERANGE);
	assert_non_null(strstr(why, "too large"));
	assert_int_equal(text_range("65536x", 65535, &lo, &hi, &why), -EINVAL);
	assert_non_null(strstr(why, "neither a number"));
	assert_int_equal(text_range("8000:8080", 65535, &lo, &hi, &why), -EINVAL);
	assert_non_null(strstr(why, "written with \"-\""));
}

static void marks(void **state)
{
	static const char *const bad[] = {"",    "/",   "1/", "/1", "one",  "4294967296", "0x1ffffffff",
					  "2/1", "0/0", "-1", "0x", "1/2/3"};
	const char *why;
	uint32_t value, mask;

	(void)state;
	assert_int_equal(text_mark("7", &value, &mask, &why), 0);
	assert_int_equal(value, 7);
	assert_int_equal(mask, UINT32_MAX);
	assert_int_equal(text_mark("0x10/0xF0", &value, &mask, &why), 0);
	assert_int_equal(value, 0x10);
	assert_int_equal(mask, 0xf0);
	assert_int_equal(text_mark("0/1", &value, &mask, &why), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_mark(bad[i], &value, &mask, &why), 0);
}

static void tcp_flags(void **state)
{
	static const char *const bad[] = {"",         "/",    "syn/",        "sin",  "syn/ack", "SYN",
					  "syn, ack", "none", "syn/syn/ack", "syn,", ",syn"};
	const char *why;
	uint8_t value, mask;

	(void)state;
	assert_int_equal(text_tcp_flags("syn/syn,ack", &value, &mask, &why), 0);
	assert_int_equal(value, 0x02);
	assert_int_equal(mask, 0x12);
	assert_int_equal(text_tcp_flags("rst", &value, &mask, &why), 0);
	assert_int_equal(value, 0x04);
	assert_int_equal(mask, 0x04);
	assert_int_equal(text_tcp_flags("none/fin,syn", &value, &mask, &why), 0);
	assert_int_equal(value, 0);
	assert_int_equal(mask, 0x03);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_tcp_flags(bad[i], &value, &mask, &why), 0);
}

static void icmp_types_differ_by_family(void **state)
{
	const char *why;
	int type4, type6;

	(void)state;
	assert_int_equal(text_icmp_type("echo-request", &type4, &type6, &why), 0);
	assert_int_equal(type4, 8);
	assert_int_equal(type6, 128);
	assert_int_equal(text_icmp_type("packet-too-big", &type4, &type6, &why), 0);
	assert_int_equal(type4, -1);
	assert_int_equal(type6, 2);
	assert_int_equal(text_icmp_type("13", &type4, &type6, &why), 0);
	assert_int_equal(type4, 13);
	assert_int_equal(type6, 13);
	assert_int_not_equal(text_icmp_type("256", &type4, &type6, &why), 0);
	assert_int_not_equal(text_icmp_type("ping", &type4, &type6, &why), 0);
}

static void dscps_and_protocols(void **state)
{
	const char *why;
	uint8_t v;

	(void)state;
	assert_int_equal(text_dscp("ef", &v, &why), 0);
	assert_int_equal(v, 46);
	assert_int_equal(text_dscp("cs1", &v, &why), 0);
	assert_int_equal(v, 8);
	assert_int_equal(text_dscp("63", &v, &why), 0);
	assert_int_not_equal(text_dscp("64", &v, &why), 0);
	assert_int_not_equal(text_dscp("EF", &v, &why), 0);
	assert_int_equal(text_proto("icmpv6", &v, &why), 0);
	assert_int_equal(v, 58);
	assert_int_equal(text_proto("255", &v, &why), 0);
	assert_int_not_equal(text_proto("256", &v, &why), 0);
	assert_int_not_equal(text_proto("TCP", &v, &why), 0);
}

static void names(void **state)
{
	static const char *const bad[] = {"",   "1a",       "-a",
					  "_a", "a b",      "a.b",
					  "@a", "\xc3\xa4", "a234567890123456789012345678901234567890123456789"};
	const char *why;

	(void)state;
	assert_int_equal(text_name("neighbours", &why), 0);
	assert_int_equal(text_name("a_B-9", &why), 0);
	assert_int_equal(text_name("a23456789012345678901234567890123456789012345678", &why), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_name(bad[i], &why), 0);
}

static void interface_names(void **state)
{
	static const char *const bad[] = {
		"",     ".",       "..",        "eth0/1",       "eth0:1",       "eth 0", "a234567890123456",
		"eth*", "eth${0}", "a\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "a\xff"};
	const char *why;

	(void)state;
	assert_int_equal(text_ifname("eth0.100", false, &why), 0);
	assert_int_equal(text_ifname("a23456789012345", false, &why), 0);
	assert_int_equal(text_ifname("*eth[0-9]?", true, &why), 0);
	assert_int_equal(text_ifname("\xc3\xb6$", false, &why), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_ifname(bad[i], false, &why), 0);
}

static void a_pattern_closes_its_brackets(void **state)
{
	static const char *const good[] = {"eth[0-9]", "[]a]", "[!]a]", "[a][b]*", "a]"};
	static const char *const bad[] = {"eth[0-9", "[", "[]", "[!", "[!]", "[a][b"};
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		if (text_ifname(good[i], true, &why))
			fail_msg("%s: %s", good[i], why);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_not_equal(text_ifname(bad[i], true, &why), 0);
}

/* ---- did you mean ---------------------------------------------------------------------------------------------- */

static void a_slip_finds_its_word(void **state)
{
	static const char *const keys[] = {"rate",  "ceil",    "burst",   "cburst",
					   "match", "classes", "on-stop", "takeover"};

	(void)state;
	assert_string_equal(text_closest("rat", keys, COUNT(keys)), "rate");
	assert_string_equal(text_closest("Rate", keys, COUNT(keys)), "rate");
	assert_string_equal(text_closest("brust", keys, COUNT(keys)), "burst");
	assert_string_equal(text_closest("on_stop", keys, COUNT(keys)), "on-stop");
	assert_string_equal(text_closest("takover", keys, COUNT(keys)), "takeover");
	assert_string_equal(text_closest("ciel", keys, COUNT(keys)), "ceil");
	assert_null(text_closest("frobnicate", keys, COUNT(keys)));
	assert_null(text_closest("x", keys, COUNT(keys)));
	assert_null(text_closest("", keys, COUNT(keys)));
	assert_null(text_closest("rat", keys, 0));
	assert_string_equal(text_closest_proto("tpc"), "tcp");
	assert_string_equal(text_closest_icmp_type("echo-requst"), "echo-request");
	assert_string_equal(text_closest_dscp("af44"), "af41");
}

/* Letters are left out rather than put in. */
static void of_two_words_the_longer_was_meant(void **state)
{
	static const char *const keys[] = {"port", "proto", "sport"};

	(void)state;
	assert_string_equal(text_closest("prot", keys, COUNT(keys)), "proto");
	assert_string_equal(text_closest("sprt", keys, COUNT(keys)), "sport");
	assert_string_equal(text_closest_proto("icmp6"), "icmpv6");
}

static void a_quote_is_cut_at_a_character(void **state)
{
	char buf[TEXT_MAX];
	const char *why39 = "a12345678901234567890123456789012345678";
	char s[64];

	(void)state;
	assert_string_equal(text_quote(buf, "x"), "\"x\"");
	assert_string_equal(text_quote(buf, ""), "\"\"");
	(void)snprintf(s, sizeof(s), "%s\xc3\xa4!", why39);
	assert_string_equal(text_quote(buf, s), "\"a12345678901234567890123456789012345678..\"");
}

static void utf8(void **state)
{
	static const char *const bad[] = {"\x80",         "\xc0\x80",         "\xc3", "\xe0\x80\x80",
					  "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xf8\x88\x80\x80\x80"};
	uint32_t code;

	(void)state;
	assert_int_equal(text_utf8("a", 1, &code), 1);
	assert_int_equal(code, 'a');
	assert_int_equal(text_utf8("\xc3\xa4", 2, &code), 2);
	assert_int_equal(code, 0xe4);
	assert_int_equal(text_utf8("\xe2\x82\xac", 3, &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(text_utf8("\xf0\x9f\x90\x9f", 4, &code), 4);
	assert_int_equal(code, 0x1f41f);
	assert_int_equal(text_utf8("\xf0\x9f\x90\x9f", 3, &code), 0);
	assert_int_equal(text_utf8("", 0, &code), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(text_utf8(bad[i], strlen(bad[i]), &code), 0);
}

static void nothing_commands_a_terminal(void **state)
{
	char one[] = "a\tb\nc\x1b[2J\x7f \xc2\x9b \xc3\xa4 \xff", lines[] = "a\tb\n\rc";

	(void)state;
	assert_string_equal(text_harmless(one, false), "a b?c?[2J? ? \xc3\xa4 ?");
	assert_string_equal(text_harmless(lines, true), "a\tb\n?c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_bits_with_a_unit),
		cmocka_unit_test(fractions_are_exact),
		cmocka_unit_test(the_largest_rate_is_the_largest_number),
		cmocka_unit_test(a_share_is_of_the_parent),
		cmocka_unit_test(a_bad_rate_says_why),
		cmocka_unit_test(a_rate_without_a_clear_unit_has_readings),
		cmocka_unit_test(a_rate_is_written_in_its_largest_unit),
		cmocka_unit_test(sizes_count_in_1024),
		cmocka_unit_test(times_have_a_unit),
		cmocka_unit_test(sizes_and_times_are_written_short),
		cmocka_unit_test(what_is_formatted_parses_to_the_same),
		cmocka_unit_test(formatted_addresses_parse_to_the_same),
		cmocka_unit_test(an_ipv4_address_is_written_as_everybody_does),
		cmocka_unit_test(every_dscp_and_protocol_is_written_as_it_is_read),
		cmocka_unit_test(an_ipv4_address_is_kept_as_mapped),
		cmocka_unit_test(bad_addresses_are_refused),
		cmocka_unit_test(a_bad_prefix_length_says_why),
		cmocka_unit_test(bits_behind_the_length_are_a_network_or_an_address),
		cmocka_unit_test(a_prefix_holds_only_its_own_family),
		cmocka_unit_test(covering_prefixes_come_first),
		cmocka_unit_test(ranges),
		cmocka_unit_test(marks),
		cmocka_unit_test(tcp_flags),
		cmocka_unit_test(icmp_types_differ_by_family),
		cmocka_unit_test(dscps_and_protocols),
		cmocka_unit_test(names),
		cmocka_unit_test(interface_names),
		cmocka_unit_test(a_pattern_closes_its_brackets),
		cmocka_unit_test(a_slip_finds_its_word),
		cmocka_unit_test(of_two_words_the_longer_was_meant),
		cmocka_unit_test(a_quote_is_cut_at_a_character),
		cmocka_unit_test(utf8),
		cmocka_unit_test(nothing_commands_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
