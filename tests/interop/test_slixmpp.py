# SPDX-License-Identifier: MIT
"""Two users, several sessions, all with python3-slixmpp as Debian has it."""
import asyncio
import os
import ssl
import subprocess

from harness import Failure, Skip, cases, check, dedicated, equal
from harness.server import ROOT

try:
    import slixmpp
    from slixmpp.exceptions import IqError, IqTimeout
except ImportError:
    slixmpp = None

TIMEOUT = 20
# slixmpp 1.8 takes -PLUS whenever it is offered, always with tls-unique, which TLS 1.3 does not have,
# and ends at PLAIN. So SCRAM on TLS 1.3 is tested without the offer, and the offer by itself below.
SERVER = dict(hosts={"localhost": "channel_binding = no"})


class Bot:
    """A slixmpp client that keeps all events in order, so that a test can wait for one of them."""

    EVENTS = ("session_start", "message", "presence", "roster_update", "failed_auth", "ssl_invalid_chain",
              "connection_failed", "disconnected", "got_online", "got_offline", "stream_error",
              "failed_all_auth", "vcard_avatar_update", "changed_status", "sm_enabled", "session_resumed",
              "carbon_received", "carbon_sent")

    def __init__(self, account, resource=None, mechanism=None, direct=False, ca=None, managed=False):
        self.account, self.direct = account, direct
        config = {"feature_mechanisms": {"use_mech": mechanism}} if mechanism else {}
        self.xmpp = slixmpp.ClientXMPP(account.jid + (f"/{resource}" if resource else ""), account.password,
                                       plugin_config=config)
        for plugin in ("0012", "0030", "0049", "0054", "0077", "0092", "0115", "0199", "0202", "0203"):
            self.xmpp.register_plugin(f"xep_{plugin}", {"force_registration": False} if plugin == "0077" else {})
        if managed:
            self.xmpp.register_plugin("xep_0198")
        self.xmpp.ca_certs = ca or account.server.ca
        self.xmpp.auto_authorize = None     # subscriptions are answered by the tests
        self.xmpp.auto_subscribe = False
        self.xmpp.reconnect = lambda *a, **k: None
        self.events = []
        self.woken = asyncio.Event()
        for event in self.EVENTS:
            self.xmpp.add_event_handler(event, lambda data, name=event: self.note(name, data))

    def note(self, name, data):
        self.events.append((name, data))
        self.woken.set()

    async def until(self, name, condition=None, what=""):
        """Waits for an event (also one that has been) and removes it."""
        async def look():
            while True:
                for i, (found, data) in enumerate(self.events):
                    if found == name and (condition is None or condition(data)):
                        del self.events[i]
                        return data
                self.woken.clear()
                await self.woken.wait()
        try:
            return await asyncio.wait_for(look(), TIMEOUT)
        except asyncio.TimeoutError:
            seen = "\n    ".join(f"{n}: {d}" for n, d in self.events[-15:])
            raise Failure(f"slixmpp {self.account.jid}: no {name} {what}; seen:\n    {seen}") from None

    def start(self):
        server = self.account.server
        port = server.c2s_tls if self.direct else server.c2s
        self.xmpp.connect((server.address, port), use_ssl=self.direct, force_starttls=not self.direct,
                          disable_starttls=self.direct)
        return self

    async def online(self, presence=True):
        """Connects, logs in, gets the roster and (unless told) sends initial presence."""
        self.start()
        await self.until("session_start")
        await self.xmpp.get_roster(timeout=TIMEOUT)
        if presence:
            self.xmpp.send_presence()
            await self.until("presence", lambda p: p["from"] == self.xmpp.boundjid, "of oneself")
        return self

    async def stop(self):
        if self.xmpp.is_connected():
            await self.xmpp.disconnect(wait=2.0)

    def say(self, to, body):
        self.xmpp.send_message(mto=str(to), mbody=body, mtype="chat")

    def item(self, jid):
        return self.xmpp.client_roster[jid]

    async def subscription(self, jid, wanted):
        """Waits until the roster shows this state for the contact."""
        for _ in range(TIMEOUT * 20):
            if self.item(jid)["subscription"] == wanted:
                return
            await asyncio.sleep(0.05)
        raise Failure(f"{self.account.jid}: subscription with {jid} is {self.item(jid)['subscription']}, "
                      f"not {wanted}")


def _run(story):
    """Runs a coroutine function of a list of bots; all that it appends there are stopped."""
    if slixmpp is None:
        raise Skip("python3-slixmpp is not installed")

    async def whole():
        bots = []
        try:
            await story(bots)
        finally:
            for bot in bots:
                await bot.stop()
    asyncio.run(whole())


