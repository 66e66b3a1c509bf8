"""The peers that can be had from package registries: getting them, and driving them."""

import shutil
import tarfile

from stack.cache import Cache, cache_root, fetch_npm, run
from stack.errors import StackError

from . import workloads
from .tools import Tool

SQLX, DIESEL, REFINERY = "0.9.0", "2.3.14", "0.10.0"
GOOSE, GOLANG_MIGRATE = "3.29.0", "4.20.1"
DBMATE = "2.36.0"
DBMATE_SHA512 = (
    "2dd2e9832ba5bb027ddeb59cbc98dd96c8c9f2b05e7801f9da1ddd4a4d3300c6"
    "8bad09f8f5dba9d7fa36b45a46d6333d7fbebb1e4b97741aeb8f2e99c06f414a"
)
FLYWAY, POSTGRES_JDBC, JACKSON, JANSI = "11.14.1", "42.7.7", "2.19.1", "2.4.1"
MAVEN_DEPENDENCY_PLUGIN = "3.6.1"

# Named on the page with the reason.
NOT_HAD = {
    "Atlas and pgroll": "no package registry has them as programs",
    "tern and Liquibase": "not got by `dev/bench`; elsewhere neither was faster than the best of those that are",
}


class Peer(Tool):
    """A peer in the cache: `artefact` names its folder, `get(folder)` fills it."""

    version = ""

    def __init__(self, cache):
        self.home = cache.root / self.artefact

    @property
    def artefact(self):
        return f"peer-{self.name}-{self.version}"

    def get(self, folder):
        raise NotImplementedError

    def there(self):
        return self.home.is_dir()


class Crate(Peer):
    """A peer that cargo builds, for PostgreSQL alone."""

    crate = features = ""

    def get(self, folder):
        run(
            ["nice", "-n", "19", "cargo", "install", "--locked", "--root", folder, "--version", self.version,
             "--no-default-features", "--features", self.features, self.crate],
            cwd=folder,
            CARGO_TARGET_DIR=folder / "target",
        )
        shutil.rmtree(folder / "target")


class Sqlx(Crate):
    name, title, version = "sqlx", "sqlx", SQLX
    crate, features = "sqlx-cli", "postgres"
    ledger = "_sqlx_migrations WHERE success"

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"{n:05}_step_{n}.sql", statements)

    def up(self, folder, place):
        return [self.home / "bin/sqlx", "migrate", "run", "--no-dotenv", "--source", "files"], {"DATABASE_URL": place.url}

    def status(self, folder, place):
        return [self.home / "bin/sqlx", "migrate", "info", "--no-dotenv", "--source", "files"], {"DATABASE_URL": place.url}


class Diesel(Crate):
    name, title, version = "diesel", "diesel", DIESEL
    crate, features = "diesel_cli", "postgres"
    ledger = "__diesel_schema_migrations"

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"{n:05}_step/up.sql", statements)
        (folder / "diesel.toml").write_text("")

    def up(self, folder, place):
        return [self.home / "bin/diesel", "migration", "run", "--migration-dir", "files"], {"DATABASE_URL": place.url}

    def status(self, folder, place):
        return [self.home / "bin/diesel", "migration", "list", "--migration-dir", "files"], {"DATABASE_URL": place.url}


class Refinery(Crate):
    name, title, version = "refinery", "refinery", REFINERY
    crate, features = "refinery_cli", "postgresql"
    ledger = "refinery_schema_history"

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"V{n}__step_{n}.sql", statements)

    def up(self, folder, place):
        return [self.home / "bin/refinery", "migrate", "-e", "DATABASE_URL", "-p", "files"], {"DATABASE_URL": place.url}


class GoProgram(Peer):
    package = tags = ""

    def get(self, folder):
        run(
            ["nice", "-n", "19", "go", "install", "-tags", self.tags, f"{self.package}@v{self.version}"],
            cwd=folder,
            GOBIN=folder / "bin",
        )


class Goose(GoProgram):
    name, title, version = "goose", "goose", GOOSE
    package = "github.com/pressly/goose/v3/cmd/goose"
    tags = "no_azuresql,no_clickhouse,no_duckdb,no_libsql,no_mssql,no_mysql,no_redshift,no_spanner,no_sqlite3,no_starrocks,no_turso,no_vertica,no_ydb"
    ledger = "goose_db_version WHERE version_id > 0"

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"{n:05}_step_{n}.sql", statements, before="-- +goose Up\n")

    def up(self, folder, place):
        return [self.home / "bin/goose", "-dir", "files", "postgres", place.url, "up"], {}

    def status(self, folder, place):
        return [self.home / "bin/goose", "-dir", "files", "postgres", place.url, "status"], {}


