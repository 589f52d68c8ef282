/* SPDX-License-Identifier: MIT */
/* Tells name and version of the server (XEP-0092). */
#include <comity/module.h>
#include <sys/utsname.h>

#define NS_VERSION "jabber:iq:version"

struct conf {
	bool show_os;
};

static int on_version(struct comity_mod *m, struct comity_rq *rq)
{
	const struct conf *conf = comity_conf(m);
	struct comity_stanza *st = comity_reply_new(rq);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(st), NS_VERSION, "query");
	struct utsname os;

	comity_elem_add_text(query, NULL, "name", "Comity");
	comity_elem_add_text(query, NULL, "version", PACKAGE_VERSION);
	if (conf->show_os && uname(&os) == 0)
		comity_elem_add_text(query, NULL, "os", os.sysname);
	return comity_reply_with(rq, &st);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST, NS_VERSION, "query", NS_VERSION, on_version },
	{ 0 },
};

static const struct comity_option options[] = {
	COMITY_OPT_BOOL(struct conf, show_os, "no", "Tell the name of the operating system too."),
	{ 0 },
};

COMITY_MODULE(
	.name = "version",
	.summary = "Tells name and version of the server",
	.iqs = iqs,
	.options = options,
	.conf_size = sizeof(struct conf),
);
