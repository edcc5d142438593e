"""A real Chromium without a window, with a profile of its own and nothing that calls home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import needed
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A browser that is missing skips a test by name; in CI it fails."""
    if item.get_closest_marker("browser") is None:
        return
    for name in ("chromium", "chromedriver"):
        needed(name, there=shutil.which(name) is not None)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    yield driver
    driver.quit()
