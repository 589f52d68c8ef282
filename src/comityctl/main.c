/* SPDX-License-Identifier: MIT */
/* comityctl: asks the running daemon to do something and shows its answer. */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "comityctl/client.h"
#include "comityctl/commands.h"
#include "comityctl/completion.h"
#include "comityctl/password.h"
#include "comityctl/table.h"

/* Exit codes, comityctl(8). */
enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHED = 3 };

#define OPTIONS_MAX 16
#define TASK_POLL_US 100000

/* What the command line says. */
struct call {
	const char *socket;
	char *from;
	char **longer_args;      /* with --from; to be freed */
	bool json, from_stdin;
	const struct ctl_command *command;
	char **args;             /* the command's words and its arguments */
	int count, used;         /* used: how many are the command's words */
};

static int misuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int misuse(const char *fmt, ...)
{
	va_list ap;

	fputs("comityctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\n", stderr);
	return EXIT_USAGE;
}

static void print_help(FILE *to)
{
	fputs("usage: comityctl [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n", to);
	ctl_commands_print(NULL, 0, to);
	fputs("  help [COMMAND]           Explain a command.\n\nOptions:\n", to);
	ctl_options_print(to);
	fputs("\nSee comityctl(8).\n", to);
}

static int complain_of_command(char **words, int count)
{
	const char *near = ctl_command_nearest(words, count);
	const char *second = count > 1 ? words[1] : NULL;

	/* A first word that is right alone: show what may follow. */
	for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
		if (!ctl_command_is_under(c, words, 1))
			continue;
		if (second != NULL && near != NULL)
			return misuse("unknown command \"%s %s\"; did you mean \"%s\"?", words[0], second, near);
		if (second != NULL)
			misuse("unknown command \"%s %s\"; there are:", words[0], second);
		else
			misuse("\"%s\" wants one more word:", words[0]);
		ctl_commands_print(words, 1, stderr);
		return EXIT_USAGE;
	}
	if (near != NULL)
		return misuse("unknown command \"%s\"; did you mean \"%s\"?", words[0], near);
	return misuse("unknown command \"%s\"; \"comityctl help\" lists all", words[0]);
}

static int explain(char **words, int count)
{
	int used;
	const struct ctl_command *command = ctl_command_find(words, count, &used);

	if (count == 0)
		print_help(stdout);
	else if (command != NULL)
		ctl_command_print(command, stdout);
	else if (count > 1 || ctl_commands_print(words, count, stdout) == 0)
		return complain_of_command(words, count);
	return EXIT_OK;
}

/* ---- asking and showing ---- */

/* The server has another working folder: paths are sent whole. */
static void complete_paths(struct call *call)
{
	char name[32], folder[PATH_MAX];

	for (int i = 0; i < call->count - call->used; i++) {
		char **arg = &call->args[call->used + i];

		if (ctl_command_argument(call->command, i, name, sizeof(name)) && strcmp(name, "FILE") == 0 &&
		    (*arg)[0] != '/' && getcwd(folder, sizeof(folder)) != NULL)
			*arg = mem_printf("%s/%s", folder, *arg); /* lives as long as the process */
	}
}

/* --from HOST is another way to give the last argument of why. */
static void add_from(struct call *call)
{
	char **args;

	if (call->from == NULL)
		return;
	args = mem_array((size_t)call->count + 2, sizeof(char *));
	memcpy(args, call->args, (size_t)call->count * sizeof(char *));
	args[call->count++] = call->from;
	call->args = call->longer_args = args;
}

static void show(const struct call *call, const json_t *answer)
{
	const json_t *rows = json_object_get(answer, "rows"), *columns = json_object_get(answer, "columns");
	const char *text = json_string_value(json_object_get(answer, "text"));

	if (call->json && rows != NULL) {
		table_print_json(columns, rows, stdout);
	} else if (call->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		if (rows != NULL)
			table_print(columns, rows, stdout);
		if (text != NULL)
			puts(text);
	}
}

/* Lines of a task, as they come. */
static void show_lines(const struct call *call, const json_t *answer, json_t *all)
{
	json_t *line;
	size_t at;

	json_array_foreach(json_object_get(answer, "lines"), at, line) {
		json_array_append(all, line);
		if (!call->json)
			printf("%s\n", json_string_value(line));
	}
	fflush(stdout);
}

/* What takes long is asked for again and again, until the answer is there. */
static int follow(const struct call *call, json_t **answer, struct err_text *et)
{
	json_t *all = json_array();
	const char *id;
	int rc = 0;

	show_lines(call, *answer, all);
	while (rc == 0 && (id = json_string_value(json_object_get(*answer, "task"))) != NULL) {
		char *words[] = { "task", mem_strdup(id), NULL };
		json_t *request = client_make_request(words, 2, NULL);

		json_decref(*answer);
		*answer = NULL;
		usleep(TASK_POLL_US);
		rc = client_ask(call->socket, request, CLIENT_WAIT, answer, et);
		json_decref(request);
		free(words[1]);
		if (rc == 0)
			show_lines(call, *answer, all);
	}
	if (rc == 0 && json_array_size(all) != 0)
		json_object_set(*answer, "lines", all);
	json_decref(all);
	return rc;
}

