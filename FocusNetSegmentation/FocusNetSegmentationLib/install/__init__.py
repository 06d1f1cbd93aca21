"""What a computer lacks, and how it is installed."""
