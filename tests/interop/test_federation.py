# SPDX-License-Identifier: MIT
"""Comity and the servers of Debian: the whole story with each, over STARTTLS and direct TLS, with
certificates and with dialback, begun from each side."""
from federation.bed import bed
from federation.comity import Comity
from federation.jabberd2 import Jabberd2
from federation.names import records
from federation.peers import S2S, S2S_TLS, Ejabberd, Prosody, ProsodyBidi
from federation.story import whole
from harness import Failure, cases, dedicated


class Other(Comity):
    """A second Comity, as a peer."""

    kind = "other"

    def __init__(self, here, domain, auth):
        super().__init__(here, domain, auth, name="other")


def _rows():
    for peer in (Prosody, Ejabberd, Jabberd2, Other):
        for auth in ("external", "dialback"):   # jabberd2 has no EXTERNAL: dialback with a valid certificate
            for transport in ("starttls", "direct") if peer.has_direct else ("starttls",):
                for begins in ("comity", "peer") if peer is not Other else ("comity",):
                    yield peer, auth, transport, begins
    yield ProsodyBidi, "external", "starttls", "comity"
    yield ProsodyBidi, "external", "direct", "peer"
    yield ProsodyBidi, "dialback", "starttls", "peer"


def _name(row):
    peer, auth, transport, begins = row
    return f"{getattr(peer, 'label', peer.kind)}, {auth}, {transport}, {begins} begins"


@cases(list(_rows()), name=_name)
@dedicated(start=False)
def talk(server, kind, auth, transport, begins):
    del server  # one on loopback, which is not started
    here = bed()
    comity = Comity(here, "comity.example", auth)
    peer = kind(here, f"{kind.kind}.example", auth)
    for one in (comity, peer):
        # What jabberd2 looks for is the same for both; who has direct TLS is told of only that.
        here.names.set(one.kind, records(one.domain, one.number, *(
            (S2S, None) if transport == "starttls" else (None, S2S_TLS))))
    here.names.publish()
    try:
        peer.start()
        comity.start()
        whole(*((comity, peer) if begins == "comity" else (peer, comity)))
    except Failure as failure:
        raise Failure(f"{failure}\n{comity.log_tail()}\n{peer.log_tail(25)}") from failure
    finally:
        peer.remove()
        comity.remove()
