"""Who is measured: each puts its resource on a cluster that is whole and has none, and removes it.

`ocf:heartbeat:Dummy` shows the cluster's own time, below which nobody can get; the real
`ocf:heartbeat:awseip`, with Debian's AWS CLI, is what people run today.
"""

from __future__ import annotations

import resource
import statistics
from typing import TYPE_CHECKING

from lab.real_site import RESOURCE_AGENT_PATH, install
from lab.site import CLUSTER_ID

if TYPE_CHECKING:
    from lab.real_site import Place

RESOURCE = "eip"
MONITORS = 5
HEARD_MS = 15_000
"""A calm node reports every 10 s; one that has just got its way to AWS back may not have yet."""
_FOLDER = "/etc/eip-arbiter-baseline"
_OCF_RESOURCES = "/usr/lib/ocf/resource.d/"


class Contender:
    """A resource agent with all that belongs to it.

    Args:
        name: what tables call it.
        agent: where it is on a node.
        has_address: whether an Elastic IP comes with the resource.
        needs_clean_up: whether failures that a fault left behind stay until a person cleans up.
    """

    def __init__(
        self, name: str, agent: str, *, has_address: bool = True, needs_clean_up: bool = True
    ) -> None:
        self.name, self._agent = name, agent
        self.has_address, self.needs_clean_up = has_address, needs_clean_up

    def join(self, place: Place) -> None:
        """Puts the resource on the cluster, with all that it needs there."""
        self.create(place, "meta", "migration-threshold=INFINITY")  # Pacemaker's default

    def create(self, place: Place, *more: str) -> None:
        """Creates the resource; more words for `pcs` may follow its options."""
        options = [f"{name}={value}" for name, value in self._options(place).items()]
        provider, _, kind = self._agent.removeprefix(_OCF_RESOURCES).partition("/")
        command = ("resource", "create", RESOURCE, f"ocf:{provider}:{kind}", *options, *more)
        place.cluster.pcs("n1", *command)

    def leave(self, place: Place) -> None:
        """Takes the resource away, everywhere."""
        place.cluster.pcs("n1", "resource", "delete", RESOURCE)
        views = place.cluster.view
        place.cluster.wait_until(
            lambda: all(
                (view := views(name)) is not None and view.resource(RESOURCE) is None
                for name in place.cluster.nodes
            ),
            f"{self.name} is gone",
        )

    def is_calm(self, _place: Place) -> bool:
        """Whether all that it does after a fault is done."""
        return True

    def monitor_cpu_seconds(self, place: Place, holder: str) -> float:
        """Median CPU seconds of one monitor, with all that it starts."""
        environment = {f"OCF_RESKEY_{name}": value for name, value in self._options(place).items()}
        environment |= {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": RESOURCE}

        def once() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            place.cluster.run(holder, [self._agent, "monitor"], env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

        return round(statistics.median(once() for _ in range(MONITORS)), 4)

    def _options(self, _place: Place) -> dict[str, str]:
        """The resource's own parameters."""
        return {}


class Dummy(Contender):
    """`ocf:heartbeat:Dummy`: a file that says started."""

    def __init__(self) -> None:
        super().__init__("Dummy", f"{_OCF_RESOURCES}heartbeat/Dummy", has_address=False)


class Awseip(Contender):
    """`ocf:heartbeat:awseip` with its own defaults and Pacemaker's."""

    def __init__(self) -> None:
        super().__init__("awseip", f"{_OCF_RESOURCES}heartbeat/awseip")

    def create(self, place: Place, *more: str) -> None:
        """Gives the nodes an AWS CLI that finds the embedded AWS and each node's own key, first.

        Debian's (2.9) does not read AWS_ENDPOINT_URL, so a wrapper gives it as an option; and
        `--profile default`, which awseip always says, needs a configuration file.
        """
        cluster, aws = place.cluster, place.aws
        cluster.install(
            f"{_FOLDER}/aws",
            "#!/bin/sh\n"
            f"export AWS_CONFIG_FILE={_FOLDER}/config\n"
            f'exec /usr/bin/aws --endpoint-url "{aws.endpoint_url}" "$@"\n',
            mode=0o755,
        )
        for name in cluster.nodes:
            key, secret = aws.credentials(place.world.nodes[name].principal)
            cluster.node(name).install(
                f"{_FOLDER}/config",
                f"[default]\nregion = {aws.region}\n"
                f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
            )
        super().create(place, *more)

    def _options(self, place: Place) -> dict[str, str]:
        address = place.world.addresses[RESOURCE]
        return {
            "awscli": f"{_FOLDER}/aws",
            "elastic_ip": address.public_ip,
            "allocation_id": address.allocation_id,
        }


class EipArbiter(Contender):
    """The project: its package on each node, its resource agent, its control plane."""

    def __init__(self) -> None:
        super().__init__("EIP Arbiter", RESOURCE_AGENT_PATH, needs_clean_up=False)

    def join(self, place: Place) -> None:
        """Installs the agents, which stay; so this contender comes last on a cluster."""
        install(place)

    def leave(self, _place: Place) -> None:
        """Stays: the cluster's end is its end, and what comes after the trials needs it."""

    def is_calm(self, place: Place) -> bool:
        """Whether the control plane hears all and sees no alarm; Pacemaker remembers no failure."""
        status = place.aws.invoke("Operate", {"verb": "status", "cluster": CLUSTER_ID}).result
        views = [place.cluster.view(name) for name in place.cluster.nodes]
        return (
            not any(a["split_brain"] for a in status["addresses"])
            and not any(node["suspects"] for node in status["nodes"])
            and all(
                node["report_age_ms"] is not None and node["report_age_ms"] < HEARD_MS
                for node in status["nodes"]
            )
            and all(view is not None and not view.failures for view in views)
        )
