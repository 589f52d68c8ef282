/* SPDX-License-Identifier: MIT */
/* The one place where stanza errors are made (RFC 6120 8.3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* Name, type (RFC 6120 8.3.3) and the code of XEP-0086, which some clients still read. */
static const struct {
	const char *name, *type;
	int code;
} conditions[COMITY_COND_COUNT] = {
	[COMITY_BAD_REQUEST] = { "bad-request", "modify", 400 },
	[COMITY_CONFLICT] = { "conflict", "cancel", 409 },
	[COMITY_FEATURE_NOT_IMPLEMENTED] = { "feature-not-implemented", "cancel", 501 },
	[COMITY_FORBIDDEN] = { "forbidden", "auth", 403 },
	[COMITY_GONE] = { "gone", "cancel", 302 },
	[COMITY_INTERNAL_SERVER_ERROR] = { "internal-server-error", "cancel", 500 },
	[COMITY_ITEM_NOT_FOUND] = { "item-not-found", "cancel", 404 },
	[COMITY_JID_MALFORMED] = { "jid-malformed", "modify", 400 },
	[COMITY_NOT_ACCEPTABLE] = { "not-acceptable", "modify", 406 },
	[COMITY_NOT_ALLOWED] = { "not-allowed", "cancel", 405 },
	[COMITY_NOT_AUTHORIZED] = { "not-authorized", "auth", 401 },
	[COMITY_POLICY_VIOLATION] = { "policy-violation", "modify", 406 },
	[COMITY_RECIPIENT_UNAVAILABLE] = { "recipient-unavailable", "wait", 404 },
	[COMITY_REDIRECT] = { "redirect", "modify", 302 },
	[COMITY_REGISTRATION_REQUIRED] = { "registration-required", "auth", 407 },
	[COMITY_REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel", 404 },
	[COMITY_REMOTE_SERVER_TIMEOUT] = { "remote-server-timeout", "wait", 504 },
	[COMITY_RESOURCE_CONSTRAINT] = { "resource-constraint", "wait", 500 },
	[COMITY_SERVICE_UNAVAILABLE] = { "service-unavailable", "cancel", 503 },
	[COMITY_SUBSCRIPTION_REQUIRED] = { "subscription-required", "auth", 407 },
	[COMITY_UNDEFINED_CONDITION] = { "undefined-condition", "cancel", 500 },
	[COMITY_UNEXPECTED_REQUEST] = { "unexpected-request", "wait", 400 },
};

/* Content longer than this is not sent back with the error. */
#define ECHO_MAX 4096

const char *stanza_cond_name(enum comity_cond cond)
{
	return conditions[cond].name;
}

bool stanza_wants_error(const struct comity_stanza *st)
{
	return st->type != COMITY_TYPE_ERROR && st->type != COMITY_TYPE_RESULT;
}

/* What another server said may be among them. */
static void add_words(struct comity_elem *error, const char *text)
{
	char *words = mem_strdup(text);

	text_clean(words);
	comity_elem_set_lang(comity_elem_add_text(error, NS_STANZA_ERRORS, "text", words), "en");
	free(words);
}

static void add_condition(struct comity_elem *root, enum comity_cond cond, const char *text, const char *app_ns,
                          const char *app_name)
{
	struct comity_elem *error = comity_elem_add(root, NS_CLIENT, "error");
	char code[12];

	snprintf(code, sizeof(code), "%d", conditions[cond].code);
	comity_elem_set(error, "code", code);
	comity_elem_set(error, "type", conditions[cond].type);
	comity_elem_add(error, NS_STANZA_ERRORS, conditions[cond].name);
	if (text != NULL)
		add_words(error, text);
	if (app_ns != NULL)
		comity_elem_add(error, app_ns, app_name);
}

struct comity_stanza *stanza_make_error(const struct comity_stanza *st, enum comity_cond cond, const char *text,
                                        const char *app_ns, const char *app_name)
{
	struct comity_stanza *error = comity_stanza_new(st->kind, COMITY_TYPE_ERROR);
	struct comity_elem *root = comity_stanza_edit(error);
	const struct comity_elem *from = st->doc->root;

	if (st->id != NULL)
		comity_stanza_set_id(error, st->id);
	if (st->doc->arena.total <= ECHO_MAX)
		for (const struct comity_elem *c = comity_elem_first(from); c != NULL; c = comity_elem_next(c))
			if (!comity_elem_is(c, NULL, "error"))
				comity_elem_add_copy(root, c);
	add_condition(root, cond, text, app_ns, app_name);
	return error;
}
