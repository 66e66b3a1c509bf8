"""Measures aiplat-migrate against its lower bounds and its peers, side by side: see `dev/bench --help`.

`cli` reads the command line; `suites` holds what is measured, a suite per line of the page; `tools` how
each program is driven; `workloads` what they are given; `database` makes and checks what they work on;
`timing` runs and measures one process; `results` keeps the raw figures; `statistics`, `page` and `plot`
make docs/performance.md and docs/performance.svg of them, without measuring again.
"""
