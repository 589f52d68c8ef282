/* SPDX-License-Identifier: MIT */
/* comity.conf: values, defaults, includes, and errors that name file and line. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "unit.h"

static const char *const levels[] = { "error", "info", "debug", NULL };

struct root_conf {
	int64_t c2s_port;
	int level;
	struct comity_list listen;
	uint64_t login_timeout, max_size;
	bool fast;
	char *name, *password, *data;
};
static const struct comity_option root_options[] = {
	COMITY_OPT_INT(struct root_conf, c2s_port, "5222", 1, 65535, "Port."),
	COMITY_OPT_CHOICE(struct root_conf, level, "info", levels, "Level."),
	COMITY_OPT_LIST(struct root_conf, listen, ":: 0.0.0.0", "Addresses."),
	COMITY_OPT_TIME(struct root_conf, login_timeout, "10s", 1000, 3600000, "Time."),
	COMITY_OPT_SIZE(struct root_conf, max_size, "64KiB", 1024, 5242880, "Size."),
	COMITY_OPT_BOOL(struct root_conf, fast, "no", "Fast."),
	COMITY_OPT_STRING(struct root_conf, name, NULL, "Name."),
	COMITY_OPT_SECRET(struct root_conf, password, NULL, "Password."),
	COMITY_OPT_PATH(struct root_conf, data, "data", "Folder."),
	{ 0 },
};

struct host_conf {
	uint64_t pre_auth_timeout;
};
static const struct comity_option host_options[] = {
	COMITY_OPT_TIME(struct host_conf, pre_auth_timeout, "30s", 1000, 60000, "Time."),
	{ 0 },
};

struct vcard_conf {
	uint64_t max_size;
	bool open;
};
static const struct comity_option vcard_options[] = {
	COMITY_OPT_SIZE(struct vcard_conf, max_size, "16KiB", 1, 1 << 20, "Size."),
	COMITY_OPT_BOOL(struct vcard_conf, open, "no", "Open."),
	{ 0 },
};

struct tls_conf {
	char *certificate;
};
static const struct comity_option tls_options[] = {
	COMITY_OPT_PATH(struct tls_conf, certificate, NULL, "File."),
	{ 0 },
};

static const struct conf_section tls = { .name = "tls", .options = tls_options, .size = sizeof(struct tls_conf) };
static const struct conf_section *const host_children[] = { &tls, NULL };
static const struct conf_section host = { .name = "host", .options = host_options, .size = sizeof(struct host_conf),
	                                  .is_titled = true, .has_modules = true, .children = host_children };
static const struct conf_section *const root_children[] = { &host, NULL };
static const struct conf_section root = { .name = "", .options = root_options, .size = sizeof(struct root_conf),
	                                  .has_modules = true, .children = root_children };
static const char *const module_names[] = { "vcard", "ping", NULL };

static int module_options(void *arg, const char *name, const struct comity_option **options, size_t *size)
{
	(void)arg;
	if (strcmp(name, "ping") == 0) {
		*options = NULL;
		*size = 0;
		return 0;
	}
	*options = vcard_options;
	*size = sizeof(struct vcard_conf);
	return strcmp(name, "vcard") == 0 ? 0 : -1;
}

static const struct conf_schema schema = { .root = &root, .module_names = module_names,
	                                   .module_options = module_options };

/* All errors, one a line; the caller frees. */
static char *joined(const struct conf_errors *errors)
{
	char *all = mem_strdup(""), *longer;

	for (size_t i = 0; i < errors->count; i++) {
		longer = mem_printf("%s%s%s", all, i != 0 ? "\n" : "", errors->items[i]);
		free(all);
		all = longer;
	}
	return all;
}

static struct conf *accept_text(const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = NULL;
	int rc = conf_load_text("c", text, strlen(text), &schema, &conf, &errors);

	ck_assert_msg(rc == 0 && errors.count == 0, "%s", errors.count != 0 ? errors.items[0] : "no error");
	ck_assert_ptr_nonnull(conf);
	conf_errors_deinit(&errors);
	return conf;
}

