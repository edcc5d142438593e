"""`python -m scenarios.accept`: writes today's sentences into the corpus, to be read in the diff.

Only where rule, kind and receiver are still as expected: a sentence may be worded anew, a decision
may not. Run from `tests/`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "layers/contract/src", "layers/core/src")]

from scenarios.reading import CORPUS, Scenario, corpus, found  # noqa: E402 - the path comes first

_SENTENCE = "\n    sentence: "


def main() -> int:
    """Rewrites the files; exits with 1 where a decision itself is another one."""
    others = 0
    for path in sorted(CORPUS.glob("*.yaml")):
        head, *entries = path.read_text(encoding="utf-8").split("- name: ")
        written = [head]
        for entry in entries:
            scenario = corpus()[entry.splitlines()[0]]
            sentence = _accepted(scenario)
            others += sentence is None
            before, _, rest = entry.partition(_SENTENCE)
            after = rest[rest.index("\n") :]
            line = (
                entry if sentence is None else f"{before}{_SENTENCE}{json.dumps(sentence)}{after}"
            )
            written.append(f"- name: {line}")
        path.write_text("".join(written), encoding="utf-8")
    return min(others, 1)


def _accepted(scenario: Scenario) -> str | None:
    now, expected = found(scenario), scenario.expected
    if replace(now, sentence=expected.sentence) != expected:
        sys.stderr.write(f"{scenario.name}: {expected} is now {now}\n")
        return None
    return now.sentence


if __name__ == "__main__":
    sys.exit(main())
