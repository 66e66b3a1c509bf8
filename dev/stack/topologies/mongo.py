"""MongoDB as a replica set of three."""

from .. import mongo
from ..layout import DATABASE
from ..process import clean_environment

STORE = "mongo"
NODES = PORTS = ("one", "two", "three")
REQUISITES = mongo.REQUISITES
BUILD_REQUISITES = mongo.BUILD_REQUISITES

owner = mongo.owner
artefact = mongo.artefact
prepare = mongo.prepare


def start(server, install):
    for node in NODES:
        if not server.daemon(node).identity():
            command = mongo.command(server, install, server.home / node, server.ports[node])
            server.daemon(node).start(command, clean_environment())


def answers(server, install):
    """One of them is the primary; three fresh ones are made a set here."""
    from pymongo.errors import PyMongoError

    try:
        if server.once("initiated").exists():
            return _primary(server) is not None
        with mongo.client_of(server, server.port) as client:
            # A new primary is found in two seconds instead of ten.
            return mongo.initiate(server, client, _addresses(server), electionTimeoutMillis=2000)
    except PyMongoError:
        return False


def ready(server, install):
    """One primary, two secondaries."""
    from pymongo.errors import PyMongoError

    try:
        roles = [_hello(server, node) for node in NODES]
    except PyMongoError:
        return False
    return sorted((role["isWritablePrimary"], role["secondary"]) for role in roles) == [
        (False, True), (False, True), (True, False)
    ]


def settle(server, install):
    mongo.make_users(server, server.ports[_primary(server)])


def _primary(server):
    from pymongo.errors import PyMongoError

    for node in NODES:
        try:
            if _hello(server, node)["isWritablePrimary"]:
                return node
        except PyMongoError:
            continue
    return None


def _hello(server, node):
    with mongo.client_of(server, server.ports[node]) as client:
        return client.admin.command("hello")


def _addresses(server):
    return [f"{server.host}:{server.ports[node]}" for node in NODES]


def stop(server):
    for node in NODES:
        server.daemon(node).stop()


def env(server):
    login = f"{mongo.ROOT}:{server.secrets['mongo_root']}"
    options = f"authSource=admin&replicaSet={mongo.REPLICA_SET}"
    return {"MONGO_URL": f"mongodb://{login}@{','.join(_addresses(server))}/{DATABASE}?{options}"}
