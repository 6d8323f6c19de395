"""The reproduced study from simulation: its scans, its analysis, its figures, with the truth."""
