"""What was measured, against what the product was built to expect. Pure."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acceptance.rows import Row, Verdict

READ_SECONDS, MOVED_SECONDS, METADATA_LAG_SECONDS, START_TIMEOUT_SECONDS = 5, 60, 45, 60
"""The product's defaults; a test compares them with its settings and its template."""
MAPPING_SECONDS = 20.0
"""As long as a claimant may be without a way and still read its grant in time."""
INTERRUPTED_SECONDS = 1.0
"""A single lost packet is no interruption."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds without a way, None where it did not come back; `waited` for how long it could."""

    seconds: float | None
    waited: float

    def __str__(self) -> str:
        if self.seconds is None:
            return f"not back after {self.waited:.0f} s"
        return f"{self.seconds:.1f} s" if self.seconds else "none"


def outage(changes: Sequence[Mapping[str, Any]], begin: float, end: float) -> Outage:
    """The seconds from the first failure within a time to the last return within it.

    Args:
        changes: What a probe saw, `{"at": ..., "ok": ...}` at each change, the oldest first.
        begin: When the cause was, in the probe's clock.
        end: Until when this cause counts.
    """
    inside = [change for change in changes if begin <= change["at"] <= end]
    failures = [change["at"] for change in inside if not change["ok"]]
    if not failures:
        return Outage(0.0, end - begin)
    if not inside[-1]["ok"]:
        return Outage(None, end - failures[0])
    return Outage(inside[-1]["at"] - failures[0], end - begin)


def way(row_id: str, came: Outage, went: Outage) -> Row:
    """The judgement of one way: IPv4 may be away for a time, the others may not."""
    measured = f"when it came: {came}; when it went: {went}"
    figures = {"came": came.seconds, "went": went.seconds}
    if row_id == "way_ipv4":
        fine = came.seconds is not None and came.seconds < MAPPING_SECONDS
    else:
        both = (came.seconds, went.seconds)
        fine = all(s is not None and s < INTERRUPTED_SECONDS for s in both)
    return Row(row_id, measured, good(fine), figures)


def associate(seconds: Sequence[float]) -> Row:
    """How long the calls took."""
    most = max(seconds)
    measured = f"{len(seconds)} calls: median {statistics.median(seconds):.2f} s, most {most:.2f} s"
    figures = {"median": statistics.median(seconds), "most": most}
    return Row("associate", measured, good(most < READ_SECONDS), figures)


def describe(seconds: Sequence[float | None], waited: float) -> Row:
    """How long the former place was shown, after each move; None where it did not end."""
    known = [lag for lag in seconds if lag is not None]
    late = sum(1 for lag in known if lag > 0)
    figures: dict[str, float | None] = {"most": max(known) if len(known) == len(seconds) else None}
    if len(known) < len(seconds):
        measured = f"still the former place after {waited:.0f} s"
        return Row("describe", measured, "otherwise", figures)
    measured = f"{late} of {len(known)} moves were shown late, by {max(known):.2f} s at the most"
    return Row("describe", measured, good(max(known) < MOVED_SECONDS), figures)


def code(row_id: str, answered: str, *expected: str) -> Row:
    """What AWS answered, by its code, where one of these is expected."""
    return Row(row_id, answered, good(answered in expected))


def metadata_lag(came: float | None, went: float | None, waited: float) -> Row:
    """How late the metadata service was; None where it did not tell at all."""
    texts = [
        f"{lag:.1f} s" if lag is not None else f"not in {waited:.0f} s" for lag in (came, went)
    ]
    fine = all(lag is not None and lag < METADATA_LAG_SECONDS for lag in (came, went))
    measured = f"that it came: {texts[0]}; that it went: {texts[1]}"
    return Row("metadata_lag", measured, good(fine), {"came": came, "went": went})


def metadata_alone(asked: int, silent: int, apart_seconds: float) -> Row:
    """Whether the metadata service needed a way that was away.

    Args:
        asked: How often it was asked in all.
        silent: How often it did not answer.
        apart_seconds: How long the node had no other way meanwhile.
    """
    measured = f"{asked - silent} of {asked} answers, {apart_seconds:.0f} s of them without a way"
    return Row("metadata_alone", measured, good(asked > 0 and not silent))


def identity(answer: str) -> Row:
    """What a node was told that spoke in another one's name: "accepted", or an error."""
    if answer == "accepted":
        return Row("identity", "accepted: a node can speak for another one", "otherwise")
    return Row("identity", answer, good("AccessDenied" in answer))


