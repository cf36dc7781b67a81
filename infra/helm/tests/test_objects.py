"""How the objects hang together: selectors, ports, accounts, jobs, labels."""

import json

import pytest
import yaml

from infra.helm.tests.chart import CHART, SETS, needs_helm, objects, of_kind, pods, selects

pytestmark = [needs_helm, pytest.mark.parametrize("values", SETS)]


def test_workloads_select_their_own_pods(values: str) -> None:
    found = objects(values)
    for owner in of_kind(found, "Deployment", "StatefulSet").values():
        chosen = [pod for pod in pods(found) if selects(owner["spec"]["selector"], pod.labels)]
        assert [pod.owner["metadata"]["name"] for pod in chosen] == [owner["metadata"]["name"]]
        for spread in owner["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"] == owner["spec"]["selector"]


def test_services_lead_to_ports_that_there_are(values: str) -> None:
    found = objects(values)
    services = of_kind(found, "Service")
    assert {
        "penstock-gateway",
        "penstock-ingestion",
        "penstock-retrieval",
        "penstock-observer",
    } <= services.keys()
    for name, service in services.items():
        (pod,) = (
            pod for pod in pods(found) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)
        )
        assert pod.owner["metadata"]["name"] == name
        for port in service["spec"]["ports"]:
            assert pod.ports[port["targetPort"]] == port["port"]
        # Nothing is reachable from outside but through an Ingress, or by who publishes it on purpose.
        assert service["spec"]["type"] == "ClusterIP"
    for owner in of_kind(found, "StatefulSet").values():
        assert owner["spec"]["serviceName"] in services


def test_each_workload_has_a_budget_and_an_account_of_its_own(values: str) -> None:
    found = objects(values)
    budgets, accounts = of_kind(found, "PodDisruptionBudget"), of_kind(found, "ServiceAccount")
    lasting = [pod for pod in pods(found) if not pod.is_job]
    for pod in lasting:
        name = pod.owner["metadata"]["name"]
        assert selects(budgets[name]["spec"]["selector"], pod.labels)
        assert pod.spec["serviceAccountName"] == name
    assert len(budgets) == len(lasting)
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())
    assert {pod.spec["serviceAccountName"] for pod in pods(found)} == set(accounts)


