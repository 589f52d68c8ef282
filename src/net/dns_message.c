/* SPDX-License-Identifier: MIT */
/* Answers of name servers, read with suspicion (RFC 1035 4, RFC 2782, RFC 3596). */
#include <ares.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"

#define HEADER_SIZE 12
#define RCODE_NAME_ERROR 3
#define CLASS_IN 1

static unsigned type_of(enum dns_kind kind)
{
	return kind == DNS_SRV ? 33 : kind == DNS_A ? 1 : 28;
}

struct reader {
	const unsigned char *message, *at, *end;
	bool is_bad;
};

static uint16_t read_16(struct reader *r)
{
	uint16_t n;

	if (r->is_bad || r->end - r->at < 2) {
		r->is_bad = true;
		return 0;
	}
	n = (uint16_t)(r->at[0] << 8 | r->at[1]);
	r->at += 2;
	return n;
}

static uint32_t read_32(struct reader *r)
{
	uint32_t high = read_16(r);

	return high << 16 | read_16(r);
}

/* Expands a name, which may point backwards; out may be NULL. Only what a host can be called is taken. */
static void read_name(struct reader *r, char out[DNS_NAME_MAX])
{
	char *name = NULL;
	long used = 0;

	if (r->is_bad || ares_expand_name(r->at, r->message, (int)(r->end - r->message), &name, &used) != ARES_SUCCESS) {
		r->is_bad = true;
		return;
	}
	r->at += used;
	if (out != NULL) {
		r->is_bad = strlen(name) >= DNS_NAME_MAX;
		for (const char *c = name; !r->is_bad && *c != '\0'; c++)
			r->is_bad = !isalnum((unsigned char)*c) && *c != '-' && *c != '_' && *c != '.';
		if (!r->is_bad)
			memcpy(out, name, strlen(name) + 1);
	}
	ares_free_string(name);
}

static bool read_record(struct reader *r, enum dns_kind kind, size_t size, struct dns_record *record)
{
	size_t wanted = kind == DNS_A ? 4 : 16;

	if (kind == DNS_SRV) {
		record->priority = read_16(r);
		record->weight = read_16(r);
		record->port = read_16(r);
		read_name(r, record->target);
		return !r->is_bad;
	}
	if (size != wanted)
		return false;
	memcpy(record->address, r->at, wanted);
	return true;
}

/* One record of the answer section; false when the message is broken. */
static bool read_answer(struct reader *r, enum dns_kind kind, struct dns_record *record, bool *fits, uint32_t *ttl)
{
	struct reader data;
	uint16_t type, class, size;

	read_name(r, NULL);
	type = read_16(r);
	class = read_16(r);
	*ttl = read_32(r);
	size = read_16(r);
	if (r->is_bad || r->end - r->at < size)
		return false;
	data = *r;
	r->at += size;
	*fits = type == type_of(kind) && class == CLASS_IN;
	*record = (struct dns_record){ 0 };
	return !*fits || read_record(&data, kind, size, record);
}

enum dns_result dns_message_read(const unsigned char *message, size_t len, enum dns_kind kind,
                                 struct dns_record *records, size_t room, size_t *count, uint32_t *ttl)
{
	struct reader r = { message, message, message + len, false };
	unsigned flags, questions, answers;

	*count = 0;
	*ttl = UINT32_MAX;
	if (len < HEADER_SIZE)
		return DNS_FAILED;
	r.at += 2;
	flags = read_16(&r);
	questions = read_16(&r);
	answers = read_16(&r);
	r.at += 4;
	if ((flags & 15) == RCODE_NAME_ERROR)
		return DNS_NO_NAME;
	if ((flags & 15) != 0)
		return DNS_FAILED;
	while (questions-- != 0 && !r.is_bad) {
		read_name(&r, NULL);
		read_32(&r);
	}
	while (answers-- != 0 && !r.is_bad && *count < room) {
		struct dns_record record;
		uint32_t record_ttl;
		bool fits;

		if (!read_answer(&r, kind, &record, &fits, &record_ttl))
			return DNS_FAILED;
		if (record_ttl < *ttl)
			*ttl = record_ttl;
		if (fits)
			records[(*count)++] = record;
	}
	if (r.is_bad)
		return DNS_FAILED;
	return *count != 0 ? DNS_FOUND : DNS_NO_DATA;
}
