"""From an intention to a launch: choices, presets and imports, what stands in the way, and what it will take."""
