from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import pytest

from moe_planner.layout import Copy, LaneSeat, Seat, StageLayout
from moe_planner.memory import Memory
from moe_planner.moves import Room
from moe_planner.picture import Picture, draw
from moe_planner.picture_style import copies_colour, load_colour, text_colour
from moe_planner.rehost import rehost

MEMORY = Memory(experts=100, takeover=50, attention=20, embeddings=0, kv_cache=200, buffers=30)
SVG = "{http://www.w3.org/2000/svg}"


def stage_of(number: int, pods: int, gpus: int) -> StageLayout:
    ranks = range(number * pods * gpus, (number + 1) * pods * gpus)
    return StageLayout(
        stage=number,
        first_layer=number,
        num_layers=1,
        experts_per_layer=pods * gpus,
        seats=tuple(
            Seat(rank=rank, pod=index // gpus, gpu=index % gpus, node=f"node-{number * pods + index // gpus}")
            for index, rank in enumerate(ranks)
        ),
        copies=tuple(Copy(expert=rank, rank=rank) for rank in ranks),
        lanes=tuple(LaneSeat(lane=lane, rank=rank) for lane, rank in enumerate(ranks)),
    )


def picture_of(stages: int, pods: int, gpus: int) -> Picture:
    laid_out = {(0, number): stage_of(number, pods, gpus) for number in range(stages)}
    return Picture(
        title="a plan",
        stages=laid_out,
        memories=dict.fromkeys(laid_out, MEMORY),
        gpu_memory_bytes=1000,
        loads={key: dict.fromkeys(stage.ranks, 1.0) for key, stage in laid_out.items()},
    )


def cells(svg: str) -> list[tuple[str, float, float, float]]:
    """Title, left, right and top of every GPU's cell."""
    found = []
    for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        title = rect.findtext(f"{SVG}title") or ""
        if title.startswith("rank"):
            x, width = float(rect.get("x", "")), float(rect.get("width", ""))
            found.append((title, x, x + width, float(rect.get("y", ""))))
    return found


@pytest.mark.parametrize(("stages", "pods", "gpus"), [(2, 1, 4), (16, 2, 8), (16, 32, 8), (64, 1, 64), (1, 1, 200)])
def test_every_gpu_is_one_cell_inside_the_picture_and_on_no_other(stages: int, pods: int, gpus: int) -> None:
    drawn = cells(draw(picture_of(stages, pods, gpus)))
    assert [title.split()[1] for title, *_ in drawn] == [str(rank) for rank in range(stages * pods * gpus)]
    rows: dict[float, list[tuple[float, float]]] = {}
    for _, left, right, top in drawn:
        rows.setdefault(top, []).append((left, right))
    for spans in rows.values():
        assert all(before[1] < after[0] for before, after in pairwise(spans))
        assert spans[-1][1] < 1400 - 24 - 150


def test_the_same_picture_is_the_same_bytes() -> None:
    assert draw(picture_of(2, 2, 4)) == draw(picture_of(2, 2, 4))


def test_a_lost_gpu_is_crossed_out_and_its_expert_is_shown_where_it_went() -> None:
    plain = picture_of(2, 1, 4)
    after = rehost(plain.stages[0, 1], lost=frozenset({6}), room=Room(lanes_per_rank=3))
    svg = draw(replace(plain, after={(0, 1): after}))
    titles = [title for title, *_ in cells(svg)]
    assert "rank 6 node-1 gpu 2: lost" in titles
    assert "rank 4 node-1 gpu 0: experts 4,6, copies 1, lanes 0, load 1.00, took 6" in titles
    assert "4,+6" in svg


def test_what_nobody_can_host_is_written_below() -> None:
    plain = picture_of(1, 1, 4)
    after = rehost(plain.stages[0, 0], lost=frozenset({1, 2}), room=Room(lanes_per_rank=3, experts_per_rank=1))
    assert "stage 0: experts 1, 2 lost" in draw(replace(plain, after={(0, 0): after}))


def test_memory_bars_are_true_to_scale() -> None:
    root = ElementTree.fromstring(draw(picture_of(1, 1, 4)))
    bars = [r for r in root.iter(f"{SVG}rect") if (r.findtext(f"{SVG}title") or "").startswith("KV cache: 200 B")]
    beside, to_scale, magnified = (float(bar.get("width", "")) for bar in bars)
    # 200 of 400 bytes beside the row (150 wide) and magnified (1262 wide), 200 of 1000 to scale.
    assert (beside, to_scale, magnified) == (75.0, 252.4, 631.0)
    assert "400 B of 1000 B (40.00%)" in "".join(root.itertext())


def test_words_are_escaped() -> None:
    svg = draw(replace(picture_of(1, 1, 2), title='<b> & "c"'))
    assert '<b> & "c"' in "".join(ElementTree.fromstring(svg).itertext())


def test_colours_grow_from_pale_to_red_and_words_stay_readable() -> None:
    assert [load_colour(load) for load in (0.0, 1.0, 1.5, 2.5, 9.0)] == [
        "#e7eef6",
        "#78aad6",
        "#f2b134",
        "#c0392b",
        "#c0392b",
    ]
    assert (text_colour(1.0), text_colour(2.5)) == ("#1a1f27", "#ffffff")
    assert copies_colour(7) == copies_colour(3) != copies_colour(2)
