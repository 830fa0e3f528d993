"""The oversight techniques, a folder each. One technique doesn't import another."""
