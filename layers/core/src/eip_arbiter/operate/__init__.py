"""An operator's request in, one answer out: the verbs, the orders, and what only looks.

`operations` is the door.
"""
