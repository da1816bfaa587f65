"""The last drills of a deployment as a table: what was made to fail, and whether what was promised held."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from moe_api.deployment import DrillStatus, MoEDeployment

_COLUMNS = ("DRILL", "VERDICT", "FAILURE", "STAGE", "RANK", "STALL MS", "FAILED", "WRONG", "MESSAGE")
_STYLES = {"passed": "green", "failed": "bold red", "refused": "yellow"}
NONE = "no drill yet; declare one in spec.failover.drill"


def drills_view(deployment: MoEDeployment) -> Group:
    """Newest last."""
    title = Text(f"{deployment.metadata.namespace}/{deployment.metadata.name}", style="bold")
    drills = deployment.status.drills
    return Group(title, _table(drills) if drills else NONE)


def _table(drills: list[DrillStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, no_wrap=name != "MESSAGE", overflow="fold")
    for drill in drills:
        counts = (drill.stage, drill.rank, drill.stall_ms, drill.failed_requests, drill.wrong_answers)
        verdict = Text(drill.verdict, style=_STYLES.get(drill.verdict, ""))
        shown = ("-" if count is None else str(count) for count in counts)
        table.add_row(drill.name, verdict, drill.failure, *shown, drill.message)
    return table
