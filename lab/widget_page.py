"""The dashboard's widget on a page of this machine: what CloudWatch's console does around it.

A `cwdb-action` becomes a form that leads to a question, as the console's button does; the answer of
the function that it calls is shown in words. Pure functions over HTML; nothing is served here.
"""

from __future__ import annotations

import dataclasses
import html
import json
from html.parser import HTMLParser
from typing import Any

_TITLE = "EIP Arbiter, on this machine"
_FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{head}
<title>{title}</title>
<style>body{{margin:0;padding:10px;font:15px/1.45 system-ui,sans-serif;
background:{back};color:{ink}}}a{{color:inherit}}
form{{display:inline}}.choice{{display:flex;gap:10px;max-width:420px}}.choice form{{flex:1}}
.choice button{{width:100%}}pre{{white-space:pre-wrap;overflow-wrap:anywhere}}
button{{font:inherit;font-weight:600;background:transparent;color:inherit;cursor:pointer;
padding:9px 14px;margin:8px 8px 0 0;border:1px solid currentColor;border-radius:6px}}</style>
</head><body>{body}</body></html>"""
_VOID = {"br", "hr", "img", "input", "meta", "link"}


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """A call that a widget offers: which function, with what, and the question before it."""

    endpoint: str
    payload: str
    confirmation: str


class _Widget(HTMLParser):
    """Rewrites a widget: each button and its action become one form."""

    def __init__(self, token: str, *, dark: bool) -> None:
        super().__init__(convert_charrefs=False)
        self._token, self._dark = token, dark
        self._done: list[str] = []
        self._action: dict[str, str | None] | None = None
        self._payload: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "cwdb-action":
            self._action, self._payload = dict(attrs), []
        else:
            self._done.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag != "cwdb-action":
            if tag not in _VOID:
                self._done.append(f"</{tag}>")
            return
        given = self._action or {}
        self._action = None
        payload = html.unescape("".join(self._payload))
        action = Action(given.get("endpoint") or "", payload, given.get("confirmation") or "")
        start = max(i for i, part in enumerate(self._done) if part.startswith("<a"))
        label = "".join(self._done[start + 1 : -1])
        self._done[start:] = [form("/confirm", label, self._token, action, dark=self._dark)]

    def _text(self, text: str) -> None:
        (self._done if self._action is None else self._payload).append(text)

    def handle_data(self, data: str) -> None:
        self._text(data)

    def handle_entityref(self, name: str) -> None:
        self._text(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._text(f"&#{name};")

    def result(self) -> str:
        """The rewritten widget."""
        return "".join(self._done)


def form(path: str, label: str, token: str, action: Action, *, dark: bool) -> str:
    """A button that sends an action to a path of this page; `label` is HTML."""
    fields = {**dataclasses.asdict(action), "token": token, "theme": _theme(dark=dark)}
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    return f'<form method="post" action="{path}">{hidden}<button>{label}</button></form>'


def widget(markup: str, token: str, *, dark: bool) -> str:
    """The page around the widget's HTML; it loads itself anew every few seconds."""
    rewriter = _Widget(token, dark=dark)
    rewriter.feed(markup)
    rewriter.close()
    other = _theme(dark=not dark)
    link = f'<a href="/?theme={other}">{other}</a>'
    note = f"<p>{_TITLE}: the AWS is embedded, Pacemaker is SIMULATED. {link}</p>"
    return _frame(note + rewriter.result(), dark=dark, refresh=True)


def question(action: Action, token: str, *, dark: bool) -> str:
    """Asks before a call, as the console does; what changes nothing comes first."""
    yes = form("/call", "Yes", token, action, dark=dark)
    ask, mark, more = (action.confirmation or "Call the function?").partition("?")
    asked = f"<h2>{html.escape(ask + mark)}</h2><p>{html.escape(more)}</p>"
    choice = f'<div class="choice">{_back("No", dark=dark)}{yes}</div>'
    return _frame(asked + choice, dark=dark)


def answer(result: Any, *, dark: bool) -> str:
    """The answer of the called function."""
    said = result.get("sentence") or result.get("reason") if isinstance(result, dict) else None
    shown = html.escape(json.dumps(result, indent=2))
    said = html.escape(str(said or ""))
    return _frame(f"<h2>{said}</h2><pre>{shown}</pre>{_back('Back', dark=dark)}", dark=dark)


def _back(label: str, *, dark: bool) -> str:
    """A button to the widget, in the same theme."""
    theme = f'<input type="hidden" name="theme" value="{_theme(dark=dark)}">'
    return f'<form method="get" action="/">{theme}<button>{label}</button></form>'


def _theme(*, dark: bool) -> str:
    return "dark" if dark else "light"


def _frame(body: str, *, dark: bool, refresh: bool = False) -> str:
    back, ink = ("#0f1b2a", "#e9ebed") if dark else ("#fff", "#16191f")
    head = '<meta http-equiv="refresh" content="3">' if refresh else ""
    return _FRAME.format(title=_TITLE, head=head, back=back, ink=ink, body=body)
