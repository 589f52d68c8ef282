/* SPDX-License-Identifier: MIT */
/* Who of a remote domain is seen as available here, so that nobody stays so for ever when the domain is lost
 * (RFC 6121 4.5.2 leaves it to the server). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/fed.h"
#include "router/rq.h"

/* One remote resource as one local account sees it. */
struct fed_seen {
	struct comity_jid *from, *to;
	bool is_stale;                 /* what it said last was not passed on */
	bool is_lost;                  /* shown as unavailable, because the domain was lost */
	size_t len;
	char key[];                    /* "from to" */
};

/* More than these are not followed, of a link and of all; they cost memory that peers control. */
#define SEEN_MAX 50000
#define SEEN_MAX_IN_ALL 200000

static void seen_free(struct fed_link *l, struct fed_seen *p)
{
	l->fed->seen_count--;
	comity_jid_unref(p->from);
	comity_jid_unref(p->to);
	free(p);
}

static char *make_key(const struct comity_jid *from, const struct comity_jid *to, size_t *len)
{
	char *key = mem_printf("%s %s", comity_jid_text(from), comity_jid_text(to));

	*len = strlen(key);
	return key;
}

static void forget(struct fed_link *l, const char *key, size_t len)
{
	struct fed_seen *p = map_remove(&l->seen, key, len);

	if (p != NULL)
		seen_free(l, p);
}

void link_note_presence(struct fed_link *l, enum comity_type type, struct comity_jid *from, struct comity_jid *to)
{
	struct fed_seen *p;
	size_t len;
	char *key;

	if (type != COMITY_TYPE_AVAILABLE && type != COMITY_TYPE_UNAVAILABLE && type != COMITY_TYPE_ERROR)
		return;
	key = make_key(from, to, &len);
	p = map_find(&l->seen, key, len);
	if (type != COMITY_TYPE_AVAILABLE) {
		forget(l, key, len);
	} else if (p != NULL) {
		p->is_lost = false;
	} else if (l->seen.count < SEEN_MAX && l->fed->seen_count < SEEN_MAX_IN_ALL) {
		p = mem_new(sizeof(*p) + len + 1);
		p->from = comity_jid_ref(from);
		p->to = comity_jid_ref(to);
		p->len = len;
		memcpy(p->key, key, len + 1);
		map_put(&l->seen, p->key, len, p);
		l->fed->seen_count++;
	}
	free(key);
}

static void send_presence(struct fed_link *l, enum comity_type type, struct comity_jid *from, struct comity_jid *to)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_PRESENCE, type);

	route(rq_new(l->fed->router, &st, from, to));
}

void link_lose_presence(struct fed_link *l)
{
	size_t pos = 0;

	for (struct fed_seen *p; (p = map_next(&l->seen, &pos)) != NULL;) {
		if (p->is_lost)
			continue;
		p->is_lost = true;
		send_presence(l, COMITY_TYPE_UNAVAILABLE, p->from, p->to);
	}
}

bool link_has_presence(const struct fed_link *l)
{
	return l->seen.count != 0;
}

/* RFC 6121 4.3: the other side answers with what is so now. */
void link_regain_presence(struct fed_link *l)
{
	struct map lost = { 0 };
	struct fed_seen *p;
	size_t pos = 0;

	while ((p = map_next(&l->seen, &pos)) != NULL)
		if (p->is_lost)
			map_put(&lost, p->key, p->len, p);
	for (pos = 0; (p = map_next(&lost, &pos)) != NULL;) {
		map_remove(&l->seen, p->key, p->len);
		send_presence(l, COMITY_TYPE_PROBE, comity_jid_bare(p->to), comity_jid_bare(p->from));
	}
	for (pos = 0; (p = map_next(&lost, &pos)) != NULL;)
		seen_free(l, p);
	map_deinit(&lost);
}

void link_note_stale(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to)
{
	struct fed_seen *p;
	size_t len;
	char *key = make_key(from, to, &len);

	p = map_find(&l->seen, key, len);
	if (p != NULL)
		p->is_stale = l->has_stale = true;
	free(key);
}

/* An answer may come at once and change the table. */
void link_refresh_presence(struct fed_link *l)
{
	struct comity_jid **stale;
	size_t count = 0, pos = 0;

	if (!l->has_stale)
		return;
	l->has_stale = false;
	stale = mem_array(l->seen.count, 2 * sizeof(struct comity_jid *));
	for (struct fed_seen *p; (p = map_next(&l->seen, &pos)) != NULL; p->is_stale = false) {
		if (!p->is_stale)
			continue;
		stale[count++] = comity_jid_ref(comity_jid_bare(p->to));
		stale[count++] = comity_jid_ref(comity_jid_bare(p->from));
	}
	for (size_t i = 0; i < count; i += 2) {
		send_presence(l, COMITY_TYPE_PROBE, stale[i], stale[i + 1]);
		comity_jid_unref(stale[i]);
		comity_jid_unref(stale[i + 1]);
	}
	free(stale);
}

void link_forget_presence(struct fed_link *l)
{
	size_t pos = 0;

	for (struct fed_seen *p; (p = map_next(&l->seen, &pos)) != NULL;)
		seen_free(l, p);
	map_deinit(&l->seen);
}
