"""The error budget: which effect, setting of the scan or step of the analysis costs how much."""
