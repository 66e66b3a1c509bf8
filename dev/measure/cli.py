"""The command line of `dev/bench`."""

import argparse
import sys
import time
from pathlib import Path

from stack.cli import allow_open_files, speaker
from stack.errors import StackError
from stack.layout import CHECKOUT
from stack.packages import describe

from . import causes, page, peers, results, suites
from .bench import Bench

HELP = """\
Measures aiplat-migrate against its lower bounds and its peers, on real servers of its own.

  peers [NAME...]  gets the peers into the download cache, all that are not there yet: builds some of
                   them, which takes many minutes
  run [SUITE...]   runs the named suites, or all of them, and keeps the raw figures in
                   target/bench/results.json; needs dev/stores up --set bench
  report           writes docs/performance.md and docs/performance.svg of the raw figures
"""


def main(arguments):
    options = parser().parse_args(arguments)
    try:
        return options.act(options)
    except StackError as error:
        print(describe("error", error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser():
    found = argparse.ArgumentParser(
        prog="dev/bench", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    verbs = found.add_subparsers(required=True, metavar="VERB")
    peers_verb = verbs.add_parser("peers", help="get the peers")
    peers_verb.add_argument("names", nargs="*", metavar="NAME", help=", ".join(peer.name for peer in peers.ALL))
    peers_verb.set_defaults(act=get_peers)
    run_verb = verbs.add_parser("run", help="measure")
    run_verb.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suites.ALL))
    run_verb.add_argument("--binary", type=Path, default=CHECKOUT / "target/release/aiplat-migrate")
    run_verb.add_argument("--quick", action="store_true", help="small and few: to see whether it works")
    run_verb.add_argument("--rounds", type=int, help="instead of each suite's own number")
    run_verb.add_argument("--tools", help="only these, by name, separated by commas (`ours` is always there)")
    run_verb.add_argument("--seed", type=int, default=1, help="of the order in which the tools take turns")
    run_verb.set_defaults(act=run)
    report_verb = verbs.add_parser("report", help="write the page")
    report_verb.add_argument("--into", type=Path, default=CHECKOUT / "docs", metavar="FOLDER")
    report_verb.set_defaults(act=report)
    return found


def get_peers(options):
    missing = peers.install(options.names, speaker())
    if missing:
        raise StackError(f"not had: {', '.join(missing)}")
    return 0


def report(options):
    found = results.load()
    if not found:
        raise StackError("nothing has been measured", hint="dev/bench run")
    for bar in page.write(found, options.into, causes.CAUSES).values():
        print(bar.row())
    return 0


def run(options):
    allow_open_files()
    chosen = options.suites or list(suites.ALL)
    for name in chosen:
        if name not in suites.ALL:
            raise StackError(f"no such suite: {name}", hint=f"there are {', '.join(suites.ALL)}")
    if not options.binary.exists():
        raise StackError(f"{options.binary} is not there", hint="cargo build --release --locked, or --binary FILE")
    failed = []
    for name in chosen:
        say = speaker()
        say(f"== {name}")
        began = time.monotonic()
        bench = Bench(options, say)
        try:
            figures = suites.ALL[name](bench)
        except StackError as error:
            failed.append(name)
            say(describe(name, error))
            continue
        figures["about"] = {
            **results.machine(),
            "quick": options.quick,
            "binary": bench.version(),
            "versions": bench.versions(),
        }
        results.store(name, figures)
        say(f"== {name}: {time.monotonic() - began:.0f} s")
    if failed:
        raise StackError(f"failed: {', '.join(failed)}")
    return 0
