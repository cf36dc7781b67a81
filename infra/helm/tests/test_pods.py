"""What is true of every pod: who it runs as, what it may use, how it is watched, and how it ends."""

import json
import re
from importlib.metadata import entry_points

import pytest
import yaml

from infra.helm.tests.chart import (
    CHART,
    SETS,
    Object,
    Pod,
    environment,
    needs_helm,
    objects,
    of_kind,
    pods,
    selects,
)
from penstock.ingestion import worker as ingestion_worker
from penstock.observer import main as observer
from penstock.streaming.runner import DRAIN_SECONDS
from penstock.telemetry.exporting import EXIT_SECONDS

pytestmark = [needs_helm, pytest.mark.parametrize("values", SETS)]
REGISTRY = "registry.example.com/penstock"
"""That of all sets."""
OWN_LIMIT = {"nvidia.com/gpu"}


def _containers(values: str) -> list[tuple[Pod, Object]]:
    found = [(pod, container) for pod in pods(objects(values)) for container in pod.containers]
    assert len(found) > 10
    return found


def test_pods_are_restricted(values: str) -> None:
    """The profile `restricted` of the Pod Security Standards, and a read-only root besides."""
    for pod in pods(objects(values)):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (10001, 10001, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        # Else Kubernetes sets PENSTOCK_GATEWAY_PORT=tcp://… in a release named penstock.
        assert pod.spec["enableServiceLinks"] is False
        kinds = {kind for volume in pod.spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()


def test_ids_are_left_to_openshift(values: str) -> None:
    """Its profile `restricted-v2` refuses ids that are not the project's."""
    for pod in pods(objects(values, "--api-versions", "security.openshift.io/v1")):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod.spec["securityContext"].keys()
        assert pod.spec["securityContext"]["runAsNonRoot"] is True


def test_ids_can_be_chosen(values: str) -> None:
    more = "podSecurityContext.runAsUser=2000,podSecurityContext.fsGroup=null"
    for pod in pods(objects(values, "--set", more)):
        assert pod.spec["securityContext"]["runAsUser"] == 2000
        assert "fsGroup" not in pod.spec["securityContext"]


def test_all_pods_can_be_led_to_nodes(values: str) -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    }
    tolerations = [{"key": "team", "operator": "Exists"}]
    own = {"affinity": {"nodeAffinity": {}}, "tolerations": [{"key": "own"}], "nodeSelector": {"own": "yes"}}
    given = {"affinity": affinity, "tolerations": tolerations, "nodeSelector": {"pool": "ai"}}
    more = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    more.append(f"services.generation={json.dumps(own)}")
    found = {
        pod.component: pod.spec
        for pod in pods(objects(values, *(word for one in more for word in ("--set-json", one))))
    }
    assert {"gateway", "topics"} <= found.keys()
    generation = found.pop("generation")
    assert {key: generation[key] for key in own} == own
    for component in found.keys() - {"tgi", "tei"}:
        spec = found[component]
        assert spec["affinity"].items() >= affinity.items(), component  # more where a volume is shared
        assert (spec["tolerations"], spec["nodeSelector"]) == (tolerations, given["nodeSelector"])


def test_containers_are_restricted(values: str) -> None:
    for _, container in _containers(values):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_containers_have_bounds(values: str) -> None:
    """Of memory. CPU is requested and not limited, so that nothing is slowed down on an idle node."""
    for _, container in _containers(values):
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()
        assert {"memory"} == container["resources"]["limits"].keys() - OWN_LIMIT


def test_images_are_from_the_values_with_a_tag(values: str) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    others = {defaults["tgi"]["image"], defaults["tei"]["image"]}
    for _, container in _containers(values):
        image = container["image"]
        assert re.fullmatch(r"\S+:(?!latest)[\w.-]+", image)
        ours = re.fullmatch(rf"{REGISTRY}/[a-z]+:{re.escape(chart['appVersion'])}", image)
        assert ours or image in others
    moved = objects(
        values, "--set", "images.registry=r.example.com/x,images.tag=9.9,tgi.image=t:1,tei.image=e:1"
    )
    for pod in pods(moved):
        assert all(
            one["image"] in ("t:1", "e:1") or re.fullmatch(r"r\.example\.com/x/[a-z]+:9\.9", one["image"])
            for one in pod.containers
        )


def test_commands_are_programs_of_their_image(values: str) -> None:
    programs = {point.name: point.module for point in entry_points(group="console_scripts")}
    for pod in pods(objects(values)):
        if not pod.main["image"].startswith(f"{REGISTRY}/"):
            continue
        service = pod.main["image"].removeprefix(f"{REGISTRY}/").partition(":")[0]
        home = "penstock.devstack." if service == "cli" else f"penstock.{service}."
        assert programs[pod.main["command"][0]].startswith(home)


def test_what_goes_on_is_watched(values: str) -> None:
    for pod in pods(objects(values)):
        if pod.is_job:
            continue
        ours = "command" in pod.main
        paths = {name: pod.main[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
        assert {probe["port"] for probe in paths.values()} <= pod.ports.keys()
        assert paths["readiness"]["path"] == ("/readyz" if ours else "/health")
        assert paths["liveness"]["path"] == paths["startup"]["path"] == ("/livez" if ours else "/health")
        startup = pod.main["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


def _drain_seconds(pod: Pod) -> float:
    """How long the program goes on after SIGTERM, by its own settings and constants."""
    env = environment(pod.main)
    exported = EXIT_SECONDS if "command" in pod.main else 0
    if pod.component == "gateway":
        return float(env["PENSTOCK_DRAIN_S"] or 0) + 2 + exported
    if pod.component == "inference":
        return float(env["PENSTOCK_INFERENCE_DRAIN_SECONDS"] or 0) + exported
    if pod.component == "observer":
        return observer.GRACE_SECONDS + exported
    if pod.component == "ingestion-worker":
        return ingestion_worker.STOP_SECONDS + exported
    return DRAIN_SECONDS + exported if "command" in pod.main else 15


def test_there_is_time_to_drain(values: str) -> None:
    for pod in pods(objects(values)):
        if not pod.is_job:
            before = pod.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert pod.spec["terminationGracePeriodSeconds"] >= before + _drain_seconds(pod) + 5


def test_the_gateways_time_to_drain_follows_its_setting(values: str) -> None:
    (gateway,) = (
        pod
        for pod in pods(objects(values, "--set", "gateway.drainSeconds=600"))
        if pod.component == "gateway"
    )
    assert environment(gateway.main)["PENSTOCK_DRAIN_S"] == "600"
    assert gateway.spec["terminationGracePeriodSeconds"] > 610


def test_whoever_is_asked_waits_until_nobody_asks(values: str) -> None:
    found = objects(values)
    services = of_kind(found, "Service").values()
    for pod in pods(found):
        asked = any(selects({"matchLabels": one["spec"]["selector"]}, pod.labels) for one in services)
        if asked and pod.component != "observer":  # whom nothing waits for
            assert pod.main["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_nothing_is_taken_away_before_its_successor_is_ready(values: str) -> None:
    for name, owner in of_kind(objects(values), "Deployment").items():
        strategy = owner["spec"]["strategy"]
        if name.endswith("-ingestion"):  # two would send the events of one outbox, in two orders
            assert strategy == {"type": "Recreate"}
        else:
            assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_what_is_mounted_is_there(values: str) -> None:
    for pod in pods(objects(values)):
        volumes = {volume["name"] for volume in pod.spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
        assert mounted == volumes


def test_state_that_must_last_is_on_claims(values: str) -> None:
    kept = {pod.component for pod in pods(objects(values)) if pod.owner["spec"].get("volumeClaimTemplates")}
    assert "observer" in kept
    assert ("retrieval" in kept) == (values != "managed-kafka")  # where a Qdrant server has the index
