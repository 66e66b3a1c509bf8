"""Several servers of each store: what `dev/stores --topology` makes.

Each module has the names of `stack.postgres` and its like, and works on nodes: NODES, and `start`
brings up those that do not run, whatever became of them before. A node's daemon, port and folder
below the server's home have its name.
"""

from . import cluster, kafka, mongo, postgres, sentinel

# The order fixes each one's place in the set's range of ports: add at the end.
MODULES = (postgres, mongo, sentinel, cluster, kafka)
