/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "schema.h"

#include "match_read.h"

#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define KEYS(what_, rows, ...)                                                \
	{                                                                     \
		.what = (what_), .v = (rows), .n = COUNT(rows), ##__VA_ARGS__ \
	}
#define WORDS(what_, rows)                                     \
	{                                                      \
		.what = (what_), .v = (rows), .n = COUNT(rows) \
	}

#define OF_POLICE (1u << POLICY_POLICE)
#define OF_EDT    (1u << POLICY_EDT)
#define OF_HTB    (1u << POLICY_HTB)

static const char *type_name(unsigned owner)
{
	switch (owner) {
	case OF_POLICE: return "police";
	case OF_EDT: return "edt";
	case OF_HTB: return "htb";
	case OF_POLICE | OF_EDT: return "police or edt";
	case OF_POLICE | OF_HTB: return "police or htb";
	}
	return "edt or htb";
}

/* ---- names of things ------------------------------------------------------------------------------------------- */

static int check_path(const char *s, const char **why)
{
	*why = "it is empty";
	return *s ? text_quotable(s, why) : -1;
}

static int check_set_reference(const char *s, const char **why)
{
	return text_name(*s == '@' ? s + 1 : s, why);
}

static int check_ifname(const char *s, const char **why)
{
	return text_ifname(s, false, why);
}

static int check_ifnames(const char *s, const char **why)
{
	return text_ifname(s, true, why);
}

static const struct bind_name any_text = {"a text", NULL, NULL};
static const struct bind_name path_name = {"the path of a file", check_path, NULL};
static const struct bind_name preset_name = {"the name of a preset", NULL, NULL};
static const struct bind_name class_name = {"the name of a class", text_name, NULL};
static const struct bind_name policy_name = {"the name of a policy", text_name, NULL};
static const struct bind_name template_name = {"the name of a template", text_name, NULL};
static const struct bind_name schedule_name = {"the name of a schedule", text_name, NULL};
static const struct bind_name rule_name = {"the name of a rule", text_name, NULL};
static const struct bind_name default_name = {"the name of a class, or pass", text_name, NULL};
static const struct bind_name set_name = {"the name of a set", check_set_reference, NULL};
static const struct bind_name if_name = {"the name of an interface", check_ifname, NULL};
static const struct bind_name if_names = {"the name of an interface or a pattern", check_ifnames, NULL};

/* What is said of a word that is none: the one that is close, or else why. */
static const char *or_close(struct bind *b, const char *why, const char *close)
{
	return close ? arena_printf(b->arena, "did you mean \"%s\"?", close) : why;
}

/* ---- what a class does ----------------------------------------------------------------------------------------- */

/* The one of a map's keys that says more than a word. */
struct dscp_field {
	bool set;
	struct pos pos;
	uint8_t dscp;
};

static void read_dscp_value(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct dscp_field *out = field;
	const char *s = bind_scalar(b, n, "a DSCP such as cs1"), *why;

	(void)how;
	out->pos = n->pos;
	if (!s)
		return;
	if (text_dscp(s, &out->dscp, &why))
		bind_refuse(b, n, "bad-dscp", s, "a DSCP", or_close(b, why, text_closest_dscp(s)));
	else
		out->set = true;
}

static const struct key exceed_rows[] = {{"dscp", read_dscp_value, NULL, 0, KEY_REQUIRED, 0}};
static const struct keys exceed_keys = KEYS("exceed", exceed_rows);
static const struct bind_word exceed_word_rows[] = {{"drop", EXCEED_DROP}, {"pass", EXCEED_PASS}};
static const struct bind_words exceed_words = WORDS("drop, pass or {dscp: NAME}", exceed_word_rows);

static void read_exceed(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_exceed *out = field;
	struct dscp_field dscp = {0};
	struct w_word word = {0};

	(void)how;
	out->pos = n->pos;
	if (n->kind == NODE_MAP) {
		bind_map(b, n, &exceed_keys, &dscp, n->pos);
		out->set = dscp.set;
		out->what = EXCEED_DSCP;
		out->dscp = dscp.dscp;
		return;
	}
	bind_words(b, n, &word, &exceed_words);
	out->set = word.set;
	out->what = (enum exceed)word.v;
}

struct mark_field {
	bool set;
	uint32_t value, mask;
};

static void read_mark_value(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct mark_field *out = field;
	const char *s = bind_scalar(b, n, "a mark N or N/MASK"), *why;

	(void)how;
	if (!s)
		return;
	if (text_mark(s, &out->value, &out->mask, &why))
		bind_refuse(b, n, "bad-mark", s, "a mark", why);
	else
		out->set = true;
}

struct remark_fields {
	struct dscp_field dscp;
	struct mark_field mark;
};

static const struct key remark_rows[] = {
	{"dscp", read_dscp_value, NULL, offsetof(struct remark_fields, dscp), 0, 0},
	{"mark", read_mark_value, NULL, offsetof(struct remark_fields, mark), 0, 0},
};
static const struct keys remark_keys = KEYS("remark", remark_rows);

static void read_remark(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_remark *out = field;
	struct remark_fields f = {0};

	(void)how;
	bind_map(b, n, &remark_keys, &f, n->pos);
	if (n->kind == NODE_MAP && !n->n_pairs && !n->cut)
		diag_error(b->diag, n->pos, "missing-key", "remark needs \"dscp\" or \"mark\"");
	*out = (struct w_remark){
		.pos = n->pos,
		.has_dscp = f.dscp.set,
		.dscp = f.dscp.dscp,
		.has_mark = f.mark.set,
		.mark = f.mark.value,
		.mask = f.mark.mask,
	};
}

