"""How each program is driven: what it reads, how it goes up, how it tells its state, where it keeps its ledger."""

from stack.process import clean_environment

from . import workloads
from .timing import timed

class Tool:
    """A program that applies a folder of migrations to a PostgreSQL database."""

    name = ""
    title = ""
    ledger = None  # FROM … of the query that counts its rows

    def write(self, folder, statements):
        """Puts the migrations into `folder` in this tool's form."""
        raise NotImplementedError

    def up(self, folder, place):
        """Command and variables of applying what is pending."""
        raise NotImplementedError

    def status(self, folder, place):
        """Command and variables of showing the state of every migration; None if there is no such thing."""
        return None

    def run(self, work, folder, place, more=None):
        """Runs `up`, `status` or whatever else the tool has a method for, and measures it."""
        command, variables = getattr(self, work)(folder, place)
        return timed(command, folder, clean_environment(**variables, **(more or {})))


class Ours(Tool):
    name = "ours"
    title = "aiplat-migrate"
    ledger = "aiplat_migrate.ledger WHERE state = 'applied'"

    def __init__(self, binary):
        self.binary = binary

    def write(self, folder, statements):
        workloads.write(folder / "migrations/postgres", lambda n: f"V{n:05}__step_{n}.sql", statements)
        self.finish(folder)

    def finish(self, folder):
        """What a folder of migrations needs besides: settings of its own, and the sum file."""
        (folder / "aiplat-migrate.toml").write_text("")
        timed([self.binary, "hash"], folder, clean_environment())

    def variables(self, place):
        return {"AIPLAT_MIGRATE_POSTGRES_URL": place.url, "AIPLAT_MIGRATE_NO_DOTENV": "true"}

    def command(self, *words, place):
        return [self.binary, *words], self.variables(place)

    def up(self, folder, place):
        return self.command("up", place=place)

    def status(self, folder, place):
        return self.command("status", place=place)

    def validate(self, folder, place):
        return self.command("validate", place=place)


class Psql(Tool):
    """A lower bound: psql is given one file, in transactions or not."""

    def __init__(self, client, name, title, before="", after="", each=("", "")):
        self.psql, self.name, self.title = client / "psql", name, title
        self.before, self.after, self.each = before, after, each

    def write(self, folder, statements):
        folder.mkdir(parents=True, exist_ok=True)
        open_, close = self.each
        body = "".join(open_ + statement + close for statement in statements)
        (folder / "all.sql").write_text(self.before + body + self.after)

    def up(self, folder, place):
        return [self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "all.sql"], place.variables()

    def select_1(self, folder, place):
        return [self.psql, "-X", "-c", "select 1"], place.variables()


def floors(client):
    """psql with every migration in its own transaction, and psql with all of them in one; no ledger."""
    return [
        Psql(client, "psql-each", "psql, a transaction each", each=("BEGIN;\n", "COMMIT;\n")),
        Psql(client, "psql-one", "psql, one transaction", before="BEGIN;\n", after="COMMIT;\n"),
    ]


class PgDump(Tool):
    """A lower bound of reading a catalog."""

    name = "pg_dump"
    title = "pg_dump --schema-only"

    def __init__(self, client):
        self.pg_dump = client / "pg_dump"

    def dump(self, folder, place):
        return [self.pg_dump, "--schema-only", "--file", "/dev/null"], place.variables()
