"""Put recovered numbers beside the truth."""
