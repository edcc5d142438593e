"""What the control plane says: the cluster's state, read from the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_contract.state_item import (
    STATE_SORT_KEY,
    ClusterStatus,
    cluster_partition_key,
    read_status,
)

from eip_agent.calls.aws import Clock, Endpoint, Keys
from eip_agent.calls.channel import ExchangeError

if TYPE_CHECKING:
    from eip_agent.settings import Settings


class Table:
    """Reads the cluster's state item."""

    def __init__(self, settings: Settings, keyring: Keys, clock: Clock | None = None) -> None:
        self._endpoint = Endpoint("dynamodb", "1.0", settings, keyring, clock)
        self.drop_ipv4 = self._endpoint.drop_ipv4
        self._table = settings.table
        self._key = {
            "pk": {"S": cluster_partition_key(settings.cluster_id)},
            "sk": {"S": STATE_SORT_KEY},
        }

    def get_status(self, *, consistent: bool) -> ClusterStatus | None:
        """The cluster's state, or None when the control plane does not know the cluster.

        Raises:
            ExchangeError: the table did not answer, or with something unreadable.
        """
        request = {"TableName": self._table, "Key": self._key, "ConsistentRead": consistent}
        answer = self._endpoint.call("DynamoDB_20120810.GetItem", request)
        if "Item" not in answer:
            return None
        try:
            return read_status(answer["Item"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            text = f"the state item cannot be read ({type(error).__name__}: {error})"
            raise ExchangeError("http", text) from error
