"""What people write beside candidates: stars, notes and tags."""
