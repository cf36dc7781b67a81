"""Penstock's events: typed bodies, the Kafka envelope, topics and ids.

Import from the modules: `chat`, `documents` (events), `envelope`, `codec`, `ids`, `topics`.
"""
