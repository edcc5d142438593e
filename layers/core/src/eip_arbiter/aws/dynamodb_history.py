"""The history as it lies in the state's table, newest line first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_contract import state_item as key

from eip_arbiter.ports import HistoryLine

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDbHistory:
    """Implements `ports.History`. The store writes these lines: see its `append_history`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def newest(self, cluster_id: str, limit: int) -> tuple[HistoryLine, ...]:
        """One Query; its cost grows with `limit` alone."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :history)",
            ExpressionAttributeValues={
                ":pk": {"S": key.cluster_partition_key(cluster_id)},
                ":history": {"S": "history#"},
            },
            ScanIndexForward=False,
            Limit=limit,
        )
        lines = []
        for item in answer["Items"]:
            # A line of before has no version in its key.
            _, at_ms, *version, resource, term, kind = item["sk"]["S"].split("#")
            rule, _, sentence = item["sentence"]["S"].partition(": ")
            numbered = int(version[0]) if version else 0
            line = HistoryLine(int(at_ms), resource, int(term), kind, rule, sentence, numbered)
            lines.append(line)
        return tuple(lines)