static int judge(const struct call *call, const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	bool is_ok = json_is_true(json_object_get(answer, "ok"));

	if (is_ok || call->json)
		show(call, answer);
	if (!is_ok)
		fprintf(stderr, "comityctl: %s\n", error != NULL ? error : "the server refused without a reason");
	if (fflush(stdout) == 0 && !ferror(stdout))
		return is_ok ? EXIT_OK : EXIT_REFUSED;
	perror("comityctl: cannot write the answer");
	return EXIT_REFUSED;
}

static int ask(struct call *call, const char *password)
{
	struct err_text et = { "" };
	json_t *request, *answer = NULL;
	int rc;

	complete_paths(call);
	add_from(call);
	request = client_make_request(call->args, call->count, password);
	if (request == NULL)
		return misuse("the %s is not UTF-8", password != NULL ? "password or an argument" : "argument");
	rc = client_ask(call->socket, request, CLIENT_WAIT, &answer, &et);
	json_decref(request);
	if (rc == 0)
		rc = follow(call, &answer, &et);
	if (rc != 0) {
		fprintf(stderr, "comityctl: %s\n", et.text);
		return EXIT_UNREACHED;
	}
	rc = judge(call, answer);
	json_decref(answer);
	return rc;
}

static int run(struct call *call)
{
	struct err_text et = { "" };
	char *password = NULL;
	int rc, given;

	call->command = ctl_command_find(call->args, call->count, &call->used);
	if (call->command == NULL)
		return complain_of_command(call->args, call->count);
	if (call->from != NULL && strcmp(call->command->words, "why") != 0)
		return misuse("%s: --from is for why", call->command->words);
	given = call->count - call->used + (call->from != NULL);
	if (given < call->command->min_args || given > call->command->max_args) {
		misuse("%s: too %s arguments", call->command->words, given < call->command->min_args ? "few" : "many");
		ctl_command_print(call->command, stderr);
		return EXIT_USAGE;
	}
	if (call->from_stdin && !call->command->needs_password)
		return misuse("%s: --stdin is for commands that need a password", call->command->words);
	if (call->command->needs_password) {
		rc = call->from_stdin ? password_read(stdin, &password, &et) :
		                        password_ask(call->args[call->used], &password, &et);
		if (rc != 0)
			return misuse("%s", et.text);
	}
	rc = ask(call, password);
	password_free(password);
	return rc;
}

/* ---- command line ---- */

/* getopt's form of the table of options. */
static void make_getopt(struct option *options, char *letters)
{
	for (const struct ctl_option *o = ctl_options; o->name != NULL; o++) {
		*options++ = (struct option){ o->name, o->arg != NULL ? required_argument : no_argument, NULL, o->letter };
		if (o->letter < 128) {
			*letters++ = (char)o->letter;
			if (o->arg != NULL)
				*letters++ = ':';
		}
	}
	*options = (struct option){ NULL, 0, NULL, 0 };
	*letters = '\0';
}

static int print_completion(const char *shell)
{
	const char *script = completion_script(shell);

	if (script == NULL)
		return misuse("--completion: there is a script for bash, zsh and fish, not for \"%s\"", shell);
	fputs(script, stdout);
	return EXIT_OK;
}

/* Takes options; a code to end with at once, or -1. */
static int read_options(int argc, char **argv, struct call *call)
{
	struct option options[OPTIONS_MAX];
	char letters[OPTIONS_MAX * 2 + 1];
	int option;

	make_getopt(options, letters);
	while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (option == 's') {
			call->socket = optarg;
		} else if (option == CTL_OPTION_JSON) {
			call->json = true;
		} else if (option == CTL_OPTION_FROM) {
			call->from = optarg;
		} else if (option == CTL_OPTION_STDIN) {
			call->from_stdin = true;
		} else if (option == CTL_OPTION_COMPLETION) {
			return print_completion(optarg);
		} else if (option == 'V') {
			puts("comityctl " PACKAGE_VERSION);
			return EXIT_OK;
		} else if (option == 'h') {
			return explain(argv + optind, 0);
		} else {
			fputs("Try \"comityctl help\".\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	const char *socket = getenv("COMITY_SOCKET");
	struct call call = { .socket = socket != NULL && *socket != '\0' ? socket : COMITY_STATE_DIR "/control.sock" };
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "--candidates") == 0) {
		completion_candidates(argv + 2, argc - 2, call.socket, stdout);
		return EXIT_OK;
	}
	rc = read_options(argc, argv, &call);
	if (rc >= 0)
		return rc;
	call.args = argv + optind;
	call.count = argc - optind;
	if (call.count == 0) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(call.args[0], "help") == 0)
		return explain(call.args + 1, call.count - 1);
	rc = run(&call);
	free(call.longer_args);
	return rc;
}
