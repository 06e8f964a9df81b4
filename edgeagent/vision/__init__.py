"""PURE  image arrays -> vehicles counted.  May import: errors; numpy."""
