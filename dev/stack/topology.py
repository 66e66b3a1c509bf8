"""The verbs of a set whose stores have several servers each."""

import time

from . import topologies
from .errors import StackError
from .layout import TOPOLOGY
from .packages import READY_WITHIN, Packages, refuse_taken_ports
from .process import wait_until


class Topology(Packages):
    """One set's servers; `node` is the address of the one that `stop` and `kill` mean, all if it is None."""

    modules = topologies.MODULES

    def __init__(self, set_name, say, node=None):
        super().__init__(set_name, say, TOPOLOGY)
        self.node = node

    def stop(self, stores):
        self._each(stores, "stopped", self._stop)

    def kill(self, stores):
        self._each(stores, "killed", self._kill)

    def _living(self, module, server):
        return [node for node in module.NODES if server.daemon(node).identity()]

    def _runs(self, module, server):
        return len(self._living(module, server)) == len(module.NODES)

    def _details(self, module, server):
        return f"{len(self._living(module, server))} of {len(module.NODES)} nodes"

    def restart(self, stores):
        self._each(stores, "stopped", lambda module, server: module.stop(server))
        self.start(stores)

    def client(self, tool, arguments):
        raise StackError(f"`{tool}` works on sets that have one server of each store")

    def _up(self, module, server):
        began = time.monotonic()
        install = module.prepare(self.cache)
        with server.lock():
            server.make_home()
            if not self._living(module, server):
                refuse_taken_ports(server)
            module.start(server, install)
            self._wait(module, server, lambda: module.answers(server, install))
            if not server.once("settled").exists():
                module.settle(server, install)
                server.once("settled").touch()
            self._wait(module, server, lambda: module.ready(server, install))
        took = time.monotonic() - began
        self.say(f"{module.STORE:<9} ready   {len(module.NODES)} nodes from {server.address} {took:5.1f} s")

    def _wait(self, module, server, condition):
        def over():
            return not self._runs(module, server) or condition()

        reached = wait_until(over, READY_WITHIN, pause=0.1)
        for node in module.NODES:
            if server.daemon(node).identity() is None:
                raise StackError(f"{module.STORE}'s node `{node}` ended", log=server.daemon(node).log)
        if not reached:
            raise StackError(f"{module.STORE} was not ready within {READY_WITHIN:.0f} s",
                             log=server.daemon(module.NODES[0]).log)

    def _stop(self, module, server):
        if self.node is None:
            module.stop(server)
        else:
            self._chosen(module, server).stop()

    def _kill(self, module, server):
        if self.node is None:
            for node in module.NODES:
                server.daemon(node).kill()
        else:
            self._chosen(module, server).kill()

    def _chosen(self, module, server):
        for node in module.NODES:
            if f"{server.host}:{server.ports[node]}" == self.node:
                return server.daemon(node)
        raise StackError(f"{module.STORE} has no node at {self.node}")
