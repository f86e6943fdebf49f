"""Trials: a few questions to one model, with everything that was asked, said, read and scored."""
