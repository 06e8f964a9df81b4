"""SHELL  the whole agent on virtual wires, with a live view and a verdict.

The agent runs as the real daemon in a process of its own; only the world around it is virtual.
May import: everything but install web cli.
"""
