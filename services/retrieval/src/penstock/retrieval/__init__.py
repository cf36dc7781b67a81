"""Hybrid search over the tenant's passages; indexes chunks."""
