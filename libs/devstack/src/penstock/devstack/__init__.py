"""The penstock command and the embedded local stack."""
