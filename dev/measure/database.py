"""The PostgreSQL server that is measured on: fresh databases, and what is in them afterwards."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from stack import packages, postgres
from stack.cache import Cache, cache_root
from stack.errors import StackError
from stack.layout import ServerSet

SET = "bench"


@dataclass(frozen=True)
class Place:
    """One database, as a client is told of it."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @property
    def url(self):
        return f"postgres://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}?sslmode=disable"

    def through(self, port):
        return replace(self, port=port)

    def variables(self):
        """The same for psql and pg_dump."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
        }


class Postgres:
    def __init__(self, say):
        servers = ServerSet.load(SET)
        if servers is None:
            raise StackError(f"there is no set `{SET}` of servers", hint=f"start it with: dev/stores up --set {SET}")
        self.server = servers.server(postgres, packages.MODULES.index(postgres))
        self.client = postgres.prepare(Cache(cache_root(), say)).client
        if self.server.daemon(postgres.STORE).identity() is None:
            raise StackError("PostgreSQL is not running", hint=f"start it with: dev/stores up --set {SET} postgres")

    def place(self, database):
        return Place(self.server.host, self.server.port, postgres.SUPERUSER, self.server.secrets["postgres"], database)

    def fresh(self, name):
        """An empty database of that name; a checkpoint is behind it, so that none falls into what is measured."""
        place = self.place(name)
        self.drop(name)
        self.ask("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        self.ask("postgres", "CHECKPOINT")
        return place

    def drop(self, name):
        self.ask("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def ask(self, database, sql):
        """The rows of one statement, as lines of text."""
        done = subprocess.run(
            [self.client / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env=self.place(database).variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise StackError(f"{sql}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def count(self, database, sql):
        return int(self.ask(database, f"SELECT count(*) FROM {sql}")[0])

    def check(self, database, migrations, ledger):
        """Raises unless all tables, indexes and ledger rows of so many migrations are there."""
        objects = "pg_class WHERE relnamespace = 'public'::regnamespace AND "
        wanted = {
            "tables": (objects + "relkind = 'r' AND relname ~ '^t_[0-9]+$'", (migrations + 1) // 2),
            "indexes": (objects + "relkind = 'i' AND relname ~ '^i_[0-9]+$'", migrations // 2),
        }
        if ledger:
            wanted["ledger rows"] = (ledger, migrations)
        for what, (sql, expected) in wanted.items():
            found = self.count(database, sql)
            if found != expected:
                raise StackError(f"{database}: {found} {what}, expected {expected}")

    def seconds(self):
        """Processor seconds of the server: of its processes, and of those that it has buried."""
        identity = self.server.daemon(postgres.STORE).identity()
        ticks = sum(_ticks(identity.pid, reaped=True), start=0.0)
        return ticks + sum(sum(_ticks(child.pid, reaped=False)) for child in identity.descendants())

    def version(self):
        return self.ask("postgres", "SHOW server_version")[0]


def _ticks(pid, reaped):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return (0.0,)
    return tuple(int(field) / 100 for field in fields[11 : 15 if reaped else 13])


