"""Kafka with three nodes, each broker and controller."""

import hashlib
import struct

from .. import kafka
from ..process import clean_environment

STORE = "kafka"
NODES = ("one", "two", "three")
# Each node has a second port, for the controllers.
PORTS = (*NODES, *(f"{node}-controller" for node in NODES))
REQUISITES = kafka.REQUISITES
BUILD_REQUISITES = kafka.BUILD_REQUISITES

owner = kafka.owner
artefact = kafka.artefact
prepare = kafka.prepare

# A dead leader of the controllers is replaced in a second or two.
SETTINGS = """\
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
controlled.shutdown.enable=false
"""


def start(server, install):
    voters = ",".join(
        f"{number}@{server.host}:{server.ports[f'{node}-controller']}" for number, node in enumerate(NODES, 1)
    )
    for number, node in enumerate(NODES, 1):
        if server.daemon(node).identity():
            continue
        settings, data = server.home / f"{node}.properties", server.home / node
        ports = {"broker": server.ports[node], "controller": server.ports[f"{node}-controller"]}
        text = kafka.SETTINGS.format(host=server.host, node=number, voters=voters, data=data, **ports)
        settings.write_text(text + SETTINGS)
        if not (data / "meta.properties").exists():
            kafka.form(install, settings, _cluster(server))
        server.daemon(node).start(install.java("kafka.Kafka", settings), clean_environment())


def _cluster(server):
    """The same id for all of them."""
    return hashlib.sha256(server.secrets["kafka"].encode()).digest()[:16]


def answers(server, install):
    """Every broker knows of three."""
    try:
        return all(_known(server, node) == len(NODES) for node in NODES)
    except (OSError, struct.error):
        return False


ready = answers


def _known(server, node):
    with kafka.connect(server, server.ports[node]) as connection:
        return kafka.brokers(connection)


def settle(server, install):
    pass


def stop(server):
    for node in NODES:
        server.daemon(node).stop()


def env(server):
    return {"KAFKA_BROKERS": ",".join(f"{server.host}:{server.ports[node]}" for node in NODES)}
