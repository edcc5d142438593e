"""Fault rounds: random real faults on real clusters, judged from outside.

`plan` draws them, `injections` puts them on, `play` plays one round, `judge` judges what came of it
from EC2's journal and Pacemaker's own log, `worker` runs one cluster, `__main__` runs them all.
"""
