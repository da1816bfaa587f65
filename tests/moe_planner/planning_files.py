"""The reference document as a planning file, and the plan that is made from one."""

from __future__ import annotations

from typing import Any

import yaml

from moe_planner.plan import plan
from moe_planner.planfile import quote_limits
from moe_planner.planning_file import PlanFile
from moe_planner.result import Plan

# Word for word as it stands in the document, which is not YAML: its second-to-last line begins a folded text.
BLOCK = """\
parallel_strategy:
  ep: 256          # Expert Parallel
  pp: 16           # Pipeline Parallel
  tp: 1            # Tensor Parallel
  sp: 1            # Sequence Parallel
  dp: 1            # Data Parallel

gpu_configuration:
  total_gpus: 256
  gpus_per_node: 8
  nodes_required: 32

memory_allocation:
  expert_parameters: 78MB per GPU
  kv_cache: 20MB per GPU
  activation_buffer: 500MB per GPU
  total_usage: < 1GB per GPU

performance_targets:
  ttft: < 10s
  throughput: > 100 tokens/ms per GPU
  memory_utilization: < 2% of VRAM
"""


def document(**parts: object) -> dict[str, Any]:
    """The document's block, with parts replaced or added."""
    return {**yaml.safe_load(quote_limits(BLOCK)), **parts}


def planned(file: PlanFile) -> Plan:
    return plan(file.shape, file.hardware, file.workload, file.constraints, targets=file.targets)
