"""From a sample to photons on the detector."""
