"""The widget in a real browser: the button is pressed, and the address moves.

`SCREENSHOTS=<folder>` keeps what the browser saw, for people to look at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import node_report
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import World
from lab.serve import WidgetServer

ROOT = Path(__file__).parents[3]
PHONE, DESK = (390, 844), (1280, 900)
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def eventually(look: Callable[[], Any], seconds: float = 40) -> Any:
    """The first true thing; the page loads itself anew meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except (StaleElementReferenceException, NoSuchElementException):
            continue
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def text(browser: Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").text)


def press(browser: Chrome, label: str) -> None:
    """Presses the button with this label; one that was just replaced is looked for again."""

    def pressed() -> bool:
        for button in browser.find_elements(By.TAG_NAME, "button"):
            if button.text == label:
                button.click()
                return True
        return False

    eventually(pressed)


def keep(browser: Chrome, name: str) -> None:
    """Keeps a screenshot where somebody wants one."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def fits(browser: Chrome) -> bool:
    """Whether nothing has to be scrolled sideways."""
    script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    return bool(browser.execute_script(script))


@pytest.fixture
def demo() -> Iterator[str]:
    """`make demo ARGS=--serve`, as a person starts it; gives the page's URL."""
    # The agents' sockets lie below: pytest's own folder is too long a path for one.
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "demo", "--serve"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "the dashboard's widget: " in line)
        yield told.partition("widget: ")[2].split(" ")[0]
    finally:
        process.terminate()
        assert process.wait(30) in (0, 128 + 15)


def test_the_button_asks_moves_the_address_and_says_so(demo: str, browser: Chrome) -> None:
    browser.set_window_size(*DESK)
    browser.get(demo)
    eventually(lambda: "A failover would work now" in text(browser))
    holder = "n1" if "n1 holds 203.0.113." in text(browser) else "n2"
    other = {"n1": "n2", "n2": "n1"}[holder]
    keep(browser, "desk-light")
    assert fits(browser)

    press(browser, f"Fail over to {other}")
    eventually(lambda: f"from {holder} to {other} now?" in text(browser))
    keep(browser, "question")
    press(browser, "No")
    eventually(lambda: f"{holder} holds 203.0.113." in text(browser))

    press(browser, f"Fail over to {other}")
    press(browser, "Yes")
    eventually(lambda: f"is on {other} under term 2" in text(browser))
    assert '"outcome": "moved"' in text(browser)
    keep(browser, "answer")
    press(browser, "Back")
    eventually(lambda: f"{other} holds 203.0.113." in text(browser))
    # Pacemaker follows, the order ends, and the way back is open.
    eventually(lambda: "A failover would work now" in text(browser))
    assert f"{other} gets 203.0.113.1 (eip) under term 2: an operator ordered it" in text(browser)
    assert "R020" in text(browser)
    keep(browser, "desk-light-moved")


def test_it_can_be_read_on_a_telephone_and_in_the_dark(demo: str, browser: Chrome) -> None:
    for theme in ("light", "dark"):
        for name, size in (("phone", PHONE), ("desk", DESK)):
            browser.set_window_size(*size)
            browser.get(f"{demo}?theme={theme}")
            eventually(lambda: "holds 203.0.113." in text(browser))
            assert fits(browser), (theme, name)
            keep(browser, f"{name}-{theme}")
    shade = "return getComputedStyle(document.querySelector('.eip')).backgroundColor"
    assert browser.execute_script(shade) == "rgb(15, 27, 42)"


def test_the_question_and_the_answer_stay_dark_and_can_be_pressed_with_a_thumb(
    demo: str, browser: Chrome
) -> None:
    shade = "return getComputedStyle(document.body).backgroundColor"
    browser.set_window_size(*PHONE)
    browser.get(f"{demo}?theme=dark")
    holder = eventually(lambda: re.search(r"(n[12]) holds 203\.0\.113\.", text(browser)))[1]
    other = {"n1": "n2", "n2": "n1"}[holder]
    press(browser, f"Switch over to {other}")
    eventually(lambda: f"over from {holder} to {other}?" in text(browser))
    assert browser.execute_script(shade) == "rgb(15, 27, 42)"
    no, yes = browser.find_elements(By.TAG_NAME, "button")
    assert (no.text, yes.text) == ("No", "Yes")
    assert no.size == yes.size
    assert no.size["height"] >= 40
    assert fits(browser)
    keep(browser, "question-phone-dark")
    yes.click()
    # A planned move: Pacemaker moves the service, and the address follows.
    eventually(lambda: "Pacemaker on" in text(browser))
    assert browser.execute_script(shade) == "rgb(15, 27, 42)"
    keep(browser, "answer-phone-dark")
    press(browser, "Back")
    eventually(lambda: f"{other} holds 203.0.113." in text(browser))
    eventually(lambda: "address is in place" in text(browser))
    assert browser.execute_script(shade) == "rgb(15, 27, 42)"
    heights = "return [...document.querySelectorAll('.eip .id')].map(e => e.clientHeight)"
    assert max(browser.execute_script(heights)) < 30, "an instance id is on one line"
    keep(browser, "phone-dark-moved")


def test_hostile_text_of_a_node_is_text_in_the_browser(browser: Chrome, tmp_path: Path) -> None:
    with EmbeddedAws(ROOT / "template.yaml", work_dir=tmp_path / "aws", minute_seconds=0) as aws:
        world = World(aws, tmp_path / "metadata", cluster_id="web", node_names=("n1",))
        node = world.nodes["n1"]
        detail = node_report(1, failing=(HOSTILE[:48], HOSTILE[48:])).to_detail()
        detail["instance_id"] = node.instance_id
        arrived: list[Any] = []
        aws.subscribe_to_invocations(arrived.append)
        aws.client("events", "n1").put_events(
            Entries=[
                {
                    "EventBusName": aws.outputs["BusName"],
                    "Source": source_for("aws", aws.region, aws.account_id, node.instance_id),
                    "DetailType": DETAIL_TYPE,
                    "Detail": json.dumps(detail),
                }
            ]
        )
        eventually(lambda: arrived)
        assert arrived[0].error is None
        with WidgetServer(aws) as server:
            browser.get(server.url)
            eventually(lambda: "unhealthy: <img src=x" in text(browser))
            assert browser.title == "EIP Arbiter, on this machine"
            assert browser.find_elements(By.CSS_SELECTOR, ".eip img, .eip script") == []
            keep(browser, "hostile")
