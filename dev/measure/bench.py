"""What the suites share: servers, tools, folders, rounds."""

import json
import os
import random
import shutil
import subprocess
import time
from collections import namedtuple
from functools import cached_property

from stack.errors import StackError

from . import peers, tools, workloads
from .database import Postgres
from .statistics import median
from .timing import BUILT, far, machine_seconds

FAR = 0.005  # seconds that a turn takes longer behind the proxy

# A measure is a function that returns a sample; it is made in every n-th round.
Every = namedtuple("Every", ["rounds", "tool", "measure"])


class Bench:
    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def __init__(self, options, say):
        self.say = say
        self.quick = options.quick
        self.ours = tools.Ours(options.binary.resolve())
        self.random = random.Random(options.seed)
        self._rounds = options.rounds
        self._only = options.tools.split(",") if options.tools else None
        self._written = {}

    @cached_property
    def postgres(self):
        return Postgres(self.say)

    def rounds(self, usual, quick=3):
        return self._rounds or (quick if self.quick else usual)

    def size(self, usual, quick):
        return quick if self.quick else usual

    def expect(self, found, wanted, what):
        if found != wanted:
            raise StackError(f"{found} {what}, expected {wanted}")

    def tools(self, with_peers=False):
        """Ours, psql's two forms and the peers that are installed, as far as they were asked for."""
        found = [self.ours, *tools.floors(self.postgres.client), *(peers.installed() if with_peers else [])]
        return [tool for tool in found if tool is self.ours or self._only is None or tool.name in self._only]

    # Folders.

    def empty_folder(self, name):
        folder = BUILT / "work" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def folder(self, tool, count):
        """A folder with `count` migrations in the tool's form, written once."""
        if (tool.name, count) not in self._written:
            folder = self.empty_folder(f"{tool.name}-{count}")
            tool.write(folder, workloads.ddl(count))
            self._written[tool.name, count] = folder
        return self._written[tool.name, count]

    def stores_folder(self, name, steps, sql=(), per_file=None):
        """A folder with native steps by store, so many to a file (all, if nothing is said), and SQL files."""
        folder = self.empty_folder(name)
        for store, all_of_it in steps.items():
            files = folder / "migrations" / store
            files.mkdir(parents=True)
            each = per_file or len(all_of_it)
            for number, at in enumerate(range(0, len(all_of_it), each), 1):
                text = json.dumps({"steps": all_of_it[at : at + each]}, indent=1)
                (files / f"V{number:04}__steps.json5").write_text(text)
        self.ours.write(folder, sql)
        return folder

    # Databases in which everything is applied.

    def applied(self, tool, count):
        """The tool's folder, and a database that it has brought up."""
        folder, place = self.folder(tool, count), self.postgres.fresh(f"applied_{tool.name.replace('-', '_')}")
        tool.run("up", folder, place)
        self.postgres.check(place.database, count, tool.ledger)
        return folder, place

    def drop_applied(self):
        for name in self.postgres.ask("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'applied%'"):
            self.postgres.drop(name)

    # Measures.

    def fresh_up(self, tool, count, latency=None):
        """The tool's name and a measure: `up` of `count` migrations into a fresh database, checked."""
        folder = self.folder(tool, count)

        def measure():
            place = self.postgres.fresh(f"bench_{tool.name.replace('-', '_')}")
            sample = self.measured(tool, "up", folder, place, latency)
            self.postgres.check(place.database, count, tool.ledger)
            self.postgres.drop(place.database)
            return {"count": count, **sample}

        return tool.name, measure

    def repeated(self, tool, work, folder, place, latency=None):
        """A measure of what changes nothing."""

        def measure():
            return {"work": work, **self.measured(tool, work, folder, place, latency)}

        return measure

    def measured(self, tool, work, folder, place, latency=None, variables=None):
        """One run; behind the proxy, if it is to be far, with what went over the wire."""
        server, busy = self.postgres.seconds(), machine_seconds()[0]
        if latency is None:
            sample = tool.run(work, folder, place, variables)
        else:
            with far(place.host, place.port, latency) as (port, counts):
                sample = tool.run(work, folder, place.through(port), variables)
            sample |= {"far": latency, **counts}
        sample["server_cpu"] = self.postgres.seconds() - server
        if variables is None:  # otherwise more servers than PostgreSQL are at work
            others = machine_seconds()[0] - busy - sample["server_cpu"] - sample["cpu"]
            sample["others"] = max(0.0, round(others / (sample["wall"] * os.cpu_count()), 3))
        return sample

    def in_rounds(self, rounds, measures):
        """Makes the measures, those of a round in an order drawn anew, and returns the samples with tool and
        round: what one round holds was measured side by side."""
        samples = []
        for number in range(rounds):
            order = [each for each in measures if number % each.rounds == 0]
            self.random.shuffle(order)
            for each in order:
                samples.append({"tool": each.tool, "round": number, **each.measure()})
        self._tell(samples)
        return samples

    def _tell(self, samples):
        """A line per kind of sample."""
        kinds = {}
        for sample in samples:
            kind = (sample["tool"], sample.get("work", ""), str(sample.get("count", "")), "far" if "far" in sample else "")
            kinds.setdefault(kind, []).append(sample)
        for kind, found in kinds.items():
            walls = [sample["wall"] for sample in found]
            turns = f"  {median([s['turns'] for s in found]):.0f} turns" if "turns" in found[0] else ""
            rss = f"  {max(s['rss_kib'] for s in found) / 1024:.1f} MiB" if "rss_kib" in found[0] else ""
            held = f"  held {max(s['held'] for s in found) * 1000:.1f} ms" if "held" in found[0] else ""
            self.say(
                f"   {' '.join(filter(None, kind)):<30} {median(walls):8.4f} s ({min(walls):.4f} to {max(walls):.4f}, "
                f"{len(walls)} runs){turns}{rss}{held}"
            )

    def version(self):
        done = subprocess.run([self.ours.binary, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def versions(self):
        """What was measured beside ours."""
        return {
            "PostgreSQL": self.postgres.version(),
            **{peer.title: peer.version for peer in peers.installed()},
        }
