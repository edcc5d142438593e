"""The template as AWS would get it: translated, with its parameters' defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.embedded.translate import Translation, translate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def template_file() -> Path:
    return ROOT / "template.yaml"


@pytest.fixture(scope="session")
def translation(template_file: Path) -> Translation:
    return translate(template_file)


@pytest.fixture(scope="session")
def resources(translation: Translation) -> dict[str, Any]:
    """The translated resources by their logical ids."""
    found: dict[str, Any] = translation.template["Resources"]
    return found
