/* SPDX-License-Identifier: MIT */
/* PRECIS profiles that addresses need (RFC 8264, RFC 8265), over libunistring. */
#include "xmpp/precis.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/err.h"

/* Longest input that is looked at; everything that fits an address is far below. */
#define INPUT_MAX 4096

enum property { PVALID, FREE_PVAL, CONTEXTJ, CONTEXTO, DISALLOWED };

struct range {
	uint32_t first, last;
	enum property property;
};

/* RFC 5892 2.6, which RFC 8264 9.6 takes over. */
static const struct range exceptions[] = {
	{ 0x00b7, 0x00b7, CONTEXTO },   { 0x00df, 0x00df, PVALID },   { 0x0375, 0x0375, CONTEXTO },
	{ 0x03c2, 0x03c2, PVALID },     { 0x05f3, 0x05f4, CONTEXTO }, { 0x0640, 0x0640, DISALLOWED },
	{ 0x0660, 0x0669, CONTEXTO },   { 0x06f0, 0x06f9, CONTEXTO }, { 0x06fd, 0x06fe, PVALID },
	{ 0x07fa, 0x07fa, DISALLOWED }, { 0x0f0b, 0x0f0b, PVALID },   { 0x3007, 0x3007, PVALID },
	{ 0x302e, 0x302f, DISALLOWED }, { 0x3031, 0x3035, DISALLOWED }, { 0x303b, 0x303b, DISALLOWED },
	{ 0x30fb, 0x30fb, CONTEXTO },
};

static bool is_old_hangul(uint32_t c)
{
	return (c >= 0x1100 && c <= 0x11ff) || (c >= 0xa960 && c <= 0xa97c) || (c >= 0xd7b0 && c <= 0xd7c6) ||
	       (c >= 0xd7cb && c <= 0xd7fb);
}

/* RFC 8264 9.17: NFKC changes it. */
static bool has_compat(uint32_t c)
{
	uint32_t room[32], *norm;
	size_t n = sizeof(room) / sizeof(room[0]);
	bool differs;

	norm = u32_normalize(UNINORM_NFKC, &c, 1, room, &n);
	if (norm == NULL)
		return true;
	differs = n != 1 || norm[0] != c;
	if (norm != room)
		free(norm);
	return differs;
}

/* RFC 8264 8: the order of the tests is the standard's. */
static enum property property_of(uint32_t c)
{
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
		if (c >= exceptions[i].first && c <= exceptions[i].last)
			return exceptions[i].property;
	if (uc_is_general_category(c, UC_UNASSIGNED))
		return DISALLOWED;
	if (c >= 0x21 && c <= 0x7e)
		return PVALID;
	if (c == 0x200c || c == 0x200d)
		return CONTEXTJ;
	if (is_old_hangul(c) || uc_is_property_default_ignorable_code_point(c) ||
	    uc_is_property_not_a_character(c) || uc_is_general_category(c, UC_CONTROL))
		return DISALLOWED;
	if (has_compat(c))
		return FREE_PVAL;
	if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Ll | UC_CATEGORY_MASK_Lu | UC_CATEGORY_MASK_Lo |
	                                            UC_CATEGORY_MASK_Nd | UC_CATEGORY_MASK_Lm | UC_CATEGORY_MASK_Mn |
	                                            UC_CATEGORY_MASK_Mc))
		return PVALID;
	if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Lt | UC_CATEGORY_MASK_Nl | UC_CATEGORY_MASK_No |
	                                            UC_CATEGORY_MASK_Me | UC_CATEGORY_MASK_Zs | UC_CATEGORY_MASK_S |
	                                            UC_CATEGORY_MASK_P))
		return FREE_PVAL;
	return DISALLOWED;
}

/* ---- contextual rules, RFC 5892 appendix A ---- */

static bool is_virama_before(const uint32_t *s, size_t i)
{
	return i > 0 && uc_combining_class(s[i - 1]) == UC_CCC_VR;
}

/* (L|D) T* ZWNJ T* (R|D) */
static bool is_joined(const uint32_t *s, size_t n, size_t i)
{
	size_t before = i, after = i + 1;
	int type;

	while (before > 0 && uc_joining_type(s[before - 1]) == UC_JOINING_TYPE_T)
		before--;
	if (before == 0)
		return false;
	type = uc_joining_type(s[before - 1]);
	if (type != UC_JOINING_TYPE_L && type != UC_JOINING_TYPE_D)
		return false;
	while (after < n && uc_joining_type(s[after]) == UC_JOINING_TYPE_T)
		after++;
	if (after == n)
		return false;
	type = uc_joining_type(s[after]);
	return type == UC_JOINING_TYPE_R || type == UC_JOINING_TYPE_D;
}

static bool is_script(uint32_t c, const char *name)
{
	const uc_script_t *script = uc_script(c);

	return script != NULL && strcmp(script->name, name) == 0;
}

static bool has_between(const uint32_t *s, size_t n, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] >= first && s[i] <= last)
			return true;
	return false;
}

static bool has_japanese(const uint32_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_script(s[i], "Hiragana") || is_script(s[i], "Katakana") || is_script(s[i], "Han"))
			return true;
	return false;
}

