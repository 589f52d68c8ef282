# SPDX-License-Identifier: MIT
"""Certificates of all kinds, good and bad, made with certtool."""
import os
import shutil
import subprocess

from harness import Failure, Skip

EXPIRED = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2020-06-01 00:00:00"'
NOT_YET = 'activation_date = "2090-01-01 00:00:00"\nexpiration_date = "2090-06-01 00:00:00"'
BOTH_USES = "tls_www_server\ntls_www_client"


class Authority:
    """A folder with an authority NAME.crt and the certificates that it has signed."""

    def __init__(self, folder, name="ca"):
        if not shutil.which("certtool"):
            raise Skip("certtool (gnutls-bin) is not installed")
        self.folder, self.name = folder, name
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.ca = self._path(f"{name}.crt")
        self.key = self._new_key(name)
        self._sign(name, f'cn = "Test authority {name}"\nca\ncert_signing_key\nexpiration_days = 30', own=True)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _certtool(self, *argv):
        done = subprocess.run(["certtool", *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Failure(f"certtool {' '.join(argv)}: {done.stderr}")

    def _new_key(self, stem):
        path = self._path(f"{stem}.key")
        self._certtool("--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1", "--outfile", path)
        return path

    def _sign(self, stem, template, own):
        with open(self._path(f"{stem}.tmpl"), "w") as out:
            out.write(template + "\n")
        how = (["--generate-self-signed"] if own else
               ["--generate-certificate", "--load-ca-certificate", self.ca, "--load-ca-privkey", self.key])
        self._certtool(*how, "--load-privkey", self._path(f"{stem}.key"), "--template",
                       self._path(f"{stem}.tmpl"), "--outfile", self._path(f"{stem}.crt"))

    def certificate(self, stem, names=None, self_signed=False, validity="expiration_days = 20",
                    uses=BOTH_USES, extra=""):
        """Makes STEM.crt and STEM.key, valid for names (STEM itself if None), STEM.pem with both.
        Returns (path of the certificate, path of the key)."""
        names = [stem] if names is None else names
        self._new_key(stem)
        alternatives = "\n".join(f'dns_name = "{name}"' for name in names)
        self._sign(stem, f'cn = "{names[0] if names else stem}"\n{alternatives}\n{uses}\nsigning_key\n'
                         f'{validity}\n{extra}', self_signed)
        paths = self._path(f"{stem}.crt"), self._path(f"{stem}.key")
        with open(self._path(f"{stem}.pem"), "w") as out:
            for path in paths:
                with open(path) as part:
                    out.write(part.read())
        return paths
