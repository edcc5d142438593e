"""What people look at: the product's own word, the dashboard, its metrics, the logs."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from acceptance import judge
from acceptance.rows import Row
from acceptance.run import CLUSTER, Run
from acceptance.waiting import AcceptanceError


def doctor(run: Run) -> list[Row]:
    """The product's own checks, once both nodes have been heard."""
    answer = run.operate("doctor")
    return [Row("doctor", answer["sentence"], judge.good(answer["outcome"] == "well"))]


def widget(run: Run) -> list[Row]:
    """The page, as CloudWatch asks for it."""
    context = {
        "dashboardName": run.names.control,
        "accountId": run.names.account,
        "theme": "light",
        "width": 900,
        "height": 600,
    }
    html = run.invoke("Widget", {"cluster": CLUSTER, "widgetContext": context})
    return [judge.page(html, list(run.instances()))]


def search(run: Run) -> list[Row]:
    """The dashboard's own expressions, with the moves of this run."""
    cloudwatch = run.account.client("cloudwatch")
    name = run.stacks.resources(run.names.control)["Dashboard"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    expressions = _expressions(body)
    if not expressions:
        raise AcceptanceError("the dashboard has no SEARCH expression")
    deadline = time.monotonic() + run.pace.metric
    while True:
        now = datetime.now(UTC)
        answer: Any = cloudwatch.get_metric_data(
            MetricDataQueries=[
                {"Id": f"q{n}", "Label": label, "Expression": text}
                for n, (label, text) in enumerate(expressions.items())
            ],
            StartTime=now - timedelta(hours=2),
            EndTime=now + timedelta(minutes=2),
        )
        found = dict.fromkeys(expressions, 0.0)
        labels = list(expressions)
        for result in answer["MetricDataResults"]:
            # One result for each metric that an expression finds, by the expression's id.
            found[labels[int(result["Id"][1:])]] += sum(result["Values"])
        messages = [m["Value"] for m in answer.get("Messages", [])]
        if found.get("moves", 0) > 0 or messages or time.monotonic() > deadline:
            return [judge.search(found, messages)]
        run.sleep(run.pace.poll)


def _expressions(body: Any) -> dict[str, str]:
    """The SEARCH expressions of a dashboard's graphs, by their labels."""
    return {
        line[0]["label"]: line[0]["expression"]
        for widget in body["widgets"]
        for line in widget["properties"].get("metrics", [])
        if isinstance(line[0], dict) and "SEARCH" in line[0].get("expression", "")
    }


def logs(run: Run) -> list[Row]:
    """A decision of this run, by what the dashboard's query asks for."""
    group = run.stacks.resources(run.names.control)["ArbitrateLogs"]
    client = run.account.client("logs")
    deadline = time.monotonic() + run.pace.metric
    while True:
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern='{ ($.level = "INFO") && ($.rule = "R*") }'
        )
        # A page may be empty although a later one is not.
        found: Any = next((page["events"] for page in pages if page["events"]), [])
        if found:
            line = json.loads(found[0]["message"])
            stamp = str(line.get("timestamp", ""))
            dated = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp) is not None
            measured = f"{line['rule']} at level {line['level']}, timestamp {stamp or 'missing'}"
            return [Row("logs", measured, judge.good(dated))]
        if time.monotonic() > deadline:
            return [Row("logs", "no line with level INFO and a rule", "otherwise")]
        run.sleep(run.pace.poll)