static bool is_in_context(const uint32_t *s, size_t n, size_t i)
{
	uint32_t c = s[i];

	if (c == 0x200c)
		return is_virama_before(s, i) || is_joined(s, n, i);
	if (c == 0x200d)
		return is_virama_before(s, i);
	if (c == 0x00b7)
		return i > 0 && i + 1 < n && s[i - 1] == 'l' && s[i + 1] == 'l';
	if (c == 0x0375)
		return i + 1 < n && is_script(s[i + 1], "Greek");
	if (c == 0x05f3 || c == 0x05f4)
		return i > 0 && is_script(s[i - 1], "Hebrew");
	if (c == 0x30fb)
		return has_japanese(s, n);
	if (c >= 0x0660 && c <= 0x0669)
		return !has_between(s, n, 0x06f0, 0x06f9);
	if (c >= 0x06f0 && c <= 0x06f9)
		return !has_between(s, n, 0x0660, 0x0669);
	return false;
}

static bool is_allowed(const uint32_t *s, size_t n, bool freeform)
{
	for (size_t i = 0; i < n; i++) {
		/* RFC 8264 9.11: the space of FreeformClass. */
		enum property p = s[i] == ' ' ? FREE_PVAL : property_of(s[i]);

		if (p == PVALID || (p == FREE_PVAL && freeform))
			continue;
		if ((p != CONTEXTJ && p != CONTEXTO) || !is_in_context(s, n, i))
			return false;
	}
	return true;
}

/* ---- the bidi rule, RFC 5893 2 ---- */

#define BIDI(X) (1u << UC_BIDI_##X)

static bool is_bidi_sound(const uint32_t *s, size_t n)
{
	unsigned seen = 0, first, end = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned c = 1u << uc_bidi_category(s[i]);

		seen |= c;
		if (c != BIDI(NSM))
			end = c;
	}
	if ((seen & (BIDI(R) | BIDI(AL) | BIDI(AN))) == 0)
		return true;
	first = 1u << uc_bidi_category(s[0]);
	if (first == BIDI(L))
		return (seen & ~(BIDI(L) | BIDI(EN) | BIDI(ES) | BIDI(CS) | BIDI(ET) | BIDI(ON) | BIDI(BN) | BIDI(NSM))) == 0 &&
		       (end & (BIDI(L) | BIDI(EN))) != 0;
	if ((first & (BIDI(R) | BIDI(AL))) == 0)
		return false;
	return (seen & ~(BIDI(R) | BIDI(AL) | BIDI(AN) | BIDI(EN) | BIDI(ES) | BIDI(CS) | BIDI(ET) | BIDI(ON) | BIDI(BN) |
	                 BIDI(NSM))) == 0 &&
	       (end & (BIDI(R) | BIDI(AL) | BIDI(EN) | BIDI(AN))) != 0 &&
	       (seen & (BIDI(EN) | BIDI(AN))) != (BIDI(EN) | BIDI(AN));
}

/* ---- mappings ---- */

/* RFC 8264 5.2.1: fullwidth and halfwidth forms become what they stand for. */
static void map_width(uint32_t *s, size_t n)
{
	ucs4_t decomposed[UC_DECOMPOSITION_MAX_LENGTH];
	int tag;

	for (size_t i = 0; i < n; i++)
		if (uc_decomposition(s[i], &tag, decomposed) == 1 && (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW))
			s[i] = decomposed[0];
}

static void map_spaces(uint32_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] != ' ' && uc_is_general_category(s[i], UC_SPACE_SEPARATOR))
			s[i] = ' ';
}

static uint32_t *decode(const char *text, size_t len, size_t *n)
{
	if (len == 0 || len > INPUT_MAX || u8_check((const uint8_t *)text, len) != NULL ||
	    memchr(text, '\0', len) != NULL)
		return NULL;
	*n = 0;
	return u8_to_u32((const uint8_t *)text, len, NULL, n);
}

static int encode(const uint32_t *s, size_t n, char *out, size_t room)
{
	size_t len = 0;
	uint8_t *bytes = u32_to_u8(s, n, NULL, &len);
	int rc = (int)len;

	if (bytes == NULL || len == 0)
		rc = -ERR_INVALID;
	else if (len >= room)
		rc = -ERR_TOO_LONG;
	else
		memcpy(out, bytes, len);
	if (rc > 0)
		out[len] = '\0';
	free(bytes);
	return rc;
}

static uint32_t *normalize(uint32_t *s, size_t *n)
{
	size_t len = 0;
	uint32_t *norm = u32_normalize(UNINORM_NFC, s, *n, NULL, &len);

	free(s);
	*n = len;
	return norm;
}

int precis_username_case_mapped(const char *text, size_t len, char *out, size_t room)
{
	size_t n = 0, lower_len = 0;
	uint32_t *s = decode(text, len, &n), *lower;
	int rc = -ERR_INVALID;

	if (s == NULL)
		return -ERR_INVALID;
	map_width(s, n);
	/* RFC 8265 3.3.1: refused before lower case and NFC hide what it was, as of KELVIN SIGN. */
	lower = is_allowed(s, n, false) ? u32_tolower(s, n, NULL, NULL, NULL, &lower_len) : NULL;
	free(s);
	s = lower != NULL ? normalize(lower, &lower_len) : NULL;
	if (s != NULL && lower_len != 0 && is_allowed(s, lower_len, false) && is_bidi_sound(s, lower_len))
		rc = encode(s, lower_len, out, room);
	free(s);
	return rc;
}

int precis_opaque_string(const char *text, size_t len, char *out, size_t room)
{
	size_t n = 0;
	uint32_t *s = decode(text, len, &n);
	int rc = -ERR_INVALID;

	if (s == NULL)
		return -ERR_INVALID;
	map_spaces(s, n);
	s = normalize(s, &n);
	if (s != NULL && n != 0 && is_allowed(s, n, true))
		rc = encode(s, n, out, room);
	free(s);
	return rc;
}