static const struct bind_word conform_rows[] = {{"pass", CONFORM_PASS}, {"continue", CONFORM_CONTINUE}};
static const struct bind_words conform_words = WORDS("pass or continue", conform_rows);

static const struct bind_number quantum_range = {"a quantum in bytes", 1, INT32_MAX};
static const struct bind_number prio_range = {"a priority", 0, 7};
static const struct bind_number mtu_range = {"a packet size", 1, UINT32_MAX};

static const struct bind_word qdisc_rows[] = {
	{"pfifo", QDISC_PFIFO}, {"bfifo", QDISC_BFIFO}, {"pfifo_fast", QDISC_PFIFO_FAST},
	{"sfq", QDISC_SFQ},     {"fq", QDISC_FQ},       {"fq_codel", QDISC_FQ_CODEL},
	{"cake", QDISC_CAKE},   {"codel", QDISC_CODEL}, {"tbf", QDISC_TBF},
};
static const struct bind_words qdisc_words =
	WORDS("pfifo, bfifo, pfifo_fast, sfq, fq, fq_codel, cake, codel or tbf", qdisc_rows);

/* That of an interface; its parameters are not looked at before there is one. */
static const struct key root_rows[] = {{"qdisc", bind_words, &qdisc_words, 0, KEY_REQUIRED | KEY_LATER, 0}};
static const struct keys root_keys = KEYS("a qdisc", root_rows, .open = true);

static const char *const param_ids[QDISC_TYPES] = {
	[QDISC_NUMBER] = "bad-number", [QDISC_SIGNED] = "bad-number", [QDISC_BYTES] = "bad-size",
	[QDISC_USEC] = "bad-time",     [QDISC_NSEC] = "bad-time",     [QDISC_SEC] = "bad-time",
	[QDISC_FLAG] = "bad-word",     [QDISC_RATE] = "bad-rate",     [QDISC_MASK] = "bad-number",
	[QDISC_LOG2] = "bad-number",   [QDISC_WORD] = "bad-word",
};

static const char *closest_word(const char *const *words, const char *s)
{
	size_t n = 0;

	while (words && words[n])
		n++;
	return n ? text_closest(s, words, n) : NULL;
}

static void read_param(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct qdisc_param *param = how;
	struct w_leaf *leaf = field;
	const char *what = arena_printf(b->arena, "a value of \"%s\"", param->name);
	const char *s = bind_scalar(b, n, what), *why;
	uint64_t value;

	if (!s)
		return;
	if (!qdisc_parse(param, s, &value, &why)) {
		*vec_add(b->arena, leaf) = (struct w_param){param, value};
		return;
	}
	bind_refuse(b, n, param_ids[param->type], s, what, or_close(b, why, closest_word(param->words, s)));
}

/* Was read first: what else may stand beside it depends on it. */
static void read_before(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)b;
	(void)n;
	(void)field;
	(void)how;
}

/* The keys of a qdisc are its parameters in qdisc.h. */
static struct keys keys_of_qdisc(struct bind *b, const struct w_word *kind)
{
	const struct qdisc_param *params = NULL;
	struct key *rows;
	size_t n = 0;

	if (kind->set)
		params = qdisc_params((enum qdisc_kind)kind->v, &n);
	rows = arena_array(b->arena, n + 1, sizeof(*rows));
	rows[0] = (struct key){.name = "qdisc", .read = read_before, .flags = KEY_REQUIRED};
	for (size_t i = 0; i < n; i++)
		rows[i + 1] = (struct key){.name = params[i].name, .read = read_param, .how = &params[i]};
	return (struct keys){
		.what = kind->set ? arena_printf(b->arena, "qdisc %s", qdisc_name((enum qdisc_kind)kind->v))
				  : "a qdisc",
		.v = rows,
		.n = n + 1,
		.open = !kind->set,
	};
}

/* Whether the parameters go together, on a device like most. */
static void check_params(struct bind *b, const struct node *n, const struct w_leaf *leaf)
{
	struct qdisc q;
	const char *why;

	qdisc_defaults(&q, (enum qdisc_kind)leaf->qdisc.v, &(const struct qdisc_device){1514, 1000});
	for (size_t i = 0; i < leaf->n; i++)
		qdisc_set(&q, leaf->v[i].param, leaf->v[i].value);
	why = qdisc_finish(&q);
	if (why)
		diag_error(b->diag, n->pos, "bad-leaf", "%s", why);
}

static const struct key leaf_kind_rows[] = {
	{"qdisc", read_before, NULL, 0, KEY_REQUIRED, 0},
};
static const struct keys leaf_kind_keys = KEYS("a qdisc", leaf_kind_rows);

static void read_leaf(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct node *name = bind_get(b, n, &leaf_kind_keys, "qdisc");
	size_t errors = diag_errors(b->diag);
	struct w_leaf *leaf = field;
	struct keys keys;

	(void)how;
	*leaf = (struct w_leaf){.pos = n->pos};
	if (name)
		bind_words(b, name, &leaf->qdisc, &qdisc_words);
	keys = keys_of_qdisc(b, &leaf->qdisc);
	bind_map(b, n, &keys, leaf, n->pos);
	if (!leaf->qdisc.set || diag_errors(b->diag) != errors)
		return;
	check_params(b, n, leaf);
	leaf->set = true;
}

static const struct bind_word per_key_rows[] = {
	{"local", PER_LOCAL}, {"remote", PER_REMOTE}, {"src", PER_SRC}, {"dst", PER_DST}};
static const struct bind_words per_key_words = WORDS("local, remote, src or dst", per_key_rows);
static const struct bind_number prefix4_range = {"a prefix length", 0, 32};
static const struct bind_number prefix6_range = {"a prefix length", 0, 128};
static const struct bind_number per_max_range = {"a number of keys", 1, 16777216};
static const char no_share_key[] = "an address has no parent that it could have a share of";

