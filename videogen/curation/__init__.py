"""Looking after datasets: what is there, whether it is whole, and what is to go."""
