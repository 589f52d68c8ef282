// SPDX-License-Identifier: MIT
// A client made with xmpp.js, driven by lines: commands in JSON on standard input, what happens in JSON on
// standard output. It reconnects and resumes as the library does by itself.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { client, xml } from "@xmpp/client";

// What the library takes from node 20, Debian 12's node 18 has in the module only.
globalThis.crypto ??= webcrypto;

const [service, domain, username, password, resource] = process.argv.slice(2);
const entity = client({ service, domain, username, password, resource });
const sm = entity.streamManagement;

function tell(event, more = {}) {
	process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
}

function text(element) {
	return element === undefined ? null : String(element);
}

entity.reconnect.delay = 200;
// Each addition is asked about at once, so that a test need not wait.
sm.requestAckDebounce = 20;
entity.on("error", (error) => tell("error", { text: String(error) }));
entity.on("status", (status) => tell("status", { status }));
entity.on("online", (jid) => tell("online", { jid: String(jid), secure: entity.isSecure() }));
entity.on("nonza", (element) => tell("nonza", { name: element.name, xml: String(element) }));
entity.on("stanza", (stanza) => tell(stanza.name, {
	from: stanza.attrs.from, type: stanza.attrs.type, id: stanza.attrs.id, body: stanza.getChildText("body"),
	delay: text(stanza.getChild("delay")), xml: String(stanza),
}));
sm.on("resumed", () => tell("resumed", { jid: String(entity.jid), id: sm.id, secure: entity.isSecure() }));
sm.on("ack", (stanza) => tell("ack", { name: stanza.name, id: stanza.attrs.id }));
sm.on("fail", (stanza) => tell("fail", { name: stanza.name, id: stanza.attrs.id }));

// Whether stanzas can be sent: the library would write them into whatever stream there is.
let live = false;
let awaken = [];

function setLive() {
	live = true;
	awaken.forEach((resolve) => resolve());
	awaken = [];
}
entity.on("nonza", (element) => element.is("enabled") && setImmediate(setLive));
entity.on("disconnect", () => { live = false; });
sm.on("resumed", setLive);

// The library keeps a stanza and sends it again once it has taken it, whatever becomes of the writing.
async function send(stanza) {
	for (;;) {
		if (!live) {
			await new Promise((resolve) => awaken.push(resolve));
		}
		try {
			return await entity.send(stanza);
		} catch {
			if (sm.outbound_q.some((item) => item.stanza === stanza)) {
				return;
			}
			live = false;
		}
	}
}

const commands = {
	async presence() {
		await send(xml("presence"));
	},
	async chat({ to, bodies }) {
		for (const body of bodies) {
			await send(xml("message", { to, type: "chat", id: body }, xml("body", {}, body)));
		}
	},
	// Once it is answered all before it has been handled.
	async ping() {
		const answer = await entity.iqCaller.request(xml("iq", { type: "get" }, xml("ping", "urn:xmpp:ping")));
		tell("pong", { type: answer.attrs.type });
	},
	// Chats and, before they can have been answered, the loss of the connection.
	async chatAndCut({ to, bodies }) {
		await commands.chat({ to, bodies });
		await commands.cut();
	},
	// The network is gone: no goodbye at any layer.
	async cut() {
		entity.socket.socket.destroy();
	},
	// No reconnecting until release.
	async hold() {
		entity.reconnect.stop();
		tell("held");
	},
	async release() {
		entity.reconnect.start();
		entity.reconnect.scheduleReconnect();
	},
	async stop() {
		await entity.stop();
		process.exit(0);
	},
};

// One after the other, in the order in which they were given.
let before = Promise.resolve();

async function run({ command, ...args }) {
	try {
		await commands[command](args);
	} catch (error) {
		tell("failed", { command, text: String(error) });
	}
}

createInterface({ input: process.stdin }).on("line", (line) => {
	before = before.then(() => run(JSON.parse(line)));
});
entity.start().catch((error) => tell("refused", { text: String(error) }));
