"""What is measured: a function per suite; each returns its samples, and what else the page needs."""

from . import stores as others
from .bench import FAR, Every
from .tools import PgDump

SLOW = ("flyway", "golang-migrate", "dbmate")


def loopback(bench):
    """1,000 migrations into an empty database, on loopback."""
    count = bench.size(1000, 100)
    measures = []
    for tool in bench.tools(with_peers=True):
        every = 1 if tool.name in ("ours", "psql-each") else 5 if tool.name in SLOW else 3
        measures.append(Every(bench.size(every, 1), *bench.fresh_up(tool, count)))
    return {"samples": bench.in_rounds(bench.rounds(15, 2), measures)}


def growth(bench):
    """The same with 10, 100 and, ours and psql alone, 10,000."""
    measures = []
    for tool in bench.tools(with_peers=True):
        for count in (10, 100):
            measures.append(Every(1 if count == 10 else 2, *bench.fresh_up(tool, count)))
        if tool.name in ("ours", "psql-each") and not bench.quick:
            measures.append(Every(5, *bench.fresh_up(tool, 10_000)))
    return {"samples": bench.in_rounds(bench.rounds(5, 1), measures)}


def far(bench):
    """100 migrations with 5 ms per turn; 10 of them tell what each one costs on the wire."""
    measures = []
    for tool in bench.tools(with_peers=True):
        every = 5 if tool.name in SLOW else 1
        measures.append(Every(bench.size(every, 1), *bench.fresh_up(tool, 100, FAR)))
        measures.append(Every(5, *bench.fresh_up(tool, 10, FAR)))
    return {"samples": bench.in_rounds(bench.rounds(5, 1), measures)}


def noop(bench):
    """`up` and `status` where 1,000 migrations are applied, near and far."""
    count = bench.size(1000, 100)
    measures = []
    tools = bench.tools(with_peers=True)
    for tool in tools:
        if tool.name == "psql-one":
            continue
        folder, place = bench.applied(tool, count)
        works = ("select_1",) if tool.name == "psql-each" else ("up", "status")
        every = 5 if tool.name == "flyway" else 1
        for work in works:
            if work == "status" and tool.status(folder, place) is None:
                continue
            for latency in (None, FAR):
                measure = bench.repeated(tool, work, folder, place, latency)
                measures.append(Every(every if latency is None else 5, tool.name, measure))
    figures = {"samples": bench.in_rounds(bench.rounds(25, 5), measures)}
    bench.drop_applied()
    return figures


def validate(bench):
    """`validate` with its drift check against pg_dump, where 2,000 tables are."""
    tables, per_file = bench.size(2000, 200), 100
    folder = bench.empty_folder("validate")
    statements = ["".join(table(n) for n in range(at, at + per_file)) for at in range(1, tables, per_file)]
    bench.ours.write(folder, statements)
    place = bench.postgres.fresh("bench_validate")
    bench.ours.run("up", folder, place)
    tables_found = bench.postgres.count(place.database, "pg_class WHERE relkind = 'r' AND relname ~ '^t_[0-9]+$'")
    bench.expect(tables_found, tables, "tables")
    dump = PgDump(bench.postgres.client)
    measures = [
        Every(1, bench.ours.name, bench.repeated(bench.ours, "validate", folder, place)),
        Every(1, dump.name, bench.repeated(dump, "dump", folder, place)),
    ]
    figures = {"samples": bench.in_rounds(bench.rounds(11, 3), measures), "tables": tables}
    bench.postgres.drop(place.database)
    return figures


def table(number):
    return (
        f"CREATE TABLE t_{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL DEFAULT 'x', "
        "amount numeric(12, 2) CHECK (amount >= 0), created_at timestamptz NOT NULL DEFAULT now());\n"
        f"CREATE INDEX i_{number} ON t_{number} (created_at, name);\n"
    )


