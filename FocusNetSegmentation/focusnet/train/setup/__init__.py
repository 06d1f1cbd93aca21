"""What a run is made of, decided and checked before its first step."""
