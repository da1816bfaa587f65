"""Runs `kubectl-moe` as its entry point does, in this process, because starting Python takes longer."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from moe_kubectl.main import main


@dataclass(frozen=True, kw_only=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, text: str = "", **environment: str) -> Done:
    """Exit code and output of the command, given `text` on its standard input."""
    out, err = io.StringIO(), io.StringIO()
    argv, stdin = ["kubectl-moe", *arguments], io.StringIO(text)
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", stdin),
        patch.dict(os.environ, environment),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code or 0
    return Done(returncode=code if isinstance(code, int) else 1, stdout=out.getvalue(), stderr=err.getvalue())
