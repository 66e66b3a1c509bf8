"""docs/performance.md, made of the raw figures; what a suite has not measured is left out and named."""

from . import peers, plot, suites
from .statistics import interval, median, slope, upper_bound

FLOOR = "psql-each"
NOISY = 0.15  # of the machine: a run beside which others took more is not counted

TITLES = {
    "ours": "**aiplat-migrate**",
    "psql-each": "psql, a transaction each",
    "psql-one": "psql, one transaction",
    "pg_dump": "pg_dump --schema-only",
    **{peer.name: peer.title for peer in peers.ALL},
}


class Samples:
    """The samples of one suite, and questions to them. Runs beside which other processes took much of the
    machine are left out, where enough others remain."""

    def __init__(self, figures):
        self.figures = figures
        self.all = figures["samples"]
        quiet = [sample for sample in self.all if sample.get("others", 0) <= NOISY]
        kinds = {_kind(sample) for sample in self.all}
        enough = all(sum(_kind(s) == kind for s in quiet) * 2 >= sum(_kind(s) == kind for s in self.all) for kind in kinds)
        self.counted = quiet if enough else self.all
        self.noisy = len(self.all) - len(quiet)
        self.uses_noisy = self.noisy > 0 and not enough

    def of(self, tool, **wanted):
        """Samples of a tool with these facts; `far=None` is those on loopback."""
        return [
            sample for sample in self.counted
            if sample["tool"] == tool and all(sample.get(key) == value for key, value in wanted.items())
        ]

    def median(self, tool, what="wall", **wanted):
        found = [sample[what] for sample in self.of(tool, **wanted)]
        return median(found) if found else None

    def ratios(self, tool, other, wanted=None, of_other=None, what="wall"):
        """Each run of the tool divided by the other's in the same round."""
        beside = {sample["round"]: sample[what] for sample in self.of(other, **(of_other or wanted or {}))}
        return [s[what] / beside[s["round"]] for s in self.of(tool, **(wanted or {})) if s["round"] in beside]

    def tools(self):
        """In order of first appearance of their titles."""
        found = {sample["tool"] for sample in self.counted}
        return [name for name in TITLES if name in found]


def _kind(sample):
    return tuple(sample.get(key) for key in ("tool", "work", "count", "far"))


class Bar:
    """One line of what must hold: a verdict, or that it was not measured."""

    def __init__(self, work, bar):
        self.work, self.bar = work, bar
        self.measured, self.held = "not measured", None

    def judge(self, held, measured):
        self.held, self.measured = held, measured
        return self

    def row(self):
        verdict = {True: "held", False: "**not held**", None: "—"}[self.held]
        return f"| {self.work} | {self.bar} | {self.measured} | {verdict} |"


def write(results, folder, causes):
    """Writes page and plot; returns the bars."""
    samples = {name: Samples(figures) for name, figures in results.items()}
    bars = judge(samples)
    series = growth_series(samples)
    if series:
        (folder / "performance.svg").write_text(plot.draw(series))
    sections = [
        HEAD,
        bars_section(bars, causes),
        loopback_section(samples),
        growth_section(samples, bool(series)),
        far_section(samples),
        noop_section(samples),
        stores_section(samples),
        method_section(samples),
    ]
    (folder / "performance.md").write_text("\n".join(part for part in sections if part).rstrip() + "\n")
    return bars


HEAD = """\
# Performance

Measured by `dev/bench`, side by side in one run on one machine, and compared as ratios: seconds of one
machine mean little on another. Made by `dev/bench report` from the raw figures of the last run; how they
were measured is [at the end](#how-it-was-measured).
"""


