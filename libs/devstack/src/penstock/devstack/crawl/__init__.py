"""Fetches the pages of a user's own site, and reaches no address that it may not."""
