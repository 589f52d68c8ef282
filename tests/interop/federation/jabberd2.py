# SPDX-License-Identifier: MIT
"""jabberd2 of Debian: four processes with generated configuration and an SQLite database."""
import contextlib
import gzip
import os
import sqlite3

from harness import Skip

from .peers import C2S, PASSWORD, S2S, USERS, Peer

SCHEMA = "/usr/share/doc/jabberd2/db-setup.sqlite.gz"
LIBRARY = "/usr/lib/x86_64-linux-gnu/jabberd2"
CHAINS = {
    "sess-start": "status", "sess-end": "status iq-last",
    "in-sess": "validate status privacy roster vacation iq-vcard iq-ping iq-private disco amp offline announce "
               "presence deliver",
    "out-sess": "", "in-router": "session validate presence privacy", "out-router": "privacy",
    "pkt-sm": "iq-last iq-ping iq-time iq-version amp disco announce help echo status presence",
    "pkt-user": "roster presence disco iq-vcard amp deliver vacation offline iq-last",
    "pkt-router": "session disco", "user-load": "active roster roster-publish privacy vacation",
    "user-unload": "", "user-create": "active template-roster",
    "user-delete": "active announce offline privacy roster vacation status iq-last iq-private iq-vcard",
    "disco-extend": "iq-version help",
}


class Jabberd2(Peer):
    kind = "jabberd2"
    has_external = has_direct = False
    require_tls = True

    def common(self, component):
        return f"""<id>{component}</id><pidfile>{self.folder}/{component}.pid</pidfile>
<router><ip>127.0.0.1</ip><port>5347</port><user>jabberd</user><pass>secret</pass>
<retry><init>20</init><lost>3</lost><sleep>1</sleep></retry></router><log type='stdout'/>"""

    @staticmethod
    def limits(tag="stanzasize"):
        return f"<io><max_fds>1024</max_fds><limits><{tag}>0</{tag}></limits></io>"

    def write_configuration(self):
        self.write("router-users.xml", "<users><user><name>jabberd</name><secret>secret</secret></user></users>")
        self.write("router-filter.xml", "<filter/>")
        self.write("roster.xml", "<query xmlns='jabber:iq:roster'/>")
        self.write("router.xml", f"""<router><id>router</id><pidfile>{self.folder}/router.pid</pidfile>
<log type='stdout'/><local><ip>127.0.0.1</ip><port>5347</port><users>{self.folder}/router-users.xml</users>
<secret>secret</secret></local><io><max_fds>1024</max_fds></io><aci><acl type='all'><user>jabberd</user></acl>
<filter>{self.folder}/router-filter.xml</filter></aci></router>""")
        storage = f"<dbname>{self.folder}/sqlite.db</dbname><busy-timeout>2000</busy-timeout>"
        chains = "".join(f"<chain id='{name}'>" + "".join(f"<module>{m}</module>" for m in modules.split()) +
                         "</chain>" for name, modules in CHAINS.items())
        self.write("sm.xml", f"""<sm>{self.common("sm")}<local><id>{self.domain}</id></local>
<storage><path>{LIBRARY}</path><driver>sqlite</driver><limits/><sqlite>{storage}</sqlite></storage>
<aci/><modules><path>{LIBRARY}</path>{chains}</modules>
<discovery><identity><category>server</category><type>im</type><name>jabberd2</name></identity><items/></discovery>
<user><template><roster>{self.folder}/roster.xml</roster></template></user></sm>""")
        self.write("c2s.xml", f"""<c2s>{self.common("c2s")}
<local><id pemfile='{self.pem}' verify-mode='0'>{self.domain}</id><ip>::</ip><port>{C2S}</port></local>
{self.limits()}<authreg><path>{LIBRARY}</path><module>sqlite</module>
<mechanisms><traditional/><sasl/></mechanisms>
<ssl-mechanisms><traditional/><sasl><plain/></sasl></ssl-mechanisms>
<sqlite>{storage}<password_type><plaintext/></password_type></sqlite></authreg></c2s>""")
        self.write("s2s.xml", f"""<s2s>{self.common("s2s")}
<local><ip>::</ip><port>{S2S}</port><origins><ip>0.0.0.0</ip><ip>::</ip></origins>
<pemfile>{self.pem}</pemfile><verify-mode>0</verify-mode><cachain>{self.ca}</cachain></local>
{self.limits()}<check><interval>5</interval><queue>20</queue></check>
<lookup><srv>xmpp-server</srv><resolve-ipv6/><min-ttl>1</min-ttl><bad-host-timeout>5</bad-host-timeout></lookup>
<security>{"<require_tls/>" if self.require_tls else ""}</security></s2s>""")

    def write_accounts(self):
        if not os.path.exists(SCHEMA):
            raise Skip("jabberd2 is installed without its documentation, which holds the schema")
        with gzip.open(SCHEMA, "rt") as schema, \
                contextlib.closing(sqlite3.connect(os.path.join(self.folder, "sqlite.db"))) as database:
            database.executescript(schema.read())
            for user in USERS:
                database.execute("INSERT INTO authreg VALUES (?, ?, ?)", (user, self.domain, PASSWORD))
                database.execute('INSERT INTO active ("collection-owner", "time") VALUES (?, 1)',
                                 (f"{user}@{self.domain}",))
            database.commit()

    def start(self):
        programs = {name: self.program(f"jabberd2-{name}") for name in ("router", "sm", "s2s", "c2s")}
        self.write_configuration()
        self.write_accounts()
        for name, program in programs.items():
            self.spawn([program, "-c", os.path.join(self.folder, f"{name}.xml")])
            if name == "router":
                self.wait_for_ports(5347)
        self.wait_for_ports(C2S, S2S)
        self.wait_for(lambda: "sm ready for sessions" in self.log(), "session manager")
        return self
