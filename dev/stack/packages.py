"""The servers as plain processes, from packages: what runs where there is no Docker engine."""

import platform
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from . import kafka, mongo, ports, postgres, redis, requisites, weaviate
from .cache import Cache, cache_root
from .errors import StackError
from .layout import PLAIN, SECURE, ServerSet
from .process import Daemon, last_lines

# The order fixes each store's place in its set's range of ports: add at the end.
MODULES = (postgres, mongo, redis, kafka, weaviate)
STORES = tuple(module.STORE for module in MODULES)

# Generous: a two-core machine may be compiling at the same time.
READY_WITHIN = 120.0


class Packages:
    """One set's servers, and the verbs that act on some of them."""

    modules = MODULES

    def __init__(self, set_name, say, kind=PLAIN):
        self.set_name = set_name
        self.kind = kind
        self.say = say
        self.cache = Cache(cache_root(), say)

    def up(self, stores):
        """Brings all of them up side by side; raises after the last one if any failed."""
        self._check_platform()
        for module in self._modules(stores):
            for requisite in self._requisites(module):
                requisite.ensure(self.say)
        if self.kind == SECURE:
            requisites.OPENSSL.ensure(self.say)
        servers = ServerSet.create(self.set_name, self.kind)
        self._side_by_side(stores, lambda module: self._up(module, self._server(servers, module)))

    def start(self, stores):
        """Like `up`, for servers that were up before: it looks for nothing and makes no set."""
        servers = self._existing()
        self._side_by_side(stores, lambda module: self._up(module, self._server(servers, module)))

    def stop(self, stores):
        self._each(stores, "stopped", lambda module, server: module.stop(server))

    def kill(self, stores):
        self._each(stores, "killed", lambda module, server: module.kill(server))

    def restart(self, stores):
        servers = self._existing()

        def restart(module):
            server = self._server(servers, module)
            with server.lock():
                module.stop(server)
            self._up(module, server)

        self._side_by_side(stores, restart)

    def down(self, stores):
        if ServerSet.load(self.set_name):
            self.stop(stores)

    def wipe(self, stores):
        """Ends the servers without ceremony and deletes their data; a whole set loses its passwords too."""
        servers = ServerSet.load(self.set_name)
        if servers is None:
            return

        def wipe(module, server):
            for daemon in _daemons(server):
                daemon.kill()
            if server.home.exists():
                shutil.rmtree(server.home)
            with suppress(OSError):  # not empty: the other servers' data, and the passwords
                server.home.parent.rmdir()

        self._each(stores, "wiped", wipe)
        if len(stores) == len(self.modules):
            servers.forget()

    def status(self, stores):
        """A row per store, and whether all of them answer."""
        servers = ServerSet.load(self.set_name)
        rows = []
        for module in self._modules(stores):
            if servers is None:
                rows.append((module.STORE, "never up", "", ""))
                continue
            server = self._server(servers, module)
            rows.append((module.STORE, self._state(module, server), server.address, self._details(module, server)))
        return rows, all(row[1] == "ready" for row in rows)

    def _state(self, module, server):
        if not self._living(module, server):
            return "down"
        return "ready" if self._runs(module, server) and self._answers(module, server) else "not ready"

    def _living(self, module, server):
        """The server's processes that live."""
        identity = server.daemon(module.STORE).identity()
        return [identity] if identity else []

    def _runs(self, module, server):
        """Whether none of them is missing."""
        return bool(self._living(module, server))

    def _details(self, module, server):
        return ", ".join(f"pid {identity.pid}" for identity in self._living(module, server))

    def env(self, stores):
        """The variables by which clients reach the servers, all of which must run."""
        servers = self._existing()
        variables = {}
        for module in self._modules(stores):
            server = self._server(servers, module)
            if not self._runs(module, server):
                raise StackError(f"{module.STORE} of the set `{self.set_name}` is not running", hint=self._how_up())
            variables.update(module.env(server))
        if servers.kind == SECURE:
            variables["TEST_PKI"] = str(servers.pki)
        return variables

    def client(self, tool, arguments):
        """The command and environment of a client program."""
        servers = self._existing()
        if tool == "kafka-acls":
            return kafka.acls(self._server(servers, kafka), kafka.prepare(self.cache), arguments)
        install = postgres.prepare(self.cache)
        return [install.client / tool, *arguments], postgres.client_environment(self._server(servers, postgres))

    def _up(self, module, server):
        began = time.monotonic()
        install = module.prepare(self.cache)
        with server.lock():
            server.make_home()
            daemon = server.daemon(module.STORE)
            found = daemon.identity() is not None
            if not found:
                for leftover in _daemons(server):
                    leftover.stop()
                refuse_taken_ports(server)
                module.start(server, install)
            _wait_ready(module, server, install)
            if not server.once("settled").exists():
                module.settle(server, install)
                server.once("settled").touch()
        state = "was up" if found else "ready"
        self.say(f"{module.STORE:<9} {state:<7} {server.address:<16} {time.monotonic() - began:5.1f} s")

    def _answers(self, module, server):
        # A running server's artefact is there, so that this fetches nothing.
        return module.ready(server, module.prepare(self.cache))

    def _each(self, stores, done, action):
        servers = self._existing()

        def act(module):
            server = self._server(servers, module)
            with server.lock():
                action(module, server)
            self.say(f"{module.STORE:<9} {done}")

        self._side_by_side(stores, act)

    def _side_by_side(self, stores, action):
        """Runs the action for every store at once; one that fails does not hold up the others."""
        failed = []

        def guarded(module):
            try:
                action(module)
            except (StackError, OSError) as error:
                failed.append(module.STORE)
                self.say(describe(module.STORE, error))

        with ThreadPoolExecutor(len(self.modules)) as pool:
            list(pool.map(guarded, self._modules(stores)))
        if failed:
            raise StackError(f"failed: {', '.join(failed)}")

    def _modules(self, stores):
        return [module for module in self.modules if module.STORE in stores]

    def _server(self, servers, module):
        return servers.server(module, self.modules.index(module))

    def _existing(self):
        servers = ServerSet.load(self.set_name)
        if servers is None:
            raise StackError(f"there is no set `{self.set_name}` of servers", hint=self._how_up())
        return servers

    def _how_up(self):
        chosen = {"default": "", "secure": " --secure", "topology": " --topology"}.get(
            self.set_name, f" --set {self.set_name}"
        )
        return f"start it with: dev/stores up{chosen}"

    def _requisites(self, module):
        name = module.artefact()
        cached = name is None or (self.cache.root / name).is_dir()
        return module.REQUISITES if cached else (*module.BUILD_REQUISITES, *module.REQUISITES)

    def _check_platform(self):
        if sys.platform != "linux" or platform.machine() != "x86_64":
            raise StackError(
                f"the servers are packaged for Linux on x86_64, and this is {sys.platform} on {platform.machine()}",
                hint="start Docker: then they run in containers",
            )


