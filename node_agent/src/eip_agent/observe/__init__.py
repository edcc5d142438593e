"""What the node sees: Pacemaker, Corosync's links, the metadata service, its health, the table.

`watchers` has one step for each source; each puts its answer on the board.
"""
