"""What operating a proxy costs those who are connected: see bench/README.md."""
