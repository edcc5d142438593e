"""HTML made of elements, never of text: what is not an element is escaped.

Names and sentences on the page come from nodes and from operators, so no text reaches it as markup.
"""

from __future__ import annotations

import html


class Element(str):
    """Markup that `element` made; a plain `str` is text."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Element:
    """An element with its children; `class_` is the attribute `class`."""
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for name, value in attributes.items()
    )
    return Element(f"<{tag}{shown}>{''.join(map(escaped, children))}</{tag}>")


def escaped(child: str) -> str:
    """An element as it is, a text with its special characters written out."""
    return child if isinstance(child, Element) else html.escape(child)


def together(*children: str) -> Element:
    """Several elements and texts, one after the other."""
    return Element("".join(map(escaped, children)))
