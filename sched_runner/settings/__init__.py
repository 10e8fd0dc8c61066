"""The settings of a scheduler, and the places that they come from."""
