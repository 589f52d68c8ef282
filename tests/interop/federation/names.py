# SPDX-License-Identifier: MIT
"""The authoritative name server of the test network: nsd with one root zone. Domains are in .example,
since the library that Prosody asks with knows by itself that .test has no names (RFC 6761)."""
import os
import shutil
import time

from harness import Skip

from .network import DNS, Daemon, v4, v6

HEAD = """$ORIGIN .
$TTL 5
. IN SOA ns.example. nobody.example. {serial} 3600 600 86400 1
. IN NS ns.example.
ns.example. IN A {ns4}
ns.example. IN AAAA {ns6}
"""


def records(domain, number, starttls=5269, direct=None, target=None, family="46"):
    """The usual records of a domain whose server is the host with that number. A port of None leaves
    the SRV record out."""
    target = target or f"xmpp.{domain}"
    lines = []
    if starttls:
        lines.append(f"_xmpp-server._tcp.{domain}. IN SRV 5 10 {starttls} {target}.")
    if direct:
        lines.append(f"_xmpps-server._tcp.{domain}. IN SRV 1 10 {direct} {target}.")
    if "4" in family:
        lines.append(f"{target}. IN A {v4(number)}")
    if "6" in family:
        lines.append(f"{target}. IN AAAA {v6(number)}")
    return lines


class NameServer(Daemon):
    """nsd. set() gives the records of a name, publish() makes all that was set known."""

    def __init__(self, network):
        self.program = shutil.which("nsd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not self.program:
            raise Skip("nsd is not installed")
        super().__init__(network.host("dns", DNS), os.path.join(network.folder, "nsd"))
        self.zone, self.serial = {}, 0

    def set(self, name, lines):
        """Replaces what was set under that name (any key) by these lines of a zone file."""
        self.zone[name] = list(lines)

    def publish(self):
        self.stop()
        self.serial += 1
        with open(os.path.join(self.folder, "zone"), "w") as out:
            out.write(HEAD.format(serial=self.serial, ns4=v4(DNS), ns6=v6(DNS)))
            out.writelines(line + "\n" for lines in self.zone.values() for line in lines)
        config = os.path.join(self.folder, "nsd.conf")
        with open(config, "w") as out:
            out.write(f"""
server:
	ip-address: {v4(DNS)}
	ip-address: {v6(DNS)}
	username: ""
	database: ""
	zonesdir: "{self.folder}"
	pidfile: "{self.folder}/nsd.pid"
	zonelistfile: "{self.folder}/zone.list"
	xfrdfile: "{self.folder}/xfrd.state"
	xfrdir: "{self.folder}"
	server-count: 1
	verbosity: 1
remote-control:
	control-enable: no
zone:
	name: "."
	zonefile: "zone"
""")
        mark = self.log().count("nsd started")
        self.spawn([self.program, "-d", "-c", config])
        self.wait_for(lambda: self.log().count("nsd started") > mark, "answer of nsd")
        time.sleep(0.05)
        return self
