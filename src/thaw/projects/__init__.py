"""Projects: their creation, and their upgrade to another version of thaw."""
