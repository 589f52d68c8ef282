/* SPDX-License-Identifier: MIT */
/* SASL mechanisms by libsasl2. Three things are done around it, because it cannot do them:
 * it knows one channel binding per connection, so the caller names the one the client chose; it takes
 * nonces from a 48-bit generator, so its random function is replaced; and a further step after a refused
 * login can succeed, so SASL_SUCCESS_DATA is always set and a refused exchange is never continued. */
#include "stream/sasl_engine.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PLUGIN_NAME "comity"

struct sasl_exchange {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	sasl_channel_binding_t binding;
	char *binding_name;
	bool is_over;
	struct sasl_secrets secrets;
	char user[JID_PART_MAX + 1];
};

/* ---- callbacks for the whole process ---- */

/* Only these plugins are loaded, and no configuration files are read. */
static int on_verify_file(void *ctx, const char *file, sasl_verify_type_t type)
{
	static const char *const ours[] = { "libscram.so", "libplain.so" };
	const char *base = strrchr(file, '/');

	(void)ctx;
	base = base != NULL ? base + 1 : file;
	if (type != SASL_VRFY_PLUGIN)
		return SASL_CONTINUE;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strncmp(base, ours[i], strlen(ours[i])) == 0)
			return SASL_OK;
	return SASL_CONTINUE;
}

static int on_getopt(void *ctx, const char *plugin, const char *option, const char **result, unsigned *len)
{
	const char *value = NULL;

	(void)ctx, (void)plugin;
	if (strcmp(option, "auxprop_plugin") == 0)
		value = PLUGIN_NAME;
	else if (strcmp(option, "pwcheck_method") == 0)
		value = "auxprop";
	else if (strcmp(option, "mech_list") == 0)
		value = "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN EXTERNAL";
	if (value == NULL)
		return SASL_FAIL;
	*result = value;
	if (len != NULL)
		*len = (unsigned)strlen(value);
	return SASL_OK;
}

static int on_log(void *ctx, int level, const char *message)
{
	(void)ctx, (void)level, (void)message; /* refusals are logged by us, once */
	return SASL_OK;
}

/* ---- callbacks of one exchange ---- */

/* The name was prepared and fetched for before; what the mechanism read must not differ from it. */
static int on_canon_user(sasl_conn_t *conn, void *ctx, const char *in, unsigned len, unsigned flags, const char *realm,
                         char *out, unsigned room, unsigned *out_len)
{
	const struct sasl_exchange *x = ctx;
	size_t n = strlen(x->user);

	(void)conn, (void)in, (void)len, (void)flags, (void)realm;
	if (n + 1 > room)
		return SASL_BUFOVER;
	memcpy(out, x->user, n + 1);
	*out_len = (unsigned)n;
	return SASL_OK;
}

static int on_proxy_policy(sasl_conn_t *conn, void *ctx, const char *authz, unsigned authz_len, const char *auth,
                           unsigned auth_len, const char *realm, unsigned realm_len, struct propctx *props)
{
	(void)conn, (void)ctx, (void)realm, (void)realm_len, (void)props;
	return authz_len == auth_len && memcmp(authz, auth, auth_len) == 0 ? SASL_OK : SASL_NOAUTHZ;
}

static int on_check_password(sasl_conn_t *conn, void *ctx, const char *user, const char *password, unsigned len,
                             struct propctx *props)
{
	const struct sasl_exchange *x = ctx;
	char *copy = mem_dup(password, len), *prepared = NULL;
	bool ok = false;

	(void)conn, (void)user, (void)props;
	if (strlen(copy) == len)
		prepared = scram_password_prepare(copy);
	/* The work is done for unknown users too, so that time tells nothing. */
	if (prepared != NULL)
		ok = scram_check(x->secrets.scram[SCRAM_SHA_256], prepared) && x->secrets.exists;
	scram_password_free(prepared);
	scram_password_free(copy);
	return ok ? SASL_OK : SASL_BADAUTH;
}

/* ---- our property plugin: hands out the secrets of the exchange ---- */