def judge(samples):
    """The bars, each with its verdict."""
    bars = {
        "loopback": Bar(
            "1,000 PostgreSQL migrations, loopback, shapes included",
            "paired median ≤ 1.05 × psql's each in its own transaction without a ledger, of ≥ 15 runs; upper 95 % bound ≤ 1.10",
        ),
        "far": Bar("100 migrations, 5 ms per turn", "≤ 1/5 of the fastest peer, and less than psql in one transaction"),
        "turns": Bar("round trips per migration", "< 0.5"),
        "noop": Bar("no-op `up`, 1,000 applied", "≤ 2 × `psql -c 'select 1'`"),
        "noop_far": Bar("no-op `up` there, 5 ms per turn", "≤ 6 turns"),
        "status": Bar("`status` at 1,000", "≤ 15 ms more than `select 1`"),
        "validate": Bar("`validate` with drift check, 2,000 tables", "faster than `pg_dump --schema-only`"),
        "memory": Bar("peak memory, `up` of 1,000", "≤ 16 MB"),
        "copy": Bar("peak memory, a 500 MB COPY file", "≤ 32 MB"),
        "growth": Bar("growth from 10 to 10,000 migrations", "exponent ≤ 1.1"),
        "redis": Bar("Redis: TTL on 1,000,000 keys", "≥ 80 % of the ceiling that SCAN and EXPIRE apart allow"),
        "held": Bar("Redis meanwhile: longest that another client waited", "about 15 ms"),
        "mongo": Bar("MongoDB: 1,000,000 documents in resumable batches", "≤ 1.5 × one `updateMany`"),
        "lanes": Bar("five stores side by side", "≤ 1.15 × the slowest store alone"),
    }
    for name, judge_one in (
        ("loopback", judge_loopback), ("far", judge_far), ("noop", judge_noop), ("validate", judge_validate),
        ("copy", judge_copy), ("redis", judge_redis), ("mongo", judge_mongo), ("lanes", judge_lanes),
    ):
        if name in samples:
            judge_one(bars, samples[name])
    judge_growth(bars, samples)
    return bars


def judge_loopback(bars, loopback):
    ratios = loopback.ratios("ours", FLOOR)
    upper = upper_bound(ratios)
    held = len(ratios) >= 15 and median(ratios) <= 1.05 and upper <= 1.10
    bound = f"{upper:.3f}" if upper else "none"
    bars["loopback"].judge(held, f"{median(ratios):.3f} ×, bound {bound}, {len(ratios)} pairs")
    peak = max(sample["rss_kib"] for sample in loopback.of("ours")) * 1024 / 1e6
    bars["memory"].judge(peak <= 16, f"{peak:.1f} MB")


def judge_far(bars, far):
    seconds = {tool: far.median(tool, count=100) for tool in far.tools()}
    rivals = {tool: wall for tool, wall in seconds.items() if tool not in ("ours", FLOOR, "psql-one")}
    ours, one = seconds["ours"], seconds.get("psql-one")
    if rivals and one:
        best = min(rivals, key=rivals.get)
        held = ours <= rivals[best] / 5 and ours < one
        said = f"{ours:.2f} s; {TITLES[best]} {rivals[best]:.2f} s (1/{rivals[best] / ours:.1f}); psql, one transaction {one:.2f} s"
        bars["far"].judge(held, said)
    turns = per_migration(far, "ours", "turns")
    bars["turns"].judge(turns < 0.5, f"{turns:.2f}")


def per_migration(far, tool, what):
    """The slope between 10 and 100 migrations."""
    few, many = far.median(tool, what, count=10), far.median(tool, what, count=100)
    return (many - few) / 90 if few is not None and many is not None else None


def judge_noop(bars, noop):
    near = {"far": None}
    ratios = noop.ratios("ours", FLOOR, {"work": "up", **near}, {"work": "select_1", **near})
    ours, floor = noop.median("ours", work="up", **near), noop.median(FLOOR, work="select_1", **near)
    said = f"{median(ratios):.2f} × ({ours * 1000:.1f} ms against {floor * 1000:.1f} ms)"
    bars["noop"].judge(median(ratios) <= 2, said)
    status = noop.median("ours", work="status", **near)
    bars["status"].judge(status - floor <= 0.015, f"{(status - floor) * 1000:.1f} ms more")
    turns = [sample["turns"] for sample in noop.of("ours", work="up") if "far" in sample]
    if turns:
        bars["noop_far"].judge(max(turns) <= 6, f"{max(turns)} turns")


def judge_validate(bars, found):
    ratios = found.ratios("ours", "pg_dump")
    ours, dump = found.median("ours"), found.median("pg_dump")
    bars["validate"].judge(median(ratios) < 1, f"{median(ratios):.2f} × ({ours:.2f} s against {dump:.2f} s)")


def judge_copy(bars, found):
    peak = max(sample["rss_kib"] for sample in found.of("ours")) * 1024 / 1e6
    ratio = median(found.ratios("ours", FLOOR))
    bars["copy"].judge(peak <= 32, f"{peak:.1f} MB for {found.figures['megabytes']} MB, in {ratio:.2f} × psql's time")


