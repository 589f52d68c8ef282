/* SPDX-License-Identifier: MIT */
/* Answers of name servers, and names as DNS wants them: the first byte says which of them the rest is. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/dns.h"

#define ROOM_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_host(const char *name)
{
	check(memchr(name, '\0', DNS_NAME_MAX) != NULL);
	for (; *name != '\0'; name++)
		check(isalnum((unsigned char)*name) || *name == '-' || *name == '_' || *name == '.');
}

static void check_record(enum dns_kind kind, const struct dns_record *r)
{
	if (kind == DNS_SRV)
		check_host(r->target);
	if (kind == DNS_TLSA)
		check(r->size <= DNS_TLSA_MAX);
}

/* In a block of its own size, so that a byte read behind it is seen. */
static void read_message(enum dns_kind kind, size_t room, const uint8_t *data, size_t size)
{
	unsigned char *message = malloc(size + (size == 0));
	struct dns_record *records = mem_array(room, sizeof(*records));
	size_t count;
	uint32_t ttl;
	enum dns_result result;

	memcpy(message, data, size);
	result = dns_message_read(message, size, kind, records, room, &count, &ttl);
	check(count <= room && (ttl <= INT32_MAX || ttl == UINT32_MAX));
	check((result == DNS_FOUND) ? count != 0 : result == DNS_NO_NAME || result == DNS_NO_DATA || result == DNS_FAILED);
	for (size_t i = 0; i < count && result == DNS_FOUND; i++)
		check_record(kind, &records[i]);
	dns_message_is_authentic(message, size);
	free(records);
	free(message);
}

/* What comes out goes in again. */
static void read_name(const uint8_t *data, size_t size)
{
	char *name = mem_dup((const char *)data, size), *ascii = dns_to_ascii(name), *again;

	free(name);
	if (ascii == NULL)
		return;
	if (!dns_is_literal(ascii))
		check_host(ascii);
	again = dns_to_ascii(ascii);
	check(again != NULL && strcmp(again, ascii) == 0);
	free(again);
	free(ascii);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_kind kinds[] = { DNS_SRV, DNS_A, DNS_AAAA, DNS_TLSA };

	if (size == 0)
		return 0;
	if (data[0] >= 128)
		read_name(data + 1, size - 1);
	else
		read_message(kinds[data[0] % 4], 1 + data[0] / 4 % ROOM_MAX, data + 1, size - 1);
	return 0;
}
