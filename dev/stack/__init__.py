"""Real PostgreSQL, MongoDB, Weaviate, Kafka and Redis servers for development and tests.

`cli` reads the command line; `fleet` runs one verb over several servers; the modules
named after a store know how to get, start, probe and stop that store, all with the same
function names; `docker` does the same through compose where a Docker engine answers.
"""
