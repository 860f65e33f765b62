"""What history links: files that change together, the tests they need, fixes alike."""