def test_who_shares_a_volume_of_one_node_is_on_that_node(values: str) -> None:
    """Most clusters have no storage class whose volumes several nodes can write."""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}
    affinity = json.dumps({"nodeAffinity": {}, "podAffinity": required})
    mode = ("--set", "blobs.volume.accessMode=ReadWriteOnce") if values == "gpu" else ()  # else the default
    on_a_volume = ("--set", "blobs.url=", "--set-json", f"affinity={affinity}", *mode)
    found = objects(values, *on_a_volume)
    claim = of_kind(found, "PersistentVolumeClaim")["penstock-blobs"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    sharing = {"ingestion", "ingestion-worker"}
    for pod in pods(found):
        given, *own = pod.spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert given == {"topologyKey": "a"}
        assert len(own) == (pod.component in sharing)
        for term in own:
            assert term["topologyKey"] == "kubernetes.io/hostname"
            chosen = {
                other.component for other in pods(found) if selects(term["labelSelector"], other.labels)
            }
            assert chosen == sharing
            others = pods(objects(values, *on_a_volume, release="second"))
            assert not any(selects(term["labelSelector"], other.labels) for other in others)
    for more in (("--set", "blobs.volume.accessMode=ReadWriteMany"), ("--set", "blobs.url=s3://a/b")):
        elsewhere = pods(objects(values, "--set", "blobs.url=", *more))
        assert not any("affinity" in pod.spec for pod in elsewhere if pod.component in sharing)


def test_jobs_come_first_in_their_order_with_what_they_need(values: str) -> None:
    found = objects(values)
    hooked = {
        (one["kind"], one["metadata"]["name"]): one["metadata"]["annotations"]
        for one in found
        if one["metadata"].get("annotations", {}).get("helm.sh/hook", "test") != "test"
    }
    assert {notes["helm.sh/hook"] for notes in hooked.values()} == {"pre-install,pre-upgrade"}
    jobs = {
        name.removeprefix("penstock-"): int(notes["helm.sh/hook-weight"])
        for (kind, name), notes in hooked.items()
        if kind == "Job"
    }
    order = ["gateway-db", "ingestion-db", "topics"] + (["acl"] if values == "managed-kafka" else [])
    assert sorted(jobs, key=lambda name: (jobs[name], name)) == order
    assert jobs["topics"] < jobs.get("acl", 1)
    first = min(jobs.values())
    for (kind, _), notes in hooked.items():
        if kind != "Job":  # they are there before, and not left behind
            assert int(notes["helm.sh/hook-weight"]) < first
            assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    # A hook finds nothing of the release yet: its account and its policy are hooks, and it mounts no claim.
    for pod in pods(found):
        if pod.is_job and pod.hook != "test":
            assert ("ServiceAccount", pod.spec["serviceAccountName"]) in hooked
            assert ("NetworkPolicy", f"penstock-job-{pod.component}") in hooked
            assert not any("persistentVolumeClaim" in volume for volume in pod.spec["volumes"])


def test_helm_test_asks_the_gateway_a_question(values: str) -> None:
    found = objects(values, "--set", "requestTimeoutSeconds=700")
    (pod,) = (pod for pod in pods(found) if pod.hook == "test")
    assert pod.main["command"][:2] == ["penstock", "ask"]
    assert pod.main["command"][-2:] == ["--url", "http://penstock-gateway:8080"]
    (key,) = (one["valueFrom"] for one in pod.main["env"] if one["name"] == "PENSTOCK_API_KEY")
    assert key == {"secretKeyRef": {"name": "penstock-first-key", "key": "api-key"}}
    assert pod.owner["spec"]["activeDeadlineSeconds"] > 700
    # It is no part of the release: an upgrade does not wait for it.
    policy = of_kind(found, "NetworkPolicy")["penstock-test"]
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == "test"
    without = ("--set", "networkPolicy.enabled=false")
    assert [pod.hook for pod in pods(objects(values, *without)) if pod.component == "test"] == ["test"]


def test_labels_are_those_that_kubernetes_recommends(values: str) -> None:
    wanted = {"name", "instance", "component", "version", "part-of", "managed-by"}
    for one in objects(values):
        labels = one["metadata"]["labels"]
        assert {f"app.kubernetes.io/{label}" for label in wanted} <= labels.keys()
        assert labels["app.kubernetes.io/instance"] == "penstock"
        assert "namespace" not in one["metadata"]  # where `helm install --namespace` says


def test_two_releases_do_not_meet(values: str) -> None:
    """In one namespace: no name is taken twice, and no selector takes the other's pods."""
    one, other = objects(values), objects(values, release="second")
    names = [{(each["kind"], each["metadata"]["name"]) for each in found} for found in (one, other)]
    assert not names[0] & names[1]
    for budget in of_kind(one, "PodDisruptionBudget", "Deployment", "StatefulSet").values():
        assert not any(selects(budget["spec"]["selector"], pod.labels) for pod in pods(other))


def test_pods_are_replaced_when_a_secret_has_changed(values: str) -> None:
    def notes(*more: str) -> set[str]:
        owners = of_kind(objects(values, *more), "Deployment", "StatefulSet").values()
        return {
            one["spec"]["template"]["metadata"]["annotations"]["penstock.dev/secrets-version"]
            for one in owners
        }

    assert notes() == {"1"}
    assert notes("--set-string", "secretsVersion=2") == {"2"}


def test_the_chart_is_of_the_version_of_the_services(values: str) -> None:
    assert values in SETS
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    project = (CHART.parents[2] / "services/gateway/pyproject.toml").read_text()
    assert f'version = "{version}"' in project
