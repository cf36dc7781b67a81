"""``penstock doctor``: what is wrong with the stack here, or with what it needs, and what to do about it.

One file a group of checks; ``runner.py`` makes them all at once. Looking changes nothing.
"""
