"""What the suites share: servers, tools, rounds."""

import os
import random
import shutil
import subprocess
from functools import cached_property

from . import tools, workloads
from .database import Postgres
from .statistics import median
from .timing import BUILT, far, machine_seconds

FAR = 0.005  # seconds that a turn takes longer behind the proxy


class Bench:
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

    def tools(self, *others):
        """Ours, psql's two forms and others, as far as they were asked for."""
        found = [self.ours, *tools.floors(self.postgres.client), *others]
        return [tool for tool in found if tool is self.ours or self._only is None or tool.name in self._only]

    def folder(self, tool, count):
        """A folder with `count` migrations in the tool's form, written once."""
        if (tool.name, count) not in self._written:
            folder = BUILT / "work" / f"{tool.name}-{count}"
            shutil.rmtree(folder, ignore_errors=True)
            tool.write(folder, workloads.ddl(count))
            self._written[tool.name, count] = folder
        return self._written[tool.name, count]

    def in_rounds(self, rounds, measures):
        """Calls each of `measures` (pairs of a name and a function that returns a sample) once per round, in
        an order that is drawn anew for every round, and returns the samples with name and round."""
        samples = []
        for number in range(rounds):
            order = list(measures)
            self.random.shuffle(order)
            for name, measure in order:
                samples.append({"tool": name, "round": number, **measure()})
        for name, _ in measures:
            walls = [sample["wall"] for sample in samples if sample["tool"] == name]
            self.say(f"   {name:<16} {median(walls):8.4f} s   {min(walls):.4f} to {max(walls):.4f}")
        return samples

    def fresh_up(self, tool, count, latency=None):
        """A measure: `up` of `count` migrations into a fresh database, checked."""
        folder = self.folder(tool, count)

        def measure():
            database = f"bench_{tool.name.replace('-', '_')}"
            place = self.postgres.fresh(database)
            sample = self.measured(tool, "up", folder, place, latency)
            self.postgres.check(database, count, tool.ledger)
            self.postgres.drop(database)
            return {"count": count, **sample}

        return tool.name, measure

    def measured(self, tool, what, folder, place, latency=None):
        """One run; behind the proxy, if it is to be far, with what went over the wire."""
        server, busy = self.postgres.seconds(), machine_seconds()[0]
        if latency is None:
            sample = tool.run(what, folder, place)
        else:
            with far(place.host, place.port, latency) as (port, counts):
                sample = tool.run(what, folder, place.through(port))
            sample |= counts
        sample["server_cpu"] = self.postgres.seconds() - server
        others = machine_seconds()[0] - busy - sample["server_cpu"] - sample["cpu"]
        sample["others"] = max(0.0, round(others / (sample["wall"] * os.cpu_count()), 3))
        return sample

    def version(self):
        done = subprocess.run([self.ours.binary, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
