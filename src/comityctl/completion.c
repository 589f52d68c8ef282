/* SPDX-License-Identifier: MIT */
/* Completion in shells: small scripts that ask comityctl itself what may come next. */
#include "comityctl/completion.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "comityctl/client.h"
#include "comityctl/commands.h"

static const char bash_script[] =
	"# bash completion for comityctl\n"
	"_comityctl()\n"
	"{\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} words reply cut=\n"
	"\tread -r -a words <<<\"$line\"\n"
	"\t[[ $line == *[[:space:]] ]] && words+=(\"\")\n"
	"\tmapfile -t reply < <(\"${words[0]/#\\~/$HOME}\" --candidates \"${words[@]:1}\" 2>/dev/null)\n"
	"\tCOMPREPLY=()\n"
	"\tif [[ ${reply[0]-} == :file ]]; then\n"
	"\t\tcompopt -o default\n"
	"\t\treturn\n"
	"\tfi\n"
	"\t# bash takes \"@\" and some more for ends of words: only what stands behind the last is replaced\n"
	"\tlocal current=${words[-1]}\n"
	"\t[[ $COMP_WORDBREAKS == *@* ]] && cut=${current%\"${current##*[@:=]}\"}\n"
	"\t((${#reply[@]})) && COMPREPLY=(\"${reply[@]#\"$cut\"}\")\n"
	"}\n"
	"complete -F _comityctl comityctl\n";

static const char zsh_script[] =
	"#compdef comityctl\n"
	"_comityctl()\n"
	"{\n"
	"\tlocal -a reply\n"
	"\treply=(${(f)\"$(${(Q)words[1]} --candidates \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
	"\tif [[ $reply[1] == :file ]]; then\n"
	"\t\t_files\n"
	"\telse\n"
	"\t\tcompadd -a reply\n"
	"\tfi\n"
	"}\n"
	"if [[ $funcstack[1] == _comityctl ]]; then\n"
	"\t_comityctl \"$@\"\n"
	"else\n"
	"\tcompdef _comityctl comityctl\n"
	"fi\n";

static const char fish_script[] =
	"# fish completion for comityctl\n"
	"function __comityctl_candidates\n"
	"\tset -l words (commandline -opc) (commandline -ct)\n"
	"\tset -l reply (command $words[1] --candidates $words[2..-1] 2>/dev/null)\n"
	"\tif test \"$reply[1]\" = :file\n"
	"\t\t__fish_complete_path (commandline -ct)\n"
	"\telse\n"
	"\t\tprintf '%s\\n' $reply\n"
	"\tend\n"
	"end\n"
	"complete -c comityctl -f -a '(__comityctl_candidates)'\n";

const char *completion_script(const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		return bash_script;
	if (strcmp(shell, "zsh") == 0)
		return zsh_script;
	return strcmp(shell, "fish") == 0 ? fish_script : NULL;
}

/* What was typed, taken apart. */
struct line {
	char *words[8];          /* without options */
	int count;
	const char *current;     /* the word to complete */
	const char *socket;
	bool wants_file, wants_shell;
	FILE *to;
};

static void offer(const struct line *l, const char *word, size_t len)
{
	size_t typed = strlen(l->current);

	if (len >= typed && memcmp(word, l->current, typed) == 0)
		fprintf(l->to, "%.*s\n", (int)len, word);
}

static void offer_words(const struct line *l, const char *const *words)
{
	for (; *words != NULL; words++)
		offer(l, *words, strlen(*words));
}

static void offer_options(const struct line *l)
{
	for (const struct ctl_option *o = ctl_options; o->name != NULL; o++) {
		char *text = mem_printf("--%s", o->name);

		offer(l, text, strlen(text));
		free(text);
	}
}

/* The words number l->count of commands that begin with those typed before. */
static void offer_commands(const struct line *l, char *const *words, int count)
{
	const char *last = "";
	size_t last_len = 0;

	for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
		const char *word = c->words;
		size_t len;

		if (!ctl_command_is_under(c, words, count))
			continue;
		for (int i = 0; i < count; i++)
			word += strcspn(word, " ") + (strchr(word, ' ') != NULL);
		len = strcspn(word, " ");
		/* Commands with a common first word stand together in the table. */
		if (len == 0 || (len == last_len && memcmp(word, last, len) == 0))
			continue;
		offer(l, word, len);
		last = word;
		last_len = len;
	}
}

/* The first column of what the server answers to a command of two words. */
static void offer_answer(const struct line *l, const char *first, const char *second)
{
	char *args[] = { (char *)first, (char *)second };
	json_t *request = client_make_request(args, 2, NULL), *answer = NULL, *row;
	size_t at;

	if (client_ask(l->socket, request, CLIENT_COMPLETION_WAIT, &answer, NULL) == 0) {
		json_array_foreach(json_object_get(answer, "rows"), at, row) {
			const char *text = json_string_value(json_array_get(row, 0));

			if (text != NULL)
				offer(l, text, strlen(text));
		}
	}
	json_decref(answer);
	json_decref(request);
}

static void offer_levels(const struct line *l)
{
	for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
		const char *name = log_level_name((enum log_level)level);

		offer(l, name, strlen(name));
	}
}

static void offer_argument(const struct line *l, const char *name)
{
	if (strcmp(name, "FILE") == 0)
		fputs(":file\n", l->to);
	else if (strcmp(name, "LEVEL") == 0)
		offer_levels(l);
	else if (strcmp(name, "HOST") == 0)
		offer_answer(l, "host", "list");
	else if (strcmp(name, "JID") == 0)
		offer_answer(l, "user", "list");
	else if (strcmp(name, "FULL-JID") == 0)
		offer_answer(l, "session", "list");
}

static void take_apart(struct line *l, char *const *words, int count)
{
	for (int i = 0; i + 1 < count; i++) {
		bool is_socket = strcmp(words[i], "-s") == 0 || strcmp(words[i], "--socket") == 0;
		bool is_completion = strcmp(words[i], "--completion") == 0;

		if (is_socket && i + 2 < count)
			l->socket = words[++i];
		else if (strncmp(words[i], "--socket=", 9) == 0)
			l->socket = words[i] + 9;
		else if (is_socket || is_completion)
			*(is_socket ? &l->wants_file : &l->wants_shell) = i + 2 == count;
		else if (words[i][0] != '-' && l->count < 8)
			l->words[l->count++] = words[i];
	}
}

static void offer_next(const struct line *l)
{
	char name[32];
	int used;
	const struct ctl_command *command = ctl_command_find(l->words, l->count, &used);

	if (l->count > 0 && strcmp(l->words[0], "help") == 0) {
		offer_commands(l, l->words + 1, l->count - 1);
	} else if (command == NULL) {
		offer_commands(l, l->words, l->count);
		if (l->count == 0)
			offer(l, "help", 4);
	} else if (ctl_command_argument(command, l->count - used, name, sizeof(name))) {
		offer_argument(l, name);
	}
}

void completion_candidates(char *const *words, int count, const char *socket, FILE *to)
{
	static const char *const shells[] = { "bash", "zsh", "fish", NULL };
	struct line l = { .current = count > 0 ? words[count - 1] : "", .socket = socket, .to = to };

	take_apart(&l, words, count);
	if (l.wants_file)
		fputs(":file\n", to);
	else if (l.wants_shell)
		offer_words(&l, shells);
	else if (l.current[0] == '-')
		offer_options(&l);
	else
		offer_next(&l);
}
