# SPDX-License-Identifier: MIT
"""A small internet of network namespaces with DNS, an authority, Debian's servers, and users with slixmpp."""
