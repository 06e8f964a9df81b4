"""SHELL  a river, tags, a road and a city on virtual wires, with scripted faults.

May import: reading errors clock backoff ports wire.
"""
