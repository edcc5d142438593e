"""The requests of docs/operate.md, in their order, get the answers that it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from core.harness import Cluster

PAGE = Path(__file__).parents[3] / "docs" / "operate.md"


def shape(value: Any, name: str = "") -> Any:
    """An answer without what differs from run to run: its keys, and the telling words."""
    if isinstance(value, dict):
        return {key: shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    telling = name in {"outcome", "rule", "from", "to", "term", "ok", "check", "kind", "order"}
    return value if telling else type(value).__name__


def test_every_answer_on_the_page_is_what_the_function_says(cluster: Cluster) -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    pairs = [json.loads(block) for block in blocks]
    requests, answers = pairs[::2], pairs[1::2]
    assert len(requests) == len(answers) >= 7
    cluster.settle_on_n1()
    cluster.say(cluster.runs("n1"))
    cluster.say(cluster.stands_by("n2"))
    for request, answer in zip(requests, answers, strict=True):
        verb = request.pop("verb")
        del request["cluster"]
        said = cluster.operate(verb, **request)
        assert shape(said) == shape(answer), verb
        assert said["outcome"], verb
        assert said["sentence"], verb


def test_the_page_has_every_verb(cluster: Cluster) -> None:
    refused = cluster.operate("none of them")["reason"]
    verbs = refused.removeprefix("the verb is 'none of them': it is one of ").split(", ")
    table = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(table) == verbs
