"""Brokers behind the ports."""
