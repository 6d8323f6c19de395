"""Many simulated experiments: in parallel, each done once, resumed where they were left."""
