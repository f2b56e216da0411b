"""What is measured, and the tables made of it: see docs/speed.md and docs/recipes.md."""
