# SPDX-License-Identifier: MIT
"""XML elements as the tests see them, and the incremental reader of a stream."""
from xml.parsers import expat

XML_NS = "http://www.w3.org/XML/1998/namespace"


def escape(text):
    """Text made safe for an attribute value or character data."""
    for a, b in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&apos;"), ('"', "&quot;")):
        text = text.replace(a, b)
    return text


class Element:
    """One element: ns, name, attributes (xml:lang under that name), children and its own text."""

    def __init__(self, ns, name, attrs):
        self.ns, self.name, self.attrs = ns, name, attrs
        self.children = []
        self.text = ""

    def __getitem__(self, attribute):
        return self.attrs.get(attribute)

    def get(self, attribute, default=None):
        return self.attrs.get(attribute, default)

    def find(self, name=None, ns=None):
        """The first child with that name and namespace (any where None), or None."""
        return next(iter(self.find_all(name, ns)), None)

    def find_all(self, name=None, ns=None):
        return [c for c in self.children if name in (None, c.name) and ns in (None, c.ns)]

    def path(self, *names):
        """The element reached by first children with these names, or None."""
        at = self
        for name in names:
            at = at.find(name) if at is not None else None
        return at

    def child_text(self, name, ns=None):
        """The text of the first such child, or None if there is none."""
        child = self.find(name, ns)
        return None if child is None else child.text

    def matches(self, name=None, ns=None, where=None, **attrs):
        """Name, namespace and attributes as wanted; `from_` stands for from, None for absent.
        `body` compares the text of <body/>, `where` is a function of the element."""
        if name is not None and self.name != name or ns is not None and self.ns != ns:
            return False
        for key, value in attrs.items():
            if key == "body":
                if self.child_text("body") != value:
                    return False
            elif self.attrs.get(key.rstrip("_")) != value:
                return False
        return where is None or bool(where(self))

    def xml(self, outer_ns="jabber:client"):
        ns = "" if self.ns == outer_ns else f" xmlns='{escape(self.ns or '')}'"
        attrs = "".join(f" {k}='{escape(v)}'" for k, v in self.attrs.items())
        inner = escape(self.text) + "".join(c.xml(self.ns) for c in self.children)
        return f"<{self.name}{ns}{attrs}>{inner}</{self.name}>" if inner else f"<{self.name}{ns}{attrs}/>"

    def __repr__(self):
        return self.xml()


class StreamReader:
    """Turns bytes into a list of events: ("open", Element), ("element", Element), ("end", None)."""

    def __init__(self):
        self.events = []
        self._stack = []
        self._depth = 0
        self._parser = expat.ParserCreate(namespace_separator="\n")
        self._parser.buffer_text = True
        self._parser.ordered_attributes = False
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            self._parser.SetReparseDeferralEnabled(False)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, data):
        self._parser.Parse(data, False)

    def take(self):
        events, self.events = self.events, []
        return events

    @staticmethod
    def _split(name):
        ns, _, local = name.rpartition("\n")
        return ns, local

    def _start(self, name, attrs):
        ns, local = self._split(name)
        plain = {}
        for key, value in attrs.items():
            ans, alocal = self._split(key)
            plain["xml:" + alocal if ans == XML_NS else f"{{{ans}}}{alocal}" if ans else alocal] = value
        element = Element(ns, local, plain)
        self._depth += 1
        if self._depth == 1:
            self.events.append(("open", element))
            return
        if self._stack:
            self._stack[-1].children.append(element)
        self._stack.append(element)

    def _end(self, _name):
        self._depth -= 1
        if self._depth == 0:
            self.events.append(("end", None))
            return
        element = self._stack.pop()
        if not self._stack:
            self.events.append(("element", element))

    def _text(self, text):
        if self._stack:
            self._stack[-1].text += text
