"""From a verdict to what memory keeps, believes, merges and lets go of."""