def judge_redis(bars, found):
    ceiling = found.median("scan") + found.median("expire")
    reached = ceiling / found.median("ours")
    said = f"{reached * 100:.0f} %: {found.median('ours'):.2f} s against {ceiling:.2f} s"
    bars["redis"].judge(reached >= 0.8, said)
    held = sorted(sample["held"] for sample in found.of("ours"))
    idle = max(sample["held"] for sample in found.of("idle"))
    said = f"{held[-1] * 1000:.1f} ms, median of {len(held)} runs {median(held) * 1000:.1f} ms (server idle: {idle * 1000:.1f} ms)"
    bars["held"].judge(median(held) <= 0.015, said)


def judge_mongo(bars, found):
    ratio = median(found.ratios("ours", "updateMany"))
    said = f"{ratio:.2f} × ({found.median('ours'):.1f} s against {found.median('updateMany'):.1f} s)"
    bars["mongo"].judge(ratio <= 1.5, said)


def judge_lanes(bars, found):
    alone = {tool: found.median(tool) for tool in ("postgres", "mongo", "weaviate", "kafka", "redis")}
    slowest = max(alone, key=alone.get)
    ratio = median(found.ratios("all five", slowest))
    said = f"{ratio:.2f} × {slowest} ({found.median('all five'):.2f} s against {alone[slowest]:.2f} s; one after another {sum(alone.values()):.2f} s)"
    bars["lanes"].judge(ratio <= 1.15, said)


def growth_points(samples, tool):
    """Median seconds by number of migrations, from all suites that had it on loopback."""
    points = {}
    for name in ("growth", "loopback"):
        if name in samples:
            for count in {sample["count"] for sample in samples[name].of(tool)}:
                points[count] = samples[name].median(tool, count=count)
    return sorted(points.items())


def growth_series(samples):
    if "growth" not in samples:
        return {}
    tools = [tool for tool in TITLES if len(growth_points(samples, tool)) > 1]
    return {TITLES[tool].strip("*"): growth_points(samples, tool) for tool in tools}


def judge_growth(bars, samples):
    points = growth_points(samples, "ours")
    if len(points) >= 3:
        steepest = max(slope([one, other]) for one, other in zip(points, points[1:]))
        said = f"{slope(points):.2f} in all, {steepest:.2f} where it is steepest ({points[0][0]:,} to {points[-1][0]:,})"
        bars["growth"].judge(points[-1][0] >= 10_000 and slope(points) <= 1.1, said)


def bars_section(bars, causes):
    lines = ["## What must hold", "", "| work | bar | measured | |", "|---|---|---|---|"]
    lines += [bar.row() for bar in bars.values()]
    missed = {name: bar for name, bar in bars.items() if bar.held is False}
    if missed:
        lines += ["", "Causes of what was not held:", ""]
        lines += [f"- {bar.work}: {causes.get(name, 'not found yet')}" for name, bar in missed.items()]
    return "\n".join([*lines, ""])


def loopback_section(samples):
    if "loopback" not in samples:
        return None
    found = samples["loopback"]
    count = found.all[0]["count"]
    lines = [
        f"## {count:,} migrations on loopback", "",
        "A table and an index on it in turn, a file each, into an empty database. × is the median of paired ratios "
        "to psql with a transaction for each and no ledger; in brackets its 95 % interval where there are enough runs.", "",
        "| tool | s | × | least to most s | runs | peak MB |", "|---|---|---|---|---|---|",
    ]
    for tool in found.tools():
        walls = [sample["wall"] for sample in found.of(tool)]
        ratios = found.ratios(tool, FLOOR)
        low, high = interval(ratios) if ratios else (None, None)
        bounds = f" ({low:.2f}–{high:.2f})" if low and high and tool != FLOOR else ""
        peak = max(sample["rss_kib"] for sample in found.of(tool)) * 1024 / 1e6
        ratio = f"{median(ratios):.2f}{bounds}" if ratios else "—"
        lines.append(
            f"| {TITLES[tool]} | {median(walls):.2f} | {ratio} | {min(walls):.2f}–{max(walls):.2f} | {len(walls)} | {peak:.0f} |"
        )
    return "\n".join([*lines, ""])


