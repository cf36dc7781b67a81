"""The real services in a simulated world: one process, virtual time, every fault, repeatable from a seed."""
