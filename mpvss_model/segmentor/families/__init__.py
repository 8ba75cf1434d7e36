"""What families of networks have in common: those that classify queries, and those that classify pixels."""