def growth_section(samples, has_plot):
    if not has_plot:
        return None
    tools = [tool for tool in TITLES if growth_points(samples, tool)]
    counts = sorted({count for tool in tools for count, _ in growth_points(samples, tool)})
    lines = ["## Growth", "", "![Seconds against number of migrations](performance.svg)", ""]
    lines += [
        "Seconds on loopback; the exponent is that of the power law through the points.", "",
        "| tool | " + " | ".join(f"{count:,}" for count in counts) + " | exponent |", "|---" * (len(counts) + 2) + "|",
    ]
    for tool in tools:
        points = dict(growth_points(samples, tool))
        cells = [f"{points[count]:.3f}" if count in points else "—" for count in counts]
        exponent = f"{slope(sorted(points.items())):.2f}" if len(points) > 1 else "—"
        lines.append(f"| {TITLES[tool]} | " + " | ".join(cells) + f" | {exponent} |")
    return "\n".join([*lines, ""])


def far_section(samples):
    if "far" not in samples:
        return None
    far = samples["far"]
    lines = [
        "## 100 migrations, 5 ms per turn", "",
        "Through a proxy that passes every byte on 2.5 ms later, in both directions, however many are on their way. "
        "What one migration costs is the difference between 100 and 10 of them. A turn waits for the answer to the one "
        "before; sessions log in by SCRAM, which takes three of them.", "",
        "| tool | s | least to most s | turns per migration | statements per migration | KB sent and received per migration |",
        "|---|---|---|---|---|---|",
    ]
    for tool in far.tools():
        walls = [sample["wall"] for sample in far.of(tool, count=100)]
        if not walls:
            continue
        cells = [per_migration(far, tool, what) for what in ("turns", "statements", "bytes_out", "bytes_in")]
        turns, statements, sent, got = ("—" if cell is None else cell for cell in cells)
        wire = f"{sent / 1000:.1f} + {got / 1000:.1f}" if isinstance(sent, float) else "—"
        numbers = [f"{cell:.2f}" if isinstance(cell, float) else cell for cell in (turns, statements)]
        lines.append(
            f"| {TITLES[tool]} | {median(walls):.2f} | {min(walls):.2f}–{max(walls):.2f} | {numbers[0]} | {numbers[1]} | {wire} |"
        )
    return "\n".join([*lines, ""])


