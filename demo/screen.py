"""How the tour talks: titles, commands with what they print, one updating line of progress, checks. Decides nothing."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.status import Status

FILE_WIDTH = 160
"""Columns where the output is no terminal."""
SECONDS_BETWEEN_LINES = 5.0
"""Where the output is a file, progress is a new line at most this often."""


def one_line(text: str) -> str:
    """What a model said, with its line breaks shown as strokes."""
    return " / ".join(line for line in text.splitlines() if line)


class Screen:
    """The terminal, or a plain file in its place."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
        self._began = time.monotonic()
        self._status: Status | None = None
        self._spoke = 0.0
        self.failures: list[str] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the tour began."""
        return time.monotonic() - self._began

    def title(self, text: str) -> None:
        """Open a section."""
        self.console.print(f"\n[bold cyan]{escape(text)}[/]  [dim]{self.elapsed:.0f} s[/]")

    def say(self, text: str) -> None:
        """One fact."""
        self.console.print(f"  {escape(text)}")

    def command(self, command: str, output: str = "", *, lines: int = 1000) -> None:
        """A command as one would type it, and the first `lines` lines of what it printed."""
        self.console.print(f"  [bold]$ {escape(command)}[/]")
        printed = output.rstrip().splitlines()
        for line in printed[:lines]:
            self.console.print(f"  {escape(line)}", no_wrap=True, overflow="ellipsis", crop=True, soft_wrap=False)
        if len(printed) > lines:
            self.console.print(f"  [dim]... and {len(printed) - lines} more[/]")

    def check(self, holds: bool, text: str, otherwise: str = "") -> None:
        """A promise that holds, or does not: then the tour goes on, and ends as failed."""
        if holds:
            self.console.print(f"  [green]ok[/] {escape(text)}")
            return
        self.failures.append(text)
        self.console.print(f"  [bold red]NO[/] {escape(text)}")
        if otherwise:
            self.console.print(f"     {escape(otherwise)}")

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """While open, `show` updates one line."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status("") as self._status:
            yield
        self._status = None

    def show(self, text: str) -> None:
        """How the thing that is waited for stands."""
        if self._status is not None:
            self._status.update(escape(text))
        elif time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self.console.print(f"  {escape(text)}")
