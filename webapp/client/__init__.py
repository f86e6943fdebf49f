"""`./progeny` as the client of a server, perhaps on another machine. Knows HTTP, a terminal and nothing else: neither Django nor torch."""
