"""Reconstruction by other packages, behind one protocol, in this project's geometry and units."""
