from pathlib import Path

import pytest

from moe_gateway.settings import SettingsError, read_settings

LEAST = {"MOE_DEPLOYMENT": "demo", "MOE_NAMESPACE": "default", "MODEL_PATH": "/models/m"}


def test_the_least_that_is_needed() -> None:
    settings = read_settings(LEAST)
    assert (settings.served_model, settings.host, settings.port) == ("demo", "0.0.0.0", 8000)
    assert settings.secret_file == Path("/var/run/moe/secret/key")
    assert settings.hold_seconds == 30


def test_the_pod_s_address_is_listened_on() -> None:
    assert read_settings({**LEAST, "POD_IP": "127.244.0.9"}).host == "127.244.0.9"


def test_not_waiting_at_all_is_allowed() -> None:
    assert read_settings({**LEAST, "MOE_HOLD_SECONDS": "0"}).hold_seconds == 0


@pytest.mark.parametrize("name", LEAST)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize("value", ["x", "-1", "inf", "nan", "0.5"])
def test_a_senseless_number_is_named_with_its_rule(value: str) -> None:
    with pytest.raises(SettingsError, match=r"MOE_PORT=.*from 1 up"):
        read_settings({**LEAST, "MOE_PORT": value})


def test_the_pod_is_known_by_its_name() -> None:
    assert read_settings({**LEAST, "POD_NAME": "demo-gateway-1"}).pod_name == "demo-gateway-1"


def test_limits_and_keys_are_optional() -> None:
    settings = read_settings(LEAST)
    assert (settings.api_keys, settings.max_choices, settings.request_seconds) == (None, 1024, 600)
    told = {"MOE_API_KEYS": "/keys", "MOE_MAX_CHOICES": "7", "MOE_REQUEST_SECONDS": "0.5", "MOE_STREAMS_PER_LANE": "4"}
    settings = read_settings({**LEAST, **told})
    assert (settings.api_keys, settings.max_choices, settings.request_seconds) == (Path("/keys"), 7, 0.5)
    assert (read_settings(LEAST).streams_per_lane, settings.streams_per_lane) == (1, 4)