#define PER(field) offsetof(struct w_per, field)
static const struct key per_rows[] = {
	{"key", bind_words, &per_key_words, PER(key), KEY_REQUIRED, 0},
	{"set", bind_text, &set_name, PER(set), 0, 0},
	{"prefix4", bind_number, &prefix4_range, PER(prefix4), 0, 0},
	{"prefix6", bind_number, &prefix6_range, PER(prefix6), 0, 0},
	{"max", bind_number, &per_max_range, PER(max), 0, 0},
	{"timeout", bind_time, NULL, PER(timeout), 0, 0},
	{"rate", bind_rate, no_share_key, PER(rate), 0, 0},
};
static const struct keys per_keys = KEYS("per", per_rows);

static void read_per(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_per *per = field;

	(void)how;
	per->pos = n->pos;
	bind_map(b, n, &per_keys, per, n->pos);
}

static const struct key when_rows[] = {
	{"schedule", bind_text, &schedule_name, 0, KEY_REQUIRED | KEY_LATER, 0},
	{"rate", bind_rate, NULL, 0, KEY_LATER, 0},
	{"ceil", bind_rate, NULL, 0, KEY_LATER, OF_HTB},
};
static const struct keys when_keys = KEYS("an item of when", when_rows, .owner_name = type_name);

/* ---- classes and templates ------------------------------------------------------------------------------------- */

static bind_fn read_classes;

/* The first row is the one that a template does not have. */
static const struct key class_rows[] = {
	{"name", bind_text, &class_name, offsetof(struct w_class, name), KEY_REQUIRED, 0},
	{"rate", bind_rate, NULL, offsetof(struct w_class, rate), 0, 0},
	{"ceil", bind_rate, NULL, offsetof(struct w_class, ceil), 0, OF_HTB},
	{"burst", bind_span, NULL, offsetof(struct w_class, burst), 0, OF_POLICE | OF_HTB},
	{"cburst", bind_span, NULL, offsetof(struct w_class, cburst), 0, OF_HTB},
	{"quantum", bind_size, &quantum_range, offsetof(struct w_class, quantum), 0, OF_HTB},
	{"prio", bind_number, &prio_range, offsetof(struct w_class, prio), 0, OF_HTB},
	{"mtu", bind_size, &mtu_range, offsetof(struct w_class, mtu), 0, OF_POLICE | OF_HTB},
	{"leaf", read_leaf, NULL, offsetof(struct w_class, leaf), 0, OF_HTB},
	{"exceed", read_exceed, NULL, offsetof(struct w_class, exceed), 0, OF_POLICE},
	{"conform", bind_words, &conform_words, offsetof(struct w_class, conform), 0, OF_POLICE},
	{"match", match_read, NULL, offsetof(struct w_class, match), 0, 0},
	{"classes", read_classes, NULL, 0, 0, 0},
	{"use", bind_texts, &template_name, offsetof(struct w_class, use), 0, 0},
	{"per", read_per, NULL, offsetof(struct w_class, per), 0, 0},
	{"remark", read_remark, NULL, offsetof(struct w_class, remark), 0, 0},
	{"when", bind_form_list, &when_keys, 0, KEY_LATER, 0},
};
static const struct keys class_keys = KEYS("a class", class_rows, .owner_name = type_name);
static const struct keys template_keys = {
	.what = "a template", .v = class_rows + 1, .n = COUNT(class_rows) - 1, .owner_name = type_name};

static void read_class_list(struct bind *b, const struct node *n, struct w_class **classes, size_t *n_classes)
{
	if (n->kind != NODE_LIST) {
		bind_expected(b, n, "a list of classes, each with a \"- name:\"");
		return;
	}
	if (!n->n_items && !n->cut)
		diag_error(b->diag, n->pos, "empty-list", "the list is empty, expected a class");
	*classes = arena_array(b->arena, n->n_items, sizeof(**classes));
	*n_classes = n->n_items;
	for (size_t i = 0; i < n->n_items; i++) {
		(*classes)[i].pos = n->items[i]->pos;
		bind_map(b, n->items[i], &class_keys, &(*classes)[i], n->items[i]->pos);
	}
}

/* field is the whole class. */
static void read_classes(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_class *c = field;

	(void)how;
	c->classes_pos = n->pos;
	read_class_list(b, n, &c->classes, &c->n_classes);
}

/* ---- sections of named things ---------------------------------------------------------------------------------- */

/* A section is a map from names to things; read puts one more into the policy. */
struct section {
	const struct bind_name *name;
	size_t unread; /* offset of that flag in struct policy */
	void (*read)(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p);
};

#define UNREAD(section) offsetof(struct policy, unread.section)

static void read_section(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct section *section = how;
	struct policy unused = {0}; /* takes what is written a second time */
	bool *unread = (bool *)((char *)field + section->unread);

	if (n->kind != NODE_MAP) {
		*unread = true;
		bind_expected(b, n, arena_printf(b->arena, "a map in which each key is %s", section->name->what));
		return;
	}
	for (size_t i = 0; i < n->n_pairs; i++) {
		const struct node_pair *pair = &n->pairs[i];
		struct w_text name = {.s = pair->key, .pos = pair->pos};
		const char *why;
		char buf[TEXT_MAX];

		if (strstr(pair->key, "${")) {
			*unread = true;
			diag_error(b->diag, pair->pos, "var-in-key", "a variable cannot stand in a key");
		} else if (section->name->check(pair->key, &why)) {
			diag_error(b->diag, pair->pos, "bad-name", "%s is not %s: %s", text_quote(buf, pair->key),
				   section->name->what, why);
		}
		section->read(b, pair, name, pair->again ? &unused : field);
	}
}

