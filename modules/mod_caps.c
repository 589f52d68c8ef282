/* SPDX-License-Identifier: MIT */
/* Announces the capabilities of the host in stream features (XEP-0115). */
#include <comity/disco.h>
#include <comity/module.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_CAPS "http://jabber.org/protocol/caps"
#define NODE "https://comity.example"

/* What it announces, made anew after a reload. */
struct host {
	unsigned generation;
	char *ver;
};

/* Lines to be sorted, each ended with '<' in the string that is hashed. */
struct lines {
	char **items;
	size_t count;
};

static void add_line(struct lines *l, char *line)
{
	l->items = realloc(l->items, (l->count + 1) * sizeof(char *));
	if (l->items == NULL || line == NULL)
		abort();
	l->items[l->count++] = line;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the lines, appends them to the text and empties the list. */
static void append(struct lines *l, char **text)
{
	size_t len = *text != NULL ? strlen(*text) : 0;

	if (l->count != 0)
		qsort(l->items, l->count, sizeof(char *), compare);
	for (size_t i = 0; i < l->count; i++) {
		size_t n = strlen(l->items[i]);

		*text = realloc(*text, len + n + 2);
		if (*text == NULL)
			abort();
		memcpy(*text + len, l->items[i], n);
		memcpy(*text + len + n, "<", 2);
		len += n + 1;
		free(l->items[i]);
	}
	free(l->items);
	*l = (struct lines){ 0 };
}

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

static char *identity_line(const struct comity_elem *e)
{
	char *line = NULL;

	if (asprintf(&line, "%s/%s/%s/%s", or_empty(comity_elem_attr(e, "category")), or_empty(comity_elem_attr(e, "type")),
	             or_empty(comity_elem_lang(e)), or_empty(comity_elem_attr(e, "name"))) < 0)
		abort();
	return line;
}

/* XEP-0115 5.1, 7: "var<value<value" of a field, values sorted. */
static char *field_line(const struct comity_elem *field)
{
	struct lines values = { 0 };
	char *text = strdup(or_empty(comity_elem_attr(field, "var"))), *line = NULL;

	for (const struct comity_elem *v = comity_elem_first(field); v != NULL; v = comity_elem_next(v))
		add_line(&values, strdup(comity_elem_text(v)));
	append(&values, &line);
	if (line != NULL && line[0] != '\0')
		line[strlen(line) - 1] = '\0';
	{
		char *whole = NULL;

		if (asprintf(&whole, "%s<%s", or_empty(text), or_empty(line)) < 0)
			abort();
		free(text);
		free(line);
		return whole;
	}
}

static void append_form(const struct comity_elem *form, char **text)
{
	struct lines fields = { 0 }, type = { 0 };

	for (const struct comity_elem *f = comity_elem_first(form); f != NULL; f = comity_elem_next(f)) {
		if (strcmp(or_empty(comity_elem_attr(f, "var")), "FORM_TYPE") == 0)
			add_line(&type, strdup(comity_elem_text(comity_elem_first(f))));
		else
			add_line(&fields, field_line(f));
	}
	append(&type, text);
	append(&fields, text);
}

/* The verification string of what disco#info of the host says, XEP-0115 5.1. */
static char *make_string(const struct comity_elem *query)
{
	struct lines identities = { 0 }, features = { 0 };
	char *text = NULL;

	for (const struct comity_elem *e = comity_elem_first(query); e != NULL; e = comity_elem_next(e)) {
		if (comity_elem_is(e, NULL, "identity"))
			add_line(&identities, identity_line(e));
		else if (comity_elem_is(e, NULL, "feature"))
			add_line(&features, strdup(or_empty(comity_elem_attr(e, "var"))));
	}
	append(&identities, &text);
	append(&features, &text);
	for (const struct comity_elem *e = comity_elem_first(query); e != NULL; e = comity_elem_next(e))
		if (comity_elem_is(e, NULL, "x"))
			append_form(e, &text);
	return text;
}

static char *make_ver(struct comity_mod *disco, const struct comity_disco_api *api)
{
	struct comity_stanza *scratch = comity_stanza_new(COMITY_IQ, COMITY_TYPE_RESULT);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(scratch), NULL, "query");
	gnutls_datum_t hash, ver = { 0 };
	unsigned char sha1[20];
	char *text, *copy;

	api->fill_host(disco, query);
	text = make_string(query);
	hash = (gnutls_datum_t){ sha1, sizeof(sha1) };
	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, or_empty(text), strlen(or_empty(text)), sha1) != 0 ||
	    gnutls_base64_encode2(&hash, &ver) != 0 || (copy = strdup((const char *)ver.data)) == NULL)
		abort();
	gnutls_free(ver.data);
	free(text);
	comity_stanza_unref(scratch);
	return copy;
}

static bool fill_caps(struct comity_mod *m, struct comity_elem *feature)
{
	struct comity_mod *disco = NULL;
	const struct comity_disco_api *api = comity_module_api(m, "disco", NULL, &disco);
	struct host *host = comity_host_data(m);

	if (api == NULL)
		return false;
	if (host->generation != comity_host_generation(m)) {
		free(host->ver);
		host->ver = make_ver(disco, api);
		host->generation = comity_host_generation(m);
	}
	comity_elem_set(feature, "hash", "sha-1");
	comity_elem_set(feature, "node", NODE);
	comity_elem_set(feature, "ver", host->ver);
	return true;
}

static void unload(struct comity_mod *m)
{
	free(((struct host *)comity_host_data(m))->ver);
}

static const struct comity_feature features[] = { { COMITY_TO_HOST, NS_CAPS }, { 0 } };
static const struct comity_stream_feature stream_features[] = { { true, NS_CAPS, "c", fill_caps }, { 0 } };
static const char *const needs[] = { "disco", NULL };
/* That it is here tells disco to answer for the node. */
static const int api;

COMITY_MODULE(
	.name = "caps",
	.summary = "Announces the capabilities of the host",
	.needs = needs,
	.features = features,
	.stream_features = stream_features,
	.host_size = sizeof(struct host),
	.unload = unload,
	.api = &api,
);
