"""Why a bar was not held, by its name in `page.judge`: what was found out by looking, for the page."""

CAUSES = {
    "loopback": (
        "The servers' own work swings by a factor of two on the machine of this run, psql's as much as ours; a pair is "
        "measured one after the other."
    ),
    "far": (
        "25 turns are there with 10 migrations already: three sessions that log in by SCRAM one after the other (5 "
        "each), the lock, the ledger's own tables in an empty database, the pictures before and after; a migration adds "
        "0.07. The server's own work is the greater part: 3 ms for each migration, and 45 ms for the ledger's tables."
    ),
    "noop": (
        "A third of the time is page faults: the binary is 25 MB and relocated at its start, and its heap is new. "
        "psql is small and its libraries are mapped already."
    ),
    "status": "As with the no-op, and one question more: who is at work.",
    "memory": (
        "9 MB of it are pages of the binary that were touched, which the system may drop; 1.5 MB are its relocations. The "
        "heap is 6 MB at its peak: files and plan 4, the shape of 2,500 objects 2."
    ),
    "held": (
        "The same client waited longer on an idle server: it is the machine's scheduling that is seen. The server takes "
        "a rewrite's commands in portions of 16 KiB, and serves the others between two of them."
    ),
    "lanes": "The servers' own work swings more than the bar allows on the two cores that five servers share here.",
}
