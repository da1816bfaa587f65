import httpx

from benchmarks.soak.gateway import LoadListener, api_server, first_stage
from moe_api.stage import MoEStage
from moe_gateway.router import HeadKey
from moe_gateway.topology import head_targets
from moe_wire.messages import Load
from tests.moe_gateway.fakes import FakeLink

ADDRESSES = ("127.0.0.1:4000", "127.0.0.1:4001")


def test_the_stage_gives_a_gateway_a_head_for_each_rank() -> None:
    targets = head_targets([MoEStage.load(first_stage("pod", ADDRESSES))])
    assert {key: target.address for key, target in targets.items()} == {
        HeadKey(replica=0, rank=0, pod_uid="pod"): ("127.0.0.1", 4000),
        HeadKey(replica=0, rank=1, pod_uid="pod"): ("127.0.0.1", 4001),
    }


async def test_the_stage_is_listed_and_a_watch_ends_without_news() -> None:
    path = "/apis/moe-operator.dev/v1alpha1/namespaces/default/moestages"
    stage = first_stage("pod", ADDRESSES)
    async with api_server(stage) as url, httpx.AsyncClient(base_url=url, verify=False, trust_env=False) as http:
        assert (await http.get(path)).json()["items"] == [stage]
        assert (await http.get(path, params={"watch": "true", "timeoutSeconds": "0"})).text == ""


def test_a_lost_head_s_load_is_forgotten() -> None:
    listener, link = LoadListener(), FakeLink(rank=1)
    load = Load(waiting=0, running=1, blocks=8, blocks_used=2, tokens_admitted=9, tokens_found=0)
    listener.received(link, load)
    assert listener.loads == {1: load}
    listener.lost(link)
    assert listener.loads == {}
