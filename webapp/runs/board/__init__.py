"""The ranking of runs: who is in the race, in which order, with what doubt; as pages, rows and files."""
