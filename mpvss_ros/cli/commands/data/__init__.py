"""Commands that make, read or write data sets and bags, one in each file."""
