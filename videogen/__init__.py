"""videogen turns raw video into a registered, evaluated, servable video generator."""
