/* SPDX-License-Identifier: MIT */
/* Where a server is to be found, as directories of routes tell it (doc/route-directory.md). */
#ifndef COMITY_DIRECTORY_H
#define COMITY_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#define COMITY_NS_DIRECTORY "urn:comity:directory:1"

#pragma GCC visibility push(default)

struct comity_elem;

/* Fingerprints of one server: it may have certificates of several key types. */
#define COMITY_ROUTE_PINS 4

struct comity_route {
	char host[256];              /* a name for DNS or an address */
	unsigned port;
	bool is_direct_tls;
	char pins[COMITY_ROUTE_PINS * 65];   /* SHA-256 of certificates in small hexadecimal, spaces between; "": none */
	uint64_t expires_s;          /* seconds for which it is true; 0: not said */
};

/* Reads the attributes of an element; NULL, or what is wrong with it. */
const char *comity_route_read(const struct comity_elem *e, struct comity_route *route);
/* Sets the attributes of an element. */
void comity_route_write(struct comity_elem *e, const struct comity_route *route);

#pragma GCC visibility pop

#endif
