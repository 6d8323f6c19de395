"""The vocabulary both sides share: crystals, scattering, instrument, scan, raw file."""
