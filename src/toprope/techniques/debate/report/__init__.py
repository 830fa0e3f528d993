"""What a report shows of debates."""