static void refuse_text(const char *text, const char *expected)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = NULL;
	char *all;

	ck_assert_int_eq(conf_load_text("c", text, strlen(text), &schema, &conf, &errors), -ERR_INVALID);
	ck_assert_ptr_null(conf);
	all = joined(&errors);
	ck_assert_str_eq(all, expected);
	free(all);
	conf_errors_deinit(&errors);
}

START_TEST(defaults)
{
	struct conf *conf = accept_text("");
	const struct root_conf *r = conf_values(conf_root(conf));

	ck_assert_int_eq(r->c2s_port, 5222);
	ck_assert_int_eq(r->level, 1);
	ck_assert_uint_eq(r->listen.count, 2);
	ck_assert_str_eq(r->listen.items[1], "0.0.0.0");
	ck_assert_uint_eq(r->login_timeout, 10000);
	ck_assert_uint_eq(r->max_size, 65536);
	ck_assert(!r->fast);
	ck_assert_ptr_null(r->name);
	ck_assert_str_eq(r->data, "data");
	ck_assert_ptr_null(conf_child(conf_root(conf), "host", 0));
	conf_unref(conf);
}
END_TEST

START_TEST(values)
{
	struct conf *conf = accept_text("# two lines are a full server\nhost example.org {\n}\nc2s_port = 5223 // why\n"
	                                "level=debug listen = { \"::1\" , # here\n /* and\n here */ 127.0.0.1,\n}\n"
	                                "fast = yes name = \"a \\\"b\\\" $HOME #c\" login_timeout = 2m\nmax_size = '1MiB'\n");
	const struct root_conf *r = conf_values(conf_root(conf));
	const struct conf_node *h = conf_child(conf_root(conf), "host", 0);

	ck_assert_int_eq(r->c2s_port, 5223);
	ck_assert_int_eq(r->level, 2);
	ck_assert_uint_eq(r->listen.count, 2);
	ck_assert_str_eq(r->listen.items[0], "::1");
	ck_assert_str_eq(r->listen.items[1], "127.0.0.1");
	ck_assert(r->fast);
	ck_assert_str_eq(r->name, "a \"b\" $HOME #c");
	ck_assert_uint_eq(r->login_timeout, 120000);
	ck_assert_uint_eq(r->max_size, 1 << 20);
	ck_assert_str_eq(conf_title(h), "example.org");
	ck_assert_uint_eq(((const struct host_conf *)conf_values(h))->pre_auth_timeout, 30000);
	conf_unref(conf_ref(conf));
	conf_unref(conf);
}
END_TEST

START_TEST(lists)
{
	struct conf *conf = accept_text("listen = {}\n");

	ck_assert_uint_eq(((const struct root_conf *)conf_values(conf_root(conf)))->listen.count, 0);
	conf_unref(conf);
	conf = accept_text("listen = ::1\n");
	ck_assert_uint_eq(((const struct root_conf *)conf_values(conf_root(conf)))->listen.count, 1);
	conf_unref(conf);
}
END_TEST

START_TEST(nested)
{
	struct conf *conf = accept_text("host a.example { tls { certificate = /etc/a.pem } }\nhost b.example {}\n");
	const struct conf_node *a = conf_child(conf_root(conf), "host", 0), *b = conf_child(conf_root(conf), "host", 1);

	ck_assert_str_eq(((const struct tls_conf *)conf_values(conf_child(a, "tls", 0)))->certificate, "/etc/a.pem");
	ck_assert_str_eq(conf_title(b), "b.example");
	ck_assert_ptr_null(conf_child(b, "tls", 0));
	ck_assert_ptr_null(conf_child(conf_root(conf), "host", 2));
	conf_unref(conf);
}
END_TEST

static void check_module(struct conf *conf, size_t index, uint64_t max_size, bool open)
{
	const struct vcard_conf *v = conf_module_values(conf, conf_child(conf_root(conf), "host", index), "vcard",
	                                                vcard_options, sizeof(struct vcard_conf));

	ck_assert_uint_eq(v->max_size, max_size);
	ck_assert(v->open == open);
}

START_TEST(modules)
{
	struct conf *conf = accept_text("module vcard { open = yes }\nhost a { module vcard { max_size = 64KiB } }\n"
	                                "host b { module ping {} module vcard { open = no } }\nhost c {}\n");

	check_module(conf, 0, 65536, true);
	check_module(conf, 1, 16384, false);
	check_module(conf, 2, 16384, true);
	conf_unref(conf);
	conf = accept_text("host a {}");
	check_module(conf, 0, 16384, false);
	conf_unref(conf);
}
END_TEST

