"""What all benchmarks are run on."""
