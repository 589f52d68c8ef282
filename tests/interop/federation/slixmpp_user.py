# SPDX-License-Identifier: MIT
"""A slixmpp client run as a process: the first line on stdin says as whom, further ones what to send."""
import asyncio
import json
import sys

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXMLMask
from slixmpp.xmlstream.tostring import tostring

CLIENT = "jabber:client"


def tell(event, **data):
    sys.stdout.write(json.dumps({"event": event} | data) + "\n")
    sys.stdout.flush()


class Helper:
    def __init__(self, order):
        config = {"feature_mechanisms": {"use_mech": "PLAIN"}}  # see test_slixmpp.py about SCRAM-PLUS
        self.xmpp = slixmpp.ClientXMPP(order["jid"], order["password"], plugin_config=config)
        for plugin in ("0030", "0054", "0199", "0203"):
            self.xmpp.register_plugin(f"xep_{plugin}")
        self.xmpp.ca_certs = order["ca"]
        self.xmpp.auto_authorize = None     # subscriptions are answered by the tests
        self.xmpp.auto_subscribe = False
        self.xmpp.reconnect = lambda *a, **k: None
        self.xmpp.add_event_handler("session_start", lambda _: tell("online"))
        for event in ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "disconnected"):
            self.xmpp.add_event_handler(event, lambda data, name=event: tell("failed", text=f"{name}: {data}"))
        for name in ("message", "presence", "iq"):
            self.xmpp.register_handler(Callback(f"all {name}", MatchXMLMask(f"<{name} xmlns='{CLIENT}'/>"),
                                                self.stanza))
        self.xmpp.connect((order["address"], order["port"]), force_starttls=True)

    @staticmethod
    def stanza(stanza):
        tell("stanza", xml=tostring(stanza.xml, xmlns=CLIENT))

    async def obey(self):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 24)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            if "stop" in command:
                break
            self.xmpp.send_raw(command["send"])
        await self.xmpp.disconnect(wait=1.0)


async def main():
    await Helper(json.loads(sys.stdin.readline())).obey()


asyncio.run(main())
