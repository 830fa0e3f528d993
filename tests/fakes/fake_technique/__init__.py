"""A technique that measures nothing, for tests of what runs studies."""
