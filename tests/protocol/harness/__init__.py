# SPDX-License-Identifier: MIT
"""The protocol test harness: a real server, raw XMPP streams, and a runner."""
from .checks import Failure, Skip, check, equal
from .elements import Element, escape
from .runner import cases, dedicated
from .server import Account, Comity, Prosody
from .stream import Closed, Stream
from .client import Client

__all__ = ["Account", "Client", "Closed", "Comity", "Element", "Failure", "Prosody", "Skip", "Stream",
           "cases", "check", "dedicated", "equal", "escape"]
