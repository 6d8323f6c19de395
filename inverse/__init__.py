"""From the raw scan file to maps; knows nothing of the truth."""
