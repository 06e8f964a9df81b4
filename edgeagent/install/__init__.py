"""SHELL  the installer's room: what is plugged in, what it says, what it is set to.

May import: everything but daemon cli.
"""
