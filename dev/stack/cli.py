"""The command line of `dev/stores`."""

import argparse
import os
import resource
import shlex
import sys
import threading

from .docker import Docker, engine_answers
from .errors import StackError
from .layout import PLAIN, SECURE
from .packages import MODULES, Packages, describe
from .topology import Topology

PREFIX = "AIPLAT_MIGRATE_"
CLIENTS = ("psql", "pg_dump", "pg_restore", "kafka-acls")

HELP = """\
Real PostgreSQL, MongoDB, Redis, Kafka and Weaviate servers on loopback.

  up       get what is needed, start the servers, wait until they are ready
  down     stop them; their data stays
  wipe     stop them and delete their data
  status   show what runs; exit code 1 unless all of it is ready
  env      print the variables by which aiplat-migrate finds them:
           eval "$(dev/stores env)"
  start, stop, restart, kill
           act on single servers that were up before; kill is SIGKILL
  psql, pg_dump, pg_restore
           run that client against the set's PostgreSQL: dev/stores psql [--set NAME] ...
  kafka-acls
           the same against the set's Kafka

Sets are independent of one another: `default` for people (ports from 24000), `test` (24100) and
`platform` (24200) for the tests; any other name gets ports of its own. `--secure` makes a set (called `secure`) whose
servers demand TLS with certificates of its own authority, and a login; `env` prints those too. `--topology` makes one
(called `topology`) with several servers of each: a PostgreSQL primary and its standby, a MongoDB replica set of three,
`sentinel` (a Redis, its replica and three Sentinels), `cluster` (a Redis Cluster of six), and three Kafka brokers;
there `stop` and `kill` act on the single server that `--node ADDRESS` names, and `start` brings back what is missing.

Variables: AIPLAT_MIGRATE_STORES=packages|docker chooses how the servers run (without it: docker
where its engine answers); AIPLAT_MIGRATE_CACHE is where downloads are kept.
"""


def main(arguments):
    try:
        return run(arguments)
    except StackError as error:
        print(describe("error", error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(arguments):
    if arguments and arguments[0] in CLIENTS:
        return run_client(arguments[0], arguments[1:])
    options = parser().parse_args(arguments)
    if options.verb in ("start", "stop", "restart", "kill") and not options.stores:
        raise StackError(f"`{options.verb}` needs the names of stores: {', '.join(options.known)}")
    stores = [store for store in options.known if not options.stores or store in options.stores]
    allow_open_files()
    if options.topology:
        fleet = Topology(options.set, speaker(), options.node)
    else:
        fleet = choose_fleet(options.set, options.secure)
    if options.verb == "env":
        return print_env(fleet.env(stores), options.prefix)
    if options.verb == "status":
        return print_status(*fleet.status(stores))
    getattr(fleet, options.verb)(stores)
    return 0


def parser():
    verbs = ("up", "down", "wipe", "status", "env", "start", "stop", "restart", "kill")
    found = argparse.ArgumentParser(
        prog="dev/stores", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    found.add_argument("verb", choices=verbs, metavar="VERB")
    found.add_argument("stores", nargs="*", metavar="STORE", help=f"{', '.join(names(MODULES))}; all, if none is named")
    found.add_argument("--set", metavar="NAME", help="which set of servers (default: `default`)")
    found.add_argument("--secure", action="store_true", help="servers with TLS (default set: `secure`)")
    found.add_argument("--topology", action="store_true", help="several servers of each (default set: `topology`)")
    found.add_argument("--node", metavar="ADDRESS", help="with --topology: the single server that is meant")
    found.add_argument("--prefix", default=PREFIX, metavar="P", help=f"for `env`: replaces {PREFIX}")
    return StoreNames(found)


class StoreNames:
    """Checks the names of stores itself: argparse mixes up `choices` with an empty `nargs=*`."""

    def __init__(self, inner):
        self.inner = inner

    def parse_args(self, arguments):
        options = self.inner.parse_intermixed_args(arguments)
        if options.topology and options.secure:
            self.inner.error("a set is --secure or a --topology")
        if options.node and not (options.topology and options.verb in ("stop", "kill") and len(options.stores) == 1):
            self.inner.error("--node goes with --topology, `stop` or `kill`, and one store")
        options.known = names(Topology.modules if options.topology else MODULES)
        for store in options.stores:
            if store not in options.known:
                self.inner.error(f"no such store: {store} (there are {', '.join(options.known)})")
        usual = "secure" if options.secure else "topology" if options.topology else "default"
        options.set = options.set or usual
        return options


def names(modules):
    return tuple(module.STORE for module in modules)


def choose_fleet(set_name, secure=False):
    how = os.environ.get("AIPLAT_MIGRATE_STORES") or ("docker" if engine_answers() else "packages")
    if how == "docker" and secure:
        raise StackError("secure sets run from packages alone", hint="set AIPLAT_MIGRATE_STORES=packages")
    if how == "docker":
        return Docker(set_name, speaker())
    if how == "packages":
        return Packages(set_name, speaker(), SECURE if secure else PLAIN)
    raise StackError(f"AIPLAT_MIGRATE_STORES is `{how}`, and can be packages or docker")


def speaker():
    """Prints whole lines to stderr, from any thread: stdout is for `env` and `status`."""
    one_at_a_time = threading.Lock()

    def say(text):
        with one_at_a_time:
            print(text, file=sys.stderr, flush=True)

    return say


def print_env(variables, prefix):
    for name, value in variables.items():
        print(f"export {prefix}{name}={shlex.quote(value)}")
    return 0


def print_status(rows, all_ready):
    for row in rows:
        print("{:<9} {:<9} {:<16} {}".format(*row).rstrip())
    return 0 if all_ready else 1


def run_client(tool, arguments):
    set_name = "default"
    if arguments[:1] == ["--set"] and len(arguments) > 1:
        set_name, arguments = arguments[1], arguments[2:]
    command, environment = choose_fleet(set_name).client(tool, arguments)
    terminal = {name: os.environ[name] for name in ("TERM", "PAGER", "EDITOR") if name in os.environ}
    os.execvpe(command[0], [str(word) for word in command], {**terminal, **environment})


def allow_open_files():
    """Databases want many open files, and inherit our limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
