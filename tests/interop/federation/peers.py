# SPDX-License-Identifier: MIT
"""The servers of Debian, each on a host of the test network."""
import os
import re
import shutil

from harness import Skip

from .network import Daemon

PASSWORD = "secret"
USERS = ("ann", "ben", "cid", "dot")
C2S, S2S, S2S_TLS = 5222, 5269, 5270


class Peer(Daemon):
    """A server with the users USERS of one domain. auth: "external" (certificates of the authority),
    "dialback" (a self-signed one, so that certificates prove nothing)."""

    kind = None
    has_external = has_direct = True
    c2s = C2S

    def __init__(self, bed, domain, auth, number=None):
        super().__init__(bed.network.hosts.get(self.kind) or bed.network.host(self.kind, *([number] if number else [])),
                         os.path.join(bed.network.folder, f"{self.kind}-{next(bed.counter)}"))
        self.bed, self.domain, self.auth = bed, domain, auth
        self.ca = bed.authority.ca
        self.cert, self.key = bed.certificate(domain, auth)
        self.pem = self.cert[:-3] + "pem"
        self.client_ca = self.ca if auth == "external" else self.cert
        self.number = self.host.numbers[0]

    def program(self, *names):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        found = [shutil.which(name, path=path) for name in names]
        if None in found:
            raise Skip(f"{self.kind} is not installed")
        return found[0]

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        return path

    def wait_for_ports(self, *ports):
        self.wait_for(lambda: all(self.host.listens(port) for port in ports), f"open ports {ports}")
        return self

    def remove(self):
        self.kill()     # the data are of this start only
        shutil.rmtree(self.folder, ignore_errors=True)


class Prosody(Peer):
    kind = "prosody"
    MODULES = ("roster saslauth tls dialback disco private blocklist vcard_legacy vcard4 pep version time ping "
               "offline smacks carbons presence message iq c2s s2s s2s_auth_certs posix").split()
    modules = ()        # further ones
    level = "debug"     # of the log
    text = ""           # further configuration

    def start(self):
        program = self.program("prosody")
        for user in USERS:
            encoded = re.sub(r"[^A-Za-z0-9]", lambda m: "%%%02x" % ord(m.group()), self.domain)
            self.write(f"data/{encoded}/accounts/{user}.dat", f'return {{ ["password"] = "{PASSWORD}" }};\n')
        modules = ";".join(f'"{m}"' for m in [*self.MODULES, *self.modules])
        ssl = f'{{ key = "{self.key}"; certificate = "{self.cert}"; cafile = "{self.ca}" }}'
        config = self.write("prosody.cfg.lua", f"""
run_as_root = true
prosodyctl_service_warnings = false
pidfile = "{self.folder}/pid"
data_path = "{self.folder}/data"
modules_enabled = {{ {modules} }}
authentication = "internal_plain"
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = {"true" if self.auth == "external" else "false"}
interfaces = {{ "*", "::" }}
c2s_ports = {{ {C2S} }}
s2s_ports = {{ {S2S} }}
s2s_direct_tls_ports = {{ {S2S_TLS} }}
s2s_direct_tls_ssl = {ssl}
ssl = {ssl}
log = {{ {{ levels = {{ min = "{self.level}" }}, to = "console" }} }}
{self.text}
VirtualHost "{self.domain}"
	ssl = {ssl}
""")
        self.spawn([program, "-F", "--config", config])
        return self.wait_for_ports(C2S, S2S, S2S_TLS)


class ProsodyBidi(Prosody):
    """With streams for both directions (XEP-0288)."""

    label = "prosody with bidi"
    modules = ("s2s_bidi",)


class Ejabberd(Peer):
    """Started without ejabberdctl, which would become another user and start a daemon for names."""

    kind = "ejabberd"
    starttls = "required"

    def start(self):
        self.program("ejabberdctl")
        program = self.program("erl")
        config = self.write("ejabberd.yml", f"""
loglevel: debug
log_rotate_count: 0
hosts:
  - "{self.domain}"
certfiles:
  - "{self.pem}"
ca_file: "{self.ca}"
s2s_cafile: "{self.ca}"
s2s_use_starttls: {self.starttls}
listen:
  - port: {C2S}
    ip: "::"
    module: ejabberd_c2s
    max_stanza_size: 1048576
    starttls_required: true
  - port: {S2S}
    ip: "::"
    module: ejabberd_s2s_in
    max_stanza_size: 1048576
  - port: {S2S_TLS}
    ip: "::"
    module: ejabberd_s2s_in
    tls: true
    max_stanza_size: 1048576
auth_password_format: plain
modules:
  mod_disco: {{}}
  mod_last: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_private: {{}}
  mod_register:
    welcome_message: {{}}
  mod_roster: {{}}
  mod_s2s_dialback: {{}}
  mod_stream_mgmt: {{}}
  mod_vcard:
    search: false
  mod_version: {{}}
""")
        self.write("inetrc", '{lookup,["file","native"]}.\n{host,{127,0,0,1}, ["localhost"]}.\n'
                             '{file, resolv, "/etc/resolv.conf"}.\n')
        users = ",".join(f'<<"{user}">>' for user in USERS)
        register = (f'[{{ok, _}} = application:ensure_all_started(ejabberd), [ok = ejabberd_auth:try_register(U, '
                    f'<<"{self.domain}">>, <<"{PASSWORD}">>) || U <- [{users}]], '
                    f'file:write_file("{self.folder}/users", "")]')
        self.spawn([program, "+K", "true", "+S", "2", "+sbwt", "none", "-noinput", "-mnesia", "dir",
                    f'"{self.folder}/mnesia"', "-eval", register + "."],
                   {"ERL_LIBS": "/usr/lib/x86_64-linux-gnu", "EJABBERD_CONFIG_PATH": config,
                    "EJABBERD_LOG_PATH": f"{self.folder}/ejabberd.log", "EJABBERD_PID_PATH": f"{self.folder}/pid",
                    "ERL_INETRC": f"{self.folder}/inetrc", "ERL_CRASH_DUMP": f"{self.folder}/crash",
                    "ERL_MAX_PORTS": "4096", "HOME": self.folder})
        self.wait_for(lambda: os.path.exists(f"{self.folder}/users"), "accounts")
        return self.wait_for_ports(C2S, S2S, S2S_TLS)

    def log(self):
        try:
            with open(f"{self.folder}/ejabberd.log", errors="backslashreplace") as log:
                return super().log() + log.read()
        except FileNotFoundError:
            return super().log()
