"""Renders what crosses a boundary from the types in libs/messages and from the apps."""
