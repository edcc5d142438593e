"""Every interleaving of a small world, to a stated depth, with the shipped arbiter in the middle.

Shipped: `Arbiter.on_snapshot` with all that it calls (decision, transition, move). Modelled, and so
not real here: what nodes do (`steps`), the store's conditions (`conditions`), EC2, and time, which
goes in ticks of one answer time.
"""
