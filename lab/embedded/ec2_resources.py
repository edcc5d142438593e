"""How the resources of a cluster's own environment are made: network, instances, addresses, secret.

As in `resources`, makers call the embedded AWS's own API, so that its validation applies.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from lab.embedded.fidelity import corrects
from lab.embedded.making import Order, Result

PUBLIC_PARAMETERS: Mapping[str, str] = {
    f"/aws/service/debian/release/{release}/latest/{architecture}": image
    for release, architecture, image in (
        ("12", "amd64", "ami-12c6146b"),
        ("12", "arm64", "ami-1e749f67"),
    )
}
"""Public SSM parameters that templates may name, and the image of moto's that stands for each."""

_RULE_RENAMED = {"CidrIp", "CidrIpv6", "SourceSecurityGroupId", "Description"}


def _tags(order: Order) -> list[dict[str, str]]:
    return [dict(tag) for tag in order.properties.get("Tags", [])]


def _tag(order: Order, made: str) -> None:
    """Tag what was just made; CloudFormation does it in the same call."""
    if tags := _tags(order):
        order.call("ec2", "create_tags", Resources=[made], Tags=tags)


def _vpc(order: Order) -> Result:
    order.only("CidrBlock", "EnableDnsSupport", "EnableDnsHostnames", "Tags")
    cidr = order.properties["CidrBlock"]
    made = order.call("ec2", "create_vpc", CidrBlock=cidr)["Vpc"]["VpcId"]
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        if name in order.properties:
            wanted = {"VpcId": made, name: {"Value": order.properties[name]}}
            order.call("ec2", "modify_vpc_attribute", **wanted)
    _tag(order, made)
    return made, {"VpcId": made, "CidrBlock": cidr}


def ipv6_blocks(client: Callable[[str], Any], vpc: str) -> list[str]:
    """A VPC's IPv6 blocks now: unlike other attributes, they come after the VPC was made."""
    (found,) = client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return [each["Ipv6CidrBlock"] for each in found.get("Ipv6CidrBlockAssociationSet", [])]


def _vpc_cidr_block(order: Order) -> Result:
    order.only("VpcId", "AmazonProvidedIpv6CidrBlock")
    made = order.call("ec2", "associate_vpc_cidr_block", **order.properties)
    return made["Ipv6CidrBlockAssociation"]["AssociationId"], {}


def _subnet(order: Order) -> Result:
    settable = "MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation"
    given = "VpcId", "CidrBlock", "AvailabilityZone"
    order.only(*given, "Ipv6CidrBlock", *settable, "Tags")
    known = *given, "Ipv6CidrBlock"
    wanted = {k: order.properties[k] for k in known if k in order.properties}
    made = order.call("ec2", "create_subnet", **wanted)["Subnet"]["SubnetId"]
    for name in settable:
        if name in order.properties:
            value = {name: {"Value": order.properties[name]}}
            order.call("ec2", "modify_subnet_attribute", SubnetId=made, **value)
    _tag(order, made)
    return made, {"SubnetId": made, "AvailabilityZone": wanted["AvailabilityZone"]}


def _internet_gateway(order: Order) -> Result:
    order.only("Tags")
    made = order.call("ec2", "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
    _tag(order, made)
    return made, {"InternetGatewayId": made}


def _gateway_attachment(order: Order) -> Result:
    order.only("VpcId", "InternetGatewayId")
    order.call("ec2", "attach_internet_gateway", **order.properties)
    return order.site.generated(order.logical_id), {}


def _route_table(order: Order) -> Result:
    order.only("VpcId", "Tags")
    wanted = {"VpcId": order.properties["VpcId"]}
    made = order.call("ec2", "create_route_table", **wanted)["RouteTable"]["RouteTableId"]
    _tag(order, made)
    return made, {"RouteTableId": made}


def _route(order: Order) -> Result:
    order.only("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock", "GatewayId")
    order.call("ec2", "create_route", **order.properties)
    return order.site.generated(order.logical_id), {}


def _route_table_association(order: Order) -> Result:
    order.only("RouteTableId", "SubnetId")
    made = order.call("ec2", "associate_route_table", **order.properties)["AssociationId"]
    return made, {"Id": made}


def _security_group(order: Order) -> Result:
    order.only(
        "GroupName", "GroupDescription", "VpcId", "SecurityGroupIngress",
        "SecurityGroupEgress", "Tags",
    )  # fmt: skip
    made = order.call(
        "ec2",
        "create_security_group",
        GroupName=order.name("GroupName"),
        Description=order.properties["GroupDescription"],
        VpcId=order.properties["VpcId"],
    )["GroupId"]
    for rule in order.properties.get("SecurityGroupIngress", []):
        _allow(order, made, rule)
    if "SecurityGroupEgress" in order.properties:
        (all_out,) = order.call("ec2", "describe_security_groups", GroupIds=[made])[
            "SecurityGroups"
        ]
        given = all_out["IpPermissionsEgress"]
        order.call("ec2", "revoke_security_group_egress", GroupId=made, IpPermissions=given)
        for rule in order.properties["SecurityGroupEgress"]:
            _allow(order, made, rule, "egress")
    _tag(order, made)
    return made, {"GroupId": made}


def _security_group_ingress(order: Order) -> Result:
    order.only(
        "GroupId", "SourceSecurityGroupId", "CidrIp", "IpProtocol", "FromPort", "ToPort",
        "Description",
    )  # fmt: skip
    rule = {k: v for k, v in order.properties.items() if k != "GroupId"}
    _allow(order, order.properties["GroupId"], rule)
    return order.site.generated(order.logical_id), {}


def _allow(order: Order, group: str, rule: Mapping[str, Any], direction: str = "ingress") -> None:
    about = {"Description": rule["Description"]} if "Description" in rule else {}
    permission: dict[str, Any] = {k: v for k, v in rule.items() if k not in _RULE_RENAMED}
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **about}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **about}]
    if "SourceSecurityGroupId" in rule:
        permission["UserIdGroupPairs"] = [{"GroupId": rule["SourceSecurityGroupId"], **about}]
    allow = f"authorize_security_group_{direction}"
    order.call("ec2", allow, GroupId=group, IpPermissions=[permission])


