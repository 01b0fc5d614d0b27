# SPDX-License-Identifier: Apache-2.0
"""Kills of everything between writer and replica, in an order and at places that a seed draws."""

import time

import equal
from lines import Line
from servers import Servers
from support import wait_for

# Of twenty kills, in any order.  A server's death costs the seconds of an election, the others none.
# late: ship's connections are lost, or ship is killed, and what it has published comes to the servers later.
TWENTY = {"shipper": 5, "fetcher": 5, "writer": 4, "leader": 2, "server": 1, "all": 1, "late": 2}


class Run:
    """Three servers, and a line for each format.  Kill by kill, none of them waits for what the one before has stopped;
    but a server is killed only while the others have all that it has: two of three that died soon after one another may
    have lost what the third one does not have, by the servers' own rules."""

    def __init__(self, case, rng, environment=None, count=3):
        self.case, self.rng = case, rng
        self.servers = Servers(case.dir / "servers", count)
        case.addCleanup(self.servers.end)
        self.servers.start()
        formats = [("--per-record",), ("--frame", "8K")]
        rng.shuffle(formats)
        self.lines = [Line(case, name, self.servers, rng, mounted=name == "mounted", ship=ship, environment=environment)
                      for name, ship in zip(("mounted", "library"), formats)]
        self.kills = dict.fromkeys(TWENTY, 0)
        for line in self.lines:
            line.start()

    def one(self, victim):
        """Asks for more records, and kills when a part of them has come as far as one place."""
        most = self.rng.randrange(50, 600)
        line = self.rng.choice(self.lines)
        place = "source" if victim == "writer" else self.rng.choice(("source", "replica"))
        wanted = line.at(place) + self.rng.randrange(most)
        for each in self.lines:
            each.append(most)

        def there():
            for each in self.lines:
                each.check()
            return line.at(place) >= wanted
        wait_for(there, f"{line.name}: {place} at {wanted}")
        self.kills[victim] += 1
        if victim in ("shipper", "fetcher", "writer"):
            line.kill(victim)
        elif victim == "late":
            self.delay(line)
        else:
            self.kill_servers(victim, line)
        for each in self.lines:
            each.written()
            if each.late and victim != "late" and self.rng.random() < 0.5:
                each.arrive()

    def delay(self, line):
        if line.late:
            line.arrive()
        # only a ship that can publish has something on its way
        wait_for(line.caught_up, f"{line.name} ships")
        line.delay()
        line.append(300)
        wait_for(lambda: line.kept() > 300, f"{line.name} publishes")
        line.lose(self.rng.random() < 0.5)

    def kill_servers(self, victim, line):
        for each in self.lines:
            self.servers.settled(each.name)
        if victim == "all":
            self.servers.kill_all()
        else:
            one = self.servers.leader(line.name) if victim == "leader" else self.rng.choice(self.servers.all)
            one.kill()
        for server in self.servers.all:
            if server.process is None:
                server.start()

    def finish(self):
        """What is left comes to the replica; then all are compared.  Returns what to say of it."""
        self.servers.ready()
        for line in self.lines:
            if line.late:
                wait_for(line.caught_up, f"{line.name} drains", 120)
                line.arrive()
            line.append(1)  # makes durable what a writer that was killed has left, too
            line.written()
            wait_for(line.drained, f"{line.name} drains", 120)
            line.end()
        said = []
        with self.servers.connect() as nats:
            for line in self.lines:
                count, kinds = equal.all_equal(line.source, nats, line.name, line.replica,
                                               trimmed=bool(line.writing))
                said.append(f"{line.name}{'' if line.mounted == (line.name == 'mounted') else ' (not mounted)'}: "
                            f"{count} records in " + ", ".join(f"{n} {kind}s" for kind, n in kinds.items()))
        return said


def schedule(rng, count):
    """Who is killed."""
    victims = []
    while len(victims) < count:
        victims += rng.sample(list(TWENTY), k=sum(TWENTY.values()), counts=TWENTY.values())
    return victims[:count]


def told(run, what):
    """What was done, when it fails: and where everything is."""
    print(f"# failed {what}", flush=True)
    for line in run.lines:
        for text in line.where().splitlines():
            print(f"# {text}", flush=True)


def kill_run(case, rng, count, **options):
    begin = time.monotonic()
    run = Run(case, rng, **options)
    what = ""
    try:
        for number, victim in enumerate(schedule(rng, count), 1):
            what = f"at kill {number}, of {victim}"
            run.one(victim)
        what = f"behind kill {count}"
        said = run.finish()
    except Exception:
        told(run, what)
        raise
    kills = ", ".join(f"{n} {victim}" for victim, n in run.kills.items())
    print(f"# killed: {kills}; {'; '.join(said)}; {time.monotonic() - begin:.1f} s", flush=True)
    return run
