"""Why a bar was not held, by its name in `page.judge`: what was found out by looking, for the page."""

CAUSES = {
    "loopback": (
        "The median holds, its bound does not: psql itself swung between 4.1 and 8.0 s on the machine of this run."
    ),
    "far": (
        "Of the turns, 45 are there with 10 migrations already: three sessions that log in by SCRAM, the lock, "
        "the ledger's own tables in an empty database, the pictures before and after. A migration adds 0.07. "
        "Sessions opened side by side, and the ledger's tables made in one message, would take half of them away."
    ),
    "noop": (
        "Not profiled. Of the time, about 20 ms are the process's own: 1,000 files are read, checked and hashed "
        "before the ledger is asked, one after the other, with musl's allocator."
    ),
    "status": "As with the no-op, and a table of 1,000 rows is laid out.",
    "memory": (
        "The static binary takes 6 MB before it does anything, 1,000 files and their plan bring it to 15; the "
        "rest is the shape of 1,500 objects and their columns, held as JSON trees before and after."
    ),
}
