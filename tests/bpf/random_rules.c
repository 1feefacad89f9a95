/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "random_rules.h"

#include "runs.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint16_t ports[] = {0, 1, 79, 80, 81, 443, 1023, 1024, 8080, 32768, 65534, 65535};
static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_ICMPV6, 47};
static const char *const devices[] = {"1", "2", "3"};

#define N(array) (sizeof(array) / sizeof((array)[0]))

uint32_t random_below(struct random *r, uint32_t n)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)((r->state >> 16) % n);
}

static bool one_in(struct random *r, uint32_t n)
{
	return random_below(r, n) == 0;
}

/* Few addresses that differ in few bits, so that prefixes nest. */
static struct in6_addr random_address(struct random *r, bool v4)
{
	struct in6_addr a = {0};

	if (v4) {
		a.s6_addr[10] = a.s6_addr[11] = 0xff;
		a.s6_addr[12] = 10;
		a.s6_addr[13] = (uint8_t)random_below(r, 4);
		a.s6_addr[14] = (uint8_t)(random_below(r, 4) << 6);
	} else {
		a.s6_addr[0] = one_in(r, 4) ? 0x20 : 0xfd;
		a.s6_addr[7] = (uint8_t)random_below(r, 4);
	}
	a.s6_addr[15] = (uint8_t)random_below(r, 8);
	return a;
}

static struct prefix random_prefix(struct random *r)
{
	static const uint8_t v4_bits[] = {96, 104, 112, 114, 120, 125, 128}, v6_bits[] = {0, 8, 56, 62, 64, 126, 128};
	struct prefix p = {.v4 = !one_in(r, 3)};

	p.bits = p.v4 ? v4_bits[random_below(r, N(v4_bits))] : v6_bits[random_below(r, N(v6_bits))];
	p.addr = random_address(r, p.v4);
	for (unsigned bit = p.bits; bit < 128; bit++)
		p.addr.s6_addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return p;
}

static struct range random_range(struct random *r, uint32_t max)
{
	uint32_t lo = random_below(r, max + 1), hi = one_in(r, 2) ? lo : lo + random_below(r, max - lo + 1);

	return (struct range){lo, hi};
}

static struct range random_port_range(struct random *r)
{
	uint16_t lo = ports[random_below(r, N(ports))], hi = ports[random_below(r, N(ports))];

	return lo <= hi ? (struct range){lo, hi} : (struct range){hi, lo};
}

static struct range random_values(struct random *r, enum field field)
{
	uint32_t v;

	switch (field) {
	case FIELD_SPORT:
	case FIELD_DPORT: return random_port_range(r);
	case FIELD_PROTO: v = protos[random_below(r, N(protos))]; return (struct range){v, v};
	case FIELD_DSCP: return random_range(r, 63);
	case FIELD_VLAN: return random_range(r, one_in(r, 2) ? 3 : 4095);
	case FIELD_FAMILY: v = one_in(r, 2) ? 4 : 6; return (struct range){v, v};
	case FIELD_LENGTH: return random_range(r, one_in(r, 4) ? 65535 : 1500);
	case FIELD_ICMP_TYPE: return random_range(r, 20);
	case FIELD_SRC:
	case FIELD_DST:
	case FIELD_SRC_SET:
	case FIELD_DST_SET:
	case FIELD_MARK:
	case FIELD_TCP_FLAGS:
	case FIELD_IN_DEV:
	case FIELDS: break;
	}
	return (struct range){0, 0};
}

static struct literal random_literal(struct arena *a, struct random *r, enum field field, struct model_set *sets,
				     uint32_t n_sets)
{
	struct literal l = {.field = field, .negated = one_in(r, 3), .n = 1 + random_below(r, 3)};

	switch (field) {
	case FIELD_SRC:
	case FIELD_DST:
		l.prefixes = arena_array(a, l.n, sizeof(*l.prefixes));
		for (size_t i = 0; i < l.n; i++)
			l.prefixes[i] = random_prefix(r);
		break;
	case FIELD_SRC_SET:
	case FIELD_DST_SET: l.set = &sets[random_below(r, n_sets)]; break;
	case FIELD_MARK:
		l.mask = one_in(r, 2) ? 3 : 0xffffffff;
		l.value = random_below(r, 4);
		break;
	case FIELD_TCP_FLAGS:
		l.mask = 1 + random_below(r, 255);
		l.value = l.mask & random_below(r, 256);
		break;
	case FIELD_IN_DEV: l.ifname = devices[random_below(r, N(devices))]; break;
	case FIELD_SPORT:
	case FIELD_DPORT:
	case FIELD_PROTO:
	case FIELD_DSCP:
	case FIELD_VLAN:
	case FIELD_FAMILY:
	case FIELD_LENGTH:
	case FIELD_ICMP_TYPE:
		l.ranges = arena_array(a, l.n, sizeof(*l.ranges));
		for (size_t i = 0; i < l.n; i++)
			l.ranges[i] = random_values(r, field);
		break;
	case FIELDS: break;
	}
	return l;
}

/* ---- rules that differ in one address ---- */

#define STRETCH_MAX 60

static bool is_apart(const struct prefix *p, const struct prefix *others, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(p, &others[i]) || prefix_contains(&others[i], p))
			return false;
	return true;
}

