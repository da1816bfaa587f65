"""Tell one history: python -m tests.moe_worker.protocol.simulation SEED [MUTANT]"""

import sys
from random import Random

from moe_worker.protocol.rank import RankCore
from tests.moe_worker.protocol.simulation.config import draw
from tests.moe_worker.protocol.simulation.history import run_history
from tests.moe_worker.protocol.simulation.mutants import MUTANTS, Mutant


def main() -> None:
    seed = int(sys.argv[1])
    mutant = MUTANTS[sys.argv[2]] if len(sys.argv) > 2 else Mutant(RankCore)
    print(draw(Random(seed)))
    world = run_history(seed, mutant.make_core, menu=mutant.menu, tracer=lambda turn, text: print(f"{turn:6} {text}"))
    print(f"all is well after {world.turns} turns")


if __name__ == "__main__":
    main()
