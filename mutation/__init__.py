"""Mutation testing of the physics."""
