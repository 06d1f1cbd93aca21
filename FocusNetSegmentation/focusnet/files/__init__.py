"""Write files so that a killed run or a full disk leaves nothing half-written; read TOML."""
