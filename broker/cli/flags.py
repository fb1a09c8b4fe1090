"""Flags made from the settings, so that name, default and help of a flag stand in one place."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import typer

from broker.settings import Settings, default_text, flag_of

STORE = ("data", "database", "lock_seconds", "log")
SERVICE = tuple(known.name for known in fields(Settings))
Command = Callable[..., None]


def takes_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command one flag for each named setting, and hand it the loaded `settings`.

    Raises SettingsError when the command runs, with flag or variable and what would be right.
    """

    def dress(command: Command) -> Command:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]

        def run(**given: Any) -> None:
            flags = {name: given.pop(name) for name in names}
            command(settings=Settings.load(os.environ, flags), **given)

        parameters = own + [_flag(name) for name in names]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        return run

    return dress


def _flag(name: str) -> inspect.Parameter:
    known = next(one for one in fields(Settings) if one.name == name)
    default = default_text(known)
    help_text = known.metadata["help"] + (f" [default: {default}]" if default else "")
    annotation: Any
    if isinstance(known.default, bool):
        on_and_off = f"{flag_of(name)}/--no-{name.replace('_', '-')}"
        annotation = Annotated[bool | None, typer.Option(on_and_off, help=help_text, show_default=False)]
    else:
        metavar = "NUMBER" if isinstance(known.default, int | float) else "TEXT"
        annotation = Annotated[str | None, typer.Option(flag_of(name), help=help_text, metavar=metavar)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
