"""The scenario corpus: what the arbiter decides in situations that people have a name for.

`corpus/` holds them as data, `reading` makes snapshots of them, `page` writes `docs/rules.md`.
"""
