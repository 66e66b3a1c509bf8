"""Starts the TLS gate in front of a server of a secure set; see `tls_gate.py`."""

import json
import sys

from . import tls_gate
from .process import clean_environment

DAEMON = "gate"
# Roles of ports, named after the certificates that are shown there: those that a client must refuse.
PORTS = ("expired", "elsewhere")
# And the good one, for a server that speaks no TLS itself.
GOOD = "server"


def start(server, upstream, certificates=PORTS):
    """Listens on the port of each role in `certificates`, with the certificate of that name."""
    daemon = server.daemon(DAEMON)
    if daemon.identity():
        return
    options = {
        "host": server.host,
        "target": server.port,
        "upstream": upstream,
        "ca": str(server.pki / "ca.pem"),
        "identity": str(server.pki / "client.both"),
        "listeners": [
            {"port": server.ports[role], "certificate": str(server.pki / f"{role}.both")} for role in certificates
        ],
    }
    daemon.start([sys.executable, tls_gate.__file__, json.dumps(options)], clean_environment())


def stop(server):
    server.daemon(DAEMON).stop()


def env(server):
    """For tests: where to meet those certificates."""
    store = server.store.upper()
    return {f"TEST_{store}_{role.upper()}": f"{server.host}:{server.ports[role]}" for role in PORTS}
