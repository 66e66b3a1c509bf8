"""The stores besides PostgreSQL: their servers, and what is put into them and taken out again."""

import subprocess
import sys

from stack import kafka, mongo, packages, redis, weaviate
from stack.errors import StackError
from stack.layout import CHECKOUT, ServerSet

from .database import SET
from .timing import built

MODULES = {module.STORE: module for module in (kafka, mongo, redis, weaviate)}


class Stores:
    def __init__(self):
        self.set = ServerSet.load(SET)
        if self.set is None:
            raise StackError(f"there is no set `{SET}` of servers", hint=f"start it with: dev/stores up --set {SET}")

    def server(self, store):
        module = MODULES[store]
        server = self.set.server(module, packages.MODULES.index(module))
        if server.daemon(store).identity() is None:
            raise StackError(f"{store} is not running", hint=f"start it with: dev/stores up --set {SET} {store}")
        return server

    def variables(self, *stores):
        """By which ours finds them."""
        found = {}
        for store in stores:
            for name, value in MODULES[store].env(self.server(store)).items():
                found[f"AIPLAT_MIGRATE_{name}"] = value
        return found

    def anew(self, store):
        """The same server without data."""
        for verb in ("wipe", "up"):
            command = [sys.executable, CHECKOUT / "dev/stores", verb, "--set", SET, store]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise StackError(f"dev/stores {verb} {store}: {done.stderr.strip()}")


class Redis:
    def __init__(self, stores):
        self.server = stores.server("redis")
        self.login = {"REDISCLI_AUTH": self.server.secrets["redis"]}

    def ask(self, *words):
        done = subprocess.run(
            ["redis-cli", "-h", self.server.host, "-p", str(self.server.port), *words],
            env={"PATH": "/usr/bin:/bin", **self.login}, capture_output=True, text=True,
        )
        if done.returncode != 0 or done.stdout.startswith(("ERR", "NOAUTH", "WRONG")):
            raise StackError(f"redis-cli {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def keys(self, count, verb):
        """Seconds that the plain client takes."""
        command = [built("keys"), self.server.address, str(count), verb]
        done = subprocess.run(command, env=self.login, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise StackError(f"keys {verb}: {done.stderr}")
        return float(done.stdout)

    def watched(self, action):
        """What `action()` returns, and the longest that a PING waited meanwhile, in seconds."""
        command = [built("keys"), self.server.address, "0", "watch"]
        watcher = subprocess.Popen(
            command, env=self.login, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            result = action()
            longest, _ = watcher.communicate()
        finally:
            watcher.kill()
            watcher.wait()
        return result, float(longest)

    def without_ttl(self):
        """How many keys have no TTL."""
        fields = dict(part.split("=") for part in self.ask("INFO", "keyspace").partition("db0:")[2].strip().split(","))
        return int(fields["keys"]) - int(fields["expires"])


class Mongo:
    """The bench's own database, through the driver that the servers are set up with."""

    def __init__(self, stores, say):
        from stack.cache import Cache, cache_root

        mongo.prepare(Cache(cache_root(), say))
        from pymongo import MongoClient

        self.stores = stores
        self.client = MongoClient(mongo.env(stores.server("mongo"))["MONGO_URL"])

    def variables(self, database):
        """By which ours finds this database."""
        variables = self.stores.variables("mongo")
        url = variables["AIPLAT_MIGRATE_MONGO_URL"]
        return {**variables, "AIPLAT_MIGRATE_MONGO_URL": url.replace("/ai_platform?", f"/{database}?")}

    def load(self, database, count):
        """A fresh collection `documents` of so many."""
        self.client.drop_database(database)
        collection = self.client[database]["documents"]
        for start in range(0, count, 10_000):
            collection.insert_many(
                [{"level": "WARN", "service": f"service-{n % 50}", "text": "x" * 80, "count": n}
                 for n in range(start, min(count, start + 10_000))],
                ordered=False,
            )
        return collection
