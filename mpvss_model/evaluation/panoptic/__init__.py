"""How well single things and stuff are found, and how long things keep their ids."""
