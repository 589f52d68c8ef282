# SPDX-License-Identifier: MIT
"""Four workers: addresses that live on different threads write to each other, come, go and come back."""
from harness import Client, check, dedicated, equal

FOUR = {"workers": 4, "stanzas_per_second": 0, "bytes_per_second": 0}


def _bodies(client, count):
    return [(m["from"].split("/")[0], m.child_text("body"))
            for m in (client.expect("message", type="chat") for _ in range(count))]


@dedicated(options=FOUR)
def order_is_kept_between_workers(server):
    clients = [Client.login(server.account("juliet"), presence=True) for _ in range(8)]
    count = 60
    for number in range(count):
        for sender in clients:
            for receiver in clients:
                if receiver is not sender:
                    sender.message(receiver.jid, str(number))
    for receiver in clients:
        seen = {}
        for sender, body in _bodies(receiver, count * (len(clients) - 1)):
            seen.setdefault(sender, []).append(int(body))
        equal(len(seen), len(clients) - 1, "senders")
        for sender, numbers in seen.items():
            equal(numbers, list(range(count)), f"numbers from {sender}")


@dedicated(options=FOUR)
def sessions_come_and_go_under_traffic(server):
    steady = Client.login(server.account("romeo"), presence=True)
    others = [server.account("juliet") for _ in range(6)]
    for _ in range(5):
        clients = [Client.login(account, presence=True) for account in others]
        for client in clients:
            client.message(steady.jid, "here")
            client.presence(to=steady.jid)
            client.message(client.jid, "to myself")
            client.expect("message", body="to myself")
            client.drain()
        for client in clients[::2]:
            client.abort()
        for client in clients[1::2]:
            client.close()
    equal(len(_bodies(steady, 5 * len(others))), 5 * len(others), "messages")
    steady.ping()


@dedicated(options=FOUR)
def reload_and_commands_under_traffic(server):
    one, two = (Client.login(server.account("juliet"), presence=True) for _ in range(2))
    for number in range(40):
        one.message(two.jid, str(number))
        if number % 10 == 0:
            server.reload()
            server.ctl("stats")
            server.ctl("session", "list")
            server.ctl("user", "list")
    equal([body for _, body in _bodies(two, 40)], [str(n) for n in range(40)], "bodies")
    check(one.ping() is not False, "alive")


@dedicated(options=FOUR | {"dns_servers": "127.0.0.1:9", "dns_timeout": "20s"})
def stop_while_stanzas_wait_for_other_servers(server):
    """Their domains are at home on other workers than those who sent them, who wait for them to be safe."""
    for _ in range(6):
        client = Client.login(server.account("juliet"), presence=True)
        client.send("<enable xmlns='urn:xmpp:sm:3'/>")
        client.expect("enabled")
        for number in range(8):
            client.message(f"ann@domain{number}.test", "hello")
        client.ping()
    server.stop()
