"""The pages of runs: form, action, response."""
