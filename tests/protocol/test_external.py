# SPDX-License-Identifier: MIT
"""Logging in with a certificate: EXTERNAL for clients (XEP-0178 2)."""
import os
import subprocess

from harness import Client, cases, check, dedicated, equal
from harness.stream import NS_TLS

OURS, OTHER = "comity.localhost", "other.localhost"


def _certtool(folder, name, template, *arguments):
    key, made = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.crt")
    config = os.path.join(folder, f"{name}.cfg")
    with open(config, "w") as out:
        out.write(template + "expiration_days = 30\n")
    for words in (["--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1", "--outfile", key],
                  [*arguments, "--load-privkey", key, "--template", config, "--outfile", made]):
        done = subprocess.run(["certtool", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        check(done.returncode == 0, f"certtool {' '.join(words)}: {done.stderr}")
    return made, key


def _authority(folder, domain):
    return _certtool(folder, f"authority-{domain}", f'cn = "authority of {domain}"\nca\ncert_signing_key\n',
                     "--generate-self-signed")


def _start(server):
    """Two hosts that let clients in with certificates, each of an authority of its own."""
    authorities = {domain: _authority(server.folder, domain) for domain in (OURS, OTHER)}
    server.hosts = {domain: f"\tallow_external = yes\n\tclient_ca = {made}\n" for domain, (made, _) in authorities.items()}
    server.start()
    return authorities


def _connect(server, authority, address, sni=OURS):
    """A secured stream to our host, with the certificate of an address by that authority."""
    made, key = authority
    cert = _certtool(server.folder, "client", f'cn = "a client"\nxmpp_name = "{address}"\ntls_www_client\n',
                     "--generate-certificate", "--load-ca-certificate", made, "--load-ca-privkey", key)
    client = Client(server, domain=OURS, tls={"cert": cert, "verify": False})
    client.open()
    client.send(f"<starttls xmlns='{NS_TLS}'/>")
    client.expect_next("proceed", NS_TLS)
    client.start_tls_layer(sni=sni)
    client.open()
    return client


@cases([OURS, OTHER])
@dedicated(start=False, domains=(OURS, OTHER))
def a_certificate_of_the_hosts_authority_logs_in(server, sni):
    authorities = _start(server)
    account = server.account("juliet", domain=OURS)
    client = _connect(server, authorities[OURS], account.jid, sni)
    check("EXTERNAL" in client.mechanisms(), f"mechanisms: {client.mechanisms()}")
    client.auth("EXTERNAL", b"")
    client.expect_success()
    client.open()
    client.bind()
    equal(client.bare, account.jid)


@cases([OURS, OTHER])
@dedicated(start=False, domains=(OURS, OTHER))
def the_authority_of_another_host_vouches_for_nobody_here(server, sni):
    authorities = _start(server)
    client = _connect(server, authorities[OTHER], server.account("juliet", domain=OURS).jid, sni)
    check("EXTERNAL" not in client.mechanisms(), f"mechanisms: {client.mechanisms()}")
    client.auth("EXTERNAL", b"")
    client.expect_failure("invalid-mechanism")


@dedicated(start=False, domains=(OURS, OTHER))
def a_certificate_for_another_user_is_refused(server):
    authorities = _start(server)
    juliet, romeo = server.account("juliet", domain=OURS), server.account("romeo", domain=OURS)
    client = _connect(server, authorities[OURS], juliet.jid)
    client.auth("EXTERNAL", romeo.jid)
    client.expect_failure("invalid-authzid")
