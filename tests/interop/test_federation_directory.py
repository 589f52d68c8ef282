# SPDX-License-Identifier: MIT
"""The directory of routes on hosts of their own, without DNS; Prosody is a member by a fixed route."""
import re

from federation.bed import bed
from federation.comity import Comity
from federation.people import User
from federation.peers import PASSWORD, S2S, USERS, Prosody, ProsodyBidi
from harness import Failure, cases, check, dedicated, equal

DIRECTORY = """
modules_enabled = {{ directory }}
module directory {{
	register_allow = {{ "*.example" }}
	fixed = {{ {fixed} }}
}}
"""


def _directory(here, fixed=""):
    return Comity(here, "dir.example", "external", {"s2s_dns": False, "directories": ["dir.example"]},
                  DIRECTORY.format(fixed=fixed), name="dir")


def _member(here, domain, directory, name, **options):
    member = Comity(here, domain, "external", name=name)
    member.options = {"s2s_dns": False, "directories": [directory.domain], "directory_register": True,
                      "directory_host": member.host.address, **options}
    member.text = f"route {directory.domain} {{\n\thost = {directory.host.address}\n}}"
    return member


def _await_registration(member):
    member.wait_for(lambda: "registered host=" in member.log(), "registration")


def _talk(one, other):
    ann, ben = User(one, USERS[0], PASSWORD).online(), User(other, USERS[1], PASSWORD).online()
    ann.say(ben.bare, "by the directory")
    equal(ben.until("message", from_=ann.full).child_text("body"), "by the directory")
    ben.say(ann.bare, "and back")
    equal(ann.until("message", from_=ben.full).child_text("body"), "and back")


def _run(*servers, test):
    try:
        for server in servers:
            server.start()
        test()
    except Failure as failure:
        raise Failure("\n".join([str(failure), *(s.log_tail() for s in servers)])) from failure
    finally:
        for server in reversed(servers):
            server.remove()


@dedicated(start=False, timeout=120)
def members_find_each_other_on_hosts_without_dns(server):
    del server
    here = bed()
    here.names.publish()    # of nobody
    directory = _directory(here)
    one = _member(here, "comity.example", directory, "comity")
    other = _member(here, "other.example", directory, "other")

    def test():
        _await_registration(one)
        _await_registration(other)
        _talk(one, other)
        equal(len(re.findall("lookup domain=other.example for=comity.example", directory.log())), 1)
        check("asking the directory" in one.why(other.domain), "comityctl why does not tell of the directory")

    _run(directory, one, other, test=test)


@cases([("its way back is its own file of hosts", Prosody, False), ("streams in both directions", ProsodyBidi, True)])
@dedicated(start=False, timeout=120)
def prosody_is_a_member_by_a_fixed_route(server, how, kind, bidi):
    del server, how
    here = bed()
    here.names.publish()
    prosody = kind(here, "prosody.example", "external")
    directory = _directory(here, fixed=f'"{prosody.domain} {prosody.host.address} {S2S}"')
    comity = _member(here, "comity.example", directory, "comity", **({"s2s_resume_time": "0s"} if bidi else {}))
    if not bidi:
        prosody.text = "unbound = { resolvconf = true; hoststxt = true }"
        prosody.host.run("sh", "-c", f"echo {comity.host.address} {comity.domain} >> /etc/hosts")
    _run(directory, prosody, comity, test=lambda: _talk(comity, prosody))
