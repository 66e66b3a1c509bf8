"""PostgreSQL as a primary and a streaming standby; what the primary commits is on the standby too."""

import shutil
import signal
import subprocess

from .. import postgres
from ..cache import run
from ..errors import StackError
from ..layout import DATABASE
from ..process import clean_environment

STORE = "postgres"
NODES = PORTS = ("first", "second")
REQUISITES = postgres.REQUISITES
BUILD_REQUISITES = postgres.BUILD_REQUISITES

owner = postgres.owner
artefact = postgres.artefact
prepare = postgres.prepare

# A commit returns when the standby has it: only then a failover loses nothing that was promised.
PRIMARY = """\
synchronous_standby_names = '*'
"""

STANDBY = """\
primary_conninfo = 'host={host} port={port} user={user} password={password}'
"""


def start(server, install):
    """Starts both; the one that is no primary is made anew from the other, if it ever was one itself."""
    primary = _primary(server)
    standby = next(node for node in NODES if node != primary)
    if not _data(server, primary).exists():
        postgres.initialise(server, install, _data(server, primary))
    if not _signal(server, standby).exists():
        _stop(server, primary)
        _copy(server, primary, standby)
    for node, settings in ((primary, PRIMARY), (standby, _follow(server, primary))):
        if not server.daemon(node).identity():
            _start(server, install, node, settings)


def _primary(server):
    """The node that takes writes: the one that is no standby, and of two such the one that runs."""
    made = [node for node in NODES if _data(server, node).exists()]
    found = [node for node in made if not _signal(server, node).exists()]
    if len(found) > 1:
        found = [node for node in found if server.daemon(node).identity()]
    if len(found) > 1 or (made and not found):
        raise StackError("it is not known which PostgreSQL is the primary", hint="dev/stores wipe --topology")
    return found[0] if found else NODES[0]


def _data(server, node):
    return server.home / node


def _signal(server, node):
    """PostgreSQL's own mark of a standby, which it deletes when it is promoted."""
    return _data(server, node) / "standby.signal"


def _copy(server, primary, standby):
    """The files of a server that was stopped in order; `cp` keeps their owner."""
    shutil.rmtree(_data(server, standby), ignore_errors=True)
    run(["cp", "-a", _data(server, primary), _data(server, standby)], cwd=server.home)
    _signal(server, standby).touch()
    if server.owner:
        server.owner.take(_signal(server, standby))


def _follow(server, primary):
    return STANDBY.format(
        host=server.host,
        port=server.ports[primary],
        user=postgres.SUPERUSER,
        password=server.secrets["postgres"],
    )


def _start(server, install, node, more):
    data = _data(server, node)
    postgres.wait_for_burial(data)
    settings = data / "stack.conf"
    settings.write_text(postgres.SETTINGS.format(host=server.host, port=server.ports[node]) + more)
    settings.chmod(0o600)
    if server.owner:
        server.owner.take(settings)
    server.daemon(node).start(
        [install.server / "bin/postgres", "-D", data], clean_environment(), owner=server.owner, cwd=server.home
    )


def answers(server, install):
    return _ask(server, install, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"


ready = answers


def settle(server, install):
    _ask(server, install, f"CREATE DATABASE {DATABASE}")


def _ask(server, install, statement):
    """The answer of the primary, `None` where there is none."""
    environment = postgres.client_environment(server, "postgres", PGCONNECT_TIMEOUT=5)
    environment["PGPORT"] = str(server.ports[_primary(server)])
    done = subprocess.run(
        [install.client / "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _stop(server, node):
    # SIGINT is PostgreSQL's fast shutdown.
    server.daemon(node).stop(signal.SIGINT)


def stop(server):
    """The standby last: the primary's shutdown waits until it has everything."""
    for node in sorted(NODES, key=lambda node: _signal(server, node).exists()):
        _stop(server, node)


def env(server):
    hosts = ",".join(f"{server.host}:{server.ports[node]}" for node in NODES)
    login = f"{postgres.SUPERUSER}:{server.secrets['postgres']}"
    return {"POSTGRES_URL": f"postgres://{login}@{hosts}/{DATABASE}?target_session_attrs=read-write"}
