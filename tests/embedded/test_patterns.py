"""Event patterns: what matches, what does not, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lab.embedded.patterns import PatternError, check, matches

EVENT = {
    "source": "example.node/arn:1",
    "detail-type": "Node Report",
    "resources": ["arn:a", "arn:b"],
    "detail": {"state": "stopped", "count": 3, "flag": True, "none": None, "deep": {"x": ["p"]}},
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": [{"prefix": "example.node/"}]}, True),
        ({"source": [{"prefix": "other/"}]}, False),
        ({"source": ["example.node/arn:1"], "detail-type": ["Other"]}, False),
        ({"source": [{"suffix": ":1"}]}, True),
        ({"source": [{"wildcard": "example.*/arn:*"}]}, True),
        ({"source": [{"wildcard": "example.*/x"}]}, False),
        ({"source": [{"equals-ignore-case": "EXAMPLE.NODE/ARN:1"}]}, True),
        ({"source": [{"anything-but": ["a", "b"]}]}, True),
        ({"source": [{"anything-but": {"prefix": "example"}}]}, False),
        ({"resources": ["arn:b"]}, True),
        ({"resources": ["arn:c"]}, False),
        ({"detail": {"state": ["stopping", "stopped"]}}, True),
        ({"detail": {"count": [{"numeric": [">", 2, "<=", 3]}]}}, True),
        ({"detail": {"count": [{"numeric": ["<", 3]}]}}, False),
        ({"detail": {"count": ["3"]}}, False),
        ({"detail": {"flag": [1]}}, False),
        ({"detail": {"none": [None]}}, True),
        ({"detail": {"missing": [{"exists": False}]}}, True),
        ({"detail": {"missing": [{"exists": True}]}}, False),
        ({"detail": {"missing": [{"anything-but": "x"}]}}, False),
        ({"detail": {"deep": {"x": ["p"]}}}, True),
        ({"detail": {"state": {"x": ["p"]}}}, False),
        ({"$or": [{"source": ["no"]}, {"detail": {"count": [3]}}]}, True),
    ],
)
def test_matching(pattern: dict[str, Any], expected: bool) -> None:
    check(pattern)
    assert matches(pattern, EVENT) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"sources": ["x"]},
        {"source": "x"},
        {"source": []},
        {"source": [{"cidr": "10.0.0.0/8"}]},
        {"source": [{"prefix": "a", "suffix": "b"}]},
        {"detail": {"count": [{"numeric": [">"]}]}},
        {"detail": {"count": [{"numeric": ["~", 1]}]}},
    ],
)
def test_what_cannot_be_matched_is_refused(pattern: dict[str, Any]) -> None:
    with pytest.raises(PatternError):
        check(pattern)
