"""What a person types, and the shore's side. May import everything; nobody imports it."""
