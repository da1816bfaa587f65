"""The sizes of published models, as their config.json has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def config(name: str, **changes: object) -> dict[str, Any]:
    """The config.json of that name with some of its keys changed."""
    return {**json.loads((Path(__file__).parent / "configs" / f"{name}.json").read_text()), **changes}
