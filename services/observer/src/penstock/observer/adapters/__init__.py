"""The only place for outside libraries."""
