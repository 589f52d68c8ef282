/* SPDX-License-Identifier: MIT */
/* A libstrophe client that a test drives: commands on standard input, stanzas on standard output. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <unistd.h>

struct client {
	xmpp_ctx_t *ctx;
	xmpp_conn_t *conn;
	char line[4096];    /* what has come of the next command */
	size_t used;
	int online, over;
};

/* Prints one event as a line that starts with its kind. */
static void say(const char *kind, const char *text)
{
	printf("%s %s\n", kind, text);
	fflush(stdout);
}

static int on_stanza(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *userdata)
{
	struct client *client = userdata;
	char *text;
	size_t size;

	(void)conn;
	if (xmpp_stanza_to_text(stanza, &text, &size) == XMPP_EOK) {
		say("stanza", text);
		xmpp_free(client->ctx, text);
	}
	return 1;
}

static void on_connection(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                          xmpp_stream_error_t *stream_error, void *userdata)
{
	struct client *client = userdata;

	(void)error;
	(void)stream_error;
	if (event == XMPP_CONN_CONNECT) {
		client->online = 1;
		xmpp_handler_add(conn, on_stanza, NULL, NULL, NULL, client);
		say(xmpp_conn_is_secured(conn) ? "secured" : "insecure", xmpp_conn_get_bound_jid(conn));
	} else {
		client->over = 1;
		say("disconnected", "");
	}
}

static void send_and_release(struct client *client, xmpp_stanza_t *stanza)
{
	xmpp_send(client->conn, stanza);
	xmpp_stanza_release(stanza);
}

static xmpp_stanza_t *new_child(struct client *client, xmpp_stanza_t *parent, const char *name, const char *ns)
{
	xmpp_stanza_t *child = xmpp_stanza_new(client->ctx);

	xmpp_stanza_set_name(child, name);
	if (ns != NULL)
		xmpp_stanza_set_ns(child, ns);
	xmpp_stanza_add_child(parent, child);
	xmpp_stanza_release(child);
	return child;
}

static void add_text(struct client *client, xmpp_stanza_t *parent, const char *text)
{
	xmpp_stanza_t *child = xmpp_stanza_new(client->ctx);

	xmpp_stanza_set_text(child, text);
	xmpp_stanza_add_child(parent, child);
	xmpp_stanza_release(child);
}

/* presence [TYPE|- [TO]] */
static void send_presence(struct client *client, const char *type, const char *to)
{
	xmpp_stanza_t *presence = xmpp_presence_new(client->ctx);

	if (type != NULL && strcmp(type, "-") != 0)
		xmpp_stanza_set_type(presence, type);
	if (to != NULL)
		xmpp_stanza_set_to(presence, to);
	send_and_release(client, presence);
}

/* chat TO BODY */
static void send_chat(struct client *client, const char *to, const char *body)
{
	xmpp_stanza_t *message = xmpp_message_new(client->ctx, "chat", to, "chat-1");

	xmpp_message_set_body(message, body);
	send_and_release(client, message);
}

/* roster, vcard [JID], set-vcard NAME */
static void send_iq(struct client *client, const char *command, const char *argument)
{
	int set = strcmp(command, "set-vcard") == 0, roster = strcmp(command, "roster") == 0;
	xmpp_stanza_t *iq = xmpp_iq_new(client->ctx, set ? "set" : "get", command);
	xmpp_stanza_t *payload = new_child(client, iq, roster ? "query" : "vCard",
	                                   roster ? XMPP_NS_ROSTER : "vcard-temp");

	if (set)
		add_text(client, new_child(client, payload, "FN", NULL), argument);
	else if (argument != NULL)
		xmpp_stanza_set_to(iq, argument);
	send_and_release(client, iq);
}

static void do_command(struct client *client, char *line)
{
	char *rest, *command = strtok_r(line, " ", &rest);
	char *first;

	if (command == NULL)
		return;
	if (strcmp(command, "set-vcard") == 0) {
		send_iq(client, command, rest);
		return;
	}
	first = strtok_r(NULL, " ", &rest);
	if (strcmp(command, "presence") == 0)
		send_presence(client, first, strtok_r(NULL, " ", &rest));
	else if (strcmp(command, "chat") == 0 && first != NULL)
		send_chat(client, first, rest);
	else if (strcmp(command, "roster") == 0 || strcmp(command, "vcard") == 0)
		send_iq(client, command, first);
	else if (strcmp(command, "quit") == 0)
		xmpp_disconnect(client->conn);
	else
		say("error", command);
}

/* Reads what has come on standard input and carries out each whole line. */
static void read_commands(struct client *client)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t got;
	char *end;

	if (!client->online || client->over || poll(&input, 1, 0) <= 0)
		return;
	got = read(STDIN_FILENO, client->line + client->used, sizeof(client->line) - 1 - client->used);
	if (got <= 0) {
		client->over = 1;
		return;
	}
	client->used += (size_t)got;
	client->line[client->used] = '\0';
	while ((end = strchr(client->line, '\n')) != NULL) {
		*end = '\0';
		do_command(client, client->line);
		client->used -= (size_t)(end + 1 - client->line);
		memmove(client->line, end + 1, client->used + 1);
	}
}

int main(int argc, char **argv)
{
	struct client client = { 0 };
	long flags;

	if (argc != 7) {
		fputs("usage: strophe_client JID PASSWORD CA-FILE HOST PORT starttls|direct\n", stderr);
		return 64;
	}
	xmpp_initialize();
	client.ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(XMPP_LEVEL_DEBUG));
	client.conn = xmpp_conn_new(client.ctx);
	flags = strcmp(argv[6], "direct") == 0 ? XMPP_CONN_FLAG_LEGACY_SSL : XMPP_CONN_FLAG_MANDATORY_TLS;
	xmpp_conn_set_flags(client.conn, flags);
	xmpp_conn_set_jid(client.conn, argv[1]);
	xmpp_conn_set_pass(client.conn, argv[2]);
	xmpp_conn_set_cafile(client.conn, argv[3]);
	if (xmpp_connect_client(client.conn, argv[4], (unsigned short)atoi(argv[5]), on_connection,
	                        &client) != XMPP_EOK) {
		say("disconnected", "");
		client.over = 1;
	}
	while (!client.over) {
		read_commands(&client);
		xmpp_run_once(client.ctx, 20);
	}
	xmpp_conn_release(client.conn);
	xmpp_ctx_free(client.ctx);
	xmpp_shutdown();
	return 0;
}
