/* SPDX-License-Identifier: MIT */
/* Answers of name servers, read with suspicion (RFC 1035 4, RFC 2308 5, RFC 2782, RFC 3596, RFC 6698 2.1). */
#include <ares.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"

#define HEADER_SIZE 12
#define RCODE_NAME_ERROR 3
#define CLASS_IN 1
#define TYPE_SOA 6

static unsigned type_of(enum dns_kind kind)
{
	static const unsigned types[] = { [DNS_SRV] = 33, [DNS_A] = 1, [DNS_AAAA] = 28, [DNS_TLSA] = 52 };

	return types[kind];
}

struct reader {
	const unsigned char *message, *at, *end;
	bool is_bad;
	bool has_odd;           /* a service whose target no host can be called was left out */
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

static bool is_host_name(const char *name)
{
	if (strlen(name) >= DNS_NAME_MAX)
		return false;
	while (isalnum((unsigned char)*name) || *name == '-' || *name == '_' || *name == '.')
		name++;
	return *name == '\0';
}

/* Expands a name, which may point backwards. When it is wanted, false says that no host can be called so; out is
 * untouched then. */
static bool read_name(struct reader *r, char out[DNS_NAME_MAX])
{
	char *name = NULL;
	bool fits = true;
	long used = 0;

	if (r->is_bad || ares_expand_name(r->at, r->message, (int)(r->end - r->message), &name, &used) != ARES_SUCCESS) {
		r->is_bad = true;
		return false;
	}
	r->at += used;
	if (out != NULL) {
		fits = is_host_name(name);
		if (fits)
			memcpy(out, name, strlen(name) + 1);
	}
	ares_free_string(name);
	return fits;
}

/* One whose target is no host is left out: the others may be good. */
static bool read_srv(struct reader *r, size_t size, struct dns_record *record, bool *fits)
{
	const unsigned char *end = r->at + size;

	record->priority = read_16(r);
	record->weight = read_16(r);
	record->port = read_16(r);
	*fits = read_name(r, record->target);
	return !r->is_bad && r->at == end;
}

/* What is too long is left out. */
static bool read_tlsa(const struct reader *r, size_t size, struct dns_record *record, bool *fits)
{
	if (size < 3)
		return false;
	*fits = size - 3 <= DNS_TLSA_MAX;
	if (!*fits)
		return true;
	record->usage = r->at[0];
	record->selector = r->at[1];
	record->matching = r->at[2];
	record->size = (uint16_t)(size - 3);
	memcpy(record->data, r->at + 3, size - 3);
	return true;
}

/* What all records have in front of their data. */
struct record_head {
	uint16_t type, class, size;
	uint32_t ttl;
};

/* Afterwards the data lie within the message. */
static bool read_head(struct reader *r, struct record_head *head)
{
	read_name(r, NULL);
	head->type = read_16(r);
	head->class = read_16(r);
	head->ttl = read_32(r);
	head->size = read_16(r);
	/* RFC 2181 section 8 */
	if (head->ttl > INT32_MAX)
		head->ttl = 0;
	return !r->is_bad && r->end - r->at >= head->size;
}

/* One record of the answer section; false when the message is broken. */
static bool read_answer(struct reader *r, enum dns_kind kind, struct dns_record *record, bool *fits, uint32_t *ttl)
{
	struct record_head head;
	struct reader data;

	if (!read_head(r, &head))
		return false;
	data = *r;
	r->at += head.size;
	if (head.ttl < *ttl)
		*ttl = head.ttl;
	*fits = head.type == type_of(kind) && head.class == CLASS_IN;
	*record = (struct dns_record){ 0 };
	if (!*fits)
		return true;
	if (kind == DNS_SRV) {
		bool is_read = read_srv(&data, head.size, record, fits);

		r->has_odd |= is_read && !*fits;
		return is_read;
	}
	if (kind == DNS_TLSA)
		return read_tlsa(&data, head.size, record, fits);
	if (head.size != (kind == DNS_A ? 4 : 16))
		return false;
	memcpy(record->address, data.at, head.size);
	return true;
}

/* How long the absence holds: the SOA record of the zone says it. */
static void read_absence(struct reader *r, unsigned records, uint32_t *ttl)
{
	struct record_head head;

	*ttl = UINT32_MAX;
	for (; records != 0 && read_head(r, &head); records--) {
		struct reader data = *r;
		uint32_t minimum;

		r->at += head.size;
		if (head.type != TYPE_SOA || head.class != CLASS_IN || head.size < 4)
			continue;
		data.at = r->at - 4;
		minimum = read_32(&data);
		*ttl = minimum < head.ttl ? minimum : head.ttl;
		return;
	}
}

static enum dns_result read_answers(struct reader *r, enum dns_kind kind, unsigned answers, struct dns_record *records,
                                    size_t room, size_t *count, uint32_t *ttl)
{
	for (; answers != 0 && *count < room; answers--) {
		bool fits;

		if (!read_answer(r, kind, &records[*count], &fits, ttl))
			return DNS_FAILED;
		*count += fits;
	}
	/* Where there are services, the name itself is not tried in their place (RFC 6120 3.2.1). */
	return *count != 0 ? DNS_FOUND : r->has_odd ? DNS_FAILED : DNS_NO_DATA;
}

enum dns_result dns_message_read(const unsigned char *message, size_t len, enum dns_kind kind,
                                 struct dns_record *records, size_t room, size_t *count, uint32_t *ttl)
{
	struct reader r = { .message = message, .at = message, .end = message + len };
	unsigned flags, questions, answers, authorities;
	enum dns_result result;

	*count = 0;
	*ttl = UINT32_MAX;
	if (len < HEADER_SIZE)
		return DNS_FAILED;
	r.at += 2;
	flags = read_16(&r);
	questions = read_16(&r);
	answers = read_16(&r);
	authorities = read_16(&r);
	r.at += 2;
	if ((flags & 15) != 0 && (flags & 15) != RCODE_NAME_ERROR)
		return DNS_FAILED;
	for (; questions != 0 && !r.is_bad; questions--) {
		read_name(&r, NULL);
		read_32(&r);
	}
	if (r.is_bad)
		return DNS_FAILED;
	result = read_answers(&r, kind, answers, records, room, count, ttl);
	/* The name that does not exist may be one that an alias leads to. */
	if (result != DNS_FAILED && (flags & 15) == RCODE_NAME_ERROR)
		result = DNS_NO_NAME;
	if (result == DNS_NO_NAME || result == DNS_NO_DATA)
		read_absence(&r, authorities, ttl);
	return result;
}

bool dns_message_is_authentic(const unsigned char *message, size_t len)
{
	return len >= HEADER_SIZE && (message[3] & 0x20) != 0;
}