async def _pair(server, bots):
    juliet, romeo = (Bot(account) for account in server.accounts("juliet", "romeo"))
    bots += [juliet, romeo]
    await juliet.online()
    await romeo.online()
    return juliet, romeo


async def _befriend(one, other):
    """Both subscribe to each other, each approving the other's request."""
    a, b = one.account.jid, other.account.jid
    for asker, asked, asker_jid, asked_jid in ((one, other, a, b), (other, one, b, a)):
        asker.xmpp.send_presence_subscription(pto=asked_jid, ptype="subscribe")
        await asked.until("presence", lambda p: p["type"] == "subscribe" and p["from"] == asker_jid,
                          f"subscribe from {asker_jid}")
        asked.xmpp.send_presence_subscription(pto=asker_jid, ptype="subscribed")
        await asker.until("presence", lambda p: p["type"] == "subscribed" and p["from"] == asked_jid,
                          f"subscribed from {asked_jid}")
        await asker.until("presence", lambda p: p["type"] == "available" and p["from"].bare == asked_jid,
                          f"presence of {asked_jid}")
    await one.subscription(b, "both")
    await other.subscription(a, "both")


@cases(["default", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
def logs_in(server, mechanism):
    async def story(bots):
        for direct in (False, True):
            bot = Bot(server.account("juliet"), mechanism=None if mechanism == "default" else mechanism,
                      direct=direct)
            bots.append(bot)
            await bot.online()
            used = bot.xmpp["feature_mechanisms"].mech.name
            check(mechanism in ("default", used), f"used {used}")
            check(mechanism != "default" or used.startswith("SCRAM-"), f"used {used} by default")
            await bot.xmpp["xep_0199"].send_ping(server.domain, timeout=TIMEOUT)
    _run(story)


@dedicated()
def offer_of_channel_binding_keeps_nobody_out(server):
    async def story(bots):
        for version, wanted in ((ssl.TLSVersion.TLSv1_3, ("PLAIN",)),
                                (ssl.TLSVersion.TLSv1_2, ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"))):
            bot = Bot(server.account("juliet"))
            bots.append(bot)
            bot.xmpp.ssl_context.minimum_version = bot.xmpp.ssl_context.maximum_version = version
            await bot.online()
            used = bot.xmpp["feature_mechanisms"].mech.name
            check(used in wanted, f"{version.name}: used {used}")
    _run(story)


def wrong_authority_is_noticed(server):
    """The tests above would be worth little if the client did not verify certificates."""
    async def story(bots):
        folder = os.path.join(server.folder, "other-ca")
        subprocess.run([os.path.join(ROOT, "tools/certs"), folder, "other.test"], check=True)
        bot = Bot(server.account("juliet"), ca=os.path.join(folder, "ca.crt"))
        bots.append(bot.start())
        await bot.until("ssl_invalid_chain")
    _run(story)


def wrong_password_fails(server):
    async def story(bots):
        account = server.account("juliet")
        account.password = "wrong"
        bot = Bot(account)
        bots.append(bot.start())
        await bot.until("failed_all_auth")
    _run(story)


def subscription_presence_and_chat(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        contacts = [jid for jid in juliet.xmpp.client_roster.keys() if jid != juliet.account.jid]
        equal(contacts, [], "contacts of a new account")
        await _befriend(juliet, romeo)
        juliet.say(romeo.account.jid, "Wherefore art thou? ä€😀 <&>")
        message = await romeo.until("message")
        equal((message["body"], message["from"].full), ("Wherefore art thou? ä€😀 <&>", juliet.xmpp.boundjid.full))
        message.reply("Here").send()
        equal((await juliet.until("message"))["body"], "Here")
        romeo.xmpp.send_presence(pshow="away", pstatus="gone to Mantua")
        away = await juliet.until("presence", lambda p: p["show"] == "away")
        equal(away["status"], "gone to Mantua")
        await romeo.stop()
        await juliet.until("presence", lambda p: p["type"] == "unavailable" and
                           p["from"].bare == romeo.account.jid)
    _run(story)


def roster_items_have_names_and_groups(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        jid = romeo.account.jid
        await juliet.xmpp.update_roster(jid, name="Romeo ä", groups=["Friends", "Montagues"])
        again = Bot(juliet.account)
        bots.append(again)
        await again.online()
        item = again.item(jid)
        equal((item["name"], sorted(item["groups"]), item["subscription"]),
              ("Romeo ä", ["Friends", "Montagues"], "none"))
        await again.xmpp.del_roster_item(jid)
        for bot in (juliet, again):
            await bot.until("roster_update", lambda iq: [
                i for i in iq.xml.iter("{jabber:iq:roster}item")
                if (i.get("jid"), i.get("subscription")) == (jid, "remove")], "of the removal")
    _run(story)


def unsubscribing_ends_presence(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await _befriend(juliet, romeo)
        juliet.xmpp.send_presence_subscription(pto=romeo.account.jid, ptype="unsubscribe")
        await romeo.until("presence", lambda p: p["type"] == "unsubscribe")
        await juliet.subscription(romeo.account.jid, "from")
        romeo.xmpp.send_presence_subscription(pto=juliet.account.jid, ptype="unsubscribe")
        await juliet.subscription(romeo.account.jid, "none")
        await romeo.subscription(juliet.account.jid, "none")
    _run(story)


def messages_wait_for_the_absent(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await romeo.stop()
        bodies = [f"while you were away {i}" for i in range(5)]
        for body in bodies:
            juliet.say(romeo.account.jid, body)
        await juliet.xmpp["xep_0199"].send_ping(server.domain, timeout=TIMEOUT)
        romeo = Bot(romeo.account)
        bots.append(romeo)
        await romeo.online()
        for body in bodies:
            message = await romeo.until("message")
            equal(message["body"], body)
            check(message["delay"]["stamp"], "no delay on a stored message")
    _run(story)


@dedicated(**SERVER)
def a_cut_session_is_resumed(server):
    async def story(bots):
        juliet, _ = await _pair(server, bots)
        romeo = Bot(server.account("romeo"), managed=True)
        bots.append(romeo)
        await romeo.online()
        await romeo.until("sm_enabled")
        juliet.say(romeo.xmpp.boundjid, "before")
        await romeo.until("message", lambda m: m["body"] == "before")
        romeo.xmpp.abort()
        await romeo.until("disconnected")
        for n in range(5):
            juliet.say(romeo.account.jid, f"meanwhile {n}")
        await juliet.xmpp["xep_0199"].send_ping(server.domain, timeout=TIMEOUT)
        romeo.start()
        await romeo.until("session_resumed")
        for n in range(5):
            equal((await romeo.until("message"))["body"], f"meanwhile {n}")
        romeo.say(juliet.xmpp.boundjid, "here again")
        await juliet.until("message", lambda m: m["body"] == "here again")
    _run(story)


def subscription_request_waits_for_the_absent(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await romeo.stop()
        juliet.xmpp.send_presence_subscription(pto=romeo.account.jid, ptype="subscribe")
        await juliet.xmpp["xep_0199"].send_ping(server.domain, timeout=TIMEOUT)
        romeo = Bot(romeo.account)
        bots.append(romeo)
        await romeo.online()
        await romeo.until("presence", lambda p: p["type"] == "subscribe")
    _run(story)


def vcards_are_kept_and_seen(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        vcard = juliet.xmpp["xep_0054"].make_vcard()
        vcard["FN"], vcard["NICKNAME"] = "Juliet Capulet ä", "Jule"
        await juliet.xmpp["xep_0054"].publish_vcard(vcard, timeout=TIMEOUT)
        for jid in (None, juliet.account.jid):
            asker = juliet if jid is None else romeo
            answer = await asker.xmpp["xep_0054"].get_vcard(jid=jid, cached=False, timeout=TIMEOUT)
            equal(answer["vcard_temp"]["FN"], "Juliet Capulet ä")
    _run(story)


def two_resources(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await _befriend(juliet, romeo)
        phone = Bot(romeo.account, resource="phone")
        bots.append(phone)
        await phone.online()
        await romeo.until("presence", lambda p: p["from"] == phone.xmpp.boundjid)
        await phone.until("presence", lambda p: p["from"] == romeo.xmpp.boundjid)
        await juliet.until("presence", lambda p: p["from"] == phone.xmpp.boundjid)
        juliet.say(phone.xmpp.boundjid, "to the phone")
        equal((await phone.until("message"))["body"], "to the phone")
        juliet.say(romeo.account.jid, "to whom it may reach")
        equal((await romeo.until("message"))["body"], "to whom it may reach")
        equal((await phone.until("message"))["body"], "to whom it may reach")
        phone.xmpp.send_presence(ppriority=-1)
        await juliet.until("presence", lambda p: p["from"] == phone.xmpp.boundjid and p["priority"] == -1)
        juliet.say(romeo.account.jid, "not to the phone")
        equal((await romeo.until("message"))["body"], "not to the phone")
        juliet.say(phone.xmpp.boundjid, "but this")
        equal((await phone.until("message"))["body"], "but this")
        await phone.stop()
        await juliet.until("presence", lambda p: p["type"] == "unavailable" and p["from"] == phone.xmpp.boundjid)
    _run(story)


def carbons_show_both_sides(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        phone = Bot(romeo.account, resource="phone")
        phone.xmpp.register_plugin("xep_0280")
        bots.append(phone)
        await phone.online()
        await phone.xmpp["xep_0280"].enable(timeout=TIMEOUT)
        juliet.say(romeo.xmpp.boundjid, "to the desk")
        equal((await romeo.until("message"))["body"], "to the desk")
        copy = (await phone.until("carbon_received"))["carbon_received"]
        equal((copy["body"], copy["from"], copy["to"]), ("to the desk", juliet.xmpp.boundjid, romeo.xmpp.boundjid))
        romeo.say(juliet.account.jid, "from the desk")
        equal((await juliet.until("message"))["body"], "from the desk")
        copy = (await phone.until("carbon_sent"))["carbon_sent"]
        equal((copy["body"], copy["from"]), ("from the desk", romeo.xmpp.boundjid))
        message = romeo.xmpp.make_message(mto=juliet.account.jid, mbody="in private", mtype="chat")
        message.enable("carbon_private")
        message.send()
        equal((await juliet.until("message"))["body"], "in private")
        await phone.xmpp["xep_0280"].disable(timeout=TIMEOUT)
        juliet.say(romeo.xmpp.boundjid, "to the desk alone")
        await romeo.until("message", lambda m: m["body"] == "to the desk alone")
        await phone.xmpp["xep_0199"].send_ping(server.domain, timeout=TIMEOUT)
        check(not [d for n, d in phone.events if n in ("message", "carbon_sent", "carbon_received")],
              f"more came to the phone: {phone.events}")
    _run(story)


def services_of_the_server(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await _befriend(juliet, romeo)
        info = (await juliet.xmpp["xep_0030"].get_info(server.domain, timeout=TIMEOUT))["disco_info"]
        check(("server", "im") in {(i[0], i[1]) for i in info["identities"]}, f"identities: {info}")
        for feature in ("jabber:iq:last", "jabber:iq:private", "jabber:iq:register", "jabber:iq:version",
                        "urn:xmpp:ping", "urn:xmpp:time", "vcard-temp", "msgoffline"):
            check(feature in info["features"], f"{feature} is missing: {sorted(info['features'])}")
        await juliet.xmpp["xep_0030"].get_items(server.domain, timeout=TIMEOUT)
        own = (await juliet.xmpp["xep_0030"].get_info(juliet.account.jid, timeout=TIMEOUT))["disco_info"]
        check(("account", "registered") in {(i[0], i[1]) for i in own["identities"]}, f"identities: {own}")
        version = await juliet.xmpp["xep_0092"].get_version(server.domain, timeout=TIMEOUT)
        check(version["software_version"]["name"], f"version: {version}")
        time = await juliet.xmpp["xep_0202"].get_entity_time(server.domain, timeout=TIMEOUT)
        for name in ("utc", "tzo"):
            check(time.xml.find(f".//{{urn:xmpp:time}}{name}").text, f"time: {time}")
        last = await juliet.xmpp["xep_0012"].get_last_activity(server.domain, timeout=TIMEOUT)
        check(int(last["last_activity"]["seconds"]) >= 0, f"uptime: {last}")
        await romeo.stop()
        await juliet.until("presence", lambda p: p["type"] == "unavailable")
        last = await juliet.xmpp["xep_0012"].get_last_activity(romeo.account.jid, timeout=TIMEOUT)
        check(int(last["last_activity"]["seconds"]) < 60, f"last activity: {last}")
    _run(story)


def unknown_requests_get_an_error(server):
    async def story(bots):
        juliet, _ = await _pair(server, bots)
        for to in (server.domain, juliet.account.jid, f"nobody-there@{server.domain}", f"{server.domain}/x"):
            request = juliet.xmpp.make_iq_get(queryxmlns="urn:example:unknown", ito=to)
            try:
                await request.send(timeout=TIMEOUT)
            except IqError as error:
                equal(error.condition, "service-unavailable", f"answer of {to}")
            except IqTimeout:
                raise Failure(f"no answer from {to}") from None
            else:
                raise Failure(f"a result from {to}")
    _run(story)


def private_storage(server):
    async def story(bots):
        juliet, _ = await _pair(server, bots)
        notes = slixmpp.xmlstream.ET.fromstring("<storage xmlns='storage:test'><note>ä &amp; b</note></storage>")
        request = juliet.xmpp.make_iq_set()
        query = slixmpp.xmlstream.ET.SubElement(request.xml, "{jabber:iq:private}query")
        query.append(notes)
        await request.send(timeout=TIMEOUT)
        request = juliet.xmpp.make_iq_get()
        query = slixmpp.xmlstream.ET.SubElement(request.xml, "{jabber:iq:private}query")
        slixmpp.xmlstream.ET.SubElement(query, "{storage:test}storage")
        answer = await request.send(timeout=TIMEOUT)
        equal(answer.xml.find(".//{storage:test}note").text, "ä & b")
    _run(story)


def password_change_and_removal(server):
    async def story(bots):
        juliet = Bot(server.account("juliet"))
        bots.append(juliet)
        await juliet.online()
        await juliet.xmpp["xep_0077"].change_password("a new one", timeout=TIMEOUT)
        await juliet.stop()
        juliet.account.password = "a new one"
        again = Bot(juliet.account)
        bots.append(again)
        await again.online()
        try:
            await again.xmpp["xep_0077"].cancel_registration(timeout=TIMEOUT)
        except (IqError, IqTimeout) as error:
            raise Failure(f"removal: {error}") from error
        await again.until("disconnected")
        late = Bot(juliet.account)
        bots.append(late.start())
        await late.until("failed_all_auth")
    _run(story)


def blocking_is_seen_by_both(server):
    async def story(bots):
        juliet, romeo = await _pair(server, bots)
        await _befriend(juliet, romeo)
        juliet.xmpp.register_plugin("xep_0191")
        for event in ("blocked", "unblocked"):
            juliet.xmpp.add_event_handler(event, lambda iq, name=event: juliet.note(name, iq))
        blocking = juliet.xmpp["xep_0191"]
        equal(len((await blocking.get_blocked(timeout=TIMEOUT))["blocklist"]["items"]), 0)
        await blocking.block(romeo.account.jid, timeout=TIMEOUT)
        equal({str(j) for j in (await juliet.until("blocked"))["block"]["items"]}, {romeo.account.jid})
        equal({str(j) for j in (await blocking.get_blocked(timeout=TIMEOUT))["blocklist"]["items"]},
              {romeo.account.jid})
        await romeo.until("presence", lambda p: p["type"] == "unavailable" and p["from"] == juliet.xmpp.boundjid)
        romeo.say(juliet.account.jid, "Can you hear me?")
        error = await romeo.until("message", lambda m: m["type"] == "error")
        equal(error["error"]["condition"], "service-unavailable")
        juliet.say(romeo.account.jid, "No.")
        error = await juliet.until("message", lambda m: m["type"] == "error")
        equal(error["error"]["condition"], "not-acceptable")
        await blocking.unblock(romeo.account.jid, timeout=TIMEOUT)
        await juliet.until("unblocked")
        await romeo.until("presence", lambda p: p["type"] == "available" and p["from"] == juliet.xmpp.boundjid)
        romeo.say(juliet.account.jid, "And now?")
        equal((await juliet.until("message"))["body"], "And now?")
    _run(story)


def client_state_holds_presence_back(server):
    async def story(bots):
        juliet, romeo = (Bot(server.account(name)) for name in ("juliet", "romeo"))
        juliet.xmpp.register_plugin("xep_0352")
        for bot in (juliet, romeo):
            bots.append(bot)
            await bot.online()
        await _befriend(juliet, romeo)
        state = juliet.xmpp["xep_0352"]
        check(state.enabled, "client state is not offered")
        state.send_inactive()
        await juliet.xmpp["xep_0199"].ping(server.domain, timeout=TIMEOUT)
        for show in ("away", "dnd", "xa"):
            romeo.xmpp.send_presence(pshow=show)
        await romeo.until("presence", lambda p: p["from"] == romeo.xmpp.boundjid and p["show"] == "xa")
        juliet.events.clear()
        romeo.say(juliet.account.jid, "Wake up")
        await juliet.until("message", lambda m: m["body"] == "Wake up")
        shown = [p["show"] for name, p in juliet.events if name == "presence" and p["from"] == romeo.xmpp.boundjid]
        equal(shown, ["xa"])
        romeo.xmpp.send_presence(pshow="chat")
        await romeo.until("presence", lambda p: p["from"] == romeo.xmpp.boundjid and p["show"] == "chat")
        check(not any(p["show"] == "chat" for name, p in juliet.events if name == "presence"), "not held back")
        state.send_active()
        await juliet.until("presence", lambda p: p["show"] == "chat")
    _run(story)
