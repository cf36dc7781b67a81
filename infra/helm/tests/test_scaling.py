"""What replicas follow: the right groups and topics, metrics that there are, and bounds that make sense."""

import pytest

from infra.helm.tests.chart import NAMESPACE, SETS, Object, environment, needs_helm, objects, of_kind, pods
from infra.promql import metrics_in
from infra.tests.test_alerts_and_dashboards import SERIES
from penstock.messages.flows import FLOWS
from penstock.messages.topics import TOPICS

pytestmark = needs_helm
WITH_KEDA = [name for name in SETS if name != "small"]
PARTITIONS = {topic.name: topic.partitions for topic in TOPICS}
NO_KEDA = ("--set", "keda.enabled=false", "--set", "services.tgi.autoscaling.min=1")


def _triggers(scaled: Object, kind: str) -> list[dict[str, str]]:
    return [one["metadata"] for one in scaled["spec"]["triggers"] if one["type"] == kind]


@pytest.mark.parametrize("values", WITH_KEDA)
def test_scaled_objects_follow_groups_that_read_the_topic(values: str) -> None:
    for scaled in of_kind(objects(values), "ScaledObject").values():
        for trigger in _triggers(scaled, "kafka"):
            handled = {topic.name for topic in FLOWS[trigger["consumerGroup"]].handled}
            assert trigger["topic"] in handled
            own = scaled["metadata"]["name"] == f"penstock-{trigger['consumerGroup']}"
            assert not own or scaled["spec"]["maxReplicaCount"] <= PARTITIONS[trigger["topic"]]


@pytest.mark.parametrize("values", WITH_KEDA)
def test_queries_name_metrics_that_there_are_of_this_release_alone(values: str) -> None:
    seen: set[str] = set()
    for scaled in of_kind(objects(values), "ScaledObject").values():
        for trigger in _triggers(scaled, "prometheus"):
            found = metrics_in(trigger["query"])
            seen |= found.keys()
            for name, labels in found.items():
                assert "namespace" in labels
                assert labels - {"namespace"} <= SERIES[name]
            assert f'namespace="{NAMESPACE}"' in trigger["query"]
            assert float(trigger["threshold"]) > 0
            assert trigger["serverAddress"].startswith("http://prometheus.")
    assert {
        "penstock_consumer_lag_tokens",
        "penstock_gateway_requests_open",
        "penstock_ingestion_jobs",
    } <= seen


@pytest.mark.parametrize("values", WITH_KEDA)
def test_without_its_sources_a_service_has_its_usual_replicas(values: str) -> None:
    more = ("--set", "services.gateway.replicas=1,services.generation.replicas=64,keda.failureThreshold=5")
    scaled = of_kind(objects(values, *more), "ScaledObject")
    for one in scaled.values():
        assert one["spec"]["fallback"]["failureThreshold"] == 5
        # KEDA falls back where a trigger counts an average per replica, which CPU does not.
        assert {trigger["type"] for trigger in one["spec"]["triggers"]} > {"cpu"} or not _triggers(one, "cpu")
    replicas = {name: one["spec"]["fallback"]["replicas"] for name, one in scaled.items()}
    assert replicas["penstock-gateway"] == 2  # its min
    assert replicas["penstock-generation"] == 8  # its max
    if values == "gpu":
        assert replicas["penstock-tgi"] == 1  # though it goes to zero


def test_generation_follows_records_and_tokens() -> None:
    """KEDA makes one autoscaler of both, which takes the higher number."""
    scaled = of_kind(objects("managed-kafka"), "ScaledObject")["penstock-generation"]
    assert [one["type"] for one in scaled["spec"]["triggers"]] == ["kafka", "prometheus"]
    assert _triggers(scaled, "kafka")[0]["lagThreshold"] == "200"
    assert _triggers(scaled, "prometheus")[0]["threshold"] == "20000"


