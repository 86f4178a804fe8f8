"""The gate, promotion, rollback and their history."""
