"""What is kept, and where: records, and the journal that is the truth of memory."""
