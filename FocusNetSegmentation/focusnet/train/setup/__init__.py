"""Settings, cases and manifest of a run, decided and checked before its first step."""
