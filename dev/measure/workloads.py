"""What the tools are given: migrations, in each tool's own form."""


def ddl(count):
    """The statements of `count` migrations: a table, then an index on it, and so on."""
    statements = []
    for number in range(1, count + 1):
        if number % 2:
            statements.append(
                f"CREATE TABLE t_{number} (id bigint PRIMARY KEY, name text NOT NULL DEFAULT 'x', "
                "created_at timestamptz NOT NULL DEFAULT now());\n"
            )
        else:
            statements.append(f"CREATE INDEX i_{number} ON t_{number - 1} (created_at);\n")
    return statements


def write(folder, name_of, statements, before="", after=""):
    """A file per statement; `name_of(number)` names it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, statement in enumerate(statements, 1):
        path = folder / name_of(number)
        path.parent.mkdir(exist_ok=True)
        path.write_text(before + statement + after)
