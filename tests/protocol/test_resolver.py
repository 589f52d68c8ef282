# SPDX-License-Identifier: MIT
"""The name servers of the system: /etc/resolv.conf, of which the server under test sees a file of its own."""
import os
import random
import subprocess

from harness import Client, Skip, dedicated
from harness.fake import FaultyNames
from harness.server import Comity

NEAR, FAR = "near.test", "far.test"


class _Apart(Comity):
    """One for which another file lies at /etc/resolv.conf."""

    def name(self, servers):
        """Writes the file in place, as what else lies there does not follow a new one."""
        with open(os.path.join(self.folder, "resolv.conf"), "w") as out:
            out.write("".join(f"nameserver {server}\n" for server in servers))

    def apart(self, argv):
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
                os.path.join(self.folder, "resolv.conf"), *argv]

    def spawn(self, argv, env=None):
        super().spawn(self.apart(argv), env)


@dedicated(start=False)
def other_name_servers_of_the_system_are_asked_without_a_restart(server):
    del server
    one, two = (f"127.{n}.{random.randrange(256)}.{random.randrange(1, 255)}" for n in (53, 54))
    far = Comity(domains=(FAR,))
    near = _Apart(domains=(NEAR,), options={"dns_timeout": "200ms", "s2s_retry_min": "100ms", "s2s_retry_max": "200ms"})
    near.name([one])
    try:
        if subprocess.run(near.apart(["true"]), capture_output=True).returncode:
            raise Skip("this user cannot make a namespace of mounts")
        FaultyNames(far.s2s, lambda name: None, address=(two, 53))
    except PermissionError as error:
        raise Skip("this user cannot listen on the port of name servers") from error
    far.text = f"route {NEAR} {{\n\thost = 127.0.0.1\n\tport = {near.s2s}\n}}\n"
    far.start()
    near.start()
    client, other = Client.login(near.account("juliet"), presence=True), Client.login(far.account("romeo"), presence=True)
    sent = client.message(other.jid, "who knows where you are?")
    near.wait_for(lambda: "name servers" in near.ctl("why", FAR, ok=False)[1], "failure of a name server")
    near.name([two])
    other.expect("message", id=sent)
