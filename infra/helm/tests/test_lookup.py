"""What the chart asks the cluster about: a server that answers as Kubernetes' API does about one claim."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.helm.tests.chart import NAMESPACE, helm, loaded, needs_helm, of_kind, pods

pytestmark = needs_helm
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
RESOURCE = {
    "name": "persistentvolumeclaims",
    "kind": "PersistentVolumeClaim",
    "namespaced": True,
    "verbs": ["get"],
}


@contextmanager
def cluster(claim: str, mode: str) -> Iterator[str]:
    """A cluster with one claim; gives its URL."""
    answers = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [RESOURCE]},
        f"{CLAIMS}/{claim}": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": NAMESPACE},
            "spec": {"accessModes": [mode]},
        },
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            failure = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "NotFound",
                "code": 404,
            }
            body = json.dumps(answer or failure).encode()
            self.send_response(200 if answer else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("claim", "mode", "together"),
    [
        ("penstock-blobs", "ReadWriteMany", False),  # as releases before 0.3 made it
        ("penstock-blobs", "ReadWriteOnce", True),
        ("mine", "ReadWriteMany", False),
        ("another", "ReadWriteMany", True),
    ],
)
def test_an_upgrade_leaves_the_volume_of_files_as_it_is(
    claim: str, mode: str, together: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes refuses a change of a claim's access modes."""
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's kubeconfig
    monkeypatch.delenv("KUBECONFIG", raising=False)
    existing = "mine" if claim == "mine" else ""
    with cluster(claim, mode) as url:
        more = (
            "--dry-run=server",
            "--kube-apiserver",
            url,
            "--set",
            f"blobs.volume.existingClaim={existing}",
        )
        done = helm("template", "small", *more)
    assert done.returncode == 0, done.stderr
    found = loaded(done.stdout)
    made = of_kind(found, "PersistentVolumeClaim")
    assert [one["spec"]["accessModes"] for one in made.values()] == (
        [] if existing else [[mode if claim == "penstock-blobs" else "ReadWriteOnce"]]
    )
    assert [
        "affinity" in pod.spec for pod in pods(found) if pod.component in ("ingestion", "ingestion-worker")
    ] == [together, together]
