/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * print_plan FILE: the kernel objects that a policy asks for, without root and without a kernel. The file says in
 * comments what it is planned for:
 *
 *	# link wan0            an Ethernet interface; "# link ppp0 ppp" for one without an Ethernet header,
 *	                       "# link wan0 4" for one with four queues, "4xps" where XPS picks among them,
 *	                       "# link web peer" for a veth with its peer in another namespace, "# link wan1 down"
 *	# kernel act_police    the kernel has act_police; or a qdisc ("# kernel fq_codel")
 *	# live SET ADDRESS     an element added with `qosctl set`; "# live SET ADDRESS RATE RATE" with rates up and down
 *	# foreign wan0 fq      somebody else's root qdisc is there
 *	# ifb wan0             its ifb is there
 *	# policy in force      it is planned because links came or went
 *	# after other.yaml     names have the numbers that this policy gave them
 *
 * Digests are printed as [..]: they stand for the program's contents, which other tests look at.
 */
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ifb_name.h"
#include "plan.h"

struct setting {
	struct plan_input in;
	struct links links;
	struct link link[64];
	struct plan_live live[16];
	bool has_leaf[QDISC_KINDS];
	struct kobj_set observed;
	const char *after; /* NULL: none */
};

static uint64_t rate_of(const char *text)
{
	struct rate rate = {0};
	const char *why;

	if (text_rate(text, &rate, &why) < 0)
		fprintf(stderr, "%s: %s\n", text, why);
	return rate.Bps;
}

static void read_comment(struct arena *a, struct setting *s, const char *line)
{
	char word[64], name[64], extra[64], up[64], down[64];
	int words = sscanf(line, "# %63s %63s %63s %63s %63s", word, name, extra, up, down), n = words > 3 ? 3 : words;
	const char *why;

	if (n >= 2 && strcmp(word, "link") == 0) {
		struct link *l = &s->link[s->links.n++];

		snprintf(l->name, sizeof(l->name), "%.15s", name);
		l->ifindex = (int)s->links.n;
		l->type = n == 3 && strcmp(extra, "ppp") == 0 ? ARPHRD_PPP : ARPHRD_ETHER;
		l->up = true;
		l->running = n < 3 || strcmp(extra, "down") != 0;
		l->peer_elsewhere = n == 3 && strcmp(extra, "peer") == 0;
		l->mtu = 1500;
		l->tx_queues = n == 3 && atoi(extra) ? (uint32_t)atoi(extra) : 1;
		l->by_cpu = n == 3 && strstr(extra, "xps");
	} else if (n >= 2 && strcmp(word, "kernel") == 0) {
		if (strcmp(name, "act_police") == 0)
			s->in.has_police = true;
		else if (qdisc_by_name(name) != QDISC_OTHER)
			s->has_leaf[qdisc_by_name(name)] = true;
	} else if (n == 2 && strcmp(word, "after") == 0) {
		s->after = arena_strdup(a, name);
	} else if (n == 3 && strcmp(word, "foreign") == 0) {
		struct kobj *o = vec_add(a, &s->observed);

		o->kind = KOBJ_QDISC;
		o->what = arena_strdup(a, name);
		o->qdisc.parent = TC_H_ROOT;
		o->qdisc.handle = 0x80010000;
		o->qdisc.q.kind = qdisc_by_name(extra);
	} else if (n == 2 && strcmp(word, "ifb") == 0) {
		struct kobj *o = vec_add(a, &s->observed);

		o->kind = KOBJ_LINK;
		o->link.ifindex = ifb_index(name);
		ifb_name(o->link.name, name);
		snprintf(o->link.of, sizeof(o->link.of), "%.15s", name);
	} else if (n == 3 && strcmp(word, "policy") == 0 && strcmp(name, "in") == 0) {
		s->in.follows = strcmp(extra, "force") == 0;
	} else if (n == 3 && strcmp(word, "live") == 0) {
		struct plan_live *l = &s->live[s->in.n_live++];

		l->set = arena_strdup(a, name);
		if (text_prefix(extra, &l->prefix, &why) < 0)
			fprintf(stderr, "%s: %s\n", extra, why);
		if (words == 5) {
			l->up_Bps = rate_of(up);
			l->down_Bps = rate_of(down);
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct link *)a)->name, ((const struct link *)b)->name);
}

