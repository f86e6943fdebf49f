"""The site for programs: the same objects as on its pages, under /api/v1/, for whoever brings a token."""
