"""What people should know of each other: who did what to which object, and what has happened to one's own since one looked."""
