/* SPDX-License-Identifier: MIT */
/* The commands and options of comityctl: one table for parsing, help, completion and the daemon. */
#include "comityctl/commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"

const struct ctl_command ctl_commands[] = {
	{ "user add", "JID", "Make an account; asks for its password.", 1, 1, true },
	{ "user remove", "JID", "Delete an account with all that is stored for it.", 1, 1, false },
	{ "user password", "JID", "Give an account another password.", 1, 1, true },
	{ "user list", "[HOST]", "List the accounts of all hosts or of one.", 0, 1, false },
	{ "user show", "JID", "Show what is known about an account.", 1, 1, false },
	{ "session list", "[JID]", "List who is connected, or the sessions of one account.", 0, 1, false },
	{ "session kick", "FULL-JID", "Close a session.", 1, 1, false },
	{ "host list", "", "List the domains that are served.", 0, 0, false },
	{ "module list", "[HOST]", "List the modules of all hosts or of one.", 0, 1, false },
	{ "modules", "[HOST]", "The same as module list.", 0, 1, false },
	{ "stats memory", "", "Show what memory is used for, and the largest users.", 0, 0, false },
	{ "stats", "", "Show counters.", 0, 0, false },
	{ "reload", "", "Read the configuration and certificates anew.", 0, 0, false },
	{ "backup", "FILE", "Write a copy of the store to a new file.", 1, 1, false },
	{ "log level", "[LEVEL]", "Show or set the level of logging: debug, info, warning or error.", 0, 1, false },
	{ "s2s list", "[DOMAIN]", "List the links to other servers, or to one.", 0, 1, false },
	{ "s2s show", "DOMAIN", "Show all that is known of the links to another server.", 1, 1, false },
	{ "s2s retry", "DOMAIN", "Try at once to reach another server that is waited for.", 1, 1, false },
	{ "s2s flush", "DOMAIN", "Return all that waits for another server to its senders.", 1, 1, false },
	{ "s2s close", "DOMAIN", "Close all streams to and from another server.", 1, 1, false },
	{ "why", "DOMAIN [HOST]", "Try to reach another server step by step and say what is wrong.", 1, 2, false },
	{ NULL, NULL, NULL, 0, 0, false },
};

const struct ctl_option ctl_options[] = {
	{ "socket", 's', "SOCKET", "Reach the server at this control socket." },
	{ "json", CTL_OPTION_JSON, NULL, "Print JSON in place of text." },
	{ "from", CTL_OPTION_FROM, "HOST", "For why: the domain of ours that wants to reach the other." },
	{ "stdin", CTL_OPTION_STDIN, NULL, "Read the password from standard input, one line." },
	{ "completion", CTL_OPTION_COMPLETION, "SHELL", "Print the completion script for bash, zsh or fish." },
	{ "help", 'h', NULL, "Print the list of commands." },
	{ "version", 'V', NULL, "Print the version." },
	{ NULL, 0, NULL, NULL },
};

static bool is_word(const char *word, size_t len, const char *typed)
{
	return strlen(typed) == len && memcmp(word, typed, len) == 0;
}

/* How many of the typed words are the command's first ones. */
static int match(const struct ctl_command *command, char *const *words, int count)
{
	const char *at = command->words;
	int n = 0;

	while (n < count && *at != '\0') {
		size_t len = strcspn(at, " ");

		if (!is_word(at, len, words[n]))
			break;
		n++;
		at += len + (at[len] == ' ');
	}
	return n;
}

static int word_count(const struct ctl_command *command)
{
	return strchr(command->words, ' ') != NULL ? 2 : 1;
}

const struct ctl_command *ctl_command_find(char *const *words, int count, int *used)
{
	for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
		if (match(c, words, count) == word_count(c)) {
			*used = word_count(c);
			return c;
		}
	}
	return NULL;
}

bool ctl_command_is_under(const struct ctl_command *command, char *const *words, int count)
{
	return match(command, words, count) == count;
}

const char *ctl_command_nearest(char *const *words, int count)
{
	const char *names[sizeof(ctl_commands) / sizeof(ctl_commands[0])], *found;
	char *typed;
	size_t n = 0;

	for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++)
		names[n++] = c->words;
	names[n] = NULL;
	typed = count > 1 ? mem_printf("%s %s", words[0], words[1]) : mem_strdup(words[0]);
	found = conf_nearest(typed, names);
	if (found == NULL && count > 1)
		found = conf_nearest(words[0], names);
	free(typed);
	return found;
}

bool ctl_command_argument(const struct ctl_command *command, int n, char *out, size_t room)
{
	const char *at = command->args;
	size_t len;

	for (; n > 0 && *at != '\0'; n--)
		at += strcspn(at, " ") + (strchr(at, ' ') != NULL);
	at += *at == '[';
	len = strcspn(at, " ]");
	if (len == 0 || len >= room)
		return false;
	memcpy(out, at, len);
	out[len] = '\0';
	return true;
}

void ctl_command_print(const struct ctl_command *command, FILE *to)
{
	fprintf(to, "usage: comityctl %s%s%s\n%s\n", command->words, *command->args != '\0' ? " " : "", command->args,
	        command->help);
}

int ctl_commands_print(char *const *words, int count, FILE *to)
{
	int found = 0;

	for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
		char *usage;

		if (!ctl_command_is_under(c, words, count))
			continue;
		usage = mem_printf("%s %s", c->words, c->args);
		fprintf(to, "  %-24s %s\n", usage, c->help);
		free(usage);
		found++;
	}
	return found;
}

void ctl_options_print(FILE *to)
{
	for (const struct ctl_option *o = ctl_options; o->name != NULL; o++) {
		char *usage = o->letter < 128 ? mem_printf("-%c, --%s %s", o->letter, o->name, o->arg != NULL ? o->arg : "") :
		                                mem_printf("    --%s %s", o->name, o->arg != NULL ? o->arg : "");

		fprintf(to, "  %-24s %s\n", usage, o->help);
		free(usage);
	}
}