def copy(bench):
    """A file with 500 MB of COPY data: how much memory it takes."""
    megabytes = bench.size(500, 50)
    folder = bench.empty_folder("copy")
    files = folder / "migrations/postgres"
    files.mkdir(parents=True)
    (files / "V1__table.sql").write_text("CREATE TABLE t_1 (id bigint, line text);\n")
    line, rows, size = "x" * 90, 0, 0
    with open(files / "V2__data.sql", "w") as file:
        file.write("COPY t_1 (id, line) FROM stdin;\n")
        while size < megabytes * 1_000_000:
            block = "".join(f"{rows + n}\t{line}\n" for n in range(1000))
            size, rows = size + file.write(block), rows + 1000
        file.write("\\.\n")
    bench.ours.finish(folder)
    psql = [tool for tool in bench.tools() if tool.name == "psql-each"][0]
    (folder / "all.sql").write_text("\\i migrations/postgres/V1__table.sql\n\\i migrations/postgres/V2__data.sql\n")

    def measure(tool):
        def run():
            place = bench.postgres.fresh("bench_copy")
            sample = bench.measured(tool, "up", folder, place)
            bench.expect(bench.postgres.count("bench_copy", "t_1"), rows, "rows")
            bench.postgres.drop("bench_copy")
            return sample

        return run

    measures = [Every(1, tool.name, measure(tool)) for tool in (bench.ours, psql)]
    figures = {"samples": bench.in_rounds(bench.rounds(3, 1), measures), "megabytes": megabytes, "rows": rows}
    bench.empty_folder("copy")
    return figures


def redis(bench):
    """A TTL on 1,000,000 keys against what SCAN and EXPIRE apart take, and how long the server was held."""
    count = bench.size(1_000_000, 100_000)
    servers = others.Stores()
    server = others.Redis(servers)
    folder = bench.stores_folder("redis", {"redis": [{"rewrite": {"match": "session:*", "set": {"ttl": "24h"}}}]})

    def fresh():
        server.ask("FLUSHALL", "SYNC")
        server.keys(count, "load")

    def ours():
        fresh()
        place = bench.postgres.fresh("bench_redis")
        run = lambda: bench.measured(bench.ours, "up", folder, place, variables=servers.variables("redis"))  # noqa: E731
        sample, held = server.watched(run)
        bench.expect(server.without_ttl(), 0, "keys without a TTL")
        bench.postgres.drop("bench_redis")
        return {"count": count, "held": held, **sample}

    def plain(verb):
        def run():
            if verb == "expire":
                fresh()
            wall = server.keys(count, verb)
            return {"count": count, "wall": wall}

        return run

    def idle():
        _, held = server.watched(lambda: bench.sleep(2))
        return {"held": held, "wall": 2.0}

    measures = [
        Every(1, "ours", ours), Every(1, "expire", plain("expire")), Every(1, "scan", plain("scan")), Every(1, "idle", idle),
    ]
    fresh()
    figures = {"samples": bench.in_rounds(bench.rounds(5, 2), measures)}
    server.ask("FLUSHALL", "SYNC")
    return figures


def mongo(bench):
    """An update of 1,000,000 documents in resumable batches against one `updateMany`."""
    count = bench.size(1_000_000, 50_000)
    server = others.Mongo(others.Stores(), bench.say)
    collection = server.load("bench", count)
    rounds = iter(range(1, 1000))

    def many():
        mark, began = next(rounds), bench.now()
        done = collection.update_many({}, {"$set": {"mark": mark}})
        wall = bench.now() - began
        bench.expect(done.modified_count, count, "documents changed")
        return {"wall": wall}

    def ours(**more):
        mark = next(rounds)
        step = {"updateInBatches": "documents", "filter": {}, "update": {"$set": {"mark": mark}}, **more}
        folder = bench.stores_folder("mongo", {"mongo": [step]})
        place = bench.postgres.fresh("bench_mongo")
        sample = bench.measured(bench.ours, "up", folder, place, variables=server.variables("bench"))
        bench.expect(collection.count_documents({"mark": mark}), count, "documents changed")
        bench.postgres.drop("bench_mongo")
        return sample

    measures = [
        Every(1, "ours", ours),
        Every(1, "ours, 10,000 a batch", lambda: ours(batch=10_000)),
        Every(1, "updateMany", many),
    ]
    many()
    figures = {"samples": bench.in_rounds(bench.rounds(3, 2), measures), "documents": count}
    server.client.drop_database("bench")
    return figures


