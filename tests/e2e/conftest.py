import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo import installing
from demo.cluster import Cluster
from demo.deployed import Deployed
from tests.e2e import bed as beds
from tests.e2e.bed import Bed
from tests.e2e.told import Told

ROOT = Path(__file__).parents[2]
Serve = Callable[..., contextlib.AbstractContextManager[Deployed]]


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line past pytest's capture: waits, moves and stalls are part of what these tests give."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"  {text}")

    return line


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]) -> Serve:
    """A cluster of its own with an example that serves on it; taken down at the end."""

    @contextlib.contextmanager
    def serving(example: str, *, nodes: int, gpus_per_node: int, seconds: float) -> Iterator[Deployed]:
        cluster = Cluster(tmp_path_factory.mktemp("cluster") / "state")
        path = ROOT / "examples" / f"{example}.yaml"
        try:
            installing.start_cluster(cluster, nodes=nodes, gpus_per_node=gpus_per_node, say=tell)
            installing.prepare_model(cluster, path)
            deployed = installing.apply(cluster, path)
            took = deployed.wait_until_available(timeout=seconds, show=lambda _: None)
            tell(f"{example} is available after {took:.0f} s")
            yield deployed
        finally:
            cluster.disconnect()
            cluster.moe_local("down")

    return serving


@pytest.fixture(scope="session")
def small(serve: Serve) -> Iterator[Deployed]:
    """2 stages x 4 ranks on 2 of 3 nodes of 4 GPUs, shared by the tests that leave it whole."""
    with serve("small", nodes=3, gpus_per_node=4, seconds=120) as running:
        yield running


@pytest.fixture(scope="session")
def shared_bed(tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]) -> Iterator[Bed]:
    """The cluster of the failure matrix, as it came up."""
    cluster = Cluster(tmp_path_factory.mktemp("matrix") / "state")
    try:
        installing.start_cluster(cluster, nodes=beds.NODES, gpus_per_node=beds.GPUS_PER_NODE, say=tell)
        checkpoint = beds.own_checkpoint(cluster, tmp_path_factory.mktemp("volume") / "models")
        deployed = installing.apply(cluster, beds.MATRIX)
        with Told(cluster).listening() as told:
            deployed.wait_until_available(timeout=120, show=lambda _: None)
            url = deployed.url()
            calm = deployed.stream(url, beds.PROMPTS, show=lambda _: None)
            assert [stream.error for stream in calm if stream.error] == []
            yield Bed(
                deployed=deployed,
                told=told,
                tell=tell,
                url=url,
                expected=[stream.tokens for stream in calm],
                home=deployed.snapshot(),
                checkpoint=checkpoint,
            )
    finally:
        cluster.disconnect()
        cluster.moe_local("down")


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    """The same with everything at home; whatever a row breaks is mended after it, and all goes home again."""
    yield shared_bed
    shared_bed.make_whole()
