"""The servers as containers of compose.yaml, for machines where a Docker engine answers.

Untested: it was written where no engine runs. It has the verbs of `packages.Packages`, and
shares with it the stores' modules for readiness, first-time set-up and variables; only starting
and stopping are compose's.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import time

from . import mongo, postgres, requisites
from .errors import StackError
from .layout import CHECKOUT, ServerSet
from .packages import MODULES, STORES, Packages
from .process import wait_until

READY_WITHIN = 180.0


def engine_answers():
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Docker(Packages):
    """One set's containers: a compose project of their own."""

    def up(self, stores):
        servers = ServerSet.create(self.set_name)
        requisites.PIP.ensure(self.say)  # pymongo makes the replica set and its users
        self._compose(servers, "up", "--detach", *stores)
        self._settle(servers, stores)

    def start(self, stores):
        servers = self._existing()
        self._compose(servers, "start", *stores)
        self._settle(servers, stores)

    def restart(self, stores):
        servers = self._existing()
        self._compose(servers, "restart", *stores)
        self._settle(servers, stores)

    def stop(self, stores):
        self._compose(self._existing(), "stop", *stores)

    def kill(self, stores):
        self._compose(self._existing(), "kill", *stores)

    def down(self, stores):
        servers = ServerSet.load(self.set_name)
        if servers is None:
            return
        if set(stores) == set(STORES):
            self._compose(servers, "down")
        else:
            self._compose(servers, "stop", *stores)

    def wipe(self, stores):
        servers = ServerSet.load(self.set_name)
        if servers is None:
            return
        if set(stores) == set(STORES):
            self._compose(servers, "down", "--volumes")
            servers.forget()
            return
        self._compose(servers, "rm", "--stop", "--force", *stores)
        for store in stores:
            volume = f"{self._project()}_{store}"
            subprocess.run(["docker", "volume", "rm", "--force", volume], check=True, stdout=subprocess.DEVNULL)
            shutil.rmtree(servers.folder / store, ignore_errors=True)

    def status(self, stores):
        servers = ServerSet.load(self.set_name)
        running = self._running(servers) if servers else set()
        rows = []
        for module in self._modules(stores):
            if servers is None:
                rows.append((module.STORE, "never up", "", ""))
                continue
            server = self._server(servers, module)
            up = module.STORE in running
            state = "down" if not up else "ready" if module.ready(server, self._clients(module)) else "not ready"
            rows.append((module.STORE, state, server.address, "container" if up else ""))
        return rows, all(row[1] == "ready" for row in rows)

    def env(self, stores):
        servers = self._existing()
        running = self._running(servers)
        variables = {}
        for module in self._modules(stores):
            if module.STORE not in running:
                raise StackError(f"{module.STORE} of the set `{self.set_name}` is not running", hint=self._how_up())
            variables.update(module.env(self._server(servers, module)))
        return variables

    def _settle(self, servers, stores):
        """Waits for each server and makes, once, what compose can't: MongoDB's replica set and users."""
        self._side_by_side(stores, lambda module: self._settle_one(servers, module))

    def _settle_one(self, servers, module):
        began = time.monotonic()
        server = self._server(servers, module)
        with server.lock():
            server.make_home()
            install = self._clients(module)
            if not wait_until(lambda: module.ready(server, install), READY_WITHIN, pause=0.2):
                lines = self._compose(servers, "logs", "--no-color", "--tail", "15", module.STORE)
                raise StackError(f"{module.STORE} was not ready within {READY_WITHIN:.0f} s:\n{lines}")
            if not server.once("settled").exists():
                module.settle(server, install)
                server.once("settled").touch()
        self.say(f"{module.STORE:<9} {'ready':<7} {server.address:<16} {time.monotonic() - began:5.1f} s")

    def _clients(self, module):
        """What readiness needs on this side: psql of the package for PostgreSQL, pymongo for MongoDB."""
        return module.prepare(self.cache) if module in (postgres, mongo) else None

    def _running(self, servers):
        return set(self._compose(servers, "ps", "--services", "--status", "running").split())

    def _project(self):
        key = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
        return f"aiplat-migrate-{key}-{self.set_name}"

    def _compose(self, servers, *arguments):
        done = subprocess.run(
            ["docker", "compose", "-p", self._project(), "-f", CHECKOUT / "compose.yaml", *arguments],
            env={**os.environ, **self._variables(servers)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise StackError(f"`docker compose {' '.join(arguments)}` failed:\n{done.stderr.strip()[-2000:]}")
        return done.stdout

    def _variables(self, servers):
        """What compose.yaml asks for."""
        ports = {f"STACK_{m.STORE.upper()}_PORT": str(self._server(servers, m).port) for m in MODULES}
        cluster = hashlib.sha256(servers.secrets["mongo_key"].encode()).digest()[:16]
        return {
            **ports,
            "STACK_POSTGRES_PASSWORD": servers.secrets["postgres"],
            "STACK_MONGO_KEY": servers.secrets["mongo_key"],
            "STACK_REDIS_PASSWORD": servers.secrets["redis"],
            "STACK_KAFKA_CLUSTER": base64.urlsafe_b64encode(cluster).decode().rstrip("="),
            "STACK_WEAVIATE_KEY": servers.secrets["weaviate"],
        }