def test_backends_go_to_zero_and_are_woken_by_any_question_or_document() -> None:
    found = objects("gpu")
    scaled = of_kind(found, "ScaledObject")["penstock-tgi"]
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["cooldownPeriod"]) == (0, 1800)
    awaited = {trigger["topic"] for trigger in _triggers(scaled, "kafka")}
    assert awaited == {"chat.requests", "chat.tokenized", "chat.retrieved"}
    queries = " ".join(trigger["query"] for trigger in _triggers(scaled, "prometheus"))
    assert "penstock_ingestion_jobs" in queries  # a backend counts the tokens of chunks
    # Nothing else goes to zero: somebody has to read on.
    assert all(
        one["spec"]["minReplicaCount"] > 0
        for name, one in of_kind(found, "ScaledObject").items()
        if name != "penstock-tgi"
    )
    environments = {pod.component: environment(pod.main) for pod in pods(found)}
    assert environments["gateway"]["PENSTOCK_MODELS"]  # whom it could not ask
    backends = (environments["generation"]["PENSTOCK_BACKENDS"] or "").split(",")
    assert backends == [f"tgi+http://penstock-tgi-{number}.penstock-tgi:8080" for number in range(4)]


@pytest.mark.parametrize("values", WITH_KEDA)
@pytest.mark.parametrize("more", [(), NO_KEDA], ids=["keda", "plain"])
def test_what_is_scaled_has_no_number_of_its_own(values: str, more: tuple[str, ...]) -> None:
    found = objects(values, *more)
    kind = "HorizontalPodAutoscaler" if more else "ScaledObject"
    assert not of_kind(found, "ScaledObject", "TriggerAuthentication") or not more
    targets = {
        (one["spec"]["scaleTargetRef"]["kind"], one["spec"]["scaleTargetRef"]["name"])
        for one in of_kind(found, kind).values()
    }
    assert len(targets) > 2
    for name, owner in of_kind(found, "Deployment", "StatefulSet").items():
        assert ("replicas" in owner["spec"]) == ((owner["kind"], name) not in targets)
        targets -= {(owner["kind"], name)}
    assert not targets


def test_without_autoscaling_numbers_are_fixed() -> None:
    found = objects("small")
    assert not of_kind(found, "ScaledObject", "HorizontalPodAutoscaler")
    owners = of_kind(found, "Deployment", "StatefulSet").values()
    assert {owner["spec"]["replicas"] for owner in owners} == {1}


def test_keda_asks_kafka_as_itself() -> None:
    found = objects("managed-kafka")
    authentication = of_kind(found, "TriggerAuthentication")["penstock-kafka"]["spec"]["secretTargetRef"]
    assert {one["parameter"]: (one["name"], one["key"]) for one in authentication} == {
        "username": ("penstock-kafka-keda", "username"),
        "password": ("penstock-kafka-keda", "password"),
        "ca": ("penstock-kafka-ca", "ca.crt"),
    }
    for scaled in of_kind(found, "ScaledObject").values():
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "kafka":
                assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
                assert trigger["authenticationRef"] == {"name": "penstock-kafka"}


def test_gpus_are_asked_for_where_there_are_some() -> None:
    found = {pod.component: pod for pod in pods(objects("gpu"))}
    for component in ("tgi", "tei"):
        pod = found[component]
        assert pod.main["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert pod.spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert [one["key"] for one in pod.spec["tolerations"]] == ["nvidia.com/gpu"]
        mounted = {mount["mountPath"]: mount["name"] for mount in pod.main["volumeMounts"]}
        memory = next(one for one in pod.spec["volumes"] if one["name"] == mounted["/dev/shm"])  # noqa: S108
        assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
        claims = {one["metadata"]["name"] for one in pod.owner["spec"]["volumeClaimTemplates"]}
        assert mounted["/data"] in claims
    others = [pod for component, pod in found.items() if component not in ("tgi", "tei")]
    assert not any("nvidia.com/gpu" in pod.main["resources"]["limits"] for pod in others)
    on_cpus = objects("gpu", "--set", "tei.gpus=0")
    (tei,) = (pod for pod in pods(on_cpus) if pod.component == "tei")
    assert "nvidia.com/gpu" not in tei.main["resources"]["limits"]


def test_metrics_are_fetched_from_who_has_them() -> None:
    found = objects("managed-kafka")
    monitors = of_kind(found, "PodMonitor").values()
    fetched = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        (chosen,) = monitor["spec"]["selector"]["matchExpressions"]
        for pod in pods(found):
            if pod.component in chosen["values"]:
                assert endpoint["port"] in pod.ports
                fetched.add(pod.component)
    lasting = {pod.component for pod in pods(found) if not pod.is_job}
    assert fetched == lasting