/* One or two prefixes that no rule of the stretch has yet. */
static bool fill_teller(struct arena *a, struct random *r, struct literal *l, struct prefix *taken, size_t *n_taken)
{
	size_t wanted = 1 + one_in(r, 3);

	l->n = 0;
	l->prefixes = arena_array(a, wanted, sizeof(*l->prefixes));
	for (int tries = 0; l->n < wanted && tries < 40; tries++) {
		struct prefix p = random_prefix(r);

		if (!p.bits || !is_apart(&p, taken, *n_taken))
			continue;
		l->prefixes[l->n++] = taken[(*n_taken)++] = p;
	}
	return l->n == wanted;
}

/* Up to max rules that differ in one literal on an address field; returns how many. */
static size_t random_stretch(struct arena *a, struct random *r, struct rule *v, size_t max, struct model_class *classes,
			     uint32_t n_classes)
{
	struct prefix taken[2 * STRETCH_MAX];
	size_t at = v->n ? random_below(r, (uint32_t)v->n) : 0, n_taken = 0, n = 0;
	struct literal *shared = v->literals;
	enum field field = one_in(r, 2) ? FIELD_SRC : FIELD_DST;
	struct rule first = *v;

	if (!v->n)
		return 1;
	for (size_t i = 0; i < v->n; i++)
		if (i != at && shared[i].field == field)
			return 1; /* as it is */
	for (; n < max && n < STRETCH_MAX; n++) {
		v[n] = first;
		v[n].cls = &classes[1 + random_below(r, n_classes - 1)];
		v[n].literals = arena_array(a, first.n, sizeof(*shared));
		memcpy(v[n].literals, shared, first.n * sizeof(*shared));
		v[n].literals[at] = (struct literal){.field = field};
		if (!fill_teller(a, r, &v[n].literals[at], taken, &n_taken)) {
			v[n] = n ? (struct rule){0} : first;
			break;
		}
	}
	return n ? n : 1;
}

struct rules *random_rules(struct arena *a, struct random *r, size_t n, uint32_t fields, struct model_class *classes,
			   uint32_t n_classes, struct model_set *sets, uint32_t n_sets)
{
	const uint32_t address = 1u << FIELD_SRC | 1u << FIELD_DST;
	struct rules *out = arena_new_of(a, struct rules);

	out->v = arena_array(a, n, sizeof(*out->v));
	out->n = n;
	for (size_t i = 0, made; i < n; i += made) {
		struct rule *rule = &out->v[i];
		uint32_t wanted = one_in(r, 50) ? 0 : 1 + random_below(r, 4);

		rule->cls = &classes[1 + i * (n_classes - 1) /
						 n]; /* a class's rules lie side by side, as they do in a tree */
		rule->literals = arena_array(a, wanted, sizeof(*rule->literals));
		while (rule->n < wanted) {
			enum field field = (enum field)random_below(r, FIELDS);

			if (fields >> field & 1)
				rule->literals[rule->n++] = random_literal(a, r, field, sets, n_sets);
		}
		made = one_in(r, 20) && (fields & address) == address
			       ? random_stretch(a, r, rule, n - i, classes, n_classes)
			       : 1;
	}
	runs_find(a, out);
	return out;
}

struct packet_fields random_packet(struct random *r)
{
	bool v4 = !one_in(r, 3), fragment = one_in(r, 10);
	struct packet_fields p = {
		.family = v4 ? 4 : 6,
		.src = random_address(r, v4),
		.dst = random_address(r, v4),
		.proto = protos[random_below(r, N(protos))],
		.dscp = (uint8_t)random_below(r, 64),
		.mark = random_below(r, 5),
		.vlan = one_in(r, 2) ? -1 : (int)random_below(r, one_in(r, 2) ? 4 : 4096),
		.length = 80 + random_below(r, 1400),
		.tcp_flags = -1,
		.icmp_type = -1,
		.in_dev = one_in(r, 4) ? "" : devices[random_below(r, N(devices))],
	};

	if (fragment)
		return p;
	p.has_ports = p.proto == IPPROTO_TCP || p.proto == IPPROTO_UDP || p.proto == IPPROTO_SCTP;
	if (p.has_ports) {
		p.sport = ports[random_below(r, N(ports))];
		p.dport = ports[random_below(r, N(ports))];
	}
	if (p.proto == IPPROTO_TCP)
		p.tcp_flags = (int)random_below(r, 256);
	if (p.proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		p.icmp_type = (int)random_below(r, 25);
	return p;
}

const char *packet_fields_text(const struct packet_fields *p)
{
	static char text[512];
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	(void)snprintf(
		text, sizeof(text),
		"family %d %s -> %s ports %d %u %u proto %u dscp %u mark %u vlan %d length %u flags %d type %d in %s",
		p->family, inet_ntop(AF_INET6, &p->src, src, sizeof(src)),
		inet_ntop(AF_INET6, &p->dst, dst, sizeof(dst)), p->has_ports, p->sport, p->dport, p->proto, p->dscp,
		p->mark, p->vlan, p->length, p->tcp_flags, p->icmp_type, p->in_dev);
	return text;
}

bool random_in_set(uint32_t slot, const struct in6_addr *addr)
{
	return (addr->s6_addr[15] + addr->s6_addr[13] + slot) % 3 == 0;
}
