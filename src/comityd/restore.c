/* SPDX-License-Identifier: MIT */
/* Sessions over a restart: what the journals hold goes to the workers that are its home now. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "comityd/daemon.h"
#include "router/session_restore.h"
#include "router/token.h"

struct restore {
	struct daemon *d;
	struct list *per_worker;       /* struct image */
	struct journal_conf conf;
	size_t count;
	struct err_text *et;
	int rc;
};

/* The image goes to the home of its account; one whose address is none is let go. */
static void sort_image(void *arg, struct image *i)
{
	struct restore *r = arg;
	struct comity_jid *jid = comity_jid_parse(i->account);

	if (jid == NULL) {
		image_free(i);
		return;
	}
	list_append(&r->per_worker[home_of(&r->d->server, jid)->id], &i->link);
	r->count++;
	comity_jid_unref(jid);
}

static void run_open(struct worker *w, void *arg)
{
	struct restore *r = arg;
	struct list *images = &r->per_worker[w->id];

	if (r->rc == 0)
		r->rc = router_open_journal(router_of(w), &r->conf, r->et);
	for (struct list *l; r->rc == 0 && (l = list_shift(images)) != NULL;)
		dormant_adopt(router_of(w), LIST_ENTRY(l, struct image, link));
	if (r->rc != 0)
		return;
	dormant_write(router_of(w));
	r->rc = journal_sync_now(router_of(w)->journal);
	if (r->rc != 0)
		err_text_set(r->et, "cannot write the journal of sessions in %s", r->conf.folder);
}

static void run_begin(struct worker *w, void *arg)
{
	(void)arg;
	dormant_begin(router_of(w));
}

static void free_rest(struct restore *r)
{
	for (unsigned i = 0; i < r->d->server.worker_count; i++)
		for (struct list *l; (l = list_shift(&r->per_worker[i])) != NULL;)
			image_free(LIST_ENTRY(l, struct image, link));
	free(r->per_worker);
}

static int open_all(struct restore *r)
{
	struct daemon *d = r->d;

	for (unsigned i = 0; i < d->server.worker_count; i++)
		crew_call(d, d->server.workers[i], run_open, r);
	/* All that counted is in the new files, durable. */
	if (r->rc == 0)
		journal_remove_before(r->conf.folder, r->conf.generation);
	for (unsigned i = 0; r->rc == 0 && i < d->server.worker_count; i++)
		crew_call(d, d->server.workers[i], run_begin, NULL);
	return r->rc;
}

int crew_restore(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	char *folder = mem_printf("%s/journal", c->data_dir);
	struct images images = { 0 };
	struct restore r = {
		.d = d,
		.per_worker = mem_array(d->server.worker_count, sizeof(struct list)),
		.conf = { .folder = folder, .file_bytes = c->journal_size, .sync_ms = (unsigned)c->journal_delay },
		.et = et,
	};

	for (unsigned i = 0; i < d->server.worker_count; i++)
		list_init(&r.per_worker[i]);
	if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
		err_text_set(et, "cannot create %s: %s", folder, strerror(errno));
		r.rc = -ERR_IO;
	}
	if (r.rc == 0)
		r.rc = journal_read_all(folder, &d->log, images_take, &images, &r.conf.generation, et);
	if (r.rc == 0) {
		r.rc = images_take_stored(&images, d->server.store);
		if (r.rc != 0)
			err_text_set(et, "cannot read the store for the sessions of the journal: %s", err_name(r.rc));
	}
	if (r.rc == 0) {
		images_settle(&images);
		images_give(&images, sort_image, &r);
		r.rc = open_all(&r);
	}
	if (images.damaged != 0)
		log_error(&d->log, "%zu records of the journal in %s made no sense", images.damaged, folder);
	if (r.rc == 0 && r.count != 0)
		log_info(&d->log, "%zu sessions can be resumed", r.count);
	images_deinit(&images);
	free_rest(&r);
	free(folder);
	return r.rc;
}
