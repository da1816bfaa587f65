from pathlib import Path

import openai
import pytest

from moe_gateway.keys import ApiKeys
from tests.moe_gateway.conftest import Gateway
from tests.moe_gateway.fakes import Clock, FakeHead


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As the kubelet mounts a Secret: one file for each of its values, and its own bookkeeping."""
    (tmp_path / "team-a").write_text("sk-aaaaaaaaaaaa\n")
    (tmp_path / "team-b").write_text("sk-bbbbbbbbbbbb\n\nsk-cccccccccccc")
    (tmp_path / "..data").write_text("sk-hidden")
    return tmp_path


def code(keys: ApiKeys, key: str) -> str | None:
    refusal = keys.refusal(f"Bearer {key}")
    return None if refusal is None else refusal.code


def test_every_line_of_every_file_is_a_key(folder: Path) -> None:
    keys = ApiKeys(folder)
    assert [code(keys, f"sk-{letter * 12}") for letter in "abc"] == [None] * 3
    assert code(keys, "sk-hidden") == "invalid_api_key"
    assert code(keys, "") == "invalid_api_key"
    assert code(keys, "sk-ä") == "invalid_api_key"


def test_one_file_will_do(folder: Path) -> None:
    keys = ApiKeys(folder / "team-a")
    assert code(keys, "sk-aaaaaaaaaaaa") is None
    assert code(keys, "sk-bbbbbbbbbbbb") == "invalid_api_key"


@pytest.mark.parametrize("header", [None, "", "sk-aaaaaaaaaaaa", "Basic sk-aaaaaaaaaaaa"])
def test_a_header_without_a_key_is_told_how_to_send_one(folder: Path, header: str | None) -> None:
    refusal = ApiKeys(folder).refusal(header)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (401, None)
    assert "Authorization: Bearer" in refusal.message


def test_a_wrong_key_is_not_repeated_whole(folder: Path) -> None:
    refusal = ApiKeys(folder).refusal("Bearer sk-wrong-but-long")
    assert refusal is not None
    assert "sk-...ng" in refusal.message
    assert "wrong" not in refusal.message


def test_a_place_without_keys_lets_nobody_in_and_no_place_everybody(tmp_path: Path) -> None:
    assert code(ApiKeys(tmp_path), "") == "invalid_api_key"
    assert ApiKeys(None).refusal(None) is None


def test_a_place_that_does_not_exist_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        ApiKeys(tmp_path / "nowhere")


def test_a_changed_secret_counts_after_a_while_and_a_vanished_one_changes_nothing(folder: Path) -> None:
    clock = Clock()
    keys = ApiKeys(folder / "team-a", now=clock)
    (folder / "team-a").write_text("sk-new")
    assert code(keys, "sk-new") == "invalid_api_key"
    clock.seconds = 5
    assert code(keys, "sk-new") is None
    assert code(keys, "sk-aaaaaaaaaaaa") == "invalid_api_key"
    (folder / "team-a").unlink()
    clock.seconds = 10
    assert code(keys, "sk-new") is None


class TestAGatewayWithKeys:
    @pytest.fixture
    def api_keys(self, folder: Path) -> ApiKeys:
        return ApiKeys(folder)

    async def test_strangers_are_turned_away_as_openai_does(self, gateway: Gateway) -> None:
        await gateway.add_heads(FakeHead())
        with pytest.raises(openai.AuthenticationError) as caught:
            await gateway.client.models.list()
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
        friend = gateway.client.copy(api_key="sk-bbbbbbbbbbbb")
        answer = await friend.completions.create(model="demo-model", prompt="a", max_tokens=2)
        assert answer.choices[0].finish_reason == "length"

    @pytest.mark.parametrize("path", ["/v1/completions", "/v1/models", "/tokenize", "/detokenize", "/nothing"])
    async def test_every_path_of_the_api_asks_for_a_key(self, gateway: Gateway, path: str) -> None:
        answer = await gateway.http.post(path, content=b"{" * 200_000)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["type"] == "invalid_request_error"

    @pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json"])
    async def test_probes_and_metrics_need_none(self, gateway: Gateway, path: str) -> None:
        assert (await gateway.http.get(path)).status_code == 200
