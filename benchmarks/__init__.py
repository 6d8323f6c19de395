"""Measurements of speed and accuracy; nothing here is asserted in tests."""
