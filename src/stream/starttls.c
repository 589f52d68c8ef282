/* SPDX-License-Identifier: MIT */
/* STARTTLS (RFC 6120 5). */
#include "stream/c2s.h"
#include "xmpp/ns.h"

void starttls_write_feature(struct c2s *c, struct buf *out)
{
	if (c->conn->tls != NULL || c->host->tls == NULL)
		return;
	buf_add_str(out, "<starttls xmlns='" NS_TLS "'>");
	if (c->host->require_tls)
		buf_add_str(out, "<required/>");
	buf_add_str(out, "</starttls>");
}

bool starttls_on_element(struct c2s *c, const struct comity_elem *e)
{
	if (!comity_elem_is(e, NS_TLS, "starttls"))
		return false;
	/* RFC 6120 5.4.2.2: failure ends the stream. */
	if (c->conn->tls != NULL || c->host->tls == NULL || c->phase != C2S_NEGOTIATING || c->attempt != NULL) {
		c2s_send_text(c, "<failure xmlns='" NS_TLS "'/>");
		c2s_close(c);
		return true;
	}
	c2s_send_text(c, "<proceed xmlns='" NS_TLS "'/>");
	conn_start_tls(c->conn, &c->chooser);
	return true;
}
