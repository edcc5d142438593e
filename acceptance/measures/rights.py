"""What a node, and the product's own role, are refused."""

from __future__ import annotations

import json

from acceptance import judge
from acceptance.on_node import commands
from acceptance.rows import Row
from acceptance.run import CLUSTER, CLUSTER_TAG, Run


def identity(run: Run) -> list[Row]:
    """A node puts an event whose source names the other node."""
    names = run.names
    holder, standby = run.holder()
    instances = run.instances()
    partition = run.stacks.outputs(names.control)["NodePolicyArn"].split(":")[1]
    other = f"arn:{partition}:ec2:{names.region}:{names.account}:instance/{instances[holder]}"
    run.nodes.run(instances[standby], commands.bring_probe())
    said = run.nodes.run(
        instances[standby], commands.ask("speak", f"eip-arbiter.node/{other}"), seconds=120
    )
    return [judge.identity(json.loads(said)["answer"])]


def untagged(run: Run) -> list[Row]:
    """Takes the tag off the standby's interface, asks the doctor, and gives it back."""
    ec2 = run.account.client("ec2")
    _, standby = run.holder()
    interface = run.interface(run.instances()[standby])
    ec2.delete_tags(Resources=[interface], Tags=[{"Key": CLUSTER_TAG}])
    try:
        run.sleep(run.pace.lead)
        return [judge.untagged(run.operate("doctor"))]
    finally:
        ec2.create_tags(Resources=[interface], Tags=[{"Key": CLUSTER_TAG, "Value": CLUSTER}])
