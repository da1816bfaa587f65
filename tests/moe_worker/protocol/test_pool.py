from moe_worker.protocol.pool import BlockPool


def counts(pool: BlockPool) -> tuple[int, int, int]:
    """Used, cached, free."""
    return pool.num_used, pool.num_cached, pool.num_available - pool.num_cached


def filled(pool: BlockPool, names: list[bytes]) -> list[int]:
    """A sequence's blocks that hold what the names say."""
    blocks = [pool.take() for _ in names]
    for block, name in zip(blocks, names, strict=True):
        pool.keep(block, name)
    return blocks


def test_every_block_is_used_cached_or_free() -> None:
    pool = BlockPool(4)
    assert counts(pool) == (0, 0, 4)
    named, nameless = filled(pool, [b"a", b"b"]), [pool.take()]
    assert counts(pool) == (3, 0, 1)
    pool.give_back(named + nameless)
    assert counts(pool) == (0, 2, 2)
    pool.share(pool.find([b"a"]))
    assert counts(pool) == (1, 1, 2)


def test_what_is_found_ends_at_the_first_name_that_nobody_knows() -> None:
    pool = BlockPool(4)
    a, b, c = filled(pool, [b"a", b"b", b"c"])
    assert pool.find([b"a", b"b", b"x", b"c"]) == [a, b]
    assert pool.find([b"c"]) == [c]
    assert pool.find([]) == []


def test_a_shared_block_comes_back_with_its_last_sequence() -> None:
    pool = BlockPool(2)
    blocks = filled(pool, [b"a"])
    pool.share(blocks)
    assert pool.references(blocks[0]) == 2
    pool.give_back(blocks)
    assert counts(pool) == (1, 0, 1)
    pool.give_back(blocks)
    assert counts(pool) == (0, 1, 1)


def test_free_blocks_go_first_then_the_deepest_of_what_was_unused_longest() -> None:
    pool = BlockPool(5)
    early, late = filled(pool, [b"a", b"b"]), filled(pool, [b"c", b"d"])
    pool.give_back(early)
    pool.give_back(late)
    pool.share([early[0]])
    pool.give_back([early[0]])
    taken = [pool.take() for _ in range(5)]
    assert taken[1:] == [early[1], late[1], late[0], early[0]]
    assert pool.find([b"a"]) == pool.find([b"b"]) == pool.find([b"c"]) == []
    assert counts(pool) == (5, 0, 0)


def test_a_block_given_up_is_never_found_again_under_its_old_name() -> None:
    pool = BlockPool(1)
    pool.give_back(filled(pool, [b"a"]))
    assert filled(pool, [b"b"]) == [0]
    assert pool.find([b"a"]) == []
    assert pool.find([b"b"]) == [0]


def test_of_two_blocks_with_the_same_contents_one_is_known_and_the_other_becomes_free() -> None:
    pool = BlockPool(3)
    first, second = filled(pool, [b"a"]), filled(pool, [b"a"])
    assert pool.find([b"a"]) == first
    pool.give_back(second)
    pool.give_back(first)
    assert counts(pool) == (0, 1, 2)


def test_a_cached_block_that_is_shared_is_not_available_beside_itself() -> None:
    pool = BlockPool(3)
    cached = filled(pool, [b"a"])
    pool.give_back(cached)
    assert pool.num_available == 3
    assert pool.num_available_beside(cached) == 2
    pool.share(cached)
    assert pool.num_available_beside(cached) == 2
