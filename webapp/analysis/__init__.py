"""Looking at what runs have found: candidates and runs beside each other, and what the genes of a run have to do with its scores."""
