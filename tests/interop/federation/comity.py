# SPDX-License-Identifier: MIT
"""Comity on a host of the test network."""
import os
import shutil
import subprocess

from harness import Failure
from harness import server as harness

from .network import Daemon
from .peers import C2S, PASSWORD, S2S, S2S_TLS, USERS, Peer


class Comity(Peer):
    """comityd of the build folder that COMITY_BUILD names. options: top-level ones over the defaults below;
    text: what is added at the end, such as routes; name: of the host, for several in one network."""

    kind = "comity"
    program_path = harness.Comity.program
    module_dir = harness.Comity.module_dir

    def __init__(self, bed, domain, auth, options=None, text="", name="comity"):
        self.kind = name
        super().__init__(bed, domain, auth)
        self.build = os.path.abspath(os.environ.get("COMITY_BUILD", "."))
        self.comityd, self.comityctl = self.program_path("comityd"), self.program_path("comityctl")
        self.options, self.text = options or {}, text
        self.config = os.path.join(self.folder, "comity.conf")
        self.control = os.path.join(self.folder, "control.sock")
        self.ready_file = os.path.join(self.folder, "ready")

    def default_options(self):
        return {
            "data_dir": os.path.join(self.folder, "data"),
            "module_dir": self.module_dir(),
            "control_socket": self.control,
            "log_level": "debug",
            "log_to": "stderr",
            "workers": 2,
            "c2s_port": C2S,
            "c2s_tls_port": 0,
            "s2s_port": S2S,
            "s2s_tls_port": S2S_TLS,
            "s2s_ca_file": self.ca,
            "s2s_security": "verify" if self.auth == "external" else "opportunistic",
            "ready_file": self.ready_file,
        }

    def configure(self):
        options = {k: v for k, v in (self.default_options() | self.options).items() if v is not None}
        lines = [f"{key} = {harness.value(v)}" for key, v in options.items()]
        self.write("comity.conf", "\n".join(lines) + f"""
host {self.domain} {{
	certificate = {harness.value(self.cert)}
	certificate_key = {harness.value(self.key)}
	channel_binding = no
}}
{self.text}
""")

    def start(self):
        self.configure()
        os.makedirs(os.path.join(self.folder, "data"), mode=0o700, exist_ok=True)
        fresh = not os.listdir(os.path.join(self.folder, "data"))
        if os.path.exists(self.ready_file):
            os.unlink(self.ready_file)
        self.spawn([self.comityd, "-c", self.config], harness.Comity.environment())
        self.wait_for(lambda: os.path.exists(self.ready_file), "ready file")
        for user in USERS if fresh else ():
            self.ctl("user", "add", f"{user}@{self.domain}", "--stdin", stdin=PASSWORD + "\n")
        return self

    def ctl(self, *arguments, stdin="", ok=True, timeout=30):
        """Runs comityctl on the host; returns its output. ok=False: whatever its exit code is."""
        done = subprocess.run([*self.host.enter(), self.comityctl, "-s", self.control, *arguments], input=stdin,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env=os.environ | harness.Comity.environment())
        if ok and done.returncode:
            raise Failure(f"comityctl {' '.join(arguments)} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def why(self, domain):
        """What `comityctl why` says of a domain; it ends with a failure when there is one."""
        return self.ctl("why", domain, ok=False, timeout=60)

    def stop(self):
        """A graceful stop, which must end with 0 and without sanitizer reports."""
        processes = list(self.processes)
        Daemon.stop(self)
        found = harness.SANITIZER.search(self.log())
        if found:
            raise Failure(f"sanitizer report:\n{self.log()[max(0, found.start() - 200):found.start() + 6000]}")
        for process in processes:
            if process.returncode != 0:
                raise Failure(f"comityd ended with {process.returncode}:\n{self.log_tail()}")

    def remove(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