def kafka(bench):
    """1,000 topics by one step, and a tenth of them by a step each."""
    count = bench.size(1000, 100)
    servers = others.Stores()
    numbers = iter(range(1, 1000))

    def measure(count, steps_of):
        def run():
            prefix = f"run{next(numbers)}"
            topics = [{"name": f"{prefix}.{n}", "partitions": 1, "replicationFactor": 1} for n in range(count)]
            steps = steps_of(topics)
            folder = bench.stores_folder("kafka", {"kafka": steps})
            place = bench.postgres.fresh("bench_kafka")
            sample = bench.measured(bench.ours, "up", folder, place, variables=servers.variables("kafka"))
            done = bench.postgres.ask("bench_kafka", "SELECT steps_done FROM aiplat_migrate.ledger WHERE state = 'applied'")
            bench.expect(done, [str(len(steps))], "steps done")
            shape = "aiplat_migrate.shape, jsonb_object_keys(recorded) AS topic WHERE store = 'kafka'"
            bench.expect(bench.postgres.count("bench_kafka", shape), count, "topics in the recorded shape")
            bench.postgres.drop("bench_kafka")
            servers.anew("kafka")
            return {"count": count, **sample}

        return run

    servers.anew("kafka")
    measures = [
        Every(1, "ours", measure(count, lambda topics: [{"createTopics": topics}])),
        Every(1, "one by one", measure(count // 10, lambda topics: [{"createTopic": topic} for topic in topics])),
    ]
    return {"samples": bench.in_rounds(bench.rounds(2, 1), measures)}


def lanes(bench):
    """Five stores side by side against each of them alone."""
    servers = others.Stores()
    numbers = iter(range(1, 10_000))
    scale = bench.size(10, 2)

    def measure(chosen):
        def run():
            tag = f"l{next(numbers)}"
            folder = bench.stores_folder("lanes", lane_steps(tag, chosen, scale), lane_sql(chosen, scale), per_file=5)
            place = bench.postgres.fresh("bench_lanes")
            names = [store for store in chosen if store != "postgres"]
            variables = servers.variables(*names)
            sample = bench.measured(bench.ours, "up", folder, place, variables=variables)
            rows = bench.postgres.count("bench_lanes", "aiplat_migrate.ledger WHERE state = 'applied'")
            bench.expect(rows, len(list(folder.glob("migrations/*/V*"))), "ledger rows")
            bench.postgres.drop("bench_lanes")
            return sample

        return run

    alone = ("postgres", "mongo", "weaviate", "kafka", "redis")
    measures = [Every(1, "all five", measure(alone))] + [Every(1, store, measure((store,))) for store in alone]
    figures = {"samples": bench.in_rounds(bench.rounds(5, 2), measures)}
    for store in ("weaviate", "kafka", "mongo", "redis"):
        servers.anew(store)
    return figures


def lane_sql(chosen, scale):
    return ["".join(table(20 * f + n) for n in range(20)) for f in range(2 * scale)] if "postgres" in chosen else []


def lane_steps(tag, chosen, scale):
    """Work of a platform's kind for the document stores, all names with `tag` in them."""
    steps = {
        "mongo": [
            step
            for n in range(2 * scale)
            for step in (
                {"create": f"{tag}_{n}"},
                {"createIndexes": f"{tag}_{n}", "indexes": [{"key": {"at": 1}, "name": "at"}, {"key": {"who": 1}, "name": "who"}]},
            )
        ],
        "weaviate": [
            {"createClass": {
                "class": f"{tag.upper()}x{n}", "vectorizer": "none",
                "properties": [{"name": "title", "dataType": ["text"]}, {"name": "at", "dataType": ["date"]}],
            }}
            for n in range(scale)
        ],
        "kafka": [{"createTopic": {"name": f"{tag}.{n}", "partitions": 3, "replicationFactor": 1}} for n in range(2 * scale)],
        "redis": [
            {"keyspace": {"pattern": f"{tag}-{n}:{{id}}", "type": "hash", "ttl": "24h", "purpose": "a bench"}}
            for n in range(5 * scale)
        ],
    }
    return {store: steps[store] for store in steps if store in chosen}


ALL = {
    "loopback": loopback, "growth": growth, "far": far, "noop": noop, "validate": validate, "copy": copy,
    "redis": redis, "mongo": mongo, "kafka": kafka, "lanes": lanes,
}
