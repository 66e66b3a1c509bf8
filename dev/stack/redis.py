"""Redis with a configuration file of its own, so that CONFIG REWRITE works."""

import shutil
import socket
import ssl
from dataclasses import dataclass

from . import authority, gate, requisites
from .process import clean_environment

STORE = "redis"
# In a secure set alone: one of each, named as their daemons and ports.
REPLICA, SENTINEL = "replica", "sentinel"
PORTS = ("resp", *gate.PORTS, REPLICA, SENTINEL)
USER = "migrator"
MASTER = "mymaster"
REQUISITES = (requisites.REDIS_SERVER,)
BUILD_REQUISITES = ()

SETTINGS = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {data}
daemonize no
"""

# Every port speaks TLS, and asks clients for a certificate too.
TLS = """\
bind {host}
port 0
tls-port {port}
tls-cert-file {pki}/server.pem
tls-key-file {pki}/server.key
tls-ca-cert-file {pki}/ca.pem
tls-replication yes
dir {data}
daemonize no
"""

LOGINS = """\
user default off
user {user} on >{password} ~* &* +@all
masteruser {user}
masterauth {password}
"""

# It takes a master that is silent for a minute for dead: failovers are not what this set is for.
SENTINEL_SETTINGS = """\
requirepass {password}
sentinel monitor {master} {host} {master_port} 1
sentinel down-after-milliseconds {master} 60000
sentinel auth-user {master} {user}
sentinel auth-pass {master} {password}
"""


@dataclass(frozen=True)
class Install:
    server: str


def owner():
    return None


def artefact():
    return None


def prepare(cache):
    return Install(shutil.which("redis-server"))


def start(server, install):
    if server.secure:
        logins = LOGINS.format(user=USER, password=server.secrets["redis"])
        follow = f"replicaof {server.host} {server.port}\n"
        _start(server, install, STORE, _tls(server, "resp", "data") + logins)
        _start(server, install, REPLICA, _tls(server, REPLICA, "replica-data") + logins + follow)
        _start(server, install, SENTINEL, _tls(server, SENTINEL, "sentinel-data") + _sentinel(server), "--sentinel")
        gate.start(server, "tls")
        return
    data = folder(server, "data")
    password = server.secrets["redis"]
    _start(server, install, STORE, SETTINGS.format(host=server.host, port=server.port, password=password, data=data))


def _start(server, install, name, text, *options):
    settings = settings_file(server, name, text)
    server.daemon(name).start([install.server, settings, *options], clean_environment())


def settings_file(server, name, text):
    """Written once; afterwards it belongs to the server, which may rewrite it."""
    settings = server.home / f"{name}.conf"
    if not settings.exists():
        settings.touch(mode=0o600)
        settings.write_text(text)
    return settings


def _tls(server, role, place):
    return TLS.format(host=server.host, port=server.ports[role], pki=server.pki, data=folder(server, place))


def _sentinel(server):
    return SENTINEL_SETTINGS.format(
        user=USER, password=server.secrets["redis"], master=MASTER, host=server.host, master_port=server.port
    )


def folder(server, name):
    folder = server.home / name
    folder.mkdir(exist_ok=True)
    return folder


def ready(server, install):
    if not server.secure:
        return answers(server, "resp", server.secrets["redis"])
    login = f"{USER} {server.secrets['redis']}"
    return all(
        answers(server, role, words)
        for role, words in (("resp", login), (REPLICA, login), (SENTINEL, server.secrets["redis"]))
    )


def text(server, role, command):
    """The text that a command answers with."""
    with _connect(server, role) as connection, connection.makefile("rb") as replies:
        connection.sendall(f"AUTH {server.secrets['redis']}\r\n{command}\r\n".encode())
        replies.readline()
        header = replies.readline()
        return replies.read(int(header[1:])).decode() if header.startswith(b"$") else header.decode()


def info(server, role, section):
    """A section of INFO, by field."""
    lines = text(server, role, f"INFO {section}").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def answers(server, role, login):
    """AUTH and PING; a server that still loads its data answers LOADING instead of PONG."""
    try:
        with _connect(server, role) as connection:
            connection.sendall(f"AUTH {login}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                replies.readline()
                return replies.readline().startswith(b"+PONG")
    except OSError:
        return False


def _connect(server, role):
    connection = socket.create_connection((server.host, server.ports[role]), timeout=1)
    if not server.secure:
        return connection
    context = ssl.create_default_context(cafile=server.pki / "ca.pem")
    context.load_cert_chain(server.pki / "client.both")
    return context.wrap_socket(connection, server_hostname=server.host)


def settle(server, install):
    pass


def stop(server):
    for name in (SENTINEL, REPLICA, STORE):
        server.daemon(name).stop()
    gate.stop(server)


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    password = server.secrets["redis"]
    if not server.secure:
        # The user is named because some clients send an empty name when there is none.
        return {"REDIS_URL": f"redis://default:{password}@{server.address}/0"}
    return {
        "REDIS_URL": f"rediss://{USER}:{password}@{server.address}/0",
        "TEST_REDIS_SENTINEL": f"{server.host}:{server.ports[SENTINEL]}",
        **authority.env(server),
        **gate.env(server),
    }
