"""What happens when a crowd of clients comes back: see bench/README.md."""
