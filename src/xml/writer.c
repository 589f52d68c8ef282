/* SPDX-License-Identifier: MIT */
/* Elements and text to XML. */
#include "xml/writer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "xml/elem.h"

/* No element has this one. */
#define NS_UNKNOWN "\x01"

/* What is not written as it is; the last two only in values, where white space would be normalised to spaces
 * (XML 1.0, 3.3.3). */
static const char *const escapes[256] = {
	['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['\''] = "&apos;", ['"'] = "&quot;", ['\r'] = "&#13;",
	['\t'] = "&#9;", ['\n'] = "&#10;",
};

static void write_escaped(struct buf *out, const char *text, size_t len, bool is_value)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		const char *escape = escapes[(unsigned char)text[i]];

		if (escape == NULL || (!is_value && (text[i] == '\t' || text[i] == '\n')))
			continue;
		buf_add(out, text + from, i - from);
		buf_add_str(out, escape);
		from = i + 1;
	}
	buf_add(out, text + from, len - from);
}

void xml_write_text(struct buf *out, const char *text, size_t len)
{
	write_escaped(out, text, len, false);
}

void xml_write_words(struct buf *out, const char *text)
{
	char *words = mem_strdup(text);

	text_clean(words);
	xml_write_text(out, words, strlen(words));
	free(words);
}

static void write_value(struct buf *out, const char *value)
{
	write_escaped(out, value, strlen(value), true);
}

void xml_write_attr(struct buf *out, const char *name, const char *value)
{
	buf_add(out, " ", 1);
	buf_add_str(out, name);
	buf_add(out, "='", 2);
	write_value(out, value);
	buf_add(out, "'", 1);
}

static bool is_skipped(const struct xml_attr *a, const char *const *skip)
{
	for (; skip != NULL && *skip != NULL; skip++)
		if (a->ns == NULL && strcmp(a->name, *skip) == 0)
			return true;
	return false;
}

void xml_write_attrs(struct buf *out, const struct comity_elem *e, const char *const *skip)
{
	unsigned prefixes = 0;

	for (const struct xml_attr *a = e->attrs; a != NULL; a = a->next) {
		if (is_skipped(a, skip))
			continue;
		if (a->ns == NULL) {
			xml_write_attr(out, a->name, a->value);
		} else if (strcmp(a->ns, NS_XML) == 0) {
			buf_add_str(out, " xml:");
			buf_add_str(out, a->name);
			buf_add(out, "='", 2);
			write_value(out, a->value);
			buf_add(out, "'", 1);
		} else {
			buf_printf(out, " xmlns:n%u='", prefixes);
			write_value(out, a->ns);
			buf_printf(out, "' n%u:%s='", prefixes, a->name);
			write_value(out, a->value);
			buf_add(out, "'", 1);
			prefixes++;
		}
	}
}

static void write_inner(struct buf *out, const struct comity_elem *e, const char *default_ns)
{
	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text != NULL)
			xml_write_text(out, n->text, n->len);
		else
			xml_write_elem(out, (const struct comity_elem *)(const void *)n, default_ns);
	}
}

void xml_write_inner(struct buf *out, const struct comity_elem *e)
{
	write_inner(out, e, e->ns);
}

void xml_write_elem(struct buf *out, const struct comity_elem *e, const char *default_ns)
{
	/* That namespace must not become the default; its prefix needs no declaration (Namespaces in XML 1.0, 3). */
	const char *prefix = strcmp(e->ns, NS_XML) == 0 ? "xml:" : "";

	buf_add(out, "<", 1);
	buf_add_str(out, prefix);
	buf_add_str(out, e->name);
	if (*prefix == '\0' && e->ns != default_ns && strcmp(e->ns, default_ns) != 0) {
		xml_write_attr(out, "xmlns", e->ns);
		default_ns = e->ns;
	}
	xml_write_attrs(out, e, NULL);
	if (e->first == NULL) {
		buf_add(out, "/>", 2);
		return;
	}
	buf_add(out, ">", 1);
	write_inner(out, e, default_ns);
	buf_add(out, "</", 2);
	buf_add_str(out, prefix);
	buf_add_str(out, e->name);
	buf_add(out, ">", 1);
}

/* ---- sizes, in step with what is written above ---- */

static size_t size_escaped(const char *text, size_t len, bool is_value)
{
	size_t size = len;

	for (size_t i = 0; i < len; i++) {
		const char *escape = escapes[(unsigned char)text[i]];

		if (escape != NULL && (is_value || (text[i] != '\t' && text[i] != '\n')))
			size += strlen(escape) - 1;
	}
	return size;
}

size_t comity_escaped_size(const char *text)
{
	return size_escaped(text, strlen(text), true);
}

static size_t size_attr(const struct xml_attr *a, unsigned *prefixes)
{
	size_t size = strlen(" =''") + strlen(a->name) + size_escaped(a->value, strlen(a->value), true);

	if (a->ns == NULL)
		return size;
	if (strcmp(a->ns, NS_XML) == 0)
		return size + strlen("xml:");
	size += (size_t)snprintf(NULL, 0, " xmlns:n%u='' n%u:", *prefixes, *prefixes) - strlen(" ");
	(*prefixes)++;
	return size + size_escaped(a->ns, strlen(a->ns), true);
}

size_t xml_tag_size(const struct comity_elem *e, const char *default_ns)
{
	size_t size = strlen("<>") + strlen(e->name) + (e->first == NULL);
	unsigned prefixes = 0;

	if (strcmp(e->ns, NS_XML) == 0)
		size += strlen("xml:");
	else if (e->ns != default_ns && strcmp(e->ns, default_ns) != 0)
		size += strlen(" xmlns=''") + size_escaped(e->ns, strlen(e->ns), true);
	for (const struct xml_attr *a = e->attrs; a != NULL; a = a->next)
		size += size_attr(a, &prefixes);
	return size;
}

size_t xml_elem_size(const struct comity_elem *e, const char *default_ns)
{
	bool is_xml = strcmp(e->ns, NS_XML) == 0;
	size_t size = xml_tag_size(e, default_ns);

	if (e->first != NULL)
		size += strlen("</>") + strlen(e->name) + (is_xml ? strlen("xml:") : 0);
	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text != NULL)
			size += size_escaped(n->text, n->len, false);
		else
			size += xml_elem_size((const struct comity_elem *)(const void *)n, is_xml ? default_ns : e->ns);
	}
	return size;
}

char *comity_elem_to_xml(const struct comity_elem *e, size_t *len)
{
	struct buf out = { 0 };

	/* Whoever reads it may have another default namespace than none: it is told wherever it matters. */
	xml_write_elem(&out, e, NS_UNKNOWN);
	if (len != NULL)
		*len = buf_size(&out);
	return buf_take(&out);
}
