"""The plan: its model, its JSON, and how it is cut into stages. Pure."""
