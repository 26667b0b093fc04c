"""Raw readings to a profile: where the time and the memory went."""
