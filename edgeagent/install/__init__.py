"""SHELL  the installer's room.  May import: everything but daemon cli."""
