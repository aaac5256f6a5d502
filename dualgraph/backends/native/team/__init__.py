"""Team: threads that run one native program together, each with its own number, and meet at barriers."""