/* ---- sets ------------------------------------------------------------------------------------------------------ */

static const char no_share_address[] = "an address has no parent that it could have a share of";

static void read_address_text(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "an address or a prefix");
	struct w_element *e = field;

	(void)how;
	if (s && !bind_prefix(b, n, s, &e->prefix))
		e->pos.line = 0;
	if (!s)
		e->pos.line = 0;
}

static const struct key element_rows[] = {
	{"address", read_address_text, NULL, 0, KEY_REQUIRED, 0},
	{"up", bind_one_rate, no_share_address, offsetof(struct w_element, up), 0, 0},
	{"down", bind_one_rate, no_share_address, offsetof(struct w_element, down), 0, 0},
};
static const struct key_hint element_hints[] = {{"rate", "its rates are \"up\" and \"down\""}};
static const struct keys element_keys =
	KEYS("an element", element_rows, .hints = element_hints, .n_hints = COUNT(element_hints));

static void read_elements(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_set *set = field;
	const struct node *const *items;
	size_t count;

	(void)how;
	set->elements.pos = n->pos;
	if (n->kind == NODE_LIST && !n->n_items)
		return; /* a generated list may well be empty */
	count = bind_items(b, n, "an address or a prefix", &items);
	for (size_t i = 0; i < count; i++) {
		struct w_element e = {.pos = items[i]->pos};

		if (items[i]->kind == NODE_MAP) {
			bind_map(b, items[i], &element_keys, &e, items[i]->pos);
			if (!node_get(items[i], "address"))
				e.pos.line = 0;
		} else {
			read_address_text(b, items[i], &e, NULL);
		}
		if (e.pos.line) /* it has an address */
			*vec_add(b->arena, &set->elements) = e;
	}
}

static const struct bind_word from_rows[] = {{"ip", LEARN_IP}, {"arp", LEARN_ARP}, {"nd", LEARN_ND}};
static const struct bind_words from_words = WORDS("ip, arp or nd", from_rows);
static const struct bind_word full_rows[] = {{"refuse", FULL_REFUSE}, {"evict-oldest", FULL_EVICT_OLDEST}};
static const struct bind_words full_words = WORDS("refuse or evict-oldest", full_rows);
static const struct bind_number learn_max_range = {"a number of addresses", 1, 4194304};

#define LEARN(field) offsetof(struct w_set, learn.field)
static const struct key learn_rows[] = {
	{"on", bind_texts, &if_names, LEARN(on), KEY_REQUIRED, 0},
	{"within", bind_prefixes, NULL, LEARN(within), 0, 0},
	{"from", bind_bits, &from_words, LEARN(from), 0, 0},
	{"timeout", bind_time, NULL, LEARN(timeout), 0, 0},
	{"max", bind_number, &learn_max_range, LEARN(max), 0, 0},
	{"when-full", bind_words, &full_words, LEARN(when_full), 0, 0},
};
static const struct keys learn_keys = KEYS("learn", learn_rows);

static void read_learn(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_set *set = field;

	(void)how;
	set->learn.pos = n->pos;
	bind_map(b, n, &learn_keys, set, n->pos);
}

static const struct key set_rows[] = {
	{"elements", read_elements, NULL, 0, 0, 0},
	{"file", bind_text, &path_name, offsetof(struct w_set, file), 0, 0},
	{"learn", read_learn, NULL, 0, 0, 0},
};
static const struct keys set_keys = KEYS("a set", set_rows);

static void read_set(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	struct w_set *set = vec_add(b->arena, &p->sets);

	set->name = name;
	bind_map(b, pair->value, &set_keys, set, pair->pos);
	if (pair->value->kind == NODE_MAP && !pair->value->n_pairs && !pair->value->cut)
		diag_error(b->diag, pair->pos, "missing-key", "a set needs \"elements\", \"file\" or \"learn\"");
}

static const struct bind_name set_key = {"the name of a set", text_name, NULL};
static const struct section sets_section = {&set_key, UNREAD(sets), read_set};

/* ---- services -------------------------------------------------------------------------------------------------- */

static const char service_what[] = "a protocol and ports such as tcp/22, or a protocol";

static bool has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136; /* tcp udp dccp sctp udplite */
}

/* "tcp/22", "udp/10000-10100", "icmp" */
static bool read_service_entry(struct bind *b, const struct node *n, const char *s, struct w_service_entry *out)
{
	const char *slash = strchr(s, '/'), *why;
	char *proto = arena_strndup(b->arena, s, slash ? (size_t)(slash - s) : strlen(s));
	uint32_t lo, hi;

	out->pos = n->pos;
	if (text_proto(proto, &out->proto, &why)) {
		bind_refuse(b, n, "bad-service", s, service_what, or_close(b, why, text_closest_proto(proto)));
		return false;
	}
	if (!slash)
		return true;
	if (!has_ports(out->proto)) {
		bind_refuse(b, n, "bad-service", s, service_what, "only tcp, udp, udplite, sctp and dccp have ports");
		return false;
	}
	if (text_range(slash + 1, 65535, &lo, &hi, &why)) {
		bind_refuse(b, n, "bad-port", s, service_what, why);
		return false;
	}
	out->has_ports = true;
	out->lo = (uint16_t)lo;
	out->hi = (uint16_t)hi;
	return true;
}

static void read_service(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	struct w_service *service = vec_add(b->arena, &p->services);
	const struct node *const *items;
	size_t count = bind_items(b, pair->value, service_what, &items);

	service->name = name;
	for (size_t i = 0; i < count; i++) {
		const char *s = bind_scalar(b, items[i], service_what);
		struct w_service_entry e = {0};

		if (s && read_service_entry(b, items[i], s, &e))
			*vec_add(b->arena, service) = e;
	}
}

