"""What several test modules of this folder need: waiting, and templates with a mistake in them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def eventually(look: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return the first true thing that `look` returns, or fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {look}")


def changed(example: Path, folder: Path, old: str, new: str) -> Path:
    """Write a copy of the example template in which one text is replaced; returns its path."""
    text = example.read_text()
    assert old in text
    (folder / "functions").symlink_to(example.parent / "functions")
    (folder / "layers").symlink_to(example.parent / "layers")
    (folder / "template.yaml").write_text(text.replace(old, new))
    return folder / "template.yaml"
