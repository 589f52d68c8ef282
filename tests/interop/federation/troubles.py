# SPDX-License-Identifier: MIT
"""All that can be wrong with another server, each with what the sender and the administrator are told."""
from dataclasses import dataclass

from .authority import EXPIRED, NOT_YET
from .names import records
from .network import ABSENT, NOWHERE, v4, v6

# RFC 6120 8.3.3.16, 17: what cannot be resolved is not found; whatever goes wrong later is a time-out.
NOT_FOUND = "remote-server-not-found"
TIMEOUT = REFUSED = "remote-server-timeout"


def usual(domain, number):
    return records(domain, number)


def direct_only(domain, number):
    return records(domain, number, starttls=None, direct=5270)


def nothing(_domain, _number):
    return []


def no_service(domain, number):
    return [f"_xmpp-server._tcp.{domain}. IN SRV 0 0 0 .", f"_xmpps-server._tcp.{domain}. IN SRV 0 0 0 .",
            f"{domain}. IN A {v4(number)}"]


def without_address(domain, _number):
    return [f"_xmpp-server._tcp.{domain}. IN SRV 0 0 5269 gone.{domain}."]


def at(number):
    return lambda domain, _number: records(domain, number, family="4")


@dataclass
class Trouble:
    """condition: of the error stanza. sentence: matched (ignoring case) with its text and with the output of
    `comityctl why`. act: of the fake (None: nobody listens). cert: see Scene.certificate."""
    name: str
    condition: str
    sentence: str
    act: str = None
    records: callable = usual
    cert: str = "good"
    fault: object = None        # of the name server
    port: int = 5269
    tls: str = None
    v6: bool = False            # the fake listens there

    @property
    def domain(self):
        return f"{self.name.replace(' ', '-')}.example"


TROUBLES = [
    # Name service
    Trouble("no dns", NOT_FOUND, r"no such domain|does not exist|not exist in DNS|no address", records=nothing),
    Trouble("no service", NOT_FOUND, r"no (XMPP )?serv(ice|er)|does not offer|SRV .*\"?\.\"?", records=no_service),
    Trouble("srv to nowhere", NOT_FOUND, r"no address|does not exist|no such", records=without_address),
    Trouble("dns servfail", NOT_FOUND, r"(name|DNS) server.*(fail|answer|problem|error|could not)|SERVFAIL", fault="servfail"),
    Trouble("dns refused", NOT_FOUND, r"(name|DNS) server.*(refuse|answer|error|could not)|REFUSED", fault="refused"),
    Trouble("dns never", NOT_FOUND, r"(name|DNS) .*(time|no answer|not answer)", fault="never"),
    Trouble("dns garbage", NOT_FOUND, r"(name|DNS).*(time|answer|malformed|garbage|understood)", fault="garbage"),
    # Network
    Trouble("refused port", TIMEOUT, r"refused"),
    Trouble("packets dropped", TIMEOUT, r"(time|no answer|not answer|within)", records=at(NOWHERE)),
    Trouble("host unreachable", TIMEOUT, r"(unreachable|no route|time|no answer|within)", records=at(ABSENT)),
    Trouble("silent port", TIMEOUT, r"(time|no answer|not answer|silent|says nothing|within)", act="silent"),
    Trouble("not xmpp", REFUSED, r"not.(speak )?(XMPP|XML|well)|malformed|unexpected|no XMPP", act="not_xmpp"),
    Trouble("closes at once", TIMEOUT, r"closed|lost|reset", act="closes_at_once"),
    Trouble("host unknown", rf"{NOT_FOUND}|{REFUSED}", r"host-unknown|does not (know|serve)", act="host_unknown"),
    # TLS
    Trouble("expired certificate", REFUSED, r"expired", act="good", cert="expired"),
    Trouble("certificate of the future", REFUSED, r"not (yet )?valid|not yet|future", act="good", cert="not yet"),
    Trouble("wrong name", REFUSED, r"(not|other|wrong|different).*(name|domain|valid for)|name.*(not|match|other)",
            act="good", cert="wrong name"),
    Trouble("self signed", REFUSED, r"self-signed|not trusted|unknown authority|authority", act="good",
            cert="self-signed"),
    Trouble("unknown authority", REFUSED, r"authority|issuer|not trusted|unknown", act="good", cert="other authority"),
    Trouble("tls too old", REFUSED, r"TLS.*(version|1\.1|old|1\.2)|version|protocol", act="good", tls="1.1"),
    Trouble("broken tls", REFUSED, r"TLS", act="broken_tls"),
    Trouble("direct tls without tls", REFUSED, r"TLS", act="plain", records=direct_only, port=5270),
    Trouble("plain text only", REFUSED, r"(no|not|without) .*(TLS|encrypt)|TLS.*(not|no )", act="plain"),
    Trouble("starttls refused", REFUSED, r"TLS", act="no_starttls"),
    # Authentication
    Trouble("dialback refused", REFUSED, r"dialback|key", act="dialback_invalid"),
    Trouble("dialback error", REFUSED, r"dialback|Cannot reach you|remote-connection-failed", act="dialback_error"),
    Trouble("dialback unanswered", TIMEOUT, r"dialback.*(time|answer|within)|(time|answer|within).*dialback",
            act="dialback_unanswered"),
    Trouble("external refused", REFUSED, r"EXTERNAL|certificate|not-authorized|Bad certificate|dialback",
            act="refuses_external"),
    Trouble("offers nothing", TIMEOUT, r"neither|no (way|method|mechanism)|offer|authenticat|closed|answer", act="offers_nothing"),
    Trouble("no features", TIMEOUT, r"features|time|answer|within", act="no_features"),
    Trouble("closes after features", TIMEOUT, r"closed", act="closes_after_features"),
    Trouble("stream error", REFUSED, r"policy-violation|do not like you", act="stream_error"),
]