def _launch_template(order: Order) -> Result:
    order.only("LaunchTemplateName", "LaunchTemplateData")
    made = order.call(
        "ec2",
        "create_launch_template",
        LaunchTemplateName=order.name("LaunchTemplateName"),
        LaunchTemplateData=order.properties["LaunchTemplateData"],
    )["LaunchTemplate"]
    number = str(made["LatestVersionNumber"])
    versions = {"LatestVersionNumber": number, "DefaultVersionNumber": number}
    return made["LaunchTemplateId"], {"LaunchTemplateId": made["LaunchTemplateId"], **versions}


@corrects("launch-template-is-merged")
def _instance(order: Order) -> Result:
    """Merge the launch template in, as EC2 does and moto does in part only.

    The instance profile is left out: IAM is not simulated.
    """
    order.only("LaunchTemplate", "SubnetId", "PrivateIpAddress", "SourceDestCheck", "Tags")
    own = dict(order.properties)
    named = own.pop("LaunchTemplate")
    (version,) = order.call(
        "ec2",
        "describe_launch_template_versions",
        LaunchTemplateId=named["LaunchTemplateId"],
        Versions=[str(named["Version"])],
    )["LaunchTemplateVersions"]
    data = dict(version["LaunchTemplateData"])
    data.pop("IamInstanceProfile", None)
    if "UserData" in data:
        data["UserData"] = base64.b64decode(data["UserData"]).decode()
    specifications = list(data.pop("TagSpecifications", []))
    if own.get("Tags"):
        specifications.append({"ResourceType": "instance", "Tags": _tags(order)})
    made = order.call(
        "ec2",
        "run_instances",
        **{**data, "SubnetId": own["SubnetId"], "PrivateIpAddress": own["PrivateIpAddress"]},
        MinCount=1,
        MaxCount=1,
        TagSpecifications=specifications,
    )["Instances"][0]
    for specification in specifications:
        if specification["ResourceType"] == "network-interface":  # which moto leaves out
            interface = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
            order.call("ec2", "create_tags", Resources=[interface], Tags=specification["Tags"])
    if "SourceDestCheck" in own:
        order.call(
            "ec2",
            "modify_instance_attribute",
            InstanceId=made["InstanceId"],
            SourceDestCheck={"Value": own["SourceDestCheck"]},
        )
    attributes = {"PrivateIp": made["PrivateIpAddress"], "InstanceId": made["InstanceId"]}
    return made["InstanceId"], attributes


def _address(order: Order) -> Result:
    order.only("Domain", "Tags")
    tags = {"ResourceType": "elastic-ip", "Tags": _tags(order)}
    made = order.call("ec2", "allocate_address", Domain="vpc", TagSpecifications=[tags])
    attributes = {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}
    return made["PublicIp"], attributes


def _endpoint(order: Order) -> Result:
    made = order.call("ec2", "create_vpc_endpoint", **order.properties)["VpcEndpoint"]
    return made["VpcEndpointId"], {"Id": made["VpcEndpointId"]}


def _secret(order: Order) -> Result:
    order.only("Name", "Description", "GenerateSecretString")
    wanted = order.properties.get("GenerateSecretString", {})
    text = order.call("secretsmanager", "get_random_password", **wanted)["RandomPassword"]
    made = order.call(
        "secretsmanager",
        "create_secret",
        Name=order.name("Name"),
        Description=order.properties.get("Description", ""),
        SecretString=text,
    )
    return made["ARN"], {"Id": made["ARN"]}


EC2_MAKERS: dict[str, Callable[[Order], Result]] = {
    "AWS::EC2::EIP": _address,
    "AWS::EC2::Instance": _instance,
    "AWS::EC2::InternetGateway": _internet_gateway,
    "AWS::EC2::LaunchTemplate": _launch_template,
    "AWS::EC2::Route": _route,
    "AWS::EC2::RouteTable": _route_table,
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::SecurityGroupIngress": _security_group_ingress,
    "AWS::EC2::Subnet": _subnet,
    "AWS::EC2::SubnetRouteTableAssociation": _route_table_association,
    "AWS::EC2::VPC": _vpc,
    "AWS::EC2::VPCCidrBlock": _vpc_cidr_block,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::EC2::VPCGatewayAttachment": _gateway_attachment,
    "AWS::SecretsManager::Secret": _secret,
}