def _daemons(server):
    return [Daemon(server.home, record.stem) for record in server.home.glob("*.pid")]


def refuse_taken_ports(server):
    # The kernel may close a killed server's sockets a moment after its process is gone.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(
        ports.holder(inode) is None for inode in ports.listening(server.ports.values()).values()
    ):
        time.sleep(0.1)
    for port, inode in sorted(ports.listening(server.ports.values()).items()):
        raise StackError(
            f"port {port} is taken by {ports.holder(inode) or 'a process that is not visible to this user'}",
            hint="end it, or use another set of servers: --set NAME",
        )


def _wait_ready(module, server, install):
    daemon = server.daemon(module.STORE)
    deadline = time.monotonic() + READY_WITHIN
    while True:
        if daemon.identity() is None:
            raise StackError(f"{module.STORE} ended while starting", log=daemon.log)
        if module.ready(server, install):
            return
        if time.monotonic() > deadline:
            raise StackError(f"{module.STORE} was not ready within {READY_WITHIN:.0f} s", log=daemon.log)
        time.sleep(0.05)


def describe(store, error):
    text = f"{store}: {error}"
    if getattr(error, "hint", None):
        text += f"\n  hint: {error.hint}"
    if getattr(error, "log", None):
        text += f"\n  {error.log} ends with:" + "".join(f"\n  | {line}" for line in last_lines(error.log))
    return text
