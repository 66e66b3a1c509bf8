"""Redis with a configuration file of its own, so that CONFIG REWRITE works."""

import shutil
import socket
from dataclasses import dataclass

from . import requisites
from .process import clean_environment

STORE = "redis"
PORTS = ("resp",)
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
    data, settings = server.home / "data", server.home / "redis.conf"
    data.mkdir(exist_ok=True)
    if not settings.exists():  # afterwards it belongs to the server, which may rewrite it
        settings.touch(mode=0o600)
        settings.write_text(
            SETTINGS.format(host=server.host, port=server.port, password=server.secrets["redis"], data=data)
        )
    server.daemon(STORE).start([install.server, settings], clean_environment())


def ready(server, install):
    """AUTH and PING; a server that still loads its data answers LOADING instead of PONG."""
    try:
        with socket.create_connection((server.host, server.port), timeout=1) as connection:
            connection.sendall(f"AUTH {server.secrets['redis']}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                replies.readline()
                return replies.readline().startswith(b"+PONG")
    except OSError:
        return False


def settle(server, install):
    pass


def stop(server):
    server.daemon(STORE).stop()


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    # The user is named because some clients send an empty name when there is none.
    return {"REDIS_URL": f"redis://default:{server.secrets['redis']}@{server.address}/0"}
