"""A Redis Cluster of three masters, each with a replica."""

import shutil
import subprocess

from .. import redis
from ..errors import StackError
from ..process import clean_environment

STORE = "cluster"
NODES = ("one", "two", "three", "four", "five", "six")
# Each node has a second port, for the others.
PORTS = (*NODES, *(f"{node}-bus" for node in NODES))
REQUISITES = redis.REQUISITES
BUILD_REQUISITES = redis.BUILD_REQUISITES

owner = redis.owner
artefact = redis.artefact
prepare = redis.prepare

# A master that is silent for two seconds is replaced.
SETTINGS = """\
masterauth {password}
repl-diskless-sync-delay 0
cluster-enabled yes
cluster-port {bus}
cluster-config-file {node}-nodes.conf
cluster-node-timeout 2000
"""


def start(server, install):
    for node in NODES:
        if not server.daemon(node).identity():
            command = [install.server, redis.settings_file(server, node, _settings(server, node))]
            server.daemon(node).start(command, clean_environment())


def _settings(server, node):
    password = server.secrets["redis"]
    data = redis.folder(server, f"{node}-data")
    plain = redis.SETTINGS.format(host=server.host, port=server.ports[node], password=password, data=data)
    return plain + SETTINGS.format(password=password, node=node, bus=server.ports[f"{node}-bus"])


def answers(server, install):
    return all(redis.answers(server, node, server.secrets["redis"]) for node in NODES)


def ready(server, install):
    """Every node takes the cluster for whole, and every replica follows its master."""
    try:
        whole = ["cluster_state:ok" in redis.text(server, node, "CLUSTER INFO") for node in NODES]
        nodes = redis.text(server, NODES[0], "CLUSTER NODES")
        linked = [redis.info(server, node, "replication").get("master_link_status") for node in NODES]
    except OSError:
        return False
    return all(whole) and "fail" not in nodes and linked.count("up") == 3


def settle(server, install):
    addresses = [f"{server.host}:{server.ports[node]}" for node in NODES]
    done = subprocess.run(
        [shutil.which("redis-cli"), "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
        env=clean_environment(REDISCLI_AUTH=server.secrets["redis"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    # Said where an earlier attempt came further than its mark.
    if done.returncode != 0 and "is not empty" not in done.stdout + done.stderr:
        raise StackError(f"`redis-cli --cluster create` failed: {(done.stdout + done.stderr).strip()[-2000:]}")


def stop(server):
    for node in NODES:
        server.daemon(node).stop()


def env(server):
    return {"CLUSTER_URL": f"redis://default:{server.secrets['redis']}@{server.address}/0"}
