"""What a dictionary is for: to find latents, steer by them, probe with them, and attribute outputs
to them."""
