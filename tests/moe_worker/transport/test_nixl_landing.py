from dataclasses import dataclass, field
from typing import Any

from moe_worker.transport.nixl_landing import Landing
from moe_worker.transport.nixl_slab import Slab


@dataclass
class Register:
    """Which slabs NIXL would know."""

    slabs: list[Slab] = field(default_factory=list)

    def register(self, slab: Slab) -> Any:
        self.slabs.append(slab)
        return slab

    def deregister(self, registered: Any) -> None:
        self.slabs.remove(registered)


def test_a_place_is_used_again_when_all_has_landed_there() -> None:
    landing = Landing(Register(), 4096)
    place = landing.take(4096)
    assert place is not None
    assert landing.take(64) is None
    landing.give(place)
    again = landing.take(4096)
    assert again is not None
    assert again.address == place.address


def test_where_something_may_still_land_nothing_else_ever_does() -> None:
    register = Register()
    landing = Landing(register, 4096)
    given_up = landing.take(1024)
    assert given_up is not None
    landing.abandon(given_up)
    later = landing.take(4096)
    assert later is not None
    assert later.address + 4096 <= given_up.address or given_up.address + 4096 <= later.address
    assert len(register.slabs) == 1


def test_memory_stays_registered_until_the_last_fetch_into_it_has_landed() -> None:
    register = Register()
    landing = Landing(register, 4096)
    given_up, other = landing.take(1024), landing.take(1024)
    assert given_up is not None
    assert other is not None
    landing.abandon(given_up)
    assert len(register.slabs) == 2
    other.view()[:4] = b"rows"
    assert bytes(other.view()[:4]) == b"rows"
    landing.give(other)
    assert len(register.slabs) == 1
