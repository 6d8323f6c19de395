"""Which scan reaches a given accuracy in the least beam time, told before any is simulated."""
