"""Recipes, routes and layers as pictures: geometry in pixels, which templates draw."""
