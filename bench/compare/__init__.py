"""Compares longwire with its peers: see bench/README.md."""
