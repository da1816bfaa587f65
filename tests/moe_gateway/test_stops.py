from hypothesis import given, settings
from hypothesis import strategies as st

from moe_gateway.stops import StopFinder


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    finder = StopFinder(stops)
    text = "".join(finder.push(piece) for piece in pieces)
    return text + finder.flush(), finder.is_hit


def test_without_stops_text_passes_at_once() -> None:
    assert StopFinder([]).push("abc") == "abc"


def test_a_stop_string_over_the_borders_of_pieces_is_cut_out() -> None:
    assert run(["STOP"], ["say S", "T", "OP now"]) == ("say ", True)


def test_only_what_may_still_become_a_stop_is_held_back() -> None:
    finder = StopFinder(["\n\n"])
    assert finder.push("line\n") == "line"
    assert finder.push("next") == "\nnext"


def test_a_false_start_is_released_at_the_end() -> None:
    assert run(["STOP"], ["S", "TO"]) == ("STO", False)


def test_the_first_of_several_stops_counts() -> None:
    assert run(["c", "bc"], ["abc"]) == ("a", True)


@settings(deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.text("ab", max_size=4), max_size=12),
)
def test_pieces_give_what_the_whole_gives(stops: list[str], pieces: list[str]) -> None:
    text, hit = run(stops, pieces)
    whole = "".join(pieces)
    found = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    assert hit == bool(found)
    if not found:
        assert text == whole
    else:
        assert whole.startswith(text)
        assert not any(stop in text for stop in stops)
        assert any(whole.startswith(stop, len(text)) for stop in stops)
