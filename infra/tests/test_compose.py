"""The compose file's shape, without an engine: what must hold whoever edits it."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from infra.images.build import IMAGES
from penstock.devstack.settings import StackSettings
from penstock.gateway.settings import Settings as Gateway
from penstock.generation.settings import Settings as Generation
from penstock.inference.settings import Settings as Inference
from penstock.ingestion.settings import AppSettings as Ingestion
from penstock.observer.settings import Settings as Observer
from penstock.retrieval.settings import Settings as Retrieval
from penstock.streaming.worker import WorkerSettings
from penstock.tokenization.settings import Settings as Tokenization

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: given for name, given in SERVICES.items() if "PENSTOCK_REGISTRY" in given["image"]}
JOBS = {"topics", "gateway-db", "ingestion-db"}
SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": Gateway,
    "tokenization": Tokenization,
    "retrieval": Retrieval,
    "generation": Generation,
    "postprocessing": WorkerSettings,
    "ingestion": Ingestion,
    "worker": Ingestion,
    "observer": Observer,
    "inference": Inference,
    "topics": StackSettings,
    "gateway-db": Gateway,
    "ingestion-db": Ingestion,
}
PROFILES = ("cpu", "gpu", "observability")


def _defaults(text: str) -> dict[str, str]:
    """Settings that a text asks for, and what each is without."""
    return {name: default for name, _, default in re.findall(r"\$\{([A-Z0-9_]+)(:?-)([^}]*)\}", text)}


def test_every_service_and_job_of_ours_is_there() -> None:
    assert set(SETTINGS) == set(OURS)
    used = {re.sub(r".*/([a-z]+):.*", r"\1", given["image"]) for given in OURS.values()}
    assert used == set(IMAGES)


def test_nothing_but_the_gateway_is_published_and_it_to_this_machine_alone() -> None:
    published = {name: given["ports"] for name, given in SERVICES.items() if "ports" in given}
    assert published == {"gateway": ["${PENSTOCK_BIND:-127.0.0.1}:${PENSTOCK_PORT:-8080}:8080"]}
    assert not [
        name for name, given in SERVICES.items() if "network_mode" in given or given.get("privileged")
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_limits_and_comes_back(name: str) -> None:
    given = SERVICES[name]
    assert given["mem_limit"]
    assert given["pids_limit"] > 0
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert given["logging"]["options"]["max-size"]
    assert given["restart"] == ("on-failure:5" if name in JOBS else "unless-stopped")
    assert re.fullmatch(r"\$\{PENSTOCK_(IMAGE_[A-Z]+|REGISTRY):-.*", given["image"])
    if name in OURS:
        assert re.search(r":\$\{PENSTOCK_VERSION:\?[^}]+\}$", given["image"])
    else:
        assert re.search(r":[^}:]*\d[^}:]*\}$", given["image"])  # a version, never latest


@pytest.mark.parametrize("name", OURS)
def test_ours_can_write_nowhere_and_may_do_nothing(name: str) -> None:
    given = OURS[name]
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["tmpfs"][0].startswith("/tmp:size=")  # noqa: S108  the container's
    if name in JOBS:
        assert given["healthcheck"] == {"disable": True}
    else:
        assert given["healthcheck"]["test"] == ["CMD", "penstock-health", "--ready"]


@pytest.mark.parametrize("name", OURS)
def test_what_it_is_told_are_settings_of_its_own(name: str) -> None:
    known = {f"PENSTOCK_{field.upper()}" for field in SETTINGS[name].model_fields} | {
        "PENSTOCK_OBSERVER",
        "PENSTOCK_INSTANCE",
        "PENSTOCK_KAFKA_USER",
        "PENSTOCK_SESSION_TIMEOUT_MS",
        "PENSTOCK_EMBEDDINGS",
        "PENSTOCK_EMBEDDING_SIZE",
        "PENSTOCK_BACKENDS",
    }
    told = {key for key in OURS[name].get("environment", {}) if key.startswith("PENSTOCK_")}
    secrets = {entry["target"] for entry in OURS[name].get("secrets", ()) if isinstance(entry, dict)}
    assert told | secrets <= known


def test_what_must_be_done_before_is_waited_for() -> None:
    done = {"condition": "service_completed_successfully"}
    for name in set(OURS) - JOBS - {"inference"}:
        assert OURS[name]["depends_on"]["topics"] == done, name
    assert OURS["gateway"]["depends_on"]["gateway-db"] == done
    assert OURS["ingestion"]["depends_on"]["ingestion-db"] == done
    assert OURS["worker"]["depends_on"] == OURS["ingestion"]["depends_on"]
    assert OURS["worker"]["volumes"] == OURS["ingestion"]["volumes"]


def test_no_secret_stands_in_the_file() -> None:
    assert "version" not in STACK
    for name, given in SERVICES.items():
        for key, value in (given.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", key) and not key.endswith("_FILE"):
                assert value in (None, f"${{{key}:-}}"), (name, key)
    made = re.findall(r"^keep (\S+) ", (COMPOSE / "secrets.sh").read_text(), re.MULTILINE)
    assert set(STACK["secrets"]) == set(made)
    assert all(
        secret["file"] == f"${{PENSTOCK_SECRETS:-./secrets}}/{name}"
        for name, secret in STACK["secrets"].items()
    )


def test_secrets_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    def make() -> dict[str, str]:
        env = {"PENSTOCK_SECRETS": str(folder), "PATH": "/usr/bin:/bin"}
        subprocess.run([str(COMPOSE / "secrets.sh")], env=env, check=True)  # noqa: S603  ours
        return {file.name: file.read_text().strip() for file in folder.iterdir()}

    first = make()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(first) == set(STACK["secrets"])
    assert make() == first
    assert re.fullmatch(r"psk-[A-Za-z0-9_-]{43}", first["api-key"])
    assert first["gateway-password"] in first["accounts-db"]
    passwords = [first[name] for name in first if name.endswith("-password")]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)
    (folder / "api-key").unlink()
    again = make()
    assert again.pop("api-key") != first.pop("api-key")
    assert again == first


def test_the_example_has_every_setting_with_its_default() -> None:
    example = (COMPOSE / ".env.example").read_text()
    told = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    wanted = _defaults(TEXT) | {"HF_TOKEN": ""}
    wanted |= {"PENSTOCK_REGISTRY": "", "PENSTOCK_VERSION": ""}  # empty: built here, from this checkout
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"):
        assert told.pop(name).startswith("http://collector:4318/v1/")
        wanted.pop(name)
    # Those of other profiles stand there more than once.
    for name in ("PENSTOCK_BACKENDS", "PENSTOCK_EMBEDDINGS"):
        told.pop(name)
        wanted.pop(name)
    assert told == wanted


def test_prometheus_asks_every_process_where_it_answers() -> None:
    [job] = yaml.safe_load((COMPOSE / "observability" / "prometheus.yaml").read_text())["scrape_configs"]
    [targets] = [entry["targets"] for entry in job["static_configs"]]
    ports = {name: IMAGES[name].port if name in IMAGES else 8081 for name in set(OURS) - JOBS}
    assert sorted(targets) == sorted(f"{name}:{port}" for name, port in ports.items())


def test_grafanas_sources_are_services_and_its_dashboards_are_there() -> None:
    sources = yaml.safe_load((COMPOSE / "observability" / "grafana" / "datasources.yaml").read_text())
    assert {re.split("[:/]+", source["url"])[1] for source in sources["datasources"]} <= set(SERVICES)
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "infra" / "grafana" / "dashboards" / Path(home).name).is_file()


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [
        volume.partition(":")[0]
        for given in SERVICES.values()
        for volume in given.get("volumes", ())
        if volume.startswith(".")
    ]
    assert mounted
    assert all((COMPOSE / path).exists() for path in mounted)


def test_the_stand_ins_stand_for_what_is_there() -> None:
    offline = yaml.safe_load((COMPOSE / "offline" / "compose.offline.yaml").read_text())["services"]
    assert set(offline) <= set(SERVICES)
    for name in ("kafka", "postgres", "redis"):
        [(setting, image)] = _defaults(offline[name]["image"]).items()
        assert setting in SERVICES[name]["image"]
        assert image.startswith("penstock-offline/")
    assert offline["retrieval"]["environment"]["PENSTOCK_QDRANT"] == ""


def _compose() -> list[str]:
    built = ROOT / ".cache" / "bin" / "docker-compose"
    if built.exists():
        return [str(built)]
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607
        if asked.returncode == 0:
            return ["docker", "compose"]
    pytest.skip("docker compose is not installed")


def test_a_kafka_of_ones_own_has_a_user_for_each_service(tmp_path: Path) -> None:
    over = yaml.safe_load((COMPOSE / "own-kafka.yaml").read_text())["services"]
    clients = {name for name, given in OURS.items() if "PENSTOCK_KAFKA" in given.get("environment", {})}
    assert set(over) == clients | {"kafka"}
    for name in clients:
        [password] = [entry["source"] for entry in over[name]["secrets"] if isinstance(entry, dict)]
        assert password == f"kafka-{OURS[name]['environment']['PENSTOCK_KAFKA_USER']}"
    words = [
        "--file",
        str(COMPOSE / "compose.yaml"),
        "--file",
        str(COMPOSE / "own-kafka.yaml"),
        "config",
        "--services",
    ]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "PENSTOCK_VERSION": "9.9"}
    done = subprocess.run([*_compose(), *words], env=env, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "kafka" not in done.stdout.split()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("offline", [False, True])
def test_compose_itself_finds_it_valid(profile: str, offline: bool) -> None:
    files = [COMPOSE / "compose.yaml", *([COMPOSE / "offline" / "compose.offline.yaml"] if offline else [])]
    words = [word for file in files for word in ("--file", str(file))]
    words += ["--env-file", str(COMPOSE / ".env.example"), "--profile", profile, "config", "--format", "json"]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "PENSTOCK_VERSION": "9.9"}
    done = subprocess.run([*_compose(), *words], env=env, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert "variable is not set" not in done.stderr
    wanted = {name for name, given in SERVICES.items() if profile in given.get("profiles", [profile])}
    assert set(found) == wanted - ({"qdrant"} if offline else set())


def test_prometheus_itself_finds_its_configuration_valid(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or str(ROOT / ".cache" / "bin" / "promtool")
    if not Path(promtool).exists():
        pytest.skip("promtool is not built: make test-alerts")
    shutil.copy(ROOT / "infra" / "prometheus" / "rules.yaml", tmp_path)
    shutil.copy(COMPOSE / "observability" / "prometheus.yaml", tmp_path)
    done = subprocess.run(  # noqa: S603  Prometheus's own
        [promtool, "check", "config", str(tmp_path / "prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stand_in_reads_kafkas_settings_as_the_official_image_does() -> None:
    names: dict[str, Any] = runpy.run_path(str(COMPOSE / "offline" / "kafka" / "start.py"))
    environ = {
        "KAFKA_LOG_DIRS": "/data",
        "KAFKA_A__B___C_D": "x",
        "KAFKA_HEAP_OPTS": "-Xmx1g",
        "CLUSTER_ID": "y",
        "PATH": "z",
    }
    assert names["properties"](environ) == "a_b-c.d=x\nlog.dirs=/data\n"