static const struct bind_name service_key = {"the name of a service", text_name, NULL};
static const struct section services_section = {&service_key, UNREAD(services), read_service};

/* ---- templates ------------------------------------------------------------------------------------------------- */

static void read_template(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	struct w_template *t = vec_add(b->arena, &p->templates);

	t->name = name;
	t->keys.pos = pair->pos;
	bind_map(b, pair->value, &template_keys, &t->keys, pair->pos);
}

static const struct section templates_section = {&template_name, UNREAD(templates), read_template};

/* ---- schedules ------------------------------------------------------------------------------------------------- */

static bool is_day(const char *s, size_t n, int *day)
{
	static const char days[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

	for (int i = 0; i < 7; i++) {
		*day = i;
		if (n == 3 && !memcmp(s, days[i], 3))
			return true;
	}
	return false;
}

/* "mon", "mon-fri"; "sat-mon" goes round the week's end. */
static int check_days(const char *s, const char **why)
{
	const char *dash = strchr(s, '-');
	int day;

	*why = "days are mon tue wed thu fri sat sun, or a range such as mon-fri";
	if (!is_day(s, dash ? (size_t)(dash - s) : strlen(s), &day))
		return -1;
	return dash && !is_day(dash + 1, strlen(dash + 1), &day) ? -1 : 0;
}

static int check_time_of_day(const char *s, const char **why)
{
	*why = "a time of day is written as \"19:00\", from \"00:00\" to \"24:00\"";
	if (strlen(s) != 5 || s[2] != ':' || strspn(s, "0123456789") != 2 || strspn(s + 3, "0123456789") != 2)
		return -1;
	if (s[3] > '5' || strcmp(s, "24:00") > 0)
		return -1;
	return 0;
}

static const struct bind_name day_name = {"a day or a range of days", check_days, "bad-day"};
static const struct bind_name time_name = {"a time of day", check_time_of_day, "bad-time-of-day"};

/* YAML 1.1 has numbers in base 60: what rewrites a file makes 1140 of a 19:00 that is not quoted. */
static void read_time_of_day(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "a time of day such as \"19:00\""), *why;
	uint64_t minutes;

	(void)field;
	if (!s)
		return;
	if (!n->quoted && !text_number(s, 24 * 60, &minutes, &why))
		diag_error(b->diag, n->pos, "bad-time-of-day",
			   "%s is not a time of day: YAML turns %02u:%02u into this number where it is not quoted: "
			   "quote it",
			   s, (unsigned)minutes / 60, (unsigned)minutes % 60);
	else if (bind_name_check(b, n, s, how) && *bind_number_hint(b, n, s))
		diag_error(b->diag, n->pos, "bad-time-of-day",
			   "YAML turns %s into a number where it is not quoted: quote it", s);
}

static const struct key schedule_rows[] = {
	{"days", bind_texts, &day_name, 0, KEY_LATER, 0},
	{"from", read_time_of_day, &time_name, 0, KEY_REQUIRED | KEY_LATER, 0},
	{"to", read_time_of_day, &time_name, 0, KEY_REQUIRED | KEY_LATER, 0},
	{"tz", bind_text, &any_text, 0, KEY_LATER, 0},
};
static const struct keys schedule_keys = KEYS("a schedule", schedule_rows);

static void read_schedule(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	(void)name;
	(void)p;
	bind_map(b, pair->value, &schedule_keys, NULL, pair->pos);
}

static const struct section schedules_section = {&schedule_name, UNREAD(others), read_schedule};

/* ---- policies -------------------------------------------------------------------------------------------------- */

static const char no_share_policy[] = "nothing is above a policy's own rate that it could be a share of";

static const struct bind_word type_rows[] = {{"police", POLICY_POLICE}, {"edt", POLICY_EDT}, {"htb", POLICY_HTB}};
static const struct bind_words type_words = WORDS("police, edt or htb", type_rows);

static const struct bind_word police_engine_rows[] = {{"auto", ENGINE_AUTO}, {"tc", ENGINE_TC}, {"bpf", ENGINE_BPF}};
static const struct bind_words police_engines = WORDS("auto, tc or bpf", police_engine_rows);
static const struct bind_word edt_engine_rows[] = {{"auto", ENGINE_AUTO}, {"fq", ENGINE_FQ}};
static const struct bind_words edt_engines = WORDS("auto or fq", edt_engine_rows);

static void read_engine(struct bind *b, const struct node *n, void *field, const void *how)
{
	const bool edt = b->owner == OF_EDT;

	(void)how;
	if (!edt && n->kind == NODE_SCALAR && !strcmp(n->s, "fq"))
		diag_error(b->diag, n->pos, "wrong-type", "engine \"fq\" belongs to policies of type edt");
	else
		bind_words(b, n, field, edt ? &edt_engines : &police_engines);
}

#define HORIZON_MAX_NS 2000000000u /* a longer queue is nobody's wish, and fq would have to hold it */

/* A time that a packet may wait. */
static void read_wait(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_u64 *out = field;

	bind_time(b, n, field, NULL);
	if (!out->set || (out->v && out->v <= HORIZON_MAX_NS))
		return;
	out->set = false;
	bind_refuse(b, n, "bad-time", n->s, how, "it goes from 1ns to 2s");
}

static const char horizon_what[] = "a horizon";
static const char ecn_what[] = "a time to mark from, or off";

