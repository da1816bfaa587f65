"""What chaos runs on: the small example with two pods to each of its two stages, on nodes of two GPUs, two to spare."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.failover.prompts import ROOT

NODES, GPUS_PER_NODE = 6, 2
EXAMPLE = ROOT / "examples" / "small.yaml"
FAILOVER = {
    "quarantineSeconds": 2,
    "drainSeconds": 2,
    # As many as the rules of benchmarks/chaos/faults.py allow may be bad at once: no storm is meant.
    "breakerShare": 1.0,
}


def write_manifest(folder: Path) -> Path:
    """The MoEDeployment as a file."""
    manifest: dict[str, Any] = next(yaml.safe_load_all(EXAMPLE.read_text()))
    spec = manifest["spec"]
    spec["hardware"] |= {"nodes": 4, "gpusPerNode": GPUS_PER_NODE}
    spec["failover"] = dict(FAILOVER)
    file = folder / "chaos.yaml"
    file.write_text(yaml.safe_dump(manifest, sort_keys=False))
    return file


def cleared() -> list[dict[str, str]]:
    """A person's word that every GPU which failed until now was repaired: else the quarantine grows to an hour."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{"node": f"node-{number:02}", "at": at} for number in range(NODES)]
