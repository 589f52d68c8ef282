/* SPDX-License-Identifier: MIT */
/* The one table of error codes, and the text that goes with a cause. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* A function that can fail returns 0 or minus one of these. */
enum err {
	ERR_OK,
	ERR_INVALID,     /* input that does not follow its grammar */
	ERR_TOO_LONG,    /* input over its limit */
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_IO,          /* the system refused; errno or text has the cause */
	ERR_NO_SPACE,    /* disk full or quota reached */
	ERR_CORRUPT,     /* stored data is damaged */
	ERR_NEWER,       /* stored data was written by a newer version */
	ERR_CLOSED,      /* the object is shutting down */
	ERR_DENIED,
	ERR_TIMEOUT,
	ERR_LIMIT,       /* a configured limit was reached */
	ERR_UNSUPPORTED,
	ERR_COUNT
};

/* Room for one sentence that a person reads. */
struct err_text {
	char text[512];
};

/* Text of a code, with or without its minus sign; never NULL. */
const char *err_name(int code);

/* Writes the sentence; t may be NULL. Longer texts are cut. */
void err_text_set(struct err_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prefixes the sentence with a context and ": "; t may be NULL. */
void err_text_prefix(struct err_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
