"""The settings of the service, read from the environment once, in main."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables `PENSTOCK_…`, named as the fields are."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True)

    inference_host: str = "127.0.0.1"
    inference_port: int = Field(default=8081, ge=0, le=65535)

    model: Path | None = None
    """A GGUF file or a directory with an OpenVINO model; unset: SmolLM2 from its Python package."""
    model_adapter: Path | Literal["none"] | None = None
    """A LoRA adapter (penstock.lora) that becomes part of the model, which has to be a GGUF file; unset: with
    SmolLM2 the reader's."""
    model_id: str | None = None
    """What /info calls the model; unset: see text_model_files."""
    model_cache: Path | None = None
    """A directory that keeps the OpenVINO model made from a GGUF file; unset: it is made at every start."""
    embedding_model: Path | None = None
    """A directory with a BERT encoder (config.json, model.safetensors, vocab.txt); unset: MiniLM."""
    embedding_model_id: str = "sentence-transformers/all-MiniLM-L6-v2"
    embedding_max_tokens: int = Field(default=256, ge=8)
    embedding_streams: int = Field(default=2, ge=1)
    """Embedding inferences at a time, each on one core."""

    inference_max_concurrent_requests: int = Field(default=128, ge=1)
    """Open requests, in the batch or waiting; one more is answered 429."""
    inference_max_batch_size: int = Field(default=32, ge=1)
    inference_max_batched_tokens: int = Field(default=512, ge=32)
    """Tokens in one step: smaller keeps running streams smooth while a long prompt comes in."""
    inference_max_input_tokens: int = Field(default=4095, ge=1)
    inference_max_total_tokens: int = Field(default=4096, ge=2)
    inference_kv_cache_tokens: int = Field(default=32768, ge=64)
    """Room for prompts and answers in the batch; about 13 kB a token for SmolLM2-135M."""
    inference_prefix_caching: bool = True
    inference_threads: int | None = Field(default=None, ge=1)
    """Threads of the engine; unset: one a core that OpenVINO sees, which may be more than a container has."""
    inference_niceness: int = Field(default=10, ge=0, le=19)
    """The engine's threads give way to everything else on the machine."""
    inference_max_body_bytes: int = Field(default=2_000_000, ge=1000)
    inference_drain_seconds: int = Field(default=5, ge=0)
    """How long open requests may go on after SIGTERM."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.inference_max_input_tokens >= self.inference_max_total_tokens:
            raise ValueError("PENSTOCK_INFERENCE_MAX_INPUT_TOKENS must be less than ..._MAX_TOTAL_TOKENS")
        if self.inference_max_total_tokens > self.inference_kv_cache_tokens:
            raise ValueError("PENSTOCK_INFERENCE_KV_CACHE_TOKENS must hold ..._MAX_TOTAL_TOKENS")
        if self.model is not None and not self.model.exists():
            raise ValueError(f"PENSTOCK_MODEL: no such file or directory: {self.model}")
        if isinstance(self.model_adapter, Path):
            if not self.model_adapter.is_file():
                raise ValueError(f"PENSTOCK_MODEL_ADAPTER: no such file: {self.model_adapter}")
            if self.model is not None and self.model.is_dir():
                raise ValueError("PENSTOCK_MODEL_ADAPTER needs a GGUF file in PENSTOCK_MODEL")
        if self.embedding_model is not None and not self.embedding_model.is_dir():
            raise ValueError(f"PENSTOCK_EMBEDDING_MODEL: no such directory: {self.embedding_model}")
        return self
