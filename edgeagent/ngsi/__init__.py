"""PURE  readings -> FIWARE bodies, replies -> Delivery.  May import: reading errors ports."""
