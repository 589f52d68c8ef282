/* SPDX-License-Identifier: MIT */
/* Groups of writes: what is appended to archives goes to the log, all else into the database in one transaction. */
#include "store/writer.h"

#include "base/log.h"
#include "store/ahead.h"
#include "store/driver.h"
#include "store/request.h"

/* Says once that writing fails, and once that it works again: a full disk must not fill the log too. */
static void note_outcome(struct writer *w, int rc)
{
	if (rc != 0 && !w->is_failing)
		log_error(w->log, "cannot write: %s; what is written now is refused", err_name(rc));
	if (rc == 0 && w->is_failing)
		log_warning(w->log, "writing works again");
	w->is_failing = rc != 0;
}

static bool goes_to_log(const struct writer *w, const struct request *r)
{
	/* Whether one is there already is looked up in the database. */
	return r->op == OP_APPEND && r->entry.may_be_there == 0 && ahead_takes(w->ahead, r->owner, r->name, &r->entry);
}

/* What looks at archives, or changes what is in them, needs all of the owner there. */
static bool needs_settled(const struct request *r)
{
	return r->op == OP_SETTLE || r->op == OP_DELETE || r->op == OP_TRIM || r->op == OP_REMOVE_OWNER ||
	       (r->op == OP_APPEND && r->entry.may_be_there != 0);
}

static int run_append(struct writer *w, struct request *r)
{
	r->status = ahead_check_room(w->ahead, r->owner, r->name, &r->entry, r->limit);
	if (r->status != 0)
		return r->status;
	r->entry.id = ahead_next_id(w->ahead);
	if (request_run(r, w->driver, w->conn) != 0 || r->number != r->entry.id)
		ahead_forget_count(w->ahead, r->owner);
	return r->status;
}

/* If it fails alone, the others of its group go on; returns non-zero when the transaction is lost. */
static int run_part(struct writer *w, struct request *r)
{
	const struct store_driver *d = w->driver;
	int rc = d->mark(w->conn);

	if (rc != 0)
		return rc;
	rc = r->op == OP_APPEND ? run_append(w, r) : request_run(r, d, w->conn);
	if (r->op == OP_DELETE || r->op == OP_TRIM || r->op == OP_REMOVE_OWNER)
		ahead_forget_count(w->ahead, r->owner);
	if (rc == 0)
		return d->keep(w->conn);
	return d->undo(w->conn) != 0 ? rc : 0;
}

static int begin(struct writer *w)
{
	int rc = w->is_open ? 0 : w->driver->begin(w->conn);

	w->is_open = w->is_open || rc == 0;
	return rc;
}

static int settle(struct writer *w, const char *owner)
{
	int rc = begin(w);

	return rc != 0 ? rc : ahead_settle(w->ahead, owner);
}

/* Returns non-zero when the transaction is lost. */
static int run_in_database(struct writer *w, struct request *r)
{
	int rc = needs_settled(r) && ahead_has(w->ahead, r->owner) ? settle(w, r->owner) : 0;

	if (rc != 0 || r->op == OP_SETTLE)
		return rc;
	rc = begin(w);
	return rc != 0 ? rc : run_part(w, r);
}

static int run_all(struct writer *w, struct list *group)
{
	int lost = 0;

	LIST_EACH(l, next, group) {
		struct request *r = LIST_ENTRY(l, struct request, link);

		r->is_logged = goes_to_log(w, r);
		if (r->is_logged) {
			r->status = ahead_add(w->ahead, r->owner, r->name, &r->entry, r->limit);
			r->number = r->entry.id;
			/* The database has failed while it was counted there, and may have ended the transaction by itself. */
			if (r->status != 0 && r->status != -ERR_LIMIT && w->is_open && lost == 0)
				lost = r->status;
		} else if (lost == 0) {
			lost = run_in_database(w, r);
		}
	}
	return lost;
}

static void end_transaction(struct writer *w, int *lost)
{
	if (!w->is_open)
		return;
	if (*lost == 0)
		*lost = w->driver->commit(w->conn);
	if (*lost != 0)
		w->driver->rollback(w->conn);
	ahead_settled(w->ahead, *lost == 0);
	w->is_open = false;
}

/* One that was refused by itself keeps its own reason. */
static void refuse(struct list *group, bool is_logged, int rc)
{
	LIST_EACH(l, next, group) {
		struct request *r = LIST_ENTRY(l, struct request, link);

		if (r->is_logged != is_logged)
			continue;
		if (r->status == 0)
			r->status = rc;
		r->number = 0;
	}
}

void writer_run_group(struct writer *w, struct list *group)
{
	int lost, unlogged;

	/* The end of the last transaction may have failed, for want of memory: nothing is counted within it. */
	w->driver->rollback(w->conn);
	lost = run_all(w, group);
	unlogged = ahead_sync(w->ahead);

	/* Some of what was not written may be in the transaction. */
	if (lost == 0)
		lost = unlogged;
	end_transaction(w, &lost);
	note_outcome(w, lost);
	if (lost != 0)
		refuse(group, false, lost);
	if (unlogged != 0)
		refuse(group, true, unlogged);
}

bool writer_move(struct writer *w)
{
	int rc;

	if (!ahead_has(w->ahead, NULL))
		return true;
	rc = ahead_move(w->ahead);
	note_outcome(w, rc);
	return rc == 0;
}
