from collections import Counter

from benchmarks.soak.questions import PREFIX_WORDS, WAYS, make_questions


def test_the_same_seed_gives_the_same_questions() -> None:
    assert make_questions(12, 5) == make_questions(12, 5)
    assert make_questions(12, 5) != make_questions(12, 6)


def test_every_way_of_sampling_is_asked_for() -> None:
    bodies = [question.body() for question in make_questions(len(WAYS), 0)]
    assert all(way.items() <= body.items() for way, body in zip(WAYS, bodies, strict=True))
    assert [body["seed"] for body in bodies] == list(range(len(WAYS)))


def test_every_second_prompt_begins_as_others_do() -> None:
    beginnings = Counter(tuple(one.prompt.split()[: PREFIX_WORDS[0]]) for one in make_questions(40, 0)[1::2])
    assert sum(beginnings.values()) == 20
    assert len(beginnings) == len(PREFIX_WORDS)