static int lookup(void *glob, sasl_server_params_t *params, unsigned flags, const char *user, unsigned len)
{
	const struct sasl_exchange *x = NULL;
	const struct propval *v;
	int (*callback)(void) = NULL;
	void *ctx = NULL;

	(void)glob, (void)user, (void)len;
	if (params->utils->getcallback(params->utils->conn, SASL_CB_CANON_USER, &callback, &ctx) != SASL_OK || ctx == NULL)
		return SASL_UNAVAIL;
	x = ctx;
	if ((flags & SASL_AUXPROP_AUTHZID) != 0)
		return SASL_OK;
	for (v = params->utils->prop_get(params->propctx); v != NULL && v->name != NULL; v++) {
		if (strcmp(v->name, "*authPassword") != 0)
			continue;
		for (int i = 0; i < SCRAM_HASH_COUNT; i++)
			params->utils->prop_set(params->propctx, i == 0 ? "*authPassword" : NULL, x->secrets.scram[i], -1);
	}
	return SASL_OK;
}

static int init_auxprop(const sasl_utils_t *utils, int max, int *version, sasl_auxprop_plug_t **plug, const char *name)
{
	static sasl_auxprop_plug_t ours = { .name = (char *)(size_t)PLUGIN_NAME, .auxprop_lookup = lookup };

	(void)utils, (void)max, (void)name;
	*version = SASL_AUXPROP_PLUG_VERSION;
	*plug = &ours;
	return SASL_OK;
}

/* ---- a mechanism that is never available, but sees every connection before the others ---- */

static void strong_random(sasl_rand_t *pool, char *bytes, unsigned len)
{
	(void)pool;
	if (gnutls_rnd(GNUTLS_RND_NONCE, bytes, len) != 0)
		abort();
}

static int replace_random(void *glob, sasl_server_params_t *params, void **ctx)
{
	(void)glob, (void)ctx;
	((sasl_utils_t *)(size_t)params->utils)->rand = strong_random;
	return SASL_NOMECH;
}

static int never_new(void *glob, sasl_server_params_t *params, const char *challenge, unsigned len, void **ctx)
{
	(void)glob, (void)params, (void)challenge, (void)len, (void)ctx;
	return SASL_NOMECH;
}

static int never_step(void *ctx, sasl_server_params_t *params, const char *in, unsigned in_len, const char **out,
                      unsigned *out_len, sasl_out_params_t *result)
{
	(void)ctx, (void)params, (void)in, (void)in_len, (void)out, (void)out_len, (void)result;
	return SASL_NOMECH;
}

static int init_random(const sasl_utils_t *utils, int max, int *version, sasl_server_plug_t **plugs, int *count)
{
	static sasl_server_plug_t ours = { .mech_name = "COMITY-RANDOM", .mech_new = never_new, .mech_step = never_step,
	                                   .mech_avail = replace_random };

	(void)utils, (void)max;
	*version = SASL_SERVER_PLUG_VERSION;
	*plugs = &ours;
	*count = 1;
	return SASL_OK;
}

/* ---- process ---- */

static void *mutex_new(void)
{
	pthread_mutex_t *m = mem_new(sizeof(*m));

	pthread_mutex_init(m, NULL);
	return m;
}

