//! The decision log of many replicas: pending entries in PostgreSQL, one fenced sequencer.
