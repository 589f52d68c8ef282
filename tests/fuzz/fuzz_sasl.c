/* SPDX-License-Identifier: MIT */
/* SASL exchanges: the first byte chooses the mechanism, a newline separates the client's messages. */
#include <string.h>

#include "base/mem.h"
#include "sim.h"
#include "stream/sasl_engine.h"
#include "stream/sasl_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_messages(const char *text, size_t len)
{
	char *copy = mem_dup(text, len), *decoded;
	struct sasl_first first;
	size_t n;

	sasl_read_scram(text, len, &first);
	sasl_read_plain(text, len, &first);
	decoded = sasl_decode(copy, &n);
	free(decoded);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mechanisms[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "EXTERNAL" };
	static const unsigned char key[] = "fuzz";
	struct sasl_secrets secrets = { .exists = true };
	const char *at = (const char *)data + 1, *end = (const char *)data + size, *stop, *out;
	enum sasl_result result = SASL_RESULT_MORE;
	struct sasl_exchange *x;
	bool is_first = true;
	size_t out_len;

	if (size < 2 || size > 4096)
		return 0;
	sim_get(); /* starts libsasl2 */
	read_messages(at, (size_t)(end - at));
	for (int i = 0; i < SCRAM_HASH_COUNT; i++)
		scram_make_fake(i, key, sizeof(key), "user", 4096, secrets.scram[i]);
	x = sasl_exchange_new("user", &secrets, (data[0] & 4) != 0 ? "tls-exporter" : NULL, "0123456789abcdef", 16);
	while (result == SASL_RESULT_MORE && at < end) {
		stop = memchr(at, '\n', (size_t)(end - at));
		stop = stop != NULL ? stop : end;
		if (is_first)
			result = sasl_exchange_start(x, mechanisms[data[0] & 3], at, (size_t)(stop - at), &out, &out_len);
		else
			result = sasl_exchange_step(x, at, (size_t)(stop - at), &out, &out_len);
		is_first = false;
		at = stop + 1;
	}
	/* Nobody knows the keys: no exchange may succeed. EXTERNAL has no identity from TLS here. */
	if (result == SASL_RESULT_DONE)
		abort();
	sasl_exchange_free(x);
	return 0;
}
