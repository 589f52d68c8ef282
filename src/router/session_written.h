/* SPDX-License-Identifier: MIT */
/* Modules that wait until a client has what was written to its session. */
#ifndef ROUTER_SESSION_WRITTEN_H
#define ROUTER_SESSION_WRITTEN_H

#include "router/account.h"

/* All that was written to the stream has left. */
void session_drained(struct comity_session *s);
/* The stream is gone, and the session is not. */
void session_lost_output(struct comity_session *s);
/* The client has acknowledged something, or resumed the session. */
void session_acked(struct comity_session *s);
/* The session is over. */
void session_end_awaiting(struct comity_session *s, enum comity_written how);

#endif
