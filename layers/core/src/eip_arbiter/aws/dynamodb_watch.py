"""What the watch remembers, in the state's table: `cluster#<id>`/`watch` and `watch`/`clusters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eip_contract import state_item as key

from eip_arbiter.ports import Ec2Word, Seen, Unready

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WATCH_SORT_KEY = "watch"
_CLUSTERS = {"pk": "watch", "sk": "clusters"}
_TROUBLES = {"pk": "watch", "sk": "troubles"}


class DynamoDbMemory:
    """Implements `watching.WatchMemory`. Only the watch writes here, so no write is conditional."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def clusters(self) -> frozenset[str]:
        """One GetItem."""
        return frozenset(self._get(_CLUSTERS).get("ids", ()))

    def keep_clusters(self, cluster_ids: frozenset[str]) -> None:
        """One PutItem; made only when there is a new cluster."""
        self._put({**_CLUSTERS, "ids": sorted(cluster_ids)})

    def troubles(self) -> Mapping[str, tuple[int, int]]:
        """One GetItem."""
        found = self._get(_TROUBLES).get("counts", {})
        return {cluster_id: (unready, silent) for cluster_id, (unready, silent) in found.items()}

    def keep_troubles(self, troubles: Mapping[str, tuple[int, int]]) -> None:
        """One PutItem; made only where clusters take turns, when something changed."""
        counts = {cluster_id: list(pair) for cluster_id, pair in troubles.items()}
        self._put({**_TROUBLES, "counts": counts})

    def seen(self, cluster_id: str) -> Seen:
        """One GetItem."""
        item = self._get(_key(cluster_id))
        return Seen(
            silent_since_ms=item.get("silent", {}),
            unready={
                resource: Unready(since_ms, told, tuple(problems))
                for resource, (since_ms, told, problems) in item.get("unready", {}).items()
            },
            ec2={
                resource: Ec2Word(at_ms, tuple(drift), refusals)
                for resource, (at_ms, drift, refusals) in item.get("ec2", {}).items()
            },
        )

    def keep_seen(self, cluster_id: str, seen: Seen) -> None:
        """One PutItem; made when something began or ended, and while EC2 speaks against it."""
        unready = {
            resource: [found.since_ms, found.told, list(found.problems)]
            for resource, found in seen.unready.items()
        }
        ec2 = {
            resource: [word.at_ms, list(word.drift), dict(word.refusals)]
            for resource, word in seen.ec2.items()
        }
        silent = dict(seen.silent_since_ms)
        self._put({**_key(cluster_id), "silent": silent, "unready": unready, "ec2": ec2})

    def _get(self, item_key: dict[str, str]) -> dict[str, Any]:
        answer = self._client.get_item(
            TableName=self._table,
            Key={name: {"S": value} for name, value in item_key.items()},
            ConsistentRead=True,
        )
        return {name: key.from_attribute(value) for name, value in answer.get("Item", {}).items()}

    def _put(self, item: dict[str, Any]) -> None:
        attributes = {name: key.to_attribute(value) for name, value in item.items()}
        self._client.put_item(TableName=self._table, Item=attributes)


def _key(cluster_id: str) -> dict[str, str]:
    return {"pk": key.cluster_partition_key(cluster_id), "sk": WATCH_SORT_KEY}
