"""What the live page shows beside its parts: how a run moves, who works on it, and what happened."""