# What looks like trouble and is none: the message must arrive.
GOOD = [
    Trouble("all well", None, None, act="good"),
    Trouble("external", None, None, act="good_external"),
    Trouble("server use only", None, None, act="good_external", cert="server use only"),
    Trouble("wildcard.names", None, None, act="good_external", cert="wildcard"),
    Trouble("only ipv6", None, None, act="good", v6=True, records=lambda domain, number: records(
        domain, number, family="6")),
    Trouble("broken ipv6", None, None, act="good", records=lambda domain, number: [
        *records(domain, number, family="4"), f"xmpp.{domain}. IN AAAA {v6(NOWHERE)}"]),
    Trouble("dns slow", None, None, act="good", fault=0.7),
    Trouble("dns once lost", None, None, act="good", fault="once"),
    Trouble("dead address first", None, None, act="good", records=lambda domain, number: [
        f"_xmpp-server._tcp.{domain}. IN SRV 1 0 5269 dead.{domain}.",
        f"_xmpp-server._tcp.{domain}. IN SRV 2 0 5269 shut.{domain}.",
        f"_xmpp-server._tcp.{domain}. IN SRV 3 0 5269 live.{domain}.",
        f"dead.{domain}. IN A {v4(NOWHERE)}", f"shut.{domain}. IN A {v4(number + 100)}",
        f"live.{domain}. IN A {v4(number)}"]),
    Trouble("no srv", None, None, act="good", records=lambda domain, number: [f"{domain}. IN A {v4(number)}"]),
]


def certificate(bed, trouble):
    """(certificate, key) for the fake."""
    domain, kind, authority = trouble.domain, trouble.cert, bed.authority
    if kind == "expired":
        return authority.certificate(domain, validity=EXPIRED)
    if kind == "not yet":
        return authority.certificate(domain, validity=NOT_YET)
    if kind == "wrong name":
        return authority.certificate(domain, names=["elsewhere.example"])
    if kind == "server use only":
        return authority.certificate(domain, uses="tls_www_server")
    if kind == "wildcard":
        return authority.certificate(domain, names=["*." + domain.partition(".")[2]])
    if kind == "self-signed":
        return bed.alone.certificate(domain, self_signed=True)
    if kind == "other authority":
        return bed.alone.certificate(domain)
    return authority.certificate(domain)