static int mutex_lock(void *m)
{
	return pthread_mutex_lock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static int mutex_unlock(void *m)
{
	return pthread_mutex_unlock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static void mutex_free(void *m)
{
	pthread_mutex_destroy(m);
	free(m);
}

/* libsasl2 keeps callbacks of all kinds in one type. */
#define CALLBACK(F) ((int (*)(void))(void (*)(void))(F))

int sasl_engine_start(struct err_text *et)
{
	static const sasl_callback_t callbacks[] = {
		{ SASL_CB_VERIFYFILE, CALLBACK(on_verify_file), NULL },
		{ SASL_CB_GETOPT, CALLBACK(on_getopt), NULL },
		{ SASL_CB_LOG, CALLBACK(on_log), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	int rc;

	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	rc = sasl_server_init(callbacks, PLUGIN_NAME);
	if (rc == SASL_OK)
		rc = sasl_auxprop_add_plugin(PLUGIN_NAME, init_auxprop);
	if (rc == SASL_OK)
		rc = sasl_server_add_plugin("comity-random", init_random);
	if (rc != SASL_OK) {
		err_text_set(et, "cannot start libsasl2: %s", sasl_errstring(rc, NULL, NULL));
		return -ERR_UNSUPPORTED;
	}
	for (const char **mechs = sasl_global_listmech(); mechs != NULL && *mechs != NULL; mechs++)
		if (strcmp(*mechs, "SCRAM-SHA-256") == 0)
			return 0;
	err_text_set(et, "libsasl2 has no SCRAM-SHA-256: install its modules (Debian package libsasl2-modules)");
	return -ERR_UNSUPPORTED;
}

void sasl_engine_stop(void)
{
	sasl_server_done();
}

/* ---- exchanges ---- */

struct sasl_exchange *sasl_exchange_new(const char *user, const struct sasl_secrets *secrets, const char *binding_type,
                                        const void *binding, size_t binding_len)
{
	struct sasl_exchange *x = mem_new(sizeof(*x) + binding_len);
	sasl_security_properties_t properties = { .max_ssf = 0 };
	sasl_ssf_t ssf = 256;

	memcpy(x->user, user, strnlen(user, sizeof(x->user) - 1));
	x->secrets = *secrets;
	x->callbacks[0] = (sasl_callback_t){ SASL_CB_CANON_USER, CALLBACK(on_canon_user), x };
	x->callbacks[1] = (sasl_callback_t){ SASL_CB_PROXY_POLICY, CALLBACK(on_proxy_policy), x };
	x->callbacks[2] = (sasl_callback_t){ SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(on_check_password), x };
	x->callbacks[3] = (sasl_callback_t){ SASL_CB_LIST_END, NULL, NULL };
	/* No realm: a realm would be appended to every name. */
	if (sasl_server_new("xmpp", "localhost", NULL, NULL, NULL, x->callbacks, SASL_SUCCESS_DATA, &x->conn) != SASL_OK) {
		free(x);
		return NULL;
	}
	sasl_setprop(x->conn, SASL_SEC_PROPS, &properties);
	sasl_setprop(x->conn, SASL_SSF_EXTERNAL, &ssf);
	if (binding_type != NULL) {
		x->binding_name = mem_strdup(binding_type);
		memcpy(x + 1, binding, binding_len);
		x->binding.name = x->binding_name;
		x->binding.len = binding_len;
		x->binding.data = (const unsigned char *)(x + 1);
		sasl_setprop(x->conn, SASL_CHANNEL_BINDING, &x->binding);
	}
	return x;
}

void sasl_exchange_free(struct sasl_exchange *x)
{
	if (x == NULL)
		return;
	sasl_dispose(&x->conn);
	free(x->binding_name);
	mem_wipe(&x->secrets, sizeof(x->secrets));
	free(x);
}

void sasl_exchange_set_external(struct sasl_exchange *x, const char *identity)
{
	sasl_setprop(x->conn, SASL_AUTH_EXTERNAL, identity);
}

static enum sasl_result judge(struct sasl_exchange *x, int rc)
{
	if (rc == SASL_CONTINUE)
		return SASL_RESULT_MORE;
	x->is_over = true;
	switch (rc) {
	case SASL_OK:
		return x->secrets.exists ? SASL_RESULT_DONE : SASL_RESULT_REFUSED;
	case SASL_BADPROT:
	case SASL_BADPARAM:
		return SASL_RESULT_MALFORMED;
	case SASL_NOMEM:
	case SASL_BUFOVER:
	case SASL_FAIL:
	case SASL_NOMECH:
		return SASL_RESULT_BROKEN;
	default:
		return SASL_RESULT_REFUSED;
	}
}

enum sasl_result sasl_exchange_start(struct sasl_exchange *x, const char *mechanism, const char *in, size_t in_len,
                                     const char **out, size_t *out_len)
{
	const char *data = NULL;
	unsigned len = 0;
	enum sasl_result result;

	if (x->is_over)
		return SASL_RESULT_BROKEN;
	result = judge(x, sasl_server_start(x->conn, mechanism, in, (unsigned)in_len, &data, &len));
	if (result == SASL_RESULT_MORE || result == SASL_RESULT_DONE) {
		*out = data;
		*out_len = len;
	}
	return result;
}

enum sasl_result sasl_exchange_step(struct sasl_exchange *x, const char *in, size_t in_len, const char **out,
                                    size_t *out_len)
{
	const char *data = NULL;
	unsigned len = 0;
	enum sasl_result result;

	if (x->is_over)
		return SASL_RESULT_BROKEN;
	result = judge(x, sasl_server_step(x->conn, in, (unsigned)in_len, &data, &len));
	if (result == SASL_RESULT_MORE || result == SASL_RESULT_DONE) {
		*out = data;
		*out_len = len;
	}
	return result;
}