static void read_setting(struct arena *a, struct setting *s, const char *file)
{
	char line[256];
	FILE *f = fopen(file, "r");

	while (f && fgets(line, sizeof(line), f))
		read_comment(a, s, line);
	if (f)
		fclose(f);
	qsort(s->link, s->links.n, sizeof(s->link[0]), by_name);
	s->links.v = s->link;
	s->in.links = &s->links;
	for (size_t i = 0; i < s->observed.n; i++)
		if (s->observed.v[i].kind == KOBJ_QDISC)
			s->observed.v[i].qdisc.ifindex = links_by_name(&s->links, s->observed.v[i].what)->ifindex;
	kobj_set_sort(&s->observed);
	s->in.observed = &s->observed;
	s->in.live = s->live;
	s->in.has_neigh = s->in.has_peer = true;
	s->in.has_htb = s->in.has_ifb = s->in.has_mirred = s->has_leaf[QDISC_PFIFO] = s->has_leaf[QDISC_MQ] = true;
	s->in.has_leaf = s->has_leaf;
	s->in.prog_build_id = 1;
	s->in.cpus = 2;
}

static const char *link_name(void *ctx, int ifindex)
{
	const struct link *l = links_by_index(ctx, ifindex);

	return l ? l->name : NULL;
}

static void print_masked(const char *text)
{
	regex_t digest;
	regmatch_t m;

	if (regcomp(&digest, "\\[[0-9a-f]{16}\\]", REG_EXTENDED))
		abort();
	while (regexec(&digest, text, 1, &m, 0) == 0) {
		printf("%.*s[..]", (int)m.rm_so, text);
		text += m.rm_eo;
	}
	puts(text);
	regfree(&digest);
}

static void print_object(const struct kobj *o, struct links *links)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	kobj_kinds[o->kind]->describe(o, link_name, links, f);
	if (o->pos.line)
		fprintf(f, "   # line %u: %s", o->pos.line, o->what);
	fclose(f);
	print_masked(text);
	free(text);
}

static void number_names(struct arena *a, struct diag *d, const struct setting *s, struct handles *h)
{
	struct plan_input in = s->in;

	in.model = model_load(a, d, s->after);
	if (in.model)
		(void)plan_build(a, d, &in, h);
	handles_sweep(h);
}

int main(int argc, char **argv)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct handles *h = handles_new();
	struct setting s = {0};
	struct plan *p;
	int failed = 1;

	if (argc != 2)
		return 2;
	read_setting(a, &s, argv[1]);
	if (s.after)
		number_names(a, d, &s, h);
	s.in.model = model_load(a, d, argv[1]);
	if (s.in.model) {
		p = plan_build(a, d, &s.in, h);
		for (size_t i = 0; !diag_errors(d) && i < p->objects.n; i++)
			print_object(&p->objects.v[i], &s.links);
		for (size_t i = 0; i < p->hooks.n; i++)
			if (p->hooks.v[i].engine_why[0])
				printf("engine of %s %s: %s\n", p->hooks.v[i].ifname,
				       p->hooks.v[i].dir == DIR_INGRESS ? "ingress" : "egress",
				       p->hooks.v[i].engine_why);
		for (size_t i = 0; i < p->hooks.n; i++)
			if (p->hooks.v[i].refused[0])
				printf("left alone: %s\n", p->hooks.v[i].refused);
		for (size_t i = 0; i < p->waiting.n; i++)
			printf("waiting for %s\n", p->waiting.v[i]);
	}
	failed = diag_errors(d) != 0;
	for (size_t i = 0; i < diag_count(d); i++)
		if (diag_get(d, i)->level == DIAG_ERROR)
			diag_print_one(d, diag_get(d, i), stdout);
	handles_free(h);
	diag_free(d);
	arena_free(a);
	return failed;
}
