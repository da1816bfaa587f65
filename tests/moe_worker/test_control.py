import pytest

from moe_worker.control import ControlClosed, open_channel, take_channel


def test_words_and_signs_of_life_reach_the_supervisor_apart() -> None:
    supervisor, theirs = open_channel()
    rank = take_channel(theirs)
    assert supervisor.pulse.last() == 0.0
    rank.pulse.beat(12.5)
    assert (supervisor.pulse.last(), supervisor.read()) == (12.5, [])
    rank.send({"epoch": 3})
    supervisor.send({"stop": True})
    assert (supervisor.read(), rank.read()) == ([{"epoch": 3}], [{"stop": True}])
    rank.close()
    with pytest.raises(ControlClosed):
        supervisor.read()
    assert supervisor.pulse.last() == 12.5
    supervisor.close()


def test_a_rank_whose_supervisor_is_gone_says_so() -> None:
    supervisor, theirs = open_channel()
    supervisor.close()
    rank = take_channel(theirs)
    with pytest.raises(ControlClosed):
        rank.read()
    rank.close()
