"""Workers, services and the state of the house."""
