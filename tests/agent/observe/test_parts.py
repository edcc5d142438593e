"""What Pacemaker runs in parts, or more than once: groups, bundles and clones as one state."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.observe.test_pacemaker import built, primitive
from eip_agent.observe.pacemaker import parse_crm_mon

SAMPLES = Path(__file__).parents[1] / "samples"
FS, APP = primitive("fs", "Started", "n1"), primitive("app", "Started", "n1")
NO_FS, NO_APP = "<resource id='fs' role='Stopped'/>", "<resource id='app' role='Stopped'/>"
APP_OFF = "<resource id='app' role='Stopped' target_role='Stopped'/>"
FS_OFF = "<resource id='fs' role='Stopped' target_role='Stopped'/>"
FS_STOPS = primitive("fs", "Started", "n1", "target_role='Stopped'")
APP_STOPS = primitive("app", "Stopping", "n1", "target_role='Stopped'")
STARTS = "<resource id='app' role='Stopped' pending='Starting'><node name='n1'/></resource>"
APP_FAILED = primitive("app", "Started", "n1", "failed='true'")


@pytest.mark.parametrize(
    ("members", "state", "in_the_end"),
    [
        (FS + APP, "started", None),
        (FS + STARTS, "starting", None),
        (FS + primitive("app", "Starting", "n1"), "starting", None),
        (FS + NO_APP, "starting", "started"),
        (FS + APP_OFF, "started", None),
        (FS + APP_STOPS, "started", None),
        (FS_OFF + NO_APP, "stopped", None),
        (FS_STOPS + NO_APP, "stopped", None),
        (FS_STOPS + APP_STOPS, "started", None),
        (NO_FS + APP_OFF, "stopped", None),
        (NO_FS + APP, "stopped", None),
        (NO_FS + NO_APP, "stopped", None),
        (FS + APP_FAILED, "failed", None),
    ],
)
def test_of_a_group_those_members_count_that_pacemaker_means_to_run(
    members: str, state: str, in_the_end: str | None
) -> None:
    view = built(f"<group id='eip'>{members}</group>")
    assert (view.roles["eip"], view.incomplete.get("eip")) == (state, in_the_end)


def test_a_group_with_a_disabled_member_is_started_where_the_others_run() -> None:
    text = (SAMPLES / "group_member_disabled.n1.xml").read_text()
    here, there = (parse_crm_mon(text, node, ["web"]) for node in ("n1", "n2"))
    assert (here.roles["web"], there.roles["web"]) == ("started", "stopped")
    assert here.running_on["web"] == frozenset({"n1"})


@pytest.mark.parametrize("watched", ["web", "httpd"])
def test_a_bundle_is_what_its_best_replica_on_a_node_is(watched: str) -> None:
    text = (SAMPLES / "bundle.n1.xml").read_text()
    here, there = (parse_crm_mon(text, node, [watched]) for node in ("n1", "n2"))
    assert (here.roles[watched], there.roles[watched]) == ("started", "stopped")
    assert here.tops == {watched: "web"}
    assert here.running_on[watched] == frozenset({"n1"})


def test_a_replica_without_its_service_is_never_started() -> None:
    text = (SAMPLES / "bundle.n1.xml").read_text()
    begin, end = text.index('<resource id="httpd"'), text.index('<resource id="web-podman-0"')
    without = text[:begin] + '<resource id="httpd" role="Stopped"/>' + text[end:]
    view = parse_crm_mon(without, "n1", ["web"])
    assert (view.roles, view.incomplete) == ({"web": "starting"}, {"web": "stopped"})
    starts = without.replace('<resource id="httpd" role="Stopped"/>', httpd("Starting"))
    view = parse_crm_mon(starts, "n1", ["web"])
    assert (view.roles, view.incomplete) == ({"web": "starting"}, {})


def httpd(role: str) -> str:
    return f'<resource id="httpd" role="{role}"><node name="web-0"/></resource>'


def test_a_clone_runs_on_every_node_and_on_each_it_is_started() -> None:
    text = (SAMPLES / "clone_everywhere.n1.xml").read_text()
    view = parse_crm_mon(text, "n1", ["web"])
    assert view.roles == {"web": "started"}
    assert view.running_on["web"] == frozenset({"n1", "n2"})
