/* SPDX-License-Identifier: MIT */
/* Tells the server's time (XEP-0202). */
#include <comity/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_TIME "urn:xmpp:time"

static int on_time(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_stanza *st = comity_reply_new(rq);
	struct comity_elem *e = comity_elem_add(comity_stanza_edit(st), NS_TIME, "time");
	int64_t now = comity_wall_us(m);
	time_t seconds = (time_t)(now / 1000000);
	char utc[32], zone[16];
	struct tm tm;
	int minutes;

	localtime_r(&seconds, &tm);
	minutes = (int)(tm.tm_gmtoff / 60);
	snprintf(zone, sizeof(zone), "%c%02d:%02d", minutes < 0 ? '-' : '+', abs(minutes) / 60, abs(minutes) % 60);
	comity_format_time(now, utc);
	comity_elem_add_text(e, NULL, "tzo", zone);
	comity_elem_add_text(e, NULL, "utc", utc);
	return comity_reply_with(rq, &st);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST, NS_TIME, "time", NS_TIME, on_time },
	{ 0 },
};

COMITY_MODULE(
	.name = "time",
	.summary = "Tells the server's time",
	.iqs = iqs,
);