/* A time, or off. */
static void read_ecn(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = n->kind == NODE_SCALAR && !node_is_nothing(n) ? bind_scalar(b, n, how) : NULL, *why;
	uint64_t ns;

	if (s && !strcmp(s, "off"))
		*(struct w_u64 *)field = (struct w_u64){.set = true, .pos = n->pos};
	else if (s && text_time(s, &ns, &why))
		bind_refuse(b, n, "bad-time", s, how, why);
	else
		read_wait(b, n, field, how);
}

static const struct bind_word shards_rows[] = {{"auto", 0}};
static const struct bind_words shards_words = WORDS("auto", shards_rows);

static void read_policy_classes(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_policy *p = field;

	(void)how;
	p->classes_pos = n->pos;
	read_class_list(b, n, &p->classes, &p->n_classes);
}

#define POLICY(field) offsetof(struct w_policy, field)
static const struct key policy_rows[] = {
	{"type", bind_words, &type_words, POLICY(type), KEY_REQUIRED, 0},
	{"engine", read_engine, NULL, POLICY(engine), 0, OF_POLICE | OF_EDT},
	{"rate", bind_rate, no_share_policy, POLICY(rate), 0, 0},
	{"default", bind_text, &default_name, POLICY(dflt), KEY_REQUIRED, 0},
	{"horizon", read_wait, horizon_what, POLICY(horizon), 0, OF_EDT | OF_HTB},
	{"ecn", read_ecn, ecn_what, POLICY(ecn), 0, OF_EDT | OF_HTB},
	{"leaf", read_leaf, NULL, POLICY(leaf), 0, OF_HTB},
	{"burst", bind_span, NULL, POLICY(burst), 0, OF_POLICE | OF_HTB},
	{"cburst", bind_span, NULL, POLICY(cburst), 0, OF_HTB},
	{"quantum", bind_size, &quantum_range, POLICY(quantum), 0, OF_HTB},
	{"shards", bind_words, &shards_words, POLICY(shards), 0, OF_HTB},
	{"classes", read_policy_classes, NULL, 0, KEY_REQUIRED, 0},
};
static const struct keys policy_keys = KEYS("a policy", policy_rows, .owner_name = type_name);

/* Which keys belong here follows from the type, wherever in the policy it is written. */
static unsigned owner_of(struct bind *b, const struct node *policy)
{
	const struct node *type = bind_get(b, policy, &policy_keys, "type");
	struct diag *untold = diag_new(); /* what is wrong with it is told when its turn comes */
	const char *s = NULL;
	const struct var *used;

	if (type && type->kind == NODE_SCALAR)
		s = vars_replace(b->arena, &b->vars, untold, type, &used);
	diag_free(untold);
	for (size_t i = 0; s && i < COUNT(type_rows); i++)
		if (!strcmp(s, type_rows[i].name))
			return 1u << type_rows[i].value;
	return 0;
}

static void read_policy(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	struct w_policy *policy = vec_add(b->arena, &p->policies);

	policy->name = name;
	b->owner = owner_of(b, pair->value);
	bind_map(b, pair->value, &policy_keys, policy, pair->pos);
	b->owner = 0;
}

static const struct section policies_section = {&policy_name, UNREAD(policies), read_policy};

/* ---- interfaces ------------------------------------------------------------------------------------------------ */

static const char no_share_link[] = "nothing is above an interface's rate that it could be a share of";

static const struct bind_word linklayer_rows[] = {{"ethernet", LINK_ETHERNET}, {"atm", LINK_ATM}, {"ptm", LINK_PTM}};
static const struct bind_words linklayer_words = WORDS("ethernet, atm or ptm", linklayer_rows);
static const struct bind_number mpu_range = {"the smallest packet in bytes", 0, 2048};

#define OVERHEAD_MIN (-64) /* tc-cake(8)'s bounds */
#define OVERHEAD_MAX 256

static void read_overhead(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_link *link = field;
	const char *s = bind_scalar(b, n, "bytes a packet"), *why;
	uint64_t v;

	(void)how;
	link->overhead_pos = n->pos;
	if (!s)
		return;
	if (text_number(s + (*s == '-'), UINT32_MAX, &v, &why)) {
		bind_refuse(b, n, "bad-number", s, "an overhead", why);
	} else if (*s == '-' ? v > -OVERHEAD_MIN : v > OVERHEAD_MAX) {
		bind_refuse(b, n, "bad-number", s, "an overhead", "it goes from -64 to 256");
	} else {
		link->overhead = *s == '-' ? -(int)v : (int)v;
		link->overhead_set = true;
	}
}

#define LINK(field) offsetof(struct w_link, field)
static const struct key link_rows[] = {
	{"preset", bind_text, &preset_name, LINK(preset), 0, 0},
	{"linklayer", bind_words, &linklayer_words, LINK(linklayer), 0, 0},
	{"overhead", read_overhead, NULL, 0, 0, 0},
	{"mpu", bind_number, &mpu_range, LINK(mpu), 0, 0},
};
static const struct keys link_keys = KEYS("a link", link_rows);

static void read_link(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_link *link = field;
	size_t known = 0;

	(void)how;
	link->pos = n->pos;
	bind_map(b, n, &link_keys, link, n->pos);
	for (size_t i = 0; i < COUNT(link_rows); i++)
		known += node_get(n, link_rows[i].name) != NULL;
	if (node_get(n, "preset") && known > 1)
		diag_error(b->diag, n->pos, "preset-alone",
			   "a preset has its own linklayer, overhead and mpu: write it alone");
	if (n->kind == NODE_MAP && !n->n_pairs && !n->cut)
		diag_error(b->diag, n->pos, "missing-key", "a link needs \"preset\" or \"overhead\"");
}

