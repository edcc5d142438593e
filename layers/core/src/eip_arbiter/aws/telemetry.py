"""The log and the metrics, by Powertools: implements `ports.Telemetry`.

A calm heartbeat tells nothing, so that it costs nothing. Metrics are written on events only, with
the cluster as their one dimension: a custom metric is paid by the hour in which it has data.
"""

from __future__ import annotations

import logging
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

ALARMING = frozenset({"MoveFailed", "SplitBrain", "EventsLost", "HolderSilent"})
"""Metrics that an alarm watches: an alarm cannot search over clusters, so they count twice."""


class PowertoolsTelemetry:
    """Structured log lines and embedded metrics: no AWS call, CloudWatch reads them off the log."""

    def __init__(self, stack: str) -> None:
        # Lambda takes a line whose timestamp is not RFC 3339 for one at INFO.
        self._logger = Logger(service="eip-arbiter", use_rfc3339=True)
        self._stack = stack
        # botocore tells at INFO where it found credentials, at every cold start.
        logging.getLogger("botocore").setLevel(logging.WARNING)

    def decided(self, rule: str, sentence: str, **fields: Any) -> None:
        """One line at INFO."""
        self._logger.info(sentence, rule=rule, **fields)

    def kept(self, rule: str, sentence: str, **fields: Any) -> None:
        """One line at INFO: it is said in an alarm only, so it is rare."""
        self._logger.info(sentence, rule=rule, **fields)

    def count(self, metric: str, cluster_id: str, value: float = 1) -> None:
        """One embedded metric of the cluster, and one of the stack where an alarm needs it."""
        self._write(metric, value, "Cluster", cluster_id)
        if metric in ALARMING:
            self._write(metric, value, "Stack", self._stack)

    def gauge(self, metric: str, value: float) -> None:
        """One embedded metric of the stack: a state, not an event, so it has data all the time."""
        self._write(metric, value, "Stack", self._stack)

    def rejected(self, reason: str, sentence: str, **fields: Any) -> None:
        """One line at WARNING; counted by reason, since a forged name must not be."""
        self._logger.warning(sentence, reason=reason, **fields)
        self._write("RejectedReports", 1, "Reason", reason)
        self._write("RejectedReports", 1, "Stack", self._stack)

    def refused(self, sentence: str) -> None:
        """One line at WARNING: an operator's request was not carried out."""
        self._logger.warning(sentence)

    def failed(self, sentence: str, **fields: Any) -> None:
        """One line at ERROR."""
        self._logger.error(sentence, **fields)

    def _write(self, metric: str, value: float, dimension: str, of: str) -> None:
        unit = MetricUnit.Milliseconds if metric.endswith("Time") else MetricUnit.Count
        with single_metric(
            name=metric,
            unit=unit,
            value=value,
            namespace=f"EipArbiter/{self._stack}",
            default_dimensions={dimension: of},
        ):
            pass
