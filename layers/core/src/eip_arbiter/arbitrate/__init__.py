"""A report in, at most one move of each address out: record, decide, commit, move, settle.

The only room that grants an address and has EC2 move it, which others have done by `arbitration`.
"""