static const struct bind_word via_rows[] = {{"ifb", VIA_IFB}};
static const struct bind_words via_words = WORDS("ifb", via_rows);

#define HOOK(field) offsetof(struct w_hook, field)
static const struct key hook_rows[] = {
	{"policy", bind_text, &policy_name, HOOK(policy), KEY_REQUIRED, 0},
	{"rate", bind_one_rate, no_share_link, HOOK(rate), 0, 0},
	{"via", bind_words, &via_words, HOOK(via), 0, 0},
};
static const struct keys hook_keys = KEYS("a direction of an interface", hook_rows);

static void read_hook(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_hook *hook = field;

	(void)how;
	hook->pos = n->pos;
	bind_map(b, n, &hook_keys, hook, n->pos);
}

static const struct bind_word side_rows[] = {{"wan", SIDE_WAN}, {"lan", SIDE_LAN}};
static const struct bind_words side_words = WORDS("wan or lan", side_rows);

/* A side was meant: nobody needs to miss one. */
static void read_side(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_word *side = field;

	bind_words(b, n, side, how);
	if (!side->set)
		*side = (struct w_word){.set = true, .pos = n->pos, .v = SIDE_WAN};
}

#define INTERFACE(field) offsetof(struct w_interface, field)
static const struct key interface_rows[] = {
	{"side", read_side, &side_words, INTERFACE(side), 0, 0}, {"link", read_link, NULL, INTERFACE(link), 0, 0},
	{"root", bind_form, &root_keys, 0, KEY_LATER, 0},        {"ingress", read_hook, NULL, INTERFACE(ingress), 0, 0},
	{"egress", read_hook, NULL, INTERFACE(egress), 0, 0},
};
static const struct key_hint interface_hints[] = {
	{"policy", "it belongs in its ingress or egress"},
	{"rate", "it belongs in its ingress or egress"},
	{"via", "it belongs in its ingress"},
};
static const struct keys interface_keys =
	KEYS("an interface", interface_rows, .hints = interface_hints, .n_hints = COUNT(interface_hints));

static void read_interface(struct bind *b, const struct node_pair *pair, struct w_text name, struct policy *p)
{
	struct w_interface *i = vec_add(b->arena, &p->interfaces);

	i->name = name;
	bind_map(b, pair->value, &interface_keys, i, pair->pos);
}

static const struct section interfaces_section = {&if_names, UNREAD(others), read_interface};

/* ---- forward --------------------------------------------------------------------------------------------------- */

static const struct bind_word mode_rows[] = {
	{"egress", FORWARD_EGRESS}, {"ingress", FORWARD_INGRESS}, {"neigh", FORWARD_NEIGH},
	{"peer", FORWARD_PEER},     {"clone", FORWARD_CLONE},
};
static const struct bind_words mode_words = WORDS("egress, ingress, neigh, peer or clone", mode_rows);

static void read_nexthop(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "an address");
	struct w_nexthop *out = field;

	(void)how;
	out->pos = n->pos;
	if (!s || !bind_prefix(b, n, s, &out->address))
		return;
	if (out->address.bits != 128)
		bind_refuse(b, n, "bad-address", s, "a next hop", "it is not a single address");
	else
		out->set = true;
}

#define FORWARD(field) offsetof(struct w_forward, field)
static const struct key redirect_rows[] = {
	{"mode", bind_words, &mode_words, FORWARD(mode), KEY_REQUIRED, 0},
	{"dev", bind_text, &if_name, FORWARD(dev), KEY_REQUIRED, 0},
	{"nexthop", read_nexthop, NULL, FORWARD(nexthop), 0, 0},
};
static const struct keys redirect_keys = KEYS("redirect", redirect_rows);

/* field is the whole rule. */
static void read_redirect(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)how;
	bind_map(b, n, &redirect_keys, field, n->pos);
}

static const struct bind_word hook_word_rows[] = {{"ingress", CLSACT_INGRESS}, {"egress", CLSACT_EGRESS}};
static const struct bind_words hook_words = WORDS("ingress or egress", hook_word_rows);
static const struct bind_word miss_rows[] = {{"pass", ON_MISS_PASS}, {"drop", ON_MISS_DROP}};
static const struct bind_words miss_words = WORDS("pass or drop", miss_rows);
static const struct key forward_rows[] = {
	{"name", bind_text, &rule_name, FORWARD(name), KEY_REQUIRED, 0},
	{"on", bind_text, &if_name, FORWARD(on), KEY_REQUIRED, 0},
	{"hook", bind_words, &hook_words, FORWARD(hook), 0, 0},
	{"match", match_read, NULL, FORWARD(match), KEY_REQUIRED, 0},
	{"redirect", read_redirect, NULL, 0, KEY_REQUIRED, 0},
	{"on-miss", bind_words, &miss_words, FORWARD(on_miss), 0, 0},
};
static const struct keys forward_keys = KEYS("a forwarding rule", forward_rows);

/* field is the whole policy. */
static void read_forward(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct policy *p = field;

	(void)how;
	if (n->kind != NODE_LIST) {
		bind_expected(b, n, "a list of forwarding rules, each with a \"- name:\"");
		return;
	}
	for (size_t i = 0; i < n->n_items; i++) {
		struct w_forward *f = vec_add(b->arena, &p->forwards);

		f->pos = n->items[i]->pos;
		bind_map(b, n->items[i], &forward_keys, f, n->items[i]->pos);
	}
}

/* ---- settings -------------------------------------------------------------------------------------------------- */

