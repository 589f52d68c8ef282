# SPDX-License-Identifier: MIT
"""The peers of the federation tests with each other: proves the bed, without Comity."""
from federation.bed import bed
from federation.jabberd2 import Jabberd2
from federation.names import records
from federation.peers import S2S, S2S_TLS, Ejabberd, Prosody
from federation.story import whole
from harness import cases, dedicated

PAIRS = [(Prosody, Ejabberd, "external", "starttls"), (Ejabberd, Prosody, "external", "direct"),
         (Prosody, Ejabberd, "dialback", "starttls"), (Ejabberd, Prosody, "dialback", "direct"),
         (Prosody, Jabberd2, "dialback", "starttls"), (Jabberd2, Prosody, "dialback", "starttls")]


@cases(PAIRS, name=lambda row: f"{row[0].kind} to {row[1].kind}, {row[2]}, {row[3]}")
@dedicated(start=False)
def talk(server, beginner, answerer, auth, transport):
    del server  # a Comity that is not started
    here = bed()
    peers = [kind(here, f"{kind.kind}.example", auth) for kind in (beginner, answerer)]
    for peer in peers:
        here.names.set(peer.kind, records(peer.domain, peer.number, *(
            (S2S, None) if transport == "starttls" else (None, S2S_TLS))))
    here.names.publish()
    try:
        for peer in peers:
            peer.start()
        whole(*peers)
    except AssertionError as failure:
        raise type(failure)(f"{failure}\n" + "\n".join(peer.log_tail() for peer in peers)) from failure
    finally:
        for peer in peers:
            peer.remove()
