"""The only place of outside libraries: OpenVINO, tokenizers, FastAPI, Prometheus."""
