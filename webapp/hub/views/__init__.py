"""Pages of the Hub. A page is there at once; what the Hub says is a part of it that comes later."""
