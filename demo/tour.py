"""What the steps of the tour share, and the numbers it is made with."""

from dataclasses import dataclass, field
from pathlib import Path

from demo.cluster import Cluster
from demo.deployed import Deployed
from demo.reference import Reference
from demo.screen import Screen
from demo.streams import Prompt
from moe_api.deployment import MoEDeployment

ROOT = Path(__file__).resolve().parents[1]
NAME = "reference"
EXAMPLE = Path("examples/reference.yaml")
NODES, GPUS_PER_NODE = 32, 8
TOKENS_PER_STREAM = 48
TOKENS_BEFORE_FAILURE = 6
"""Each stream has this many tokens when the GPU dies, so that every stream is cut in its middle."""
QUESTION = Prompt(text="The king of Israel said to the prophet,", max_tokens=24)
SPEAKERS = (
    *("Moses", "Aaron", "Joshua", "Samuel", "David", "Solomon", "Elijah", "Isaiah"),
    *("Jeremiah", "Ezekiel", "Daniel", "Job", "John", "Jesus", "Peter", "Paul"),
)
STREAMS = tuple(Prompt(text=f"{name} said to the people,", max_tokens=TOKENS_PER_STREAM) for name in SPEAKERS)


@dataclass(kw_only=True)
class Tour:
    """The cluster, the terminal, and what earlier steps found out for later ones."""

    cluster: Cluster
    screen: Screen
    example: Path
    deployment: MoEDeployment
    """What `example` holds."""
    reference: Reference | None = None
    expected: list[list[int]] = field(default_factory=list)
    """What transformers says to QUESTION and then to each of STREAMS."""
    url: str = ""

    @property
    def deployed(self) -> Deployed:
        """The MoEDeployment of the tour."""
        return Deployed(cluster=self.cluster, name=NAME, model=self.deployment.served_name)

    def kubectl(self, *arguments: str, lines: int = 1000) -> None:
        """Run a kubectl command and show it as typed, with what it printed."""
        self.screen.command(f"kubectl {' '.join(arguments)}", self.cluster.kubectl(*arguments), lines=lines)

    def moe_local(self, *arguments: str, lines: int = 1000) -> None:
        """The same for moe-local."""
        self.screen.command(f"moe-local {' '.join(arguments)}", self.cluster.moe_local(*arguments), lines=lines)
