"""The local page gives orders only to whoever it was shown to."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lab.embedded.cloud import EmbeddedAws
from lab.serve import WidgetServer
from lab.widget_page import Action, question, widget

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WidgetServer]:
    folder = tmp_path_factory.mktemp("aws")
    with (
        EmbeddedAws(ROOT / "template.yaml", work_dir=folder, minute_seconds=0) as aws,
        WidgetServer(aws) as serving,
    ):
        yield serving


def ask(
    server: WidgetServer, path: str = "/", host: str = "127.0.0.1", **fields: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*server.server_address[:2])  # type: ignore[arg-type]
    headers = {"Host": f"{host}:{server.server_address[1]}"}
    body = urlencode(fields) if fields else None
    connection.request("POST" if fields else "GET", path, body=body, headers=headers)
    answer = connection.getresponse()
    assert "default-src 'none'" in str(answer.getheader("Content-Security-Policy"))
    page = answer.read().decode()
    connection.close()
    return answer.status, page


def order(server: WidgetServer) -> dict[str, str]:
    arn = server.aws.functions.get("Operate").spec.arn
    return {"endpoint": arn, "payload": '{"verb": "status", "cluster": "web"}'}


def test_shows_the_widget_and_nothing_else(server: WidgetServer) -> None:
    status, page = ask(server)
    assert status == 200
    assert "No cluster is known yet" in page
    assert "SIMULATED" in page
    assert ask(server, "/favicon.ico")[0] == 404
    assert ask(server, "/else", token=server.token)[0] == 404


def test_asks_first_and_then_calls_and_shows_the_answer(server: WidgetServer) -> None:
    fields = {**order(server), "confirmation": "Really <b>?", "token": server.token}
    status, page = ask(server, "/confirm", **fields)
    assert status == 200
    assert "<h2>Really &lt;b&gt;?</h2>" in page
    status, page = ask(server, "/call", **fields)
    assert status == 200
    assert "none of its nodes has reported" in page


def test_every_page_has_the_theme_of_the_page_before(server: WidgetServer) -> None:
    dark, light = "background:#0f1b2a", "background:#fff"
    hidden = '<input type="hidden" name="theme" value="dark">'
    fields = {**order(server), "token": server.token}
    assert dark in ask(server, "/?theme=dark")[1]
    for path in ("/confirm", "/call"):
        page = ask(server, path, theme="dark", **fields)[1]
        assert dark in page
        assert hidden in page
        page = ask(server, path, theme="light", **fields)[1]
        assert light in page
        assert hidden not in page


def test_no_is_a_button_and_comes_before_yes() -> None:
    page = question(Action("arn:x", "{}", "Sure?"), "the-token", dark=False)
    assert re.findall("<button>([^<]*)</button>", page) == ["No", "Yes"]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_calls_nothing_without_the_pages_own_token(server: WidgetServer, token: str) -> None:
    invoked = len(server.aws.functions.invocations)
    assert ask(server, "/call", **order(server), token=token)[0] == 403
    assert len(server.aws.functions.invocations) == invoked


def test_answers_no_name_that_only_leads_here(server: WidgetServer) -> None:
    assert ask(server, host="evil.example")[0] == 403
    fields = {**order(server), "token": server.token}
    assert ask(server, "/call", host="evil.example", **fields)[0] == 403


def test_a_button_and_its_action_become_one_form_that_carries_both() -> None:
    markup = (
        '<p>a &amp; b</p><a class="press">Go &lt;</a>'
        '<cwdb-action action="call" endpoint="arn:x" confirmation="Sure?">'
        "{&quot;a&quot;: &#x27;1&#x27;}</cwdb-action><p>c</p>"
    )
    page = widget(markup, "the-token", dark=False)
    assert "<p>a &amp; b</p><form" in page
    assert "<button>Go &lt;</button></form><p>c</p>" in page
    assert 'name="payload" value="{&quot;a&quot;: &#x27;1&#x27;}"' in page
    assert "cwdb-action" not in page
    assert "Sure?" in question(Action("arn:x", "{}", "Sure?"), "the-token", dark=False)
