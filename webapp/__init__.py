"""The web application: people, their runs, what they download. Knows the torch-free files of `merging`, never torch, never `workers`."""
