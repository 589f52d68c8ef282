/* SPDX-License-Identifier: MIT */
/* The name servers of the stage: all names exist, and lead to the other server, unless it is time for trouble. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/dns.h"
#include "stage.h"

#define TARGET "\4xmpp\4test"
#define PORT 5269
/* Answers are never later, so that trouble ends. */
#define LATE_MAX_MS 2000
#define RECORDS_MAX 40

struct names {
	struct dns_source source;
	struct worker *worker;
	struct dns *dns;
	struct list late;          /* struct question */
};

struct question {
	struct list link;
	struct timer timer;
	struct names *names;
	enum dns_kind kind;
	unsigned records;
	void *token;
};

static struct stage *stage_of_names;

static void add_16(struct buf *b, unsigned n)
{
	const char bytes[] = { (char)(n >> 8), (char)n };

	buf_add(b, bytes, 2);
}

/* RFC 1035 4.1.3; of the name of the root, as nobody asks whose it is. */
static void add_record(struct buf *b, enum dns_kind kind)
{
	static const unsigned types[] = { [DNS_SRV] = 33, [DNS_A] = 1, [DNS_AAAA] = 28, [DNS_TLSA] = 52 };

	buf_add(b, "", 1);
	add_16(b, types[kind]);
	add_16(b, 1);
	buf_add(b, "\0\0\0\0", 4);
	if (kind == DNS_SRV) {
		add_16(b, 6 + sizeof(TARGET));
		add_16(b, 1);
		add_16(b, 1);
		add_16(b, PORT);
		buf_add(b, TARGET, sizeof(TARGET));
	} else if (kind == DNS_AAAA) {
		add_16(b, 16);
		buf_add(b, "\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	} else if (kind == DNS_TLSA) {
		add_16(b, 4);
		buf_add(b, "\3\1\1x", 4);
	} else {
		add_16(b, 4);
		buf_add(b, "\300\0\2\2", 4);
	}
}

/* records: 0 is the answer that there are none. */
static void answer(struct names *n, enum dns_kind kind, void *token, unsigned records, bool is_torn)
{
	struct buf message = { 0 };
	size_t len;

	buf_add(&message, "\0\0\201\200\0\0", 6);
	add_16(&message, records);
	buf_add(&message, "\0\0\0\0", 4);
	for (unsigned i = 0; i < records; i++)
		add_record(&message, kind);
	len = buf_size(&message);
	if (is_torn)
		len = faults_draw(&stage_of_names->faults, (uint32_t)len);
	dns_source_answer(n->dns, token, DNS_FOUND, (const unsigned char *)buf_bytes(&message), len);
	buf_deinit(&message);
}

/* There are servers without TLS from the start, and addresses of IPv4. */
static unsigned usual_records(enum dns_kind kind, const char *name)
{
	return kind == DNS_A || (kind == DNS_SRV && strncmp(name, "_xmpps", 6) != 0);
}

static void on_late(struct worker *w, struct timer *t)
{
	struct question q = *LIST_ENTRY(t, struct question, timer);

	(void)w;
	list_remove(&LIST_ENTRY(t, struct question, timer)->link);
	free(LIST_ENTRY(t, struct question, timer));
	answer(q.names, q.kind, q.token, q.records, false);
}

static void answer_late(struct names *n, enum dns_kind kind, void *token, unsigned records)
{
	struct question *q = mem_new(sizeof(*q));

	*q = (struct question){ .timer.fire = on_late, .names = n, .kind = kind, .records = records,
	                        .token = token };
	list_init(&q->link);
	list_append(&n->late, &q->link);
	worker_timer_start(n->worker, &q->timer, 1 + faults_draw(&stage_of_names->faults, LATE_MAX_MS));
}

static void ask(struct dns_source *source, enum dns_kind kind, const char *name, void *token)
{
	static const enum dns_result failures[] = { DNS_TIMEOUT, DNS_FAILED, DNS_NO_NAME, DNS_NO_DATA };
	struct names *n = LIST_ENTRY(source, struct names, source);
	struct faults *f = &stage_of_names->faults;
	unsigned records = usual_records(kind, name), how;

	if (!faults_strike(f)) {
		answer(n, kind, token, records, false);
		return;
	}
	how = faults_draw(f, 8);
	if (how < 4)
		dns_source_answer(n->dns, token, failures[how], NULL, 0);
	else if (how < 6)
		answer_late(n, kind, token, records);
	else
		answer(n, kind, token, (kind != DNS_SRV || records != 0) * faults_draw(f, RECORDS_MAX), how == 7);
}

static void names_free(struct dns_source *source)
{
	struct names *n = LIST_ENTRY(source, struct names, source);

	for (struct list *l; (l = list_shift(&n->late)) != NULL;) {
		worker_timer_stop(n->worker, &LIST_ENTRY(l, struct question, link)->timer);
		free(LIST_ENTRY(l, struct question, link));
	}
	free(n);
}

void stage_set_names(struct stage *s)
{
	struct fed_settings *f = &s->life.sim->settings->fed;

	stage_of_names = s;
	f->uses_dns = true;
	f->dns = (struct dns_settings){ .cache_entries = 10, .cache_bytes = 10000, .max_ttl_ms = 1000, .negative_ttl_ms = 500,
	                                .max_records = 16 };
}

int __wrap_dns_new(struct worker *w, const struct dns_settings *settings, struct dns **dns, struct err_text *et);

/* The program is linked so that who wants to ask name servers comes here. */
int __wrap_dns_new(struct worker *w, const struct dns_settings *settings, struct dns **dns, struct err_text *et)
{
	struct names *n = mem_new(sizeof(*n));

	(void)et;
	n->source = (struct dns_source){ .ask = ask, .free = names_free };
	n->worker = w;
	list_init(&n->late);
	*dns = n->dns = dns_new_with(w, settings, &n->source);
	return 0;
}