static const struct bind_word on_stop_rows[] = {{"keep", ON_STOP_KEEP}, {"remove", ON_STOP_REMOVE}};
static const struct bind_words on_stop_words = WORDS("keep or remove", on_stop_rows);
static const struct bind_word takeover_rows[] = {{"refuse", TAKEOVER_REFUSE}, {"replace", TAKEOVER_REPLACE}};
static const struct bind_words takeover_words = WORDS("refuse or replace", takeover_rows);
static const struct bind_word on_off_rows[] = {{"on", 1}, {"off", 0}};
static const struct bind_words on_off_words = WORDS("on or off", on_off_rows);

/* "127.0.0.1:9100", "[::1]:9100" */
static void read_listen(struct bind *b, const struct node *n, void *field, const void *how)
{
	static const char what[] = "an address and a port such as 127.0.0.1:9100 or \"[::1]:9100\"";
	const char *s = bind_scalar(b, n, what), *colon, *why = "the address or the port is wrong";
	struct prefix p;
	uint64_t port;
	char *addr;

	(void)field;
	(void)how;
	if (!s)
		return;
	colon = strrchr(s, ':');
	if (!colon) {
		bind_refuse(b, n, "bad-address", s, what, "there is no port behind a colon");
		return;
	}
	addr = arena_strndup(b->arena, s, (size_t)(colon - s));
	if (*addr == '[' && addr[strlen(addr) - 1] == ']') {
		addr[strlen(addr) - 1] = '\0';
		addr++;
	}
	if (text_prefix(addr, &p, &why) || p.bits != 128 || text_number(colon + 1, 65535, &port, &why))
		bind_refuse(b, n, "bad-address", s, what, why);
}

static const struct key metrics_rows[] = {{"listen", read_listen, NULL, 0, KEY_REQUIRED | KEY_LATER, 0}};
static const struct keys metrics_keys = KEYS("metrics", metrics_rows);

#define SAVE_MIN_NS 1000000u /* timers count in ms */

static void read_save(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_u64 *out = field;

	bind_time(b, n, field, NULL);
	if (!out->set || !out->v || out->v >= SAVE_MIN_NS)
		return;
	out->set = false;
	bind_refuse(b, n, "bad-time", n->s, how, "it is 0 or at least 1ms");
}

static const char save_what[] = "a time between two saves";
static const struct key learned_rows[] = {{"save", read_save, save_what, 0, KEY_REQUIRED, 0}};
static const struct keys learned_keys = KEYS("learned", learned_rows);

static void read_learned(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)how;
	bind_map(b, n, &learned_keys, field, n->pos);
}

#define SETTING(field) offsetof(struct policy, settings.field)
static const struct key settings_rows[] = {
	{"on-stop", bind_words, &on_stop_words, SETTING(on_stop), 0, 0},
	{"takeover", bind_words, &takeover_words, SETTING(takeover), 0, 0},
	{"protect", match_read, NULL, SETTING(protect), 0, 0},
	{"metrics", bind_form, &metrics_keys, 0, KEY_LATER, 0},
	{"learned", read_learned, NULL, SETTING(learned_save), 0, 0},
	{"fast-path", bind_words, &on_off_words, SETTING(fast_path), 0, 0},
};
static const struct keys settings_keys = KEYS("settings", settings_rows);

static void read_settings(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct policy *p = field;

	(void)how;
	if (!p->settings.pos.line)
		p->settings.pos = n->pos;
	bind_map(b, n, &settings_keys, p, n->pos);
}

/* ---- the top level --------------------------------------------------------------------------------------------- */

static void read_version(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_u64 *version = field;
	const char *s = bind_scalar(b, n, "1");
	char buf[TEXT_MAX];

	(void)how;
	if (s && strcmp(s, "1") != 0)
		diag_error(b->diag, n->pos, "version", "version %s of the policy language is not known, only 1 is",
			   text_quote(buf, s));
	if (!version->set)
		*version = (struct w_u64){.set = s != NULL, .pos = n->pos, .v = 1};
}

/* vars: of all files were read before anything else. */
static void read_vars(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)field;
	(void)how;
	if (n->kind != NODE_MAP)
		bind_expected(b, n, "a map in which each key is a name");
}

static const struct key top_rows[] = {
	{"version", read_version, NULL, offsetof(struct policy, version), 0, 0},
	{"vars", read_vars, NULL, 0, 0, 0},
	{"settings", read_settings, NULL, 0, 0, 0},
	{"sets", read_section, &sets_section, 0, 0, 0},
	{"services", read_section, &services_section, 0, 0, 0},
	{"templates", read_section, &templates_section, 0, 0, 0},
	{"schedules", read_section, &schedules_section, 0, KEY_LATER, 0},
	{"policies", read_section, &policies_section, 0, 0, 0},
	{"interfaces", read_section, &interfaces_section, 0, 0, 0},
	{"forward", read_forward, NULL, 0, 0, 0},
};
static const struct keys top_keys =
	KEYS("the top level", top_rows, .of_maps = "what belongs to a section is indented below it");

void schema_read(struct bind *b, const struct node *root, struct policy *p)
{
	bind_map(b, root, &top_keys, p, root->pos);
}

const struct node *schema_get(const struct bind *b, const struct node *root, const char *name)
{
	return bind_get(b, root, &top_keys, name);
}

const char *const schema_sections[] = {"vars",      "settings", "sets",       "services", "templates",
				       "schedules", "policies", "interfaces", NULL};

/* In the order in which a misplaced key is looked for. */
const struct keys *const schema_tables[] = {
	&class_keys, &policy_keys,   &match_read_keys, &interface_keys, &hook_keys, &link_keys,
	&set_keys,   &learn_keys,    &element_keys,    &settings_keys,  &top_keys,  &per_keys,
	&when_keys,  &schedule_keys, &forward_keys,    &redirect_keys,
};
const size_t schema_tables_n = COUNT(schema_tables);
