"""Servers: models for other programs to talk to."""
