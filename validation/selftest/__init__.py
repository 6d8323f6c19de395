"""Known cases through a pipeline, and which of the usual mistakes it makes."""
