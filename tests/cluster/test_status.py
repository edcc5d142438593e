"""What crm_mon says is read as it is meant, for the states that matter here."""

from __future__ import annotations

from lab.cluster.status import parse_crm_mon

NOT_RUNNING = """<pacemaker-result api-version="2.25" request="crm_mon -1 --output-as=xml">
  <status code="102" message="Not connected"><errors><error>refused</error></errors></status>
</pacemaker-result>"""


def crm_mon(resource: str, n2_online: str = "true", n2_expected: str = "true") -> str:
    return f"""<pacemaker-result api-version="2.25">
  <summary><current_dc present="true" name="n1" id="1" with_quorum="true"/></summary>
  <nodes>
    <node name="n1" online="true" standby="false" unclean="false" expected_up="true" is_dc="true"/>
    <node name="n2" online="{n2_online}" standby="false" unclean="false"
      expected_up="{n2_expected}" is_dc="false"/>
  </nodes>
  <resources>{resource}</resources>
  <failures><failure op_key="eip_start_0" node="n2" exitstatus="error" exitreason="n1 holds it"
    exitcode="1" call="9" status="complete" task="start"/></failures>
  <status code="0" message="OK"/>
</pacemaker-result>"""


def resource(role: str, **flags: str) -> str:
    attributes = {"managed": "true", "failed": "false", "blocked": "false", **flags}
    text = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f'<resource id="eip" role="{role}" {text}><node name="n1" id="1"/></resource>'


def test_a_started_resource_is_on_its_node() -> None:
    view = parse_crm_mon(crm_mon(resource("Started")))
    assert view is not None
    assert view.started_on("eip") == ("n1",)
    assert view.online == ("n1", "n2")


def test_a_resource_that_only_starts_or_failed_is_not_started() -> None:
    for text in (resource("Starting"), resource("Stopping"), resource("Started", failed="true")):
        view = parse_crm_mon(crm_mon(text))
        assert view is not None
        assert view.started_on("eip") == ()


def test_a_resource_in_a_group_is_found() -> None:
    view = parse_crm_mon(crm_mon(f'<group id="service">{resource("Started")}</group>'))
    assert view is not None
    assert view.started_on("eip") == ("n1",)


def test_a_lost_node_is_expected_and_a_node_that_left_is_not() -> None:
    lost = parse_crm_mon(crm_mon(resource("Started"), "false", "true"))
    left = parse_crm_mon(crm_mon(resource("Started"), "false", "false"))
    assert lost is not None
    assert left is not None
    assert lost.online == left.online == ("n1",)
    assert [node.expected_up for node in lost.nodes] == [True, True]
    assert [node.expected_up for node in left.nodes] == [True, False]


def test_failures_are_told_with_their_reason() -> None:
    view = parse_crm_mon(crm_mon(resource("Started")))
    assert view is not None
    assert [(f.node, f.operation, f.exit_reason) for f in view.failures] == [
        ("n2", "eip_start_0", "n1 holds it")
    ]


def test_without_an_answer_there_is_no_view() -> None:
    assert parse_crm_mon(NOT_RUNNING) is None
