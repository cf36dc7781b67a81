"""The observer's key in a local stack: who has it, and who may read it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from penstock.devstack.errors import DevstackError
from penstock.devstack.settings import StackSettings
from penstock.devstack.stack import Plan, choose_addresses
from penstock.devstack.state import StackStatus, StateDir
from penstock.devstack.where import observer_here
from penstock.streaming.credentials import ObserverKey

VARIABLES = {"PENSTOCK_OBSERVER_KEY", "PENSTOCK_OBSERVER_KEY_FILE"}


def plan(state: StateDir) -> Plan:
    settings = StackSettings(
        gateway_port=0, kafka="127.0.0.1:9", backends="tgi+http://a:1", embeddings="http://a:1"
    )
    return Plan(choose_addresses(settings), state, lambda _: None)


def test_only_the_gateways_and_the_observer_get_the_key(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    specs = plan(state).specs({"gateway": 2})
    assert {spec.name for spec in specs if spec.env.keys() & VARIABLES} == {
        "gateway",
        "gateway-2",
        "observer",
    }
    assert {spec.env["PENSTOCK_OBSERVER_KEY_FILE"] for spec in specs if spec.env.keys() & VARIABLES} == {
        str(state.observer_key)
    }
    key = ObserverKey(observer_key_file=state.observer_key).key_of_observer
    assert key
    assert len(key.get_secret_value()) >= 43
    assert state.observer_key.stat().st_mode & 0o777 == 0o600


def test_the_key_stays_the_same_at_the_next_start(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    plan(state).specs({})
    first = state.observer_key.read_text()
    plan(state).specs({})
    assert state.observer_key.read_text() == first


def test_a_key_in_the_environment_does_not_reach_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gateway,) = (spec for spec in plan(StateDir(tmp_path)).specs({}) if spec.name == "gateway")
    monkeypatch.setenv("PENSTOCK_OBSERVER_KEY", "another")
    for name in VARIABLES:
        monkeypatch.setenv(name, gateway.env[name])
    key = ObserverKey().key_of_observer
    assert key == SecretStr((tmp_path / "observer-key").read_text())


def test_the_command_calls_the_observer_with_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path))
    state = StateDir(tmp_path)
    with state.supervising():
        status = StackStatus(
            pid=0, ready=True, kafka="", gateway="", observer="http://o", backends="", embeddings=""
        )
        monkeypatch.setattr(StateDir, "read", lambda _self: status)
        with pytest.raises(DevstackError, match="penstock up"):
            observer_here()
        plan(state).specs({})
        assert observer_here() == ("http://o", state.observer_key.read_text())
