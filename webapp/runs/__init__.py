"""Runs, their generations, candidates and evaluations; what users do with them."""
