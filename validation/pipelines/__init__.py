"""Anyone's pipeline, run apart from the truth and scored like our own."""
