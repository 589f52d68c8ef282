/* SPDX-License-Identifier: MIT */
/* Stream headers and features (RFC 6120 4.7, 4.3.2). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/c2s.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

/* Longer language tags are not taken over (BCP 47 has none as long). */
#define LANG_MAX 64

void c2s_write_header(struct c2s *c)
{
	struct buf out = { 0 };

	stream_make_id(c->conn->worker->env, c->id);
	buf_add_str(&out, "<?xml version='1.0'?><stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'");
	xml_write_attr(&out, "id", c->id);
	if (c->host != NULL)
		xml_write_attr(&out, "from", c->host->name);
	if (c->user != NULL)
		xml_write_attr(&out, "to", comity_jid_text(c->user));
	buf_add_str(&out, " version='1.0' xml:lang='en'>");
	conn_write(c->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	c->is_header_sent = true;
}

void c2s_write_features(struct c2s *c)
{
	const struct xml_limits *limits = &c->shared->limits->after_auth;
	struct buf out = { 0 };

	buf_add_str(&out, "<stream:features>");
	if (c->phase == C2S_NEGOTIATING) {
		starttls_write_feature(c, &out);
		sasl_write_feature(c, &out);
	} else {
		bind_write_feature(c, &out);
	}
	if (c->phase != C2S_NEGOTIATING || c->conn->is_secured || !c->host->require_tls)
		c->shared->write_features(c, &out, c->phase != C2S_NEGOTIATING);
	/* XEP-0478: what applies from now on. */
	if (c->phase == C2S_NEGOTIATING)
		limits = &c->shared->limits->before_auth;
	buf_printf(&out, "<limits xmlns='" NS_LIMITS "'><max-bytes>%zu</max-bytes><idle-seconds>%llu</idle-seconds></limits>",
	           limits->element_bytes, (unsigned long long)(c->shared->limits->idle_ms / 1000));
	buf_add_str(&out, "</stream:features>");
	conn_write(c->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

/* A second header must name the host of the first: TLS and login were for that one. */
static bool find_host(struct c2s *c, const char *to)
{
	char name[JID_PART_MAX + 1];
	struct stream_host *h;

	if (to == NULL || *to == '\0') {
		c2s_fail(c, STREAM_IMPROPER_ADDRESSING, "the stream header needs a 'to'");
		return false;
	}
	if (jid_prepare_domain(to, strlen(to), name) < 0) {
		c2s_fail(c, STREAM_IMPROPER_ADDRESSING, "'to' is not a domain");
		return false;
	}
	if (c->host != NULL && strcmp(c->host->name, name) == 0)
		return true;
	h = c->host == NULL ? c->shared->find_host(c->conn->worker, name) : NULL;
	if (h == NULL) {
		c2s_fail(c, STREAM_HOST_UNKNOWN, NULL);
		return false;
	}
	c->host = h;
	return true;
}

static bool check_header(struct c2s *c, const struct comity_elem *root)
{
	if (strcmp(root->ns, NS_STREAM) != 0 || strcmp(xml_parser_default_ns(c->in.parser), NS_CLIENT) != 0) {
		c2s_fail(c, STREAM_INVALID_NAMESPACE, NULL);
		return false;
	}
	if (strcmp(root->name, "stream") != 0) {
		c2s_fail(c, STREAM_BAD_FORMAT, NULL);
		return false;
	}
	if (!stream_is_version_1(comity_elem_attr(root, "version"))) {
		c2s_fail(c, STREAM_UNSUPPORTED_VERSION, NULL);
		return false;
	}
	return find_host(c, comity_elem_attr(root, "to"));
}

void c2s_on_open(struct c2s *c, const struct comity_elem *root)
{
	const char *lang = comity_elem_lang(root);

	if (!check_header(c, root))
		return;
	free(c->lang);
	c->lang = lang != NULL && *lang != '\0' && strlen(lang) <= LANG_MAX ? mem_strdup(lang) : NULL;
	c2s_write_header(c);
	c2s_write_features(c);
}
