# SPDX-License-Identifier: MIT
"""comityd --check --federation: what others would find of the own hosts."""
import os
import subprocess

from federation.bed import bed
from federation.comity import Comity
from federation.names import records
from harness import check, dedicated, equal
from harness.server import Comity as Harness


def _check(server):
    done = subprocess.run([*server.host.enter(), server.comityd, "-c", server.config, "--check", "--federation"],
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, env=os.environ | Harness.environment())
    return done.returncode, done.stdout


@dedicated(start=False, timeout=120)
def the_own_hosts_are_seen_as_others_see_them(server):
    del server
    here = bed()
    one = Comity(here, "comity.example", "external", {"s2s_connect_timeout": "2s", "s2s_reach_timeout": "6s"})
    here.names.set("comity", records(one.domain, one.number))
    here.names.publish()
    one.start()
    try:
        code, said = _check(one)
        equal(code, 0, said)
        check("SRV _xmpp-server._tcp of comity.example" in said and "valid certificate" in said.splitlines()[-1], said)
        one.stop()
        code, said = _check(one)
        equal(code, 1, said)
        check("refused" in said.splitlines()[-1], said)
        here.names.set("comity", [])
        here.names.publish()
        code, said = _check(one)
        equal(code, 1, said)
        check("does not exist in DNS" in said.splitlines()[-1], said)
    finally:
        one.remove()
        here.names.set("comity", [])


@dedicated(start=False, timeout=120)
def a_certificate_that_others_will_not_trust_is_found(server):
    del server
    here = bed()
    one = Comity(here, "comity.example", "dialback")    # its certificate is its own
    here.names.set("comity", records(one.domain, one.number))
    here.names.publish()
    one.start()
    try:
        code, said = _check(one)
        equal(code, 1, said)
        check("will not trust it" in said.splitlines()[-1], said)
    finally:
        one.remove()
        here.names.set("comity", [])
