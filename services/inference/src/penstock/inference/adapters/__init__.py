"""The only place of outside libraries: OpenVINO, tokenizers, FastAPI, Prometheus."""

import sys

# OpenVINO reports each import to its maker's statistics, and keeps an id for that in the user's home. Without
# this module it does not; Python takes None for "cannot be imported".
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
