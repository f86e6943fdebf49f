"""What travels: every field of every answer, and of every body that is taken."""
