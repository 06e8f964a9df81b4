"""PURE  bytes off a cable or out of the air -> named fields.  May import: errors."""
