"""The per-minute check: readiness, silence, drift, and moves that no report carries on.

It moves nothing by itself: what the rules want done, it hands to `arbitrate`.
"""