def noop_section(samples):
    if "noop" not in samples:
        return None
    noop = samples["noop"]
    lines = [
        "## Nothing to do, and status", "",
        "1,000 migrations are applied; milliseconds, with 5 ms per turn in the right half. psql's line is "
        "`psql -c 'select 1'`, by its own binary.", "",
        "| tool | `up` | `status` | peak MB | `up`, far | turns | statements | `status`, far | turns |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for tool in noop.tools():
        up = "select_1" if tool == FLOOR else "up"
        far = {s["far"] for s in noop.of(tool, work=up) if "far" in s}
        far = far.pop() if far else -1

        def cell(work, what="wall", distance=None, factor=1000, form=".1f"):
            value = noop.median(tool, what, work=work, far=distance)
            return "—" if value is None else f"{value * factor:{form}}"

        lines.append(
            f"| {TITLES[tool] if tool != FLOOR else 'psql, `select 1`'} | {cell(up)} | {cell('status')} | "
            f"{cell(up, 'rss_kib', factor=1024 / 1e6, form='.0f')} | {cell(up, distance=far, form='.0f')} | "
            f"{cell(up, 'turns', far, 1, '.0f')} | {cell(up, 'statements', far, 1, '.0f')} | "
            f"{cell('status', distance=far, form='.0f')} | {cell('status', 'turns', far, 1, '.0f')} |"
        )
    return "\n".join([*lines, ""])


def stores_section(samples):
    lines = ["## The other stores", ""]
    if "redis" in samples:
        found = samples["redis"]
        keys = found.of("ours")[0]["count"]
        scan, expire, ours = (found.median(tool) for tool in ("scan", "expire", "ours"))
        lines += [
            f"**Redis**, a TTL on {keys:,} keys by `rewrite`: {ours:.2f} s for the whole `up`. A plain client that only "
            f"walks them by SCAN needs {scan:.2f} s, one that only sends EXPIRE {expire:.2f} s, all of it pipelined; the server "
            f"has one thread, so both together ({scan + expire:.2f} s) are the ceiling. Meanwhile another client sent a PING "
            "every half millisecond, and the longest that it waited is in the table above.", "",
        ]
    if "mongo" in samples:
        found = samples["mongo"]
        lines += [
            f"**MongoDB**, {found.figures['documents']:,} documents: `updateInBatches` {found.median('ours'):.1f} s, its position "
            f"in the ledger after each batch of 1,000, or {shown(found.median('ours, 10,000 a batch'))} s with 10,000 to a batch; one "
            f"`updateMany` {found.median('updateMany'):.1f} s.", "",
        ]
    if "kafka" in samples:
        found = samples["kafka"]
        topics, wall = found.of("ours")[0]["count"], found.median("ours")
        few, single = found.of("one by one")[0]["count"], found.median("one by one")
        lines += [
            f"**Kafka**, {topics:,} topics by one `createTopics`: {wall:.2f} s, {wall / topics * 1000:.1f} ms each; {few} by a "
            f"`createTopic` each, every one journalled: {single:.2f} s, {single / few * 1000:.1f} ms each.", "",
        ]
    if "lanes" in samples:
        found = samples["lanes"]
        alone = ", ".join(f"{tool} {found.median(tool):.2f}" for tool in ("postgres", "mongo", "weaviate", "kafka", "redis"))
        lines += [f"**Side by side**, a platform's schema in each store, seconds of `up`: {alone}; all five {found.median('all five'):.2f}.", ""]
    return "\n".join(lines) if len(lines) > 2 else None


def shown(value, form=".1f"):
    return "—" if value is None else f"{value:{form}}"


def method_section(samples):
    abouts = [found.figures["about"] for found in samples.values()]
    about = max(abouts, key=lambda one: one["when"])
    versions = ", ".join(f"{title} {version}" for title, version in about["versions"].items())
    missing = [peer.title for peer in peers.ALL if peer.title not in about["versions"]]
    noisy = sum(found.noisy for found in samples.values())
    total = sum(len(found.all) for found in samples.values())
    kept = [name for name, found in samples.items() if found.uses_noisy]
    quick = [name for name, found in samples.items() if found.figures["about"]["quick"]]
    unmeasured = [name for name in suites.ALL if name not in samples]
    lines = [
        "## How it was measured", "",
        f"- {about['when']}, {about['binary']}, release build; {about['cores']} cores ({about['processor']}), "
        f"{about['memory_gib']} GiB, {about['system']}.",
        f"- {versions}. The servers are those of `dev/stores`, with fsync and their usual settings; clients without TLS.",
        "- Tools take turns: each round runs every one of its tools once, in an order drawn for that round, and ratios are of "
        "runs of the same round. Slow tools are in every third or fifth round. The bounds of a median are those of the sign test.",
        "- Every `up` starts from a fresh database, behind a checkpoint, and is checked afterwards in the catalogs: tables, "
        "indexes, ledger rows. A run that is not whole is an error, not a figure.",
        "- Wall time is that of the process from start to end; memory is the largest resident set of the process or a child "
        "of it, as the kernel tells it to who waits for it.",
        f"- Of {total} runs, {noisy} had other processes take over {NOISY:.0%} of the machine meanwhile (its busy time less client and PostgreSQL; told for PostgreSQL's suites alone); "
        "they are not counted where at least half of the runs remain.",
        "- Peers build with PostgreSQL's driver alone where they can; Flyway with the jars that PostgreSQL needs, and without its look for newer versions.",
    ]
    if kept:
        lines.append(f"- **Counted in spite of that, since too few quiet runs were left: {', '.join(kept)}.**")
    if quick:
        lines.append(f"- **In the short form, which is for trying the bench and not for judging: {', '.join(quick)}.**")
    if unmeasured:
        lines.append(f"- Not measured: {', '.join(unmeasured)}.")
    if missing:
        lines.append(f"- Not had here: {', '.join(missing)}; `dev/bench peers` gets them.")
    for names, reason in peers.NOT_HAD.items():
        lines.append(f"- Left out: {names}: {reason}.")
    lines += ["", "```sh", "dev/stores up --set bench && dev/bench peers   # once",
              "cargo build --release --locked && dev/bench run   # about 20 minutes, on a quiet machine", "dev/bench report", "```"]
    return "\n".join([*lines, ""])