START_TEST(unknown)
{
	refuse_text("host example.org {\n\tpre_auth_timout = 3s\n}\n",
	            "c:2: unknown option \"pre_auth_timout\" in host \"example.org\"; did you mean \"pre_auth_timeout\"?");
	refuse_text("# a\n/* b\n */ zzzzzz = 1\n", "c:3: unknown option \"zzzzzz\"");
	refuse_text("fast = yes\nhosts a { }\n", "c:2: unknown option \"hosts\"; did you mean \"host\"?");
	refuse_text("module vcard {\r\n\r\n# c\r\nopne = yes }\r\n",
	            "c:4: unknown option \"opne\" of module \"vcard\"; did you mean \"open\"?");
	refuse_text("host a { tls { module vcard { } } }\n", "c:1: a module block cannot stand here");
	refuse_text("\nmodule vcrad { }\n", "c:2: there is no module \"vcrad\"; did you mean \"vcard\"?");
	refuse_text("module \"a/b\" { }\n", "c:1: expected the name of a module after \"module\"");
}
END_TEST

START_TEST(wrong_values)
{
	refuse_text("\n\nlogin_timeout = abc\n",
	            "c:3: login_timeout: expected a time such as 10s, 5m or 2h, from 1s to 1h, got \"abc\"");
	refuse_text("listen = {\n\"a\", # x\n\"b\"\n}\nlogin_timeout = 2h\n",
	            "c:5: login_timeout: expected a time such as 10s, 5m or 2h, from 1s to 1h, got \"2h\"");
	refuse_text("c2s_port = \001", "c:1: c2s_port: expected one value");
	refuse_text("c2s_port = 0", "c:1: c2s_port: expected a number, from 1 to 65535, got \"0\"");
	refuse_text("c2s_port = 99999999999999999999", "c:1: c2s_port: expected a number, from 1 to 65535, got "
	                                               "\"99999999999999999999\"");
	refuse_text("level = loud", "c:1: level: expected one of error, info, debug, got \"loud\"");
	refuse_text("fast = maybe", "c:1: fast: expected yes or no, got \"maybe\"");
	refuse_text("max_size = 1TiB", "c:1: max_size: expected a size such as 4096, 64KiB or 5MiB, from 1KiB to 5MiB, "
	                               "got \"1TiB\"");
	refuse_text("host a {\r\nmodule vcard { max_size = 0 } }\r\n",
	            "c:2: max_size: expected a size such as 4096, 64KiB or 5MiB, from 1B to 1MiB, got \"0\"");
}
END_TEST

START_TEST(twice)
{
	refuse_text("fast = yes\n# x\nfast = no\n", "c:3: \"fast\" is set a second time; the first is at c:1");
	refuse_text("listen = { a }\nlisten = { b }\n", "c:2: \"listen\" is set a second time; the first is at c:1");
	refuse_text("host a { }\nhost b { }\nhost a { }\n", "c:3: there is a second block with the title 'a'");
}
END_TEST

START_TEST(all_errors)
{
	refuse_text("level = loud\nnaem = x\nhost a {\n\tbogus_block b {\n\tx = { 1, 2 }\n\t}\n}\nfast = maybe\n"
	            "module pong { }\nnome = y\n",
	            "c:9: there is no module \"pong\"; did you mean \"ping\"?\n"
	            "c:2: unknown option \"naem\"; did you mean \"name\"?\n"
	            "c:4: unknown option \"bogus_block\" in host \"a\"\n"
	            "c:10: unknown option \"nome\"; did you mean \"name\"?\n"
	            "c:1: level: expected one of error, info, debug, got \"loud\"\n"
	            "c:8: fast: expected yes or no, got \"maybe\"");
}
END_TEST

