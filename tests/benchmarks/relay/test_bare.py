import pytest

from benchmarks.relay.bare import Journey, Ring, chosen, running_ring

RING = Ring(stages=2, ranks=4, choices=2, row_bytes=16)


def test_every_row_of_a_batch_chooses_as_many_places_as_the_model_experts() -> None:
    places = chosen(RING, 1, Journey(lane=3, rows=5, tokens=7, wanted=9))
    assert sum(places.values()) == 10
    assert set(places) <= {0, 1, 2, 3}


def test_the_sequences_of_a_lane_choose_each_for_itself() -> None:
    one = [chosen(RING, 0, Journey(lane=lane, rows=1, tokens=0, wanted=9)) for lane in (0, 4)]
    assert chosen(RING, 0, Journey(lane=0, rows=2, tokens=0, wanted=9)) == one[0] + one[1]


@pytest.mark.parametrize("sequences", [1, 3, 9])
def test_all_tokens_of_all_sequences_come_home(sequences: int) -> None:
    with running_ring(RING) as heads:
        heads.send(sequences, tokens=5)
        heads.send(sequences, tokens=2)
        heads.send(sequences, tokens=2, per_lane=4)
