"""How maps and states look on a terminal. Takes values, returns rich texts; knows no cluster."""

from itertools import zip_longest

from rich.console import Group
from rich.table import Table
from rich.text import Text

from moe_api.deployment import MoEDeployment
from moe_api.stage import MoEStage, MoveStatus
from moe_kubectl.expert_map import Cell, StageRow
from moe_planner.render import amount

_MOVES_SHOWN = 8
_EXPERTS_SHOWN = 3
LEGEND = (
    "a cell is a GPU and shows its experts (global ids); * moved there, ~ loading, . empty, XX masked, ?? not serving"
)


def map_view(rows: tuple[StageRow, ...]) -> Group:
    """Stages as rows, GPUs as cells grouped by pod, and below it what is masked or lost."""
    pods = max((len(_pods(row)) for row in rows), default=0)
    widths = _widths(rows)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("STAGE", "LAYERS", "EPOCH", "READY", *(f"POD {pod}" for pod in range(pods))):
        table.add_column(name, no_wrap=True, overflow="ignore")
    for row in rows:
        groups = [_pod_text(cells, widths[pod]) for pod, cells in enumerate(_pods(row))]
        table.add_row(
            f"r{row.replica} s{row.stage:02d}",
            _span(row.first_layer, row.num_layers),
            str(row.epoch),
            f"{row.ready_experts}/{row.total_experts}",
            *groups,
        )
    return Group(table, "", LEGEND, *_remarks(rows))


def status_view(deployment: MoEDeployment, stages: list[MoEStage]) -> Group:
    """Summary, conditions and the last moves of one deployment."""
    status = deployment.status
    summary = Text.assemble(
        (f"{deployment.metadata.namespace}/{deployment.metadata.name}", "bold"),
        f"  {status.layout or 'no layout yet'}  experts {status.experts or '-'}  coverage {status.coverage}  "
        f"GPUs {status.gpus or '-'}  stages {len(stages)}  {status.reason}",
    )
    parts: list[Text | Table | str] = [summary]
    if status.conclusion:
        parts.append(Text(status.conclusion, style="dim"))
    parts.extend(Text(words, style="yellow") for words in _verdicts(deployment))
    parts.append(_conditions(deployment))
    moves = sorted(((m, s) for s in stages for m in s.status.moves), key=lambda pair: pair[0].time)
    if moves:
        parts.extend(["", _moves([(move, stage) for move, stage in moves[-_MOVES_SHOWN:]])])
    return Group(*parts)


def _pods(row: StageRow) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in row.cells:
        groups.setdefault(cell.pod, []).append(cell)
    return list(groups.values())


def _widths(rows: tuple[StageRow, ...]) -> dict[int, list[int]]:
    """Columns of a pod's node name and of each of its GPUs, by pod, so that the GPUs of all stages line up."""
    widths: dict[int, list[int]] = {}
    for row in rows:
        for pod, cells in enumerate(_pods(row)):
            mine = [len(_node(cells)), *(len(_cell_text(cell)) for cell in cells)]
            widths[pod] = [max(pair) for pair in zip_longest(mine, widths.get(pod, []), fillvalue=0)]
    return widths


def _node(cells: list[Cell]) -> str:
    return cells[0].node or "no node"


def _pod_text(cells: list[Cell], widths: list[int]) -> Text:
    text = Text()
    parts = [Text(_node(cells), style="dim"), *(_cell_text(cell) for cell in cells)]
    for part, width in zip(parts, widths, strict=False):
        part.pad_right(width - len(part) + 1)
        text.append_text(part)
    text.rstrip()
    return text


def _cell_text(cell: Cell) -> Text:
    if cell.masked:
        return Text("XX", style="bold red")
    if not cell.experts:
        return Text(".", style="dim")
    text = Text()
    for expert in cell.experts[:_EXPERTS_SHOWN]:
        mark = "~" if expert.state == "loading" else "*" if expert.moved else ""
        style = "yellow" if mark else "green" if cell.state == "serving" else "magenta"
        text.append(f"{',' if text.plain else ''}{expert.expert}{mark}", style=style)
    if len(cell.experts) > _EXPERTS_SHOWN:
        text.append(f"+{len(cell.experts) - _EXPERTS_SHOWN}", style="dim")
    if cell.state not in ("serving", "masked"):
        text.append("??", style="magenta")
    return text


def _remarks(rows: tuple[StageRow, ...]) -> list[Text]:
    remarks = []
    for row in rows:
        for cell in row.cells:
            if cell.masked:
                place = f"{cell.node or cell.pod} gpu {cell.gpu}"
                remarks.append(Text(f"{row.name}: rank {cell.rank} ({place}) is masked: {cell.reason}", style="red"))
        if row.lost_experts:
            lost = ", ".join(str(e) for e in row.lost_experts)
            remarks.append(Text(f"{row.name}: no host for experts {lost}", style="bold red"))
        if row.homeless_lanes:
            lanes = ", ".join(str(lane) for lane in row.homeless_lanes)
            remarks.append(Text(f"{row.name}: no rank for lanes {lanes}", style="bold red"))
    return remarks


def _verdicts(deployment: MoEDeployment) -> list[str]:
    """The lines of the plan's verification that do not hold."""
    return [
        f"{one.verdict}: {one.name} {amount(one.value, one.unit)} of {amount(one.limit, one.unit)}, {one.bound}"
        for one in deployment.status.verification
        if one.verdict != "holds"
    ]


def _conditions(deployment: MoEDeployment) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"):
        table.add_column(name, no_wrap=name != "MESSAGE", overflow="fold")
    for condition in deployment.status.conditions:
        table.add_row(
            condition.type, condition.status, condition.reason, condition.last_transition_time, condition.message
        )
    return table


def _moves(moves: list[tuple[MoveStatus, MoEStage]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("TIME", "STAGE", "CAUSE", "GPU", "EXPERTS", "LANES", "TO RANKS", "MS"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    for move, stage in moves:
        spent = (move.detect_ms, move.commit_ms, move.load_ms)
        table.add_row(
            move.time,
            stage.metadata.name,
            move.cause,
            f"{move.node or '-'}/{move.gpu if move.gpu is not None else '-'}",
            _numbers(move.experts),
            _numbers(move.lanes),
            _numbers(move.to_ranks),
            "+".join("-" if ms is None else str(ms) for ms in spent),
        )
    return table


def _numbers(values: list[int]) -> str:
    return ",".join(str(value) for value in values) or "-"


def _span(first: int, count: int) -> str:
    return f"{first}" if count == 1 else f"{first}-{first + count - 1}"