START_TEST(broken)
{
	refuse_text("# x\nhost a {\nfast = yes\n", "c:2: this block is not closed: \"}\" is missing");
	refuse_text("name = \"abc\nfast = yes\n", "c:1: this text has no closing quote");
	refuse_text("/* abc\n", "c:2: this comment has no end");
	refuse_text("fast = yes\n}\n", "c:2: this \"}\" closes nothing");
	refuse_text("include\n=", "c:2: expected a file after \"include\"");
	/* A name is never taken for the start of a comment by the parser below us. */
	refuse_text("\nx/* = 1\nname = b\n", "c:2: \"x/*\" is not the name of an option");
	refuse_text("fast = yes\n\"a\" = b", "c:2: expected the name of an option, got \"a\"");
	refuse_text("listen += a\n", "c:1: missing equal sign after option 'listen'");
	refuse_text("x//y = 1\n", "c:1: \"x//y\" is not the name of an option");
}
END_TEST

/* ---- files ---- */

static char folder[64];

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void set_up_folder(void)
{
	char sub[128];

	strcpy(folder, "/tmp/conf-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(sub, sizeof(sub), "%s/conf.d", folder);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
}

static void tear_down_folder(void)
{
	static const char *const names[] = { "comity.conf", "b.conf", "secret", "conf.d/1.conf", "conf.d/2.conf", "conf.d", "" };
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
}

static int load_file(struct conf **conf, char **all)
{
	struct conf_errors errors = { 0 };
	char path[256];
	int rc;

	snprintf(path, sizeof(path), "%s/comity.conf", folder);
	*conf = NULL;
	rc = conf_load(path, &schema, conf, &errors);
	*all = joined(&errors);
	conf_errors_deinit(&errors);
	return rc;
}

static void refuse_file(const char *fmt)
{
	struct conf *conf;
	char *all, expected[1024];

	ck_assert_int_eq(load_file(&conf, &all), -ERR_INVALID);
	snprintf(expected, sizeof(expected), fmt, folder);
	ck_assert_str_eq(all, expected);
	free(all);
}

START_TEST(includes)
{
	const struct root_conf *r;
	struct conf *conf;
	char *all, path[128];

	write_file("comity.conf", "include \"conf.d/*.conf\"\ninclude b.conf\npassword = \"file:secret\"\ndata = d\n");
	write_file("conf.d/1.conf", "host one { }");
	write_file("conf.d/2.conf", "host two { }\ninclude ../b2.conf");
	write_file("b.conf", "c2s_port = 1");
	write_file("secret", "hunter2\n");
	write_file("conf.d/2.conf", "host two { include \"none*.conf\" }\n");
	ck_assert_msg(load_file(&conf, &all) == 0, "%s", all);
	free(all);
	r = conf_values(conf_root(conf));
	ck_assert_int_eq(r->c2s_port, 1);
	ck_assert_str_eq(r->password, "hunter2");
	snprintf(path, sizeof(path), "%s/d", folder);
	ck_assert_str_eq(r->data, path);
	ck_assert_str_eq(conf_title(conf_child(conf_root(conf), "host", 1)), "two");
	conf_unref(conf);
}
END_TEST

/* Some editors begin a file with it. */
START_TEST(byte_order_marks)
{
	struct conf *conf;
	char *all;

	write_file("comity.conf", "\xef\xbb\xbf" "level = debug\ninclude b.conf\n");
	write_file("b.conf", "\xef\xbb\xbf# a comment\nc2s_port = 1\n");
	ck_assert_msg(load_file(&conf, &all) == 0, "%s", all);
	free(all);
	ck_assert_int_eq(((const struct root_conf *)conf_values(conf_root(conf)))->level, 2);
	ck_assert_int_eq(((const struct root_conf *)conf_values(conf_root(conf)))->c2s_port, 1);
	conf_unref(conf);
	write_file("comity.conf", "\xef\xbb\xbf");
	ck_assert_msg(load_file(&conf, &all) == 0, "%s", all);
	free(all);
	conf_unref(conf);
}
END_TEST

START_TEST(include_lines)
{
	write_file("comity.conf", "# a\nlevel = loud include \"b.conf\" fast = x\n");
	write_file("b.conf", "\n\nc2s_port = x");
	refuse_file("%1$s/b.conf:3: c2s_port: expected a number, from 1 to 65535, got \"x\"\n"
	            "%1$s/comity.conf:2: level: expected one of error, info, debug, got \"loud\"\n"
	            "%1$s/comity.conf:2: fast: expected yes or no, got \"x\"");
}
END_TEST

START_TEST(include_failures)
{
	refuse_file("cannot read %1$s/comity.conf: No such file or directory");
	write_file("comity.conf", "\ninclude b.conf\n");
	refuse_file("%1$s/comity.conf:2: cannot read %1$s/b.conf: No such file or directory");
	write_file("comity.conf", "\ninclude conf.d\n");
	refuse_file("%1$s/comity.conf:2: cannot read %1$s/conf.d: Is a directory");
	write_file("comity.conf", "include b.conf\n");
	write_file("b.conf", "include ./comity.conf include *.conf\n");
	refuse_file("%1$s/b.conf:1: %1$s/./comity.conf includes itself\n%1$s/b.conf:1: %1$s/b.conf includes itself\n"
	            "%1$s/b.conf:1: %1$s/comity.conf includes itself");
}
END_TEST

START_TEST(secrets)
{
	struct conf *conf;

	write_file("comity.conf", "password = file:secret\n");
	refuse_file("%1$s/comity.conf:1: password: cannot read %1$s/secret: No such file or directory");
	write_file("secret", "\n");
	refuse_file("%1$s/comity.conf:1: password: %1$s/secret is empty");
	write_file("comity.conf", "password = file:conf.d\n");
	refuse_file("%1$s/comity.conf:1: password: cannot read %1$s/conf.d: Is a directory");
	write_file("comity.conf", "password = env:COMITY_TEST_NONE\n");
	refuse_file("%1$s/comity.conf:1: password: the environment has no COMITY_TEST_NONE");
	setenv("COMITY_TEST_SECRET", "xyzzy", 1);
	conf = accept_text("password = env:COMITY_TEST_SECRET");
	ck_assert_str_eq(((const struct root_conf *)conf_values(conf_root(conf)))->password, "xyzzy");
	conf_unref(conf);
}
END_TEST

static void check_peek(const char *text, const char *fmt)
{
	char path[128], expected[256], *value;

	write_file("comity.conf", text);
	snprintf(path, sizeof(path), "%s/comity.conf", folder);
	value = conf_peek(path, "data");
	if (fmt == NULL) {
		ck_assert_ptr_null(value);
		return;
	}
	snprintf(expected, sizeof(expected), fmt, folder);
	ck_assert_ptr_nonnull(value);
	ck_assert_str_eq(value, expected);
	free(value);
}

START_TEST(peeked)
{
	check_peek("", NULL);
	check_peek("# data = x\nname = \"data = y\"\n", NULL);
	check_peek("data = /a/b\n", "/a/b");
	check_peek("name = x nonsense { data=a/b }\n", "%s/a/b");
	check_peek("data = \"a \\\"b\\\" $c\\\\d\"\nfast = loud", "%s/a \"b\" $c\\d");
	write_file("b.conf", "data = /c\n");
	check_peek("include b.conf\n", "/c");
	ck_assert_ptr_null(conf_peek("/nonexistent/comity.conf", "data"));
}
END_TEST

START_TEST(described)
{
	char out[128];

	conf_describe_type(&root_options[3], out, sizeof(out));
	ck_assert_str_eq(out, "a time such as 10s, 5m or 2h, from 1s to 1h");
	conf_describe_type(&root_options[1], out, sizeof(out));
	ck_assert_str_eq(out, "one of error, info, debug");
	conf_describe_type(&root_options[1], out, 8);
	ck_assert_str_eq(out, "one of ");
	ck_assert_ptr_null(conf_nearest("zzz", module_names));
	ck_assert_str_eq(conf_nearest("pnig", module_names), "ping");
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, set_up_folder, tear_down_folder);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, values);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, nested);
	tcase_add_test(tc, modules);
	tcase_add_test(tc, unknown);
	tcase_add_test(tc, wrong_values);
	tcase_add_test(tc, twice);
	tcase_add_test(tc, all_errors);
	tcase_add_test(tc, broken);
	tcase_add_test(tc, includes);
	tcase_add_test(tc, byte_order_marks);
	tcase_add_test(tc, include_lines);
	tcase_add_test(tc, include_failures);
	tcase_add_test(tc, secrets);
	tcase_add_test(tc, peeked);
	tcase_add_test(tc, described);
}

UNIT_SUITE(conf);
