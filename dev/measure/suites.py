"""What is measured: a function per suite, each returns its samples."""

from .bench import FAR


def loopback(bench):
    """1,000 migrations on loopback."""
    count = bench.size(1000, 100)
    measures = [bench.fresh_up(tool, count) for tool in bench.tools()]
    return {"samples": bench.in_rounds(bench.rounds(15), measures)}


def far(bench):
    """100 migrations, and 10, with 5 ms per turn."""
    measures = [bench.fresh_up(tool, count, FAR) for tool in bench.tools() for count in (10, 100)]
    return {"samples": bench.in_rounds(bench.rounds(5), measures)}


ALL = {"loopback": loopback, "far": far}
