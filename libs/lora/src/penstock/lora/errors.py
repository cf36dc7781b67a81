"""What can be wrong with an adapter."""


class AdapterError(RuntimeError):
    """A file is no adapter, or does not fit the model; one line says why."""