def untagged(doctor: Mapping[str, Any]) -> Row:
    """What `doctor` said while the standby's interface had no tag."""
    told = [c["sentence"] for c in doctor["checks"] if c["check"] == "standby" and not c["ok"]]
    measured = "; ".join(told) or "nothing: the dry run was allowed"
    return Row("untagged", measured, good("UnauthorizedOperation" in measured))


def notice(body: str | None, sentence: str) -> Row:
    """What came to a subscriber of a notice with this sentence."""
    if body is None:
        return Row("notice", "nothing came", "otherwise")
    text = _json_text(body)
    measured = "valid JSON, with the sentence" if text and sentence in text else f"came as {body!r}"
    return Row("notice", measured, good(text is not None and sentence in text))


def raw_quote(body: str | None, dead_letter: str | None) -> Row:
    """What became of a notice with a quote: either of two ends is why the product sends none."""
    if dead_letter is not None:
        return Row("raw_quote", f"a dead letter: {dead_letter}", "as expected")
    if body is None:
        return Row("raw_quote", "neither a message nor a dead letter", "otherwise")
    if _json_text(body) is None:
        return Row("raw_quote", f"not valid JSON: {body!r}", "as expected")
    return Row("raw_quote", "valid JSON: EventBridge escaped it", "otherwise")


def page(html: Any, nodes: Sequence[str]) -> Row:
    """The widget's answer."""
    if not isinstance(html, str) or "<" not in html:
        return Row("widget", f"no HTML: {str(html)[:200]}", "otherwise")
    missing = [node for node in nodes if node not in html]
    measured = f"{len(html)} characters of HTML" + (f", without {missing}" if missing else "")
    return Row("widget", measured, good(not missing))


def moved(row_id: str, grant: float | None, served: float, banned: Sequence[str]) -> Row:
    """A failover: seconds from its cause to the grant, and until the service ran elsewhere."""
    parts = [f"granted after {grant:.1f} s" if grant is not None else "no grant in the history"]
    parts.append(f"the service ran there after {served:.1f} s")
    parts += [f"{failure} has failed" for failure in banned]
    fine = grant is not None and served < START_TIMEOUT_SECONDS and not banned
    return Row(row_id, "; ".join(parts), good(fine), {"grant": grant, "served": served})


def search(found: Mapping[str, float], messages: Sequence[str]) -> Row:
    """The sum that each SEARCH expression found, by its label, and what CloudWatch said."""
    measured = ", ".join(f"{label}: {total:.0f}" for label, total in found.items()) or "nothing"
    measured += "".join(f"; {message}" for message in messages)
    fine = found.get("moves", 0) > 0 and not messages
    return Row("search", measured, good(fine), {"moves_counted": found.get("moves")})


def good(is_good: bool) -> Verdict:
    """The verdict on what was measured."""
    return "as expected" if is_good else "otherwise"


def _json_text(body: str) -> str | None:
    try:
        text = json.loads(body)
    except ValueError:
        return None
    return text if isinstance(text, str) else None


@dataclass(frozen=True, slots=True)
class Setting:
    """A value to set, beside the default and the reason."""

    name: str
    default: int
    value: int
    why: str


def settings(rows: Mapping[str, Row]) -> list[Setting]:
    """The values that the figures ask for.

    One run proves no maximum, so twice what was seen is asked for, and never less than the default.
    """
    asked = (
        ("EC2_READ_SECONDS", READ_SECONDS, 1, "associate", ("most",), 0.0),
        ("metadata_lag_seconds", METADATA_LAG_SECONDS, 5, "metadata_lag", ("came", "went"), 0.0),
        ("StartTimeoutSeconds", START_TIMEOUT_SECONDS, 10, "way_ipv4", ("came",), 20.0),
    )
    found = []
    for name, default, step, row_id, keys, more in asked:
        row = rows.get(row_id)
        values = [row.figures[key] for key in keys if key in row.figures] if row else []
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            found.append(Setting(name, default, default, f"{row_id} gave no figure: as it is"))
            continue
        wanted = math.ceil((2 * max(known) + more) / step) * step
        why = f"twice {max(known):.1f} s ({row_id})" + (f" and {more:.0f} s" if more else "")
        found.append(Setting(name, default, max(default, wanted), why))
    return found
