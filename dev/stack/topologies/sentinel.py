"""A Redis with a replica, and three Sentinels that agree on which of the two is the master."""

from .. import redis
from ..process import clean_environment

STORE = "sentinel"
SERVERS = ("first", "second")
SENTINELS = ("sentinel-one", "sentinel-two", "sentinel-three")
NODES = PORTS = (*SERVERS, *SENTINELS)
REQUISITES = redis.REQUISITES
BUILD_REQUISITES = redis.BUILD_REQUISITES

owner = redis.owner
artefact = redis.artefact
prepare = redis.prepare

REPLICATION = """\
masterauth {password}
repl-diskless-sync-delay 0
"""

# A master that is silent for a second is dead when two of the three say so.
WATCH = """\
bind {host}
port {port}
dir {data}
requirepass {password}
sentinel sentinel-pass {password}
sentinel monitor {master} {host} {master_port} 2
sentinel auth-pass {master} {password}
sentinel down-after-milliseconds {master} 1000
sentinel failover-timeout {master} 5000
"""


def start(server, install):
    for node in NODES:
        if not server.daemon(node).identity():
            sentinel = ("--sentinel",) if node in SENTINELS else ()
            command = [install.server, redis.settings_file(server, node, _settings(server, node)), *sentinel]
            server.daemon(node).start(command, clean_environment())


def _settings(server, node):
    password, port = server.secrets["redis"], server.ports[node]
    data = redis.folder(server, f"{node}-data")
    if node in SENTINELS:
        return WATCH.format(host=server.host, port=port, data=data, password=password, master=redis.MASTER,
                            master_port=server.ports[SERVERS[0]])
    follow = "" if node == SERVERS[0] else f"replicaof {server.host} {server.ports[SERVERS[0]]}\n"
    plain = redis.SETTINGS.format(host=server.host, port=port, password=password, data=data)
    return plain + REPLICATION.format(password=password) + follow


def answers(server, install):
    return all(redis.answers(server, node, server.secrets["redis"]) for node in NODES)


def ready(server, install):
    """One master with one replica, and each Sentinel knows both, and both of the others."""
    try:
        roles = sorted(redis.info(server, node, "replication").get("role", "") for node in SERVERS)
        linked = [redis.info(server, node, "replication").get("master_link_status") for node in SERVERS]
        seen = [redis.info(server, node, "sentinel").get("master0", "") for node in SENTINELS]
    except OSError:
        return False
    return (
        roles == ["master", "slave"]
        and "up" in linked
        and all("status=ok" in master and "slaves=1,sentinels=3" in master for master in seen)
    )


def settle(server, install):
    pass


def stop(server):
    for node in reversed(NODES):
        server.daemon(node).stop()


def env(server):
    return {
        "SENTINEL_ADDRESSES": ",".join(f"{server.host}:{server.ports[node]}" for node in SENTINELS),
        "SENTINEL_MASTER": redis.MASTER,
        "SENTINEL_PASSWORD": server.secrets["redis"],
    }
