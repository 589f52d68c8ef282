/* SPDX-License-Identifier: MIT */
/* The memory of an expat parser. */
#include "xml/expat_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/sanitizers.h"

/* What a parser of a stream needs, and some more. Only pages that are touched cost memory. */
#define PAGES_SIZE (16 * 1024)

struct piece {
	_Alignas(max_align_t) size_t size;
	_Alignas(max_align_t) char bytes[];
};

/* For whom expat works now on this thread: its allocation functions get no argument that could say it. */
static _Thread_local struct expat_memory *current;

/* The pages of the parser that was freed last on this thread: a stream that begins anew during a login frees one and
 * makes the next. */
static _Thread_local char *spare;

struct expat_memory *expat_memory_enter(struct expat_memory *m)
{
	struct expat_memory *before = current;

	current = m;
	return before;
}

void expat_memory_leave(struct expat_memory *before)
{
	current = before;
}

static struct piece *piece_of(void *bytes)
{
	return (struct piece *)(void *)((char *)bytes - offsetof(struct piece, bytes));
}

static bool is_inside(const struct expat_memory *m, const struct piece *p)
{
	return m->pages != NULL && (const char *)p >= m->pages && (const char *)p < m->pages + PAGES_SIZE;
}

/* With its head, and so that the next one is aligned. Sizes of expat come from pushes of bounded length. */
static size_t room_for(size_t size)
{
	return sizeof(struct piece) + ((size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1));
}

static void get_pages(struct expat_memory *m)
{
	void *pages = spare;

	spare = NULL;
	if (pages == NULL)
		pages = mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m->pages = pages != MAP_FAILED ? pages : NULL;
	m->used = 0;
}

static void *allocate(size_t size)
{
	struct expat_memory *m = current;
	size_t room = room_for(size);
	struct piece *p;

	if (m->pages == NULL && m->outside == 0 && !IS_SANITIZED)
		get_pages(m);
	if (m->pages != NULL && room <= PAGES_SIZE - m->used) {
		p = (struct piece *)(void *)(m->pages + m->used);
		m->newest = (char *)p;
		m->used += room;
	} else {
		p = mem_resize(NULL, room);
		m->outside += room;
	}
	p->size = size;
	return p->bytes;
}

static void release(void *bytes)
{
	struct expat_memory *m = current;
	struct piece *p;

	if (bytes == NULL)
		return;
	p = piece_of(bytes);
	if (!is_inside(m, p)) {
		m->outside -= room_for(p->size);
		free(p);
	} else if ((char *)p == m->newest) {
		m->used = (size_t)((char *)p - m->pages);
		m->newest = NULL;
	}
}

static void *resize(void *bytes, size_t size)
{
	struct expat_memory *m = current;
	struct piece *p;
	size_t before;
	void *moved;

	if (bytes == NULL)
		return allocate(size);
	p = piece_of(bytes);
	before = p->size;
	if (!is_inside(m, p)) {
		m->outside += room_for(size) - room_for(before);
		p = mem_resize(p, room_for(size));
	} else if ((char *)p == m->newest && room_for(size) <= PAGES_SIZE - (size_t)((char *)p - m->pages)) {
		m->used = (size_t)((char *)p - m->pages) + room_for(size);
	} else {
		moved = allocate(size);
		memcpy(moved, bytes, before < size ? before : size);
		release(bytes);
		return moved;
	}
	p->size = size;
	return p->bytes;
}

const XML_Memory_Handling_Suite expat_memory_suite = { allocate, resize, release };

size_t expat_memory_size(const struct expat_memory *m)
{
	return m->used + m->outside;
}

void expat_memory_deinit(struct expat_memory *m)
{
	if (m->pages != NULL && spare == NULL)
		spare = m->pages;
	else if (m->pages != NULL)
		munmap(m->pages, PAGES_SIZE);
	*m = (struct expat_memory){ 0 };
}
