"""Search for an architecture: the loop over a super-network, its recipe and its result."""
