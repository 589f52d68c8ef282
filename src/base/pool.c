/* SPDX-License-Identifier: MIT */
/* Free memory of each thread, by size. */
#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sanitizers.h"

#define STEP 64
#define CLASS_COUNT (POOL_MOST / STEP)
/* Most bytes that a thread keeps. */
#define KEPT_MOST ((size_t)2 << 20)

struct piece {
	struct piece *next;
};

struct pool {
	struct piece *pieces[CLASS_COUNT];
	size_t kept;
	bool is_watched;        /* what is kept is freed when the thread ends */
};

static _Thread_local struct pool own;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_end;

static void empty(struct pool *p)
{
	for (size_t i = 0; i < CLASS_COUNT; i++)
		for (struct piece *piece; (piece = p->pieces[i]) != NULL;) {
			p->pieces[i] = piece->next;
			free(piece);
		}
	p->kept = 0;
}

static void end(void *p)
{
	empty(p);
	((struct pool *)p)->is_watched = false;
}

static void make_key(void)
{
	if (pthread_key_create(&at_end, end) != 0)
		abort();
}

static size_t class_of(size_t size)
{
	return size != 0 ? (size - 1) / STEP : 0;
}

void *pool_take(size_t size)
{
	struct piece *piece;
	size_t i = class_of(size);

	if (i >= CLASS_COUNT)
		return mem_resize(NULL, size);
	piece = own.pieces[i];
	if (piece == NULL)
		return mem_resize(NULL, (i + 1) * STEP);
	own.pieces[i] = piece->next;
	own.kept -= (i + 1) * STEP;
	return piece;
}

void *pool_take_zeroed(size_t size)
{
	return memset(pool_take(size), 0, size);
}

void pool_give(void *p, size_t size)
{
	struct piece *piece = p;
	size_t i = class_of(size);

	if (IS_SANITIZED || p == NULL || i >= CLASS_COUNT || own.kept > KEPT_MOST) {
		free(p);
		return;
	}
	if (!own.is_watched) {
		pthread_once(&once, make_key);
		pthread_setspecific(at_end, &own);
		own.is_watched = true;
	}
	piece->next = own.pieces[i];
	own.pieces[i] = piece;
	own.kept += (i + 1) * STEP;
}

void pool_trim(void)
{
	empty(&own);
}
