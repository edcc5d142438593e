"""The arbiter: who holds an address, and the steps that make it so.

`decision` is pure and decides; `arbitration` drives it; the other modules are the shell that talks
to DynamoDB and EC2. Functions import from here; nothing here knows a function or a node's agent.
"""
