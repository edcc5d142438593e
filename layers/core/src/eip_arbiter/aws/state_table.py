"""The table's calls, each once with what botocore makes of it: its errors, and its own retries.

A conditional write whose reply was lost is sent again by the client itself. Its condition then
fails against its own first sending, so each write says what its own work looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from eip_contract import state_item as key

from eip_arbiter.ports import StoreUnansweredError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONDITION_FAILED = "ConditionalCheckFailedException"
Item = Mapping[str, Any]
"""A plain item, without DynamoDB's types."""


@dataclass(frozen=True, slots=True)
class Written:
    """The item after a write."""

    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """The item as it is, since the condition did not hold; empty if there is none.

    `retried`: the client had sent the write before, and had no reply to it.
    """

    item: dict[str, Any]
    retried: bool


class StateTable:
    """The table's calls, for the store; each raises `StoreUnansweredError`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def _put(self, item: Item) -> Item:
        """Writes an item, whatever is there; returns what was there."""
        with _answered():
            answer = self._client.put_item(
                TableName=self._table, Item=_attributes(item), ReturnValues="ALL_OLD"
            )
        return _plain(answer.get("Attributes", {}))

    def _put_new(self, item: Item) -> None:
        """Writes an item unless there is one; the one that is there stays."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_attributes(item),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise _unanswered(error) from error

    def _get(self, partition: str, sort: str) -> dict[str, Any] | None:
        with _answered():
            answer = self._client.get_item(
                TableName=self._table,
                Key={"pk": {"S": partition}, "sk": {"S": sort}},
                ConsistentRead=True,
            )
        item = answer.get("Item")
        return _plain(item) if item else None

    def _update(
        self,
        cluster_id: str,
        update: str,
        condition: str,
        names: dict[str, str],
        values: Item,
        *,
        is_done: Callable[[Item], bool] = lambda _item: False,
    ) -> Written | Refused:
        """One UpdateItem of a cluster's state.

        Args:
            cluster_id: whose.
            update: the UpdateExpression.
            condition: the ConditionExpression.
            names: the ExpressionAttributeNames.
            values: the plain ExpressionAttributeValues.
            is_done: whether an item already holds exactly what is to be written. After a retry the
                first sending did it then.
        """
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={
                    "pk": {"S": key.cluster_partition_key(cluster_id)},
                    "sk": {"S": key.STATE_SORT_KEY},
                },
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_attributes(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != CONDITION_FAILED:
                raise _unanswered(error) from error
            item = _plain(cast("dict[str, Any]", error.response).get("Item", {}))
            retried = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            return Written(item) if retried and item and is_done(item) else Refused(item, retried)
        except BotoCoreError as error:
            raise _unanswered(error) from error
        return Written(_plain(answer["Attributes"]))


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _unanswered(error) from error


def _unanswered(error: Exception) -> StoreUnansweredError:
    return StoreUnansweredError(f"DynamoDB did not answer: {type(error).__name__}: {error}")


def _attributes(plain: Item) -> dict[str, Any]:
    return {name: key.to_attribute(value) for name, value in plain.items()}


def _plain(item: Item) -> dict[str, Any]:
    return {name: key.from_attribute(value) for name, value in item.items()}
