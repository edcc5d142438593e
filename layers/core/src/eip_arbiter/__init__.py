"""The arbiter: who holds an address, and the steps that make it so.

A room for each function (`arbitrate`, `watch`, `operate`, `widget`), the pure `decision` below,
and `aws` above them, which no other room knows. Nothing here knows a function or an agent.
"""
