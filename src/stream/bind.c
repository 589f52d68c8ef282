/* SPDX-License-Identifier: MIT */
/* Resource binding (RFC 6120 7). */
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

void bind_answer(struct c2s *c)
{
	struct buf *out = conn_out(c->conn);

	buf_add_str(out, "<iq type='result'");
	xml_write_attr(out, "id", c->bind_id);
	buf_add_str(out, "><bind xmlns='" NS_BIND "'><jid>");
	xml_write_text(out, comity_jid_text(c->user), comity_jid_text_len(c->user));
	buf_add_str(out, "</jid></bind></iq>");
	conn_touch(c->conn);
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

static const struct comity_elem *find_request(const struct comity_elem *e)
{
	const char *type = comity_elem_attr(e, "type");

	if (!comity_elem_is(e, NS_CLIENT, "iq") || type == NULL || strcmp(type, "set") != 0)
		return NULL;
	return comity_elem_find(e, NS_BIND, "bind");
}

bool bind_on_element(struct c2s *c, const struct comity_elem *e)
{
	const struct comity_elem *request, *resource;
	const char *id = comity_elem_attr(e, "id");

	request = c->phase == C2S_LOGGED_IN ? find_request(e) : NULL;
	if (request == NULL)
		return false;
	free(c->bind_id);
	c->bind_id = mem_strdup(id != NULL ? id : "");
	c->phase = C2S_BINDING;
	conn_stop(c->conn, CONN_STOP_LOGIN);
	resource = comity_elem_find(request, NS_BIND, "resource");
	free(c->bind_resource);
	c->bind_resource = resource != NULL && *comity_elem_text(resource) != '\0' ?
		mem_strdup(comity_elem_text(resource)) : NULL;
	c->shared->bind(c);
	return true;
}
