"""Why a bar was not held, by its name in `page.judge`: what was found out by looking, for the page."""

CAUSES = {
    "loopback": (
        "The servers' own work swings by a factor of two on the machine of this run, psql's as much as ours; a pair is "
        "measured one after the other."
    ),
    "far": (
        "21 turns are there with 10 migrations already: two sessions that log in by SCRAM one after the other (5 "
        "each), the lock, the ledger's own tables in an empty database, the pictures before and after; a migration adds "
        "0.07. They are a seventh of the time: the rest is the server's own work, 3 to 5 ms for each migration and 60 ms "
        "for the ledger's tables, which swings by a factor of two on the machine of this run. Where a migration takes "
        "the server 2 ms, as on the machine that the bar is from, the same turns are under it."
    ),
    "noop": (
        "A quarter of the time is page faults: the binary is relocated at its start, and its heap is new. psql is small "
        "and its libraries are mapped already."
    ),
    "status": (
        "Writing 78 KB of table takes 3 ms, the question who is at work 1 ms; the rest is that of a no-op: files and rows "
        "are read and compared. The machine of this run takes 20 ms for `select 1`, four times what the bar is from."
    ),
    "memory": (
        "9 MB of it are pages of the binary that were touched, which the system may drop; 1.1 MB are its relocations. The "
        "heap is 5 MB at its peak: files and plan 3, the shape of 1,500 objects 2."
    ),
    "held": (
        "The same client waited longer on an idle server: it is the machine's scheduling that is seen. The server takes "
        "a rewrite's commands in portions of 16 KiB, and serves the others between two of them."
    ),
    "lanes": "The servers' own work swings more than the bar allows on the two cores that five servers share here.",
}
