/* SPDX-License-Identifier: MIT */
/* Resource binding (RFC 6120 7) and the session element of RFC 3921, which some clients still want. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/c2s.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

void bind_write_feature(struct c2s *c, struct buf *out)
{
	(void)c;
	buf_add_str(out, "<bind xmlns='" NS_BIND "'><required/></bind>"
	                 "<session xmlns='" NS_SESSION "'><optional/></session><sm xmlns='" NS_SM "'/>");
}

static void answer_iq(struct c2s *c, const char *id, const char *type, const char *inner)
{
	struct buf out = { 0 };

	buf_printf(&out, "<iq type='%s'", type);
	if (id != NULL)
		xml_write_attr(&out, "id", id);
	buf_printf(&out, ">%s</iq>", inner);
	conn_write(c->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

void bind_answer(struct c2s *c)
{
	struct buf inner = { 0 };
	char *text;

	buf_add_str(&inner, "<bind xmlns='" NS_BIND "'><jid>");
	xml_write_text(&inner, comity_jid_text(c->user), comity_jid_text_len(c->user));
	buf_add_str(&inner, "</jid></bind>");
	text = buf_take(&inner);
	answer_iq(c, c->bind_id, "result", text);
	free(text);
	free(c->bind_id);
	c->bind_id = NULL;
}

void c2s_refuse_bind(struct c2s *c, enum comity_cond cond, const char *text)
{
	struct comity_stanza *ask = comity_stanza_new(COMITY_IQ, COMITY_TYPE_SET), *error;

	if (c->conn == NULL) {
		comity_stanza_unref(ask);
		return;
	}
	comity_stanza_set_id(ask, c->bind_id);
	comity_elem_add(comity_stanza_edit(ask), NS_BIND, "bind");
	error = stanza_make_error(ask, cond, text, NULL, NULL);
	c2s_write(c, error, NULL, NULL, NULL);
	comity_stanza_unref(error);
	comity_stanza_unref(ask);
	free(c->bind_id);
	c->bind_id = NULL;
	c->phase = C2S_LOGGED_IN;
	conn_resume(c->conn, CONN_STOP_LOGIN);
}

/* An iq set with this payload; anything else is for others. */
static const struct comity_elem *find_request(const struct comity_elem *e, const char *ns, const char *name)
{
	const char *type = comity_elem_attr(e, "type");

	if (!comity_elem_is(e, NS_CLIENT, "iq") || type == NULL || strcmp(type, "set") != 0)
		return NULL;
	return comity_elem_find(e, ns, name);
}

bool bind_on_element(struct c2s *c, const struct comity_elem *e)
{
	const struct comity_elem *request, *resource;
	const char *id = comity_elem_attr(e, "id");

	if (c->phase == C2S_BOUND && find_request(e, NS_SESSION, "session") != NULL) {
		answer_iq(c, id, "result", "");
		c->shared->wrote(c);
		return true;
	}
	request = find_request(e, NS_BIND, "bind");
	if (request == NULL || (c->phase != C2S_LOGGED_IN && c->phase != C2S_BOUND))
		return false;
	free(c->bind_id);
	c->bind_id = mem_strdup(id != NULL ? id : "");
	if (c->phase == C2S_BOUND) {
		/* RFC 6120 7.1: one resource per stream. */
		c2s_refuse_bind(c, COMITY_NOT_ALLOWED, "a resource is bound already");
		c->phase = C2S_BOUND;
		c->shared->wrote(c);
		return true;
	}
	c->phase = C2S_BINDING;
	conn_stop(c->conn, CONN_STOP_LOGIN);
	resource = comity_elem_find(request, NS_BIND, "resource");
	free(c->bind_resource);
	c->bind_resource = resource != NULL && *comity_elem_text(resource) != '\0' ?
		mem_strdup(comity_elem_text(resource)) : NULL;
	c->shared->bind(c);
	return true;
}
