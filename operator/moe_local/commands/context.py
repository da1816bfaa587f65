"""What every command shares: the state folder that was named, and words for the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from moe_local.binaries import Binaries, ensure
from moe_local.errors import LocalError
from moe_local.state import Settings, State


def state_of(context: typer.Context) -> State:
    """The cluster's folder, from --state, MOE_LOCAL_STATE or the default."""
    given = context.find_root().params.get("state")
    return State.locate(Path(given) if given else None)


def say(message: str) -> None:
    """Progress, to the standard error, so that the standard output holds results only."""
    typer.echo(message, err=True)


def programs(settings: Settings | None = None) -> Binaries:
    """The programs that a cluster was started with, else those of this version; built when they are missing."""
    known = {name: Path(path) for name, path in settings.programs.items()} if settings else {}
    if known and all(path.exists() for path in known.values()):
        return Binaries(paths=known)
    return ensure(os.environ, say)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Shows our own errors as one message and ends with 1; Ctrl-C ends with 130."""
    try:
        yield
    except LocalError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