class GolangMigrate(GoProgram):
    name, title, version = "golang-migrate", "golang-migrate", GOLANG_MIGRATE
    package = "github.com/golang-migrate/migrate/v4/cmd/migrate"
    tags = "postgres"

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"{n:05}_step_{n}.up.sql", statements)

    def up(self, folder, place):
        return [self.home / "bin/migrate", "-path", "files", "-database", place.url, "up"], {}

    def status(self, folder, place):
        return [self.home / "bin/migrate", "-path", "files", "-database", place.url, "version"], {}


class Dbmate(Peer):
    name, title, version = "dbmate", "dbmate", DBMATE
    ledger = "schema_migrations"

    def get(self, folder):
        package = fetch_npm(f"@dbmate/linux-x64@{self.version}", DBMATE_SHA512, folder)
        with tarfile.open(package) as archive:
            with archive.extractfile("package/bin/dbmate") as source, open(folder / "dbmate", "wb") as sink:
                shutil.copyfileobj(source, sink)
        (folder / "dbmate").chmod(0o755)
        package.unlink()

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"{n:05}_step_{n}.sql", statements, "-- migrate:up\n", "-- migrate:down\n")

    def _command(self, verb, place):
        return [self.home / "dbmate", "--no-dump-schema", "--migrations-dir", "files", verb], {"DATABASE_URL": place.url}

    def up(self, folder, place):
        return self._command("migrate", place)

    def status(self, folder, place):
        return self._command("status", place)


class Flyway(Peer):
    """Flyway's command line with the jars that PostgreSQL needs; all of them would slow its start."""

    name, title, version = "flyway", "Flyway", FLYWAY
    ledger = "flyway_schema_history WHERE success"

    def get(self, folder):
        (folder / "pom.xml").write_text(POM.format(flyway=FLYWAY, jdbc=POSTGRES_JDBC, jackson=JACKSON, jansi=JANSI))
        goal = f"org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies"
        run(["mvn", "-B", "-q", goal, f"-DoutputDirectory={folder / 'jars'}"], cwd=folder)

    def write(self, folder, statements):
        workloads.write(folder / "files", lambda n: f"V{n}__step_{n}.sql", statements)

    def _command(self, verb, place):
        return [
            "java", "-cp", f"{self.home}/jars/*", "org.flywaydb.commandline.Main",
            "-locations=filesystem:files", "-skipCheckForUpdate", verb,
        ], {
            "FLYWAY_URL": f"jdbc:postgresql://{place.host}:{place.port}/{place.database}?sslmode=disable",
            "FLYWAY_USER": place.user,
            "FLYWAY_PASSWORD": place.password,
        }

    def up(self, folder, place):
        return self._command("migrate", place)

    def status(self, folder, place):
        return self._command("info", place)


POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aiplat-migrate</groupId>
  <artifactId>flyway</artifactId>
  <version>1</version>
  <dependencyManagement>
    <dependencies>
      <dependency>
        <groupId>com.fasterxml.jackson</groupId>
        <artifactId>jackson-bom</artifactId>
        <version>{jackson}</version>
        <type>pom</type>
        <scope>import</scope>
      </dependency>
    </dependencies>
  </dependencyManagement>
  <dependencies>
    <dependency>
      <groupId>org.flywaydb</groupId>
      <artifactId>flyway-commandline</artifactId>
      <version>{flyway}</version>
      <exclusions>
        <exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.flywaydb</groupId>
      <artifactId>flyway-core</artifactId>
      <version>{flyway}</version>
    </dependency>
    <dependency>
      <groupId>org.flywaydb</groupId>
      <artifactId>flyway-database-postgresql</artifactId>
      <version>{flyway}</version>
    </dependency>
    <dependency>
      <groupId>com.fasterxml.jackson.dataformat</groupId>
      <artifactId>jackson-dataformat-toml</artifactId>
    </dependency>
    <dependency>
      <groupId>com.fasterxml.jackson.datatype</groupId>
      <artifactId>jackson-datatype-jsr310</artifactId>
    </dependency>
    <dependency>
      <groupId>org.fusesource.jansi</groupId>
      <artifactId>jansi</artifactId>
      <version>{jansi}</version>
    </dependency>
    <dependency>
      <groupId>org.postgresql</groupId>
      <artifactId>postgresql</artifactId>
      <version>{jdbc}</version>
    </dependency>
  </dependencies>
</project>
"""

ALL = (Dbmate, Flyway, Goose, GolangMigrate, Diesel, Refinery, Sqlx)


def installed():
    """The peers that are in the cache."""
    cache = Cache(cache_root(), print)
    return [peer for peer in (kind(cache) for kind in ALL) if peer.there()]


def install(names, say):
    """Gets the named peers, or all, one after another; returns those that could not be had, with the reason."""
    cache = Cache(cache_root(), say)
    missing = {}
    for peer in (kind(cache) for kind in ALL):
        if names and peer.name not in names:
            continue
        try:
            cache.obtain(peer.artefact, peer.get, f"getting {peer.title} {peer.version}")
        except StackError as error:
            missing[peer.name] = str(error)
            say(f"{peer.title}: {error}")
    return missing
