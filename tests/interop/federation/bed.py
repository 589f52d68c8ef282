# SPDX-License-Identifier: MIT
"""The test bed as a whole: network, name server, authority; one per test process."""
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile

from harness import Skip
from harness.server import shared_folder

from .authority import Authority
from .names import NameServer
from .network import Network


class Bed:
    def __init__(self):
        try:
            import slixmpp  # noqa: F401  # pylint: disable=unused-import,import-outside-toplevel
        except ImportError:
            raise Skip("python3-slixmpp is not installed") from None
        self.folder = tempfile.mkdtemp(prefix="federation-", dir=shared_folder())
        self.counter = itertools.count(1)
        self.made = {}
        self.network = None
        atexit.register(self.close)
        self.network = Network(os.path.join(self.folder, "net"))
        self.names = NameServer(self.network)
        self.authority = Authority(os.path.join(self.folder, "certs"))
        self.alone = Authority(os.path.join(self.folder, "self-signed"))

    def certificate(self, domain, auth):
        """(certificate, key) of a domain: of the authority for "external", self-signed otherwise."""
        if (domain, auth) not in self.made:
            by = self.authority if auth == "external" else self.alone
            self.made[domain, auth] = by.certificate(domain, self_signed=auth != "external")
        return self.made[domain, auth]

    def record(self, host, what="capture"):
        """Starts tcpdump on a host, for a person who wants to look; returns the path."""
        path = os.path.join(self.folder, f"{host.name}-{what}.pcap")
        host.popen(["tcpdump", "-Uni", "eth0", "-w", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def close(self):
        if self.network:
            self.network.close()
            self.network = None
        if not os.environ.get("COMITY_TEST_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)


_bed = []


def bed():
    """The bed of this process, made at the first call; a Skip is told at each."""
    if not _bed:
        try:
            _bed.append(Bed())
        except Skip as skip:
            _bed.append(skip)
    if isinstance(_bed[0], Skip):
        raise _bed[0]
    return _bed[0]
