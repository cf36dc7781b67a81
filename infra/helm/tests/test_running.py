"""The pods of the set `managed-kafka` as processes here: Kafka with TLS and users, PostgreSQL, Redis.

What Kubernetes would do is done here: commands, variables, mounted Secrets, the order of the jobs, probes,
SIGTERM. Only addresses, ports and folders are replaced. There is no model server: those who need one have to
say just that.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from infra.helm.tests.chart import Object, Pod, environment, needs_helm, objects, pods
from libs.database.tests.ports import free_port
from libs.database.tests.servers import POSTGRES, REDIS, new_database, running_redis
from penstock.devstack.kafka import running_broker
from penstock.devstack.security import USERS, Security
from penstock.gateway.domain.keys import new_key
from penstock.streaming.admin.access import set_passwords
from penstock.streaming.ports import BrokerError

pytestmark = [
    needs_helm,
    pytest.mark.skipif(not (POSTGRES and REDIS), reason="no PostgreSQL or no Redis on this machine"),
]
# Their own stores instead of Qdrant and S3, no collector, one copy for the one broker, a short deadline.
HERE = (
    "--set",
    "qdrant.url=,blobs.url=,blobs.existingSecret=,otlpEndpoint=",
    "--set",
    "jobs.topics.replicationFactor=1,requestTimeoutSeconds=10",
)
READY_S, HERE_S = 300, 60
OBSERVER_KEY = "key-of-the-observer"
MODEL = "HuggingFaceH4/zephyr-7b-beta"
UNREADY = {
    "tokenization": {"backends"},
    "generation": {"backends"},
    "retrieval": {"embeddings"},
    "ingestion-worker": {"embeddings"},
}
"""What is waited for without model servers, and nothing else: all reach Kafka and their databases."""


class Cluster(NamedTuple):
    """What stands where, instead of the cluster's names."""

    found: list[Object]
    folder: Path
    security: Security
    kafka: str
    key: str
    secrets: Mapping[str, str]
    ports: Mapping[tuple[str, int], int]

    def variables(self, pod: Pod) -> dict[str, str]:
        """Return the variables of a pod's program."""
        env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
        for name, given in environment(pod.main).items():
            env[name] = self.translated(pod, self.secrets[name] if given is None else given)
        if "PENSTOCK_KAFKA" in env:
            env["PENSTOCK_KAFKA"] = self.kafka
        ports = {name: value for name, value in env.items() if name.endswith("_PORT")}
        return env | {name: str(self.ports[pod.component, int(value)]) for name, value in ports.items()}

    def translated(self, pod: Pod, text: str) -> str:
        """Return a text with this machine's folders and addresses."""
        user = next(iter(re.findall(r"penstock-kafka-(?!ca)([a-z]+)", str(pod.spec["volumes"]))), "")
        for old, new in (
            ("/etc/penstock/kafka/password", str(self.security.password_file(user))),
            ("/etc/penstock/kafka-ca/ca.crt", str(self.security.authority)),
            ("/etc/penstock/first-key/api-key", str(self.folder / "first-key")),
            ("/var/lib/penstock-blobs", str(self.folder / "blobs")),
            ("/var/lib/penstock", str(self.folder / pod.component)),
            ("/tmp/penstock", str(self.folder / pod.component)),  # noqa: S108
            ("$(POD_INDEX)", "0"),
            ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ):
            text = text.replace(old, new)
        return re.sub(
            r"http://penstock-([a-z-]+):(\d+)",
            lambda url: f"http://127.0.0.1:{self.ports[url[1], int(url[2])]}",
            text,
        )

    def run(self, job: Pod) -> "subprocess.CompletedProcess[str]":
        """Run a job to its end."""
        env = self.variables(job)
        return subprocess.run(  # noqa: S603  # the chart's own
            [self.translated(job, word) for word in job.main["command"]],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def url(self, pod: Pod, probe: str) -> str:
        """Return where a probe asks."""
        asked = pod.main[probe]["httpGet"]
        return f"http://127.0.0.1:{self.ports[pod.component, pod.ports[asked['port']]]}{asked['path']}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    security = Security(folder / "security")
    security.prepare()
    found = objects("managed-kafka", *HERE)
    ports = {(pod.component, number): free_port() for pod in pods(found) for number in pod.ports.values()}
    key = new_key()
    (folder / "first-key").write_text(f"{key}\n")
    with ExitStack() as servers:
        broker = servers.enter_context(running_broker(folder / "kafka", security=security))
        _users_are_made(security, broker.bootstrap)
        secrets = {
            "PENSTOCK_ACCOUNTS_DB": new_database(postgres),
            "PENSTOCK_DOCUMENTS_DB": new_database(postgres),
            "PENSTOCK_CELERY_BROKER": servers.enter_context(running_redis(folder)),
            "PENSTOCK_OBSERVER_KEY": OBSERVER_KEY,
            "PENSTOCK_API_KEY": key,
            "PENSTOCK_INSTANCE": "penstock-here-0",
            "POD_INDEX": "0",
        }
        yield Cluster(found, folder, security, broker.bootstrap, key, secrets, ports)


def _users_are_made(security: Security, servers: str) -> None:
    """By the provider's means; ACLs and topics are for the jobs."""
    deadline = time.monotonic() + HERE_S
    while True:  # the broker listens a moment before it leads
        try:
            set_passwords(security.bootstrap(servers), {user: security.password(user) for user in USERS})
        except BrokerError:
            assert time.monotonic() < deadline
        else:
            return


@contextmanager
def _running(cluster: Cluster) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    processes = {}
    try:
        for pod in pods(cluster.found):
            if not pod.is_job:
                (cluster.folder / pod.component).mkdir(exist_ok=True)
                env = cluster.variables(pod)
                with (cluster.folder / f"{pod.component}.log").open("wb") as log:
                    processes[pod.component] = subprocess.Popen(  # noqa: S603  # the chart's own
                        pod.main["command"], env=env, cwd=cluster.folder, stdout=log, stderr=log
                    )
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _waited_for(cluster: Cluster, pod: Pod) -> set[str] | None:
    """Return which parts a pod says it waits for; None while it does not answer."""
    with suppress(httpx2.HTTPError):
        if httpx2.get(cluster.url(pod, "livenessProbe"), trust_env=False).status_code == 200:
            told = httpx2.get(cluster.url(pod, "readinessProbe"), trust_env=False)
            assert told.status_code in (200, 503)
            parts = {reason.partition(":")[0] for reason in told.json()["waiting_for"]}
            assert (told.status_code == 200) == (not parts)
            return parts
    return None


def test_all_of_it(cluster: Cluster) -> None:
    """From the jobs to the end of each process; one test, since each part needs the one before."""
    lasting = [pod for pod in pods(cluster.found) if not pod.is_job]
    jobs = [pod for pod in pods(cluster.found) if pod.is_job and pod.hook != "test"]
    weight = "helm.sh/hook-weight"
    for job in sorted(jobs, key=lambda pod: int(pod.owner["metadata"]["annotations"][weight])):
        for _ in range(2):  # an upgrade runs them again
            done = cluster.run(job)
            assert done.returncode == 0, (job.component, done.stdout, done.stderr)
    with _running(cluster) as processes:
        _all_say_what_they_wait_for(cluster, lasting)
        _the_first_key_opens_the_gateway(cluster, next(pod for pod in lasting if pod.component == "gateway"))
        _the_gateway_may_ask_the_observer(cluster, lasting)
        _helm_test_says_why_there_is_no_answer(cluster)
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        for pod in lasting:
            before = pod.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            allowed = pod.spec["terminationGracePeriodSeconds"] - before
            code = processes[pod.component].wait(max(0.1, allowed - (time.monotonic() - begun)))
            assert code == 0, (pod.component, (cluster.folder / f"{pod.component}.log").read_text()[-2000:])


def _all_say_what_they_wait_for(cluster: Cluster, lasting: list[Pod]) -> None:
    deadline = time.monotonic() + READY_S
    expected = {pod.component: UNREADY.get(pod.component, set()) for pod in lasting}
    while True:
        said = {pod.component: _waited_for(cluster, pod) for pod in lasting}
        if said == expected:
            return
        assert time.monotonic() < deadline, {
            name: parts for name, parts in said.items() if parts != expected[name]
        }
        time.sleep(0.5)


def _the_first_key_opens_the_gateway(cluster: Cluster, gateway: Pod) -> None:
    assert not (cluster.folder / "gateway/api-key").exists()  # nor did it make one of its own
    models = cluster.url(gateway, "readinessProbe").replace("/readyz", "/v1/models")
    told = httpx2.get(models, headers={"authorization": f"Bearer {cluster.key}"}, trust_env=False)
    assert [model["id"] for model in told.json()["data"]] == [MODEL]


def _the_gateway_may_ask_the_observer(cluster: Cluster, lasting: list[Pod]) -> None:
    by_name = {pod.component: cluster.url(pod, "readinessProbe") for pod in lasting}
    path, operator = "/console/api/dead_letters", {"penstock-operator": "1"}
    direct = httpx2.get(by_name["observer"].replace("/readyz", path), headers=operator, trust_env=False)
    assert direct.status_code == 403  # a pod that may export spans knows no key
    bearer = {"authorization": f"Bearer {cluster.key}"}
    through = httpx2.get(by_name["gateway"].replace("/readyz", path), headers=bearer, trust_env=False)
    assert through.json()["letters"] == []


def _helm_test_says_why_there_is_no_answer(cluster: Cluster) -> None:
    """It reaches the gateway and is let in; there is no model server here."""
    (job,) = (pod for pod in pods(cluster.found) if pod.hook == "test")
    done = cluster.run(job)
    assert done.returncode == 1
    assert "deadline_exceeded" in done.stderr
