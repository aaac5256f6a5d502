"""Benchmarks: dualgraph beside its peers, each contestant in a process of its own, taking turns."""
