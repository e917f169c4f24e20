"""GopherPost on a machine of its own (container.py), however it was installed: what an operator asks there, and
mail for it from out here. `Port.port` is set by the trial."""
import json, threading, time

from container import Container
from lab import Client, fail, say, wait_for

SERVICE = "gopherpost.service"
BEGAN = time.monotonic()


def step(words):
    say("-- %s (%d s)" % (words, time.monotonic() - BEGAN))


class Installed(Container):
    """What an operator does and sees there."""

    def show(self, name, unit=SERVICE):
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def main_pid(self):
        return int(self.show("MainPID"))

    def restart(self):
        self.run("systemctl", "restart", SERVICE)

    def journal(self):
        return self.run("journalctl", "--unit", SERVICE, "--no-pager", "--output", "cat")

    def queued(self):
        """Ids of what waits, as `queue list` tells from a root shell, with or without a running relay."""
        status, told = self.ran("gopherpost", "queue", "list", "--state", "queued,deferred,in_flight", "--json")
        if status not in (0, 3):
            fail("gopherpost queue list: exit status %d\n%s" % (status, told))
        return sorted(json.loads(line)["id"] for line in told.splitlines() if line.startswith("{"))


class Port:
    """What lab.Client and lab.Load need of a relay."""

    port = 25


class Knocks:
    """Clients that come again and again, one connection for one message; counts those that found a closed
    door. Whoever was let in and then cut off comes back later: that is no refusal."""

    def __init__(self, clients, connect=lambda: Client(Port.port, 60)):
        self.connect = connect
        self.refused, self.acknowledged, self.came, self.over = [], set(), 0, threading.Event()
        self.threads = [threading.Thread(target=self._knock, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def _knock(self, number):
        count = 0
        while not self.over.wait(0.005):
            name = "knock-%d-%d" % (number, count)
            count += 1
            try:
                client = self.connect()
            except ConnectionRefusedError as error:
                self.refused.append(error)
                continue
            except OSError:
                continue
            try:
                self.came += 1
                if client.send(name)[0] == 250:
                    self.acknowledged.add(name)
            except (OSError, ValueError):
                pass
            finally:
                client.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


def arrives(remote, names, what):
    wait_for("what was acknowledged arrives (%s)" % what, 60, lambda: not remote.missing(names), 0.1)


def send(prefix, count, size=2048):
    """Sends messages that must be taken; their names."""
    client, names = Client(Port.port), {"%s-%d" % (prefix, n) for n in range(count)}
    for name in names:
        reply = client.send(name, size)
        if reply[0] != 250:
            fail("not taken: %s" % (reply,))
    client.close()
    return names
