"""Identity of runs and stage results: keys, leases, pointers, reuse."""
