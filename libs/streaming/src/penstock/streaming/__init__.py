"""The runner: poll, decode, handle, produce, acknowledge, commit.

A service describes itself as a `stage.Stage` and calls `worker.run`. Only `adapters` imports a broker client.
"""
